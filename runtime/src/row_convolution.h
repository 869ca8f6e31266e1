// A convolution and what follows it, a row of output at a time.
#ifndef R2B_ROW_CONVOLUTION_H_
#define R2B_ROW_CONVOLUTION_H_

#include <algorithm>
#include <utility>

#include "convolution.h"

namespace r2b {

// `Rows` are those of the convolution: RealRows or IntegerRows.
template <typename Rows>
class RowConvolution : public Step {
 public:
  RowConvolution(Rows rows, const Kernels& kernels, const Finish& finish)
      : rows_(std::move(rows)), kernels_(kernels), finish_(finish) {
    const int chunks = static_cast<int>(rows_.filter().chunks.size());
    parts_ = std::clamp(32 / std::max(rows_.num_rows(), 1), 1, chunks);
  }

  int units() const override { return rows_.num_rows() * parts_; }

  Size scratch_bytes() const override {
    return Size(kTileFloats * sizeof(float)) + rows_.lines_bytes();
  }

  void run(int begin, int end, char* scratch) const override {
    auto* values = reinterpret_cast<float*>(scratch);
    auto lines = rows_.begin(reinterpret_cast<char*>(values + kTileFloats));
    const auto& chunks = rows_.filter().chunks;
    const int num_chunks = static_cast<int>(chunks.size());
    for (int unit = begin; unit < end; unit++) {
      const int row = unit % rows_.num_rows(), part = unit / rows_.num_rows();
      const auto patches = rows_.patches(row, &lines);
      for (int i = num_chunks * part / parts_; i < num_chunks * (part + 1) / parts_;
           i++) {
        convolve(row, patches, chunks[static_cast<size_t>(i)], values);
      }
    }
  }

 private:
  static constexpr int kTileFloats = kSegmentPixels * kChunkChannels;

  template <typename Patches>
  void convolve(int row, const Patches& patches, const PackedFilter::Chunk& chunk,
                float* values) const {
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

  Rows rows_;
  const Kernels& kernels_;
  Finish finish_;
  int parts_ = 1;
};

}  // namespace r2b

#endif  // R2B_ROW_CONVOLUTION_H_
