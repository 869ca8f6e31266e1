// CONV_2D and FULLY_CONNECTED on float32.

#include "convolution.h"
#include "flat_convolution.h"
#include "pooled_convolution.h"
#include "real_rows.h"
#include "row_convolution.h"

namespace r2b {

namespace {

// The pixels of a FlatConvolution.
class RealPixels {
 public:
  RealPixels(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
             const Value& source, int channels_in)
      : kernels_(kernels),
        filter_(std::move(filter)),
        source_(source),
        channels_in_(channels_in) {}

  const PackedFilter& filter() const { return *filter_; }
  int count() const {
    return static_cast<int>(source_.shape.elements() / channels_in_);
  }
  Size scratch_bytes(int) const { return 0; }

  void convolve(int first, int count, const PackedFilter::Chunk& chunk, char*,
                float* output, ptrdiff_t output_stride) const {
    const ptrdiff_t no_offset = 0;
    const Patches<float> pixels = {reinterpret_cast<const float*>(source_.data),
                                   channels_in_, &no_offset, 1, channels_in_};
    convolve_pixels(kernels_, pixels.from(first), count, chunk, output, output_stride);
  }

 private:
  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  int channels_in_;
};

}  // namespace

std::unique_ptr<Step> make_real_convolution(const Kernels& kernels, const Graph& graph,
                                            const Operator& op,
                                            std::shared_ptr<const PackedFilter> filter,
                                            Value* source, const Finish& finish,
                                            std::string* why) {
  std::unique_ptr<Step> step;
  if (op.kind == OperatorKind::kDense) {
    step = std::make_unique<FlatConvolution<RealPixels>>(
        RealPixels(kernels, std::move(filter), *source,
                   graph.input(op, 1).shape.dims[1]),
        kernels, finish);
    step->title = "dense layer";
  } else {
    Axis vertical, horizontal;
    if (!make_axes(op, *source, &graph.input(op, 1), &vertical, &horizontal, why)) {
      return nullptr;
    }
    if (is_pixelwise(vertical, horizontal) && finish.is_by_pixel()) {
      step = std::make_unique<FlatConvolution<RealPixels>>(
          RealPixels(kernels, std::move(filter), *source, source->channels()), kernels,
          finish);
    } else {
      step = std::make_unique<RowConvolution<RealRows>>(
          RealRows(kernels, std::move(filter), *source, vertical, horizontal), kernels,
          finish);
    }
    step->title = "real convolution";
  }
  step->add_read(source);
  finish.declare(step.get());
  step->real_macs = real_macs_of(graph, op);
  return step;
}

std::unique_ptr<Step> make_pooled_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& convolution,
    std::shared_ptr<const PackedFilter> filter, const Finish& between,
    const Operator& pool, const Finish& finish, std::string* why) {
  const Value& source = graph.input(convolution, 0);
  Axis vertical, horizontal;
  if (!make_axes(convolution, source, &graph.input(convolution, 1), &vertical,
                 &horizontal, why)) {
    return nullptr;
  }
  auto step = make_pooled_step(
      RealRows(kernels, std::move(filter), source, vertical, horizontal),
      "real convolution", kernels, graph, convolution, between, pool, finish, why);
  if (step != nullptr) step->add_read(&source);
  return step;
}

}  // namespace r2b
