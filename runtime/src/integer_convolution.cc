// CONV_2D and FULLY_CONNECTED by bytes.

#include <cstring>

#include "convolution.h"
#include "flat_convolution.h"
#include "integer_rows.h"
#include "pooled_convolution.h"
#include "row_convolution.h"

namespace r2b {

namespace {

// The pixels of a FlatConvolution.
class IntegerPixels {
 public:
  IntegerPixels(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
                const Value& source, int channels_in, const Affine& affine)
      : kernels_(kernels),
        filter_(std::move(filter)),
        source_(source),
        channels_in_(channels_in),
        affine_(affine) {}

  const PackedFilter& filter() const { return *filter_; }
  int count() const {
    return static_cast<int>(source_.shape.elements() / channels_in_);
  }
  Size scratch_bytes(int count) const {
    return is_copied() ? Size(count) * channels_in_ + kBytesBehind : Size(0);
  }

  void convolve(int first, int count, const PackedFilter::Chunk& chunk, char* scratch,
                float* output, ptrdiff_t output_stride) const {
    const char* pixels = source_.data + static_cast<ptrdiff_t>(first) * channels_in_;
    if (is_copied()) {
      std::memcpy(scratch, pixels, static_cast<size_t>(count) * channels_in_);
      pixels = scratch;
    }
    const ptrdiff_t no_offset = 0;
    const Patches<uint8_t> patches = {reinterpret_cast<const uint8_t*>(pixels),
                                      channels_in_, &no_offset, 1, channels_in_};
    convolve_pixels(kernels_, patches, count, chunk, affine_, output, output_stride);
  }

 private:
  // Of memory that is not the program's nothing may be read past the end.
  bool is_copied() const { return source_.outside(); }

  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  int channels_in_;
  Affine affine_;
};

std::string title_of(const char* name, const Affine& affine) {
  std::string title = name;
  if (affine.factor != nullptr) title += " + factor";
  if (affine.addend != nullptr) title += " + addend";
  return title;
}

}  // namespace

std::unique_ptr<Step> make_integer_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& op,
    const IntegerLayer& layer, std::shared_ptr<const PackedFilter> filter,
    Value* source, const Affine& affine, const Finish& finish, std::string* why) {
  std::unique_ptr<Step> step;
  const bool is_dense = op.kind == OperatorKind::kDense;
  Axis vertical, horizontal;
  if (!is_dense &&
      !make_axes(op, *source, &graph.input(op, 1), &vertical, &horizontal, why)) {
    return nullptr;
  }
  if (is_dense || (is_pixelwise(vertical, horizontal) && finish.is_by_pixel())) {
    step = std::make_unique<FlatConvolution<IntegerPixels>>(
        IntegerPixels(kernels, std::move(filter), *source,
                      graph.input(op, 1).shape.last(), affine),
        kernels, finish);
  } else {
    step = std::make_unique<RowConvolution<IntegerRows>>(
        IntegerRows(kernels, std::move(filter), *source, layer, vertical, horizontal,
                    affine),
        kernels, finish);
  }
  step->title =
      title_of(is_dense ? "integer dense layer" : "integer convolution", affine);
  step->add_read(source);
  finish.declare(step.get());
  step->real_macs = real_macs_of(graph, op);
  return step;
}

std::unique_ptr<Step> make_pooled_integer_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& convolution,
    const IntegerLayer& layer, std::shared_ptr<const PackedFilter> filter,
    Value* source, const Affine& affine, const Finish& between, const Operator& pool,
    const Finish& finish, std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(convolution, *source, &graph.input(convolution, 1), &vertical,
                 &horizontal, why)) {
    return nullptr;
  }
  auto step = make_pooled_step(IntegerRows(kernels, std::move(filter), *source, layer,
                                           vertical, horizontal, affine),
                               title_of("integer convolution", affine), kernels, graph,
                               convolution, between, pool, finish, why);
  if (step != nullptr) step->add_read(source);
  return step;
}

}  // namespace r2b
