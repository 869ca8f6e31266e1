// What a binary convolution adds to some of its positions, or to all of them. Padding with
// zeros: what has to be put right where patches stick out of the map, because the packed
// zero bit there counts as +1. Or a constant that the graph adds.
#ifndef R2B_BORDERS_H_
#define R2B_BORDERS_H_

#include <cstdint>
#include <vector>

#include "finish.h"
#include "shapes.h"

namespace r2b {

// The outside part of every patch, summed over each filter, times the filter's factor.
// Patches that stick out alike share an entry, so there are few however large the map.
class Borders {
 public:
  Borders() = default;
  Borders(Borders&&) = default;  // copies would point into what they are copies of
  Borders& operator=(Borders&&) = default;
  // tap_sums: [channels][vertical.kernel][horizontal.kernel]; factors: [channels].
  Borders(const Axis& vertical, const Axis& horizontal,
          const std::vector<int32_t>& tap_sums, const std::vector<float>& factors);
  // Of a map of height x width x channels.
  Borders(const WithConstantMap& map, int height, int width, int channels);

  bool empty() const { return row_class_.empty(); }
  // What each patch of row y needs, one for each channel; null where it does not stick
  // out.
  const float* const* row(int y) const {
    return rows_[static_cast<size_t>(row_class_[static_cast<size_t>(y)])].data();
  }

 private:
  std::vector<int> row_class_;
  std::vector<std::vector<float>> entries_;      // [row class * column class]
  std::vector<std::vector<const float*>> rows_;  // [row class][x], into entries_
};

}  // namespace r2b

#endif  // R2B_BORDERS_H_
