// Padding with zeros: what a binary convolution has to put right where its patches stick
// out of the map, because the packed zero bit there counts as +1.
#ifndef R2B_BORDERS_H_
#define R2B_BORDERS_H_

#include <cstdint>
#include <vector>

#include "shapes.h"

namespace r2b {

// The outside part of every patch, summed over each filter. Patches that stick out alike
// share an entry, so there are few entries however large the map.
class Borders {
 public:
  // tap_sums: [num_channels][vertical.kernel][horizontal.kernel].
  Borders(const Axis& vertical, const Axis& horizontal,
          const std::vector<int32_t>& tap_sums, int num_channels);

  // Sums over the taps outside, one for each channel; null where none is outside.
  const int32_t* at(int y, int x) const {
    return entries_[static_cast<size_t>(row_class_[static_cast<size_t>(y)]) *
                        num_columns_ +
                    static_cast<size_t>(column_class_[static_cast<size_t>(x)])];
  }
  // The number of different rows, and which of them an output row is.
  int num_rows() const { return num_rows_; }
  int row_class(int y) const { return row_class_[static_cast<size_t>(y)]; }
  // An output row of each class.
  int row_of_class(int index) const { return example_[static_cast<size_t>(index)]; }

 private:
  std::vector<int> row_class_, column_class_, example_;
  int num_rows_ = 0;
  size_t num_columns_ = 0;
  std::vector<std::vector<int32_t>> sums_;
  std::vector<const int32_t*> entries_;
};

}  // namespace r2b

#endif  // R2B_BORDERS_H_
