// What a binary convolution adds to its positions before anything else is done to them.
#ifndef R2B_CORRECTIONS_H_
#define R2B_CORRECTIONS_H_

#include <cstdint>
#include <vector>

#include "finish.h"
#include "shapes.h"
#include "sizes.h"

namespace r2b {

// What a graph makes of a map x and a constant with an entry for each position, values
// [1, H, W, C]; null: nothing.
struct WithConstantMap {
  enum How { kSum, kDifference, kFromConstant };  // x + values, x - values, values - x

  const float* values = nullptr;
  How how = kSum;
};

// A number for each position and channel, for some positions or for all.
class Corrections {
 public:
  Corrections() = default;
  Corrections(Corrections&&) =
      default;  // copies would point into what they are copies of
  Corrections& operator=(Corrections&&) = default;
  // Of padding with zeros: where a patch sticks out of the map, packed zero bits count as
  // +1. The outside part, summed over each filter, times the filter's factor. Patches that
  // stick out alike share an entry, so there are few however large the map.
  // tap_sums: [channels][vertical.kernel][horizontal.kernel]; factors: [channels].
  Corrections(const Axis& vertical, const Axis& horizontal,
              const std::vector<int32_t>& tap_sums, const std::vector<float>& factors);
  // Bytes that those take, in advance.
  static Size bytes(const Axis& vertical, const Axis& horizontal, int channels);
  // Of a constant map of height x width x channels, which has to outlive them.
  Corrections(const WithConstantMap& map, int height, int width, int channels);

  bool empty() const { return row_class_.empty() && map_ == nullptr; }
  // What each pixel of a span needs, one for each of its channels; null where that is
  // nothing. Row y of an image; `memory` for as many pointers as pixels may hold them.
  const float* const* at(int y, const Span& span, const float** memory) const;

 private:
  std::vector<int> row_class_;
  std::vector<std::vector<float>> entries_;      // [row class * column class], or one
  std::vector<std::vector<const float*>> rows_;  // [row class][x], into those
  // Or a map: pointers to all of its pixels may be more than it is.
  const float* map_ = nullptr;
  int width_ = 0, channels_ = 0;
};

}  // namespace r2b

#endif  // R2B_CORRECTIONS_H_
