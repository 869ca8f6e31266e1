// CONV_2D and FULLY_CONNECTED by bytes.

#include <algorithm>
#include <cstring>

#include "convolution.h"
#include "integer_rows.h"
#include "pooled_convolution.h"
#include "row_convolution.h"

namespace r2b {

namespace {

// Pixels that are worked on together where a convolution does not look at neighbours.
constexpr int kFlatPixels = 42;

// A convolution of single pixels, and a dense layer: no rows, only a list of pixels.
class IntegerPixels : public Step {
 public:
  IntegerPixels(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
                const Value& source, int channels_in, const Affine& affine,
                const Finish& finish)
      : kernels_(kernels),
        filter_(std::move(filter)),
        source_(source),
        channels_in_(channels_in),
        affine_(affine),
        finish_(finish),
        pixels_(static_cast<int>(source.shape.elements() / channels_in)),
        parts_((pixels_ + kFlatPixels - 1) / kFlatPixels) {}

  int units() const override {
    return parts_ * static_cast<int>(filter_->chunks.size());
  }

  Size scratch_bytes() const override {
    if (!is_copied()) return 0;
    return Size(std::min(kFlatPixels, pixels_)) * channels_in_ + kBytesBehind;
  }

  void run(int begin, int end, char* scratch) const override {
    for (int unit = begin; unit < end; unit++) {
      const int first = unit % parts_ * kFlatPixels;
      const int count = std::min(kFlatPixels, pixels_ - first);
      const char* pixels = source_.data + static_cast<ptrdiff_t>(first) * channels_in_;
      if (is_copied()) {
        std::memcpy(scratch, pixels, static_cast<size_t>(count) * channels_in_);
        pixels = scratch;
      }
      convolve(reinterpret_cast<const uint8_t*>(pixels), first, count,
               filter_->chunks[static_cast<size_t>(unit / parts_)]);
    }
  }

 private:
  // Of memory that is not the program's nothing may be read past the end.
  bool is_copied() const { return source_.outside(); }

  void convolve(const uint8_t* pixels, int first, int count,
                const PackedFilter::Chunk& chunk) const {
    const ptrdiff_t no_offset = 0, stride = finish_.output->channels();
    IntegerConvRow work = {};
    work.patches = {pixels, channels_in_, &no_offset, 1, channels_in_};
    work.filter = chunk.data;
    work.num_pixels = count;
    work.num_channels = chunk.num_channels;
    if (affine_.factor != nullptr) work.multiplier = affine_.factor + chunk.first_channel;
    if (affine_.addend != nullptr) work.addend = affine_.addend + chunk.first_channel;
    work.output = reinterpret_cast<float*>(finish_.output->data) + first * stride +
                  chunk.first_channel;
    work.output_stride = stride;
    kernels_.integer_conv_row(work);
    if (!finish_.changes_values()) return;
    FinishRow done = {};
    done.values = work.output;
    done.values_stride = stride;
    finish_.run(kernels_, done,
                {0, first, count, chunk.first_channel, chunk.num_channels}, 1);
  }

  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  int channels_in_;
  Affine affine_;
  Finish finish_;
  int pixels_, parts_;
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
    const IntegerLayer& layer, std::shared_ptr<const PackedFilter> filter, Value* source,
    const Affine& affine, const Finish& finish, std::string* why) {
  std::unique_ptr<Step> step;
  const bool is_dense = op.kind == OperatorKind::kDense;
  Axis vertical, horizontal;
  if (!is_dense && !make_axes(op, *source, &graph.input(op, 1), &vertical, &horizontal,
                              why)) {
    return nullptr;
  }
  if (is_dense || (is_pixelwise(vertical, horizontal) && finish.is_by_pixel())) {
    step = std::make_unique<IntegerPixels>(kernels, std::move(filter), *source,
                                           graph.input(op, 1).shape.last(), affine,
                                           finish);
  } else {
    step = std::make_unique<RowConvolution<IntegerRows>>(
        IntegerRows(kernels, std::move(filter), *source, layer, vertical, horizontal,
                    affine),
        kernels, finish);
  }
  step->title = title_of(is_dense ? "integer dense layer" : "integer convolution", affine);
  step->add_read(source);
  finish.declare(step.get());
  step->real_macs = real_macs_of(graph, op);
  return step;
}

std::unique_ptr<Step> make_pooled_integer_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& convolution,
    const IntegerLayer& layer, std::shared_ptr<const PackedFilter> filter, Value* source,
    const Affine& affine, const Finish& between, const Operator& pool,
    const Finish& finish, std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(convolution, *source, &graph.input(convolution, 1), &vertical,
                 &horizontal, why)) {
    return nullptr;
  }
  auto step = make_pooled_step(
      IntegerRows(kernels, std::move(filter), *source, layer, vertical, horizontal,
                  affine),
      title_of("integer convolution", affine), kernels, graph, convolution, between, pool,
      finish, why);
  if (step != nullptr) step->add_read(source);
  return step;
}

}  // namespace r2b
