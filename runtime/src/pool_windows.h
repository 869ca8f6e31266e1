// The windows of a pool along one row of its output.
#ifndef R2B_POOL_WINDOWS_H_
#define R2B_POOL_WINDOWS_H_

#include "kernels/kernels.h"
#include "shapes.h"

namespace r2b {

class PoolWindows {
 public:
  PoolWindows(const Kernels& kernels, bool is_max, const Axis& vertical,
              const Axis& horizontal, int channels)
      : kernels_(kernels),
        is_max_(is_max),
        vertical_(vertical),
        horizontal_(horizontal),
        channels_(channels) {}

  // Rows of an image, and pixels of a row.
  int height() const { return vertical_.out; }
  int width() const { return horizontal_.out; }
  // The rows of the source's image that row y looks at.
  int first_row(int y) const { return top(y) + vertical_.first_tap(y); }
  int end_row(int y) const { return top(y) + vertical_.end_tap(y); }
  // The most of them, and the most pixels of a window: no more than the source has.
  int most_rows() const { return vertical_.most_taps(); }
  int most_pixels() const { return most_rows() * horizontal_.most_taps(); }

  // Row y, of width() pixels. line_of(row) is a row of the source's image; `pixels` has
  // room for most_pixels().
  template <typename LineOf>
  void run(int y, const LineOf& line_of, const float** pixels, float* output) const {
    for (int x = 0; x < width(); x++, output += channels_) {
      const int left = x * horizontal_.stride - horizontal_.before;
      const int first = horizontal_.first_tap(x), end = horizontal_.end_tap(x);
      int count = 0;
      for (int row = first_row(y); row < end_row(y); row++) {
        const float* line = line_of(row);
        for (int h = first; h < end; h++) {
          pixels[count++] = line + static_cast<ptrdiff_t>(left + h) * channels_;
        }
      }
      const PoolWindow window = {pixels, count, channels_, output};
      if (is_max_) {
        kernels_.max_window(window);
      } else {
        kernels_.mean_window(window, 1.0f / static_cast<float>(count));
      }
    }
  }

 private:
  int top(int y) const { return y * vertical_.stride - vertical_.before; }

  const Kernels& kernels_;
  bool is_max_;
  Axis vertical_, horizontal_;
  int channels_;
};

}  // namespace r2b

#endif  // R2B_POOL_WINDOWS_H_
