// What is done to a row of pixels once it is computed, before it leaves the cache.
#ifndef R2B_FINISH_H_
#define R2B_FINISH_H_

#include "graph.h"
#include "kernels/kernels.h"
#include "step.h"

namespace r2b {

// Pixels of a row that are worked on at a time: what a convolution wrote is still in the
// first-level cache when it is finished. A multiple of the tiles of two and of four
// pixels; larger ones leave a smaller one at its end.
constexpr int kSegmentPixels = 28;

// A part of a row of pixels.
struct Span {
  int row;
  int first_pixel, num_pixels;
  int first_channel, num_channels;
};

// The steps of FinishRow (kernels.h) for a whole tensor; what is null is left out.
// Constants are the graph's, one for each channel.
struct Finish {
  const Value* gate = nullptr;  // computed, [N, 1, 1, C] or C elements
  const float* gate_constant = nullptr;
  const float* addend = nullptr;
  const float* slope = nullptr;
  bool has_limits = false, limits_follow_skip = false;
  float lowest = 0, highest = 0;
  const Value* skip = nullptr;
  const float* skip_constant = nullptr;
  Value* output = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  Value* packed = nullptr;
  Value* sums = nullptr;  // [rows, C]: one sum for each row of pixels

  // True where the values change before they are stored.
  bool changes_values() const;
  // True where nothing needs to know which row or image a pixel is of.
  bool is_by_pixel() const;
  // Finishes a part of a row, one of `rows_an_image`; `work` holds its source, counts or
  // values. The parts of a row come from left to right.
  void run(const Kernels& kernels, FinishRow work, const Span& span,
           int rows_an_image) const;
  // Tells the step what is read and written, and names the work.
  void declare(Step* step) const;
};

}  // namespace r2b

#endif  // R2B_FINISH_H_
