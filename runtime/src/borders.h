// Padding with zeros: what a binary convolution has to put right where its patches stick
// out of the map, because the packed zero bit there counts as +1.
#ifndef R2B_BORDERS_H_
#define R2B_BORDERS_H_

#include <cstdint>
#include <vector>

#include "shapes.h"

namespace r2b {

// The outside part of every patch, summed over each filter, times the filter's factor.
// Patches that stick out alike share an entry, so there are few however large the map.
class Borders {
 public:
  Borders() = default;
  // tap_sums: [channels][vertical.kernel][horizontal.kernel]; factors: [channels].
  Borders(const Axis& vertical, const Axis& horizontal,
          const std::vector<int32_t>& tap_sums, const std::vector<float>& factors);

  bool empty() const { return row_class_.empty(); }
  // What patch (y, x) needs, one for each channel; null where it does not stick out.
  const float* at(int y, int x) const {
    const int row = row_class_[static_cast<size_t>(y)];
    const int column = column_class_[static_cast<size_t>(x)];
    const std::vector<float>& entry =
        entries_[static_cast<size_t>(row) * num_columns_ + static_cast<size_t>(column)];
    return entry.empty() ? nullptr : entry.data();
  }

 private:
  std::vector<int> row_class_, column_class_;
  size_t num_columns_ = 0;
  std::vector<std::vector<float>> entries_;  // [row class][column class]
};

}  // namespace r2b

#endif  // R2B_BORDERS_H_
