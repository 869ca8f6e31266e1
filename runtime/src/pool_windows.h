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
        channels_(channels) {
    while (begin_whole_ < width() && !is_whole(begin_whole_)) begin_whole_++;
    end_whole_ = begin_whole_;
    while (end_whole_ < width() && is_whole(end_whole_)) end_whole_++;
  }

  // Rows of an image, and pixels of a row.
  int height() const { return vertical_.out; }
  int width() const { return horizontal_.out; }
  // The rows of the source's image that row y looks at.
  int first_row(int y) const { return top(y) + vertical_.first_tap(y); }
  int end_row(int y) const { return top(y) + vertical_.end_tap(y); }
  // The most of them.
  int most_rows() const { return vertical_.most_taps(); }

  // Row y, of width() pixels. line_of(row) is a row of the source's image; `lines` has
  // room for most_rows().
  template <typename LineOf>
  void run(int y, const LineOf& line_of, const float** lines, float* output) const {
    for (int x = 0; x < width();) {
      const Stretch stretch = stretch_at(x);
      int num_lines = 0;
      for (int row = first_row(y); row < end_row(y); row++) {
        lines[num_lines++] =
            line_of(row) + static_cast<ptrdiff_t>(stretch.first_pixel) * channels_;
      }
      const PoolRow work = {lines,
                            num_lines,
                            stretch.taps,
                            stretch.windows,
                            static_cast<ptrdiff_t>(horizontal_.stride) * channels_,
                            channels_,
                            output};
      if (is_max_) {
        kernels_.max_pool_row(work);
      } else {
        const int count = num_lines * stretch.taps;
        kernels_.mean_pool_row(work, 1.0f / static_cast<float>(count));
      }
      output += static_cast<ptrdiff_t>(stretch.windows) * channels_;
      x += stretch.windows;
    }
  }

 private:
  // Windows side by side that have the same taps inside of the source.
  struct Stretch {
    int taps;
    int first_pixel;  // of the source, in the first window
    int windows;
  };

  // Beside a border windows have fewer pixels, each other ones. They are worked out anew
  // for each row, as there may be many: as many as the row has pixels.
  Stretch stretch_at(int x) const {
    const int first = horizontal_.first_tap(x);
    const int pixel = x * horizontal_.stride - horizontal_.before + first;
    const bool is_inside = x == begin_whole_ && begin_whole_ < end_whole_;
    return {horizontal_.end_tap(x) - first, pixel, is_inside ? end_whole_ - x : 1};
  }

  bool is_whole(int x) const {
    return horizontal_.first_tap(x) == 0 &&
           horizontal_.end_tap(x) == horizontal_.kernel;
  }

  int top(int y) const { return y * vertical_.stride - vertical_.before; }

  const Kernels& kernels_;
  bool is_max_;
  Axis vertical_, horizontal_;
  int channels_;
  int begin_whole_ = 0, end_whole_ = 0;  // windows that hold all of their taps
};

}  // namespace r2b

#endif  // R2B_POOL_WINDOWS_H_
