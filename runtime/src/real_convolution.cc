// CONV_2D and FULLY_CONNECTED on float32.

#include <algorithm>

#include "convolution.h"
#include "real_rows.h"

namespace r2b {

namespace {

// Pixels that are worked on together where a convolution does not look at neighbours.
constexpr int kFlatPixels = 42;

class RealConvolution : public Step {
 public:
  RealConvolution(const RealRows& rows, const Kernels& kernels, const Finish& finish)
      : rows_(rows), kernels_(kernels), finish_(finish) {
    const int chunks = static_cast<int>(rows.filter().chunks.size());
    parts_ = std::clamp(32 / std::max(rows.num_rows(), 1), 1, chunks);
  }

  int units() const override { return rows_.num_rows() * parts_; }

  Size scratch_bytes() const override {
    return Size(kTileFloats * sizeof(float)) + rows_.lines_bytes();
  }

  void run(int begin, int end, char* scratch) const override {
    auto* values = reinterpret_cast<float*>(scratch);
    RealRows::Lines lines = rows_.begin(values + kTileFloats);
    const auto& chunks = rows_.filter().chunks;
    const int num_chunks = static_cast<int>(chunks.size());
    for (int unit = begin; unit < end; unit++) {
      const int row = unit % rows_.num_rows(), part = unit / rows_.num_rows();
      const Patches<float> patches = rows_.patches(row, &lines);
      for (int i = num_chunks * part / parts_; i < num_chunks * (part + 1) / parts_;
           i++) {
        convolve(row, patches, chunks[static_cast<size_t>(i)], values);
      }
    }
  }

 private:
  static constexpr int kTileFloats = kSegmentPixels * kChunkChannels;

  void convolve(int row, const Patches<float>& patches,
                const PackedFilter::Chunk& chunk, float* values) const {
    for (int first = 0; first < rows_.width(); first += kSegmentPixels) {
      const int count = std::min(kSegmentPixels, rows_.width() - first);
      rows_.convolve(patches, first, count, chunk, values, kChunkChannels);
      FinishRow work = {};
      work.values = values;
      work.values_stride = kChunkChannels;
      const Span span = {row, first, count, chunk.first_channel, chunk.num_channels};
      finish_.run(kernels_, work, span, rows_.rows_an_image());
    }
  }

  RealRows rows_;
  const Kernels& kernels_;
  Finish finish_;
  int parts_ = 1;
};

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

bool is_pixelwise(const Axis& axis) {
  return axis.kernel == 1 && axis.stride == 1 && axis.before == 0 && axis.after == 0;
}

// True where nothing of what follows needs to know rows or images.
bool only_values(const Finish& finish) {
  return finish.output != nullptr && finish.gate == nullptr &&
         finish.gate_constant == nullptr && finish.skip == nullptr &&
         finish.skip_constant == nullptr && finish.packed == nullptr &&
         finish.sums == nullptr;
}

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
    if (is_pixelwise(vertical) && is_pixelwise(horizontal) && only_values(finish)) {
      step = std::make_unique<PixelConvolution>(kernels, std::move(filter), *source,
                                                source->channels(), finish);
    } else {
      step = std::make_unique<RealConvolution>(
          RealRows(kernels, std::move(filter), *source, vertical, horizontal), kernels,
          finish);
    }
    step->title = "real convolution";
  }
  step->add_read(source);
  finish.declare(step.get());
  const Value& weights = graph.input(op, 1);
  step->real_macs = graph.output(op).shape.pixels() * weights.shape.elements();
  return step;
}

}  // namespace r2b
