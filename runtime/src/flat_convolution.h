// A convolution that does not look at neighbours, or a dense layer, and what follows it:
// no rows, only a list of pixels.
#ifndef R2B_FLAT_CONVOLUTION_H_
#define R2B_FLAT_CONVOLUTION_H_

#include <algorithm>
#include <utility>

#include "convolution.h"

namespace r2b {

// `Pixels` are those of the convolution, with
//   const PackedFilter& filter() const;
//   int count() const;
//   // What convolve needs for up to `count` pixels.
//   Size scratch_bytes(int count) const;
//   // `count` pixels from `first` on, one chunk of their channels: [count][output_stride].
//   void convolve(int first, int count, const PackedFilter::Chunk& chunk, char* scratch,
//                 float* output, ptrdiff_t output_stride) const;
template <typename Pixels>
class FlatConvolution : public Step {
 public:
  FlatConvolution(Pixels pixels, const Kernels& kernels, const Finish& finish)
      : pixels_(std::move(pixels)),
        kernels_(kernels),
        finish_(finish),
        num_pixels_(pixels_.count()),
        parts_((num_pixels_ + kTogether - 1) / kTogether) {}

  int units() const override {
    return parts_ * static_cast<int>(pixels_.filter().chunks.size());
  }

  Size scratch_bytes() const override {
    return pixels_.scratch_bytes(std::min(kTogether, num_pixels_));
  }

  void run(int begin, int end, char* scratch) const override {
    const ptrdiff_t stride = finish_.output->channels();
    for (int unit = begin; unit < end; unit++) {
      const PackedFilter::Chunk& chunk =
          pixels_.filter().chunks[static_cast<size_t>(unit / parts_)];
      const int first = unit % parts_ * kTogether;
      const int count = std::min(kTogether, num_pixels_ - first);
      float* output = reinterpret_cast<float*>(finish_.output->data) + first * stride +
                      chunk.first_channel;
      pixels_.convolve(first, count, chunk, scratch, output, stride);
      if (!finish_.changes_values()) continue;
      FinishRow done = {};
      done.values = output;
      done.values_stride = stride;
      finish_.run(kernels_, done,
                  {0, first, count, chunk.first_channel, chunk.num_channels}, 1);
    }
  }

 private:
  // Pixels that are worked on together.
  static constexpr int kTogether = 42;

  Pixels pixels_;
  const Kernels& kernels_;
  Finish finish_;
  int num_pixels_, parts_;
};

}  // namespace r2b

#endif  // R2B_FLAT_CONVOLUTION_H_
