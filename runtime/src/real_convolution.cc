// CONV_2D and FULLY_CONNECTED on float32.

#include <algorithm>

#include "convolution.h"
#include "pooled_convolution.h"
#include "real_rows.h"
#include "row_convolution.h"

namespace r2b {

namespace {

// Pixels that are worked on together where a convolution does not look at neighbours.
constexpr int kFlatPixels = 42;

// A convolution of single pixels, and a dense layer: no rows, only a list of pixels.
class PixelConvolution : public Step {
 public:
  PixelConvolution(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
                   const Value& source, int channels_in, const Finish& finish)
      : kernels_(kernels),
        filter_(std::move(filter)),
        source_(source),
        channels_in_(channels_in),
        finish_(finish),
        pixels_(static_cast<int>(source.shape.elements() / channels_in)),
        parts_((pixels_ + kFlatPixels - 1) / kFlatPixels) {}

  int units() const override {
    return parts_ * static_cast<int>(filter_->chunks.size());
  }

  void run(int begin, int end, char*) const override {
    const ptrdiff_t no_offset = 0;
    for (int unit = begin; unit < end; unit++) {
      const PackedFilter::Chunk& chunk =
          filter_->chunks[static_cast<size_t>(unit / parts_)];
      const int first = unit % parts_ * kFlatPixels;
      RealConvRow work = {};
      work.patches = {reinterpret_cast<const float*>(source_.data) +
                          static_cast<ptrdiff_t>(first) * channels_in_,
                      channels_in_, &no_offset, 1, channels_in_};
      work.filter = chunk.data;
      work.num_pixels = std::min(kFlatPixels, pixels_ - first);
      work.num_channels = chunk.num_channels;
      const ptrdiff_t stride = finish_.output->channels();
      work.output = reinterpret_cast<float*>(finish_.output->data) + first * stride +
                    chunk.first_channel;
      work.output_stride = stride;
      kernels_.real_conv_row(work);
      if (!finish_.changes_values()) continue;
      FinishRow done = {};
      done.values = work.output;
      done.values_stride = stride;
      finish_.run(kernels_, done,
                  {0, first, work.num_pixels, chunk.first_channel, chunk.num_channels}, 1);
    }
  }

 private:
  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  int channels_in_;
  Finish finish_;
  int pixels_, parts_;
};

}  // namespace

std::unique_ptr<Step> make_real_convolution(const Kernels& kernels, const Graph& graph,
                                            const Operator& op,
                                            std::shared_ptr<const PackedFilter> filter,
                                            Value* source, const Finish& finish,
                                            std::string* why) {
  std::unique_ptr<Step> step;
  if (op.kind == OperatorKind::kDense) {
    step = std::make_unique<PixelConvolution>(kernels, std::move(filter), *source,
                                              graph.input(op, 1).shape.dims[1], finish);
    step->title = "dense layer";
  } else {
    Axis vertical, horizontal;
    if (!make_axes(op, *source, &graph.input(op, 1), &vertical, &horizontal, why)) {
      return nullptr;
    }
    if (is_pixelwise(vertical, horizontal) && finish.is_by_pixel()) {
      step = std::make_unique<PixelConvolution>(kernels, std::move(filter), *source,
                                                source->channels(), finish);
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

std::unique_ptr<Step> make_pooled_convolution(const Kernels& kernels, const Graph& graph,
                                              const Operator& convolution,
                                              std::shared_ptr<const PackedFilter> filter,
                                              const Finish& between,
                                              const Operator& pool, const Finish& finish,
                                              std::string* why) {
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
