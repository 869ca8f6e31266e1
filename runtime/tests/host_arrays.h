// What the files of host.h share.
#ifndef R2B_TESTS_HOST_ARRAYS_H_
#define R2B_TESTS_HOST_ARRAYS_H_

#include <vector>

#include "litert_abi.h"

namespace r2b_test {

inline std::vector<int> values_of(const TfLiteIntArray* array) {
  if (array == nullptr) return {};
  return std::vector<int>(array->data, array->data + array->size);
}

inline bool is_constant(const TfLiteTensor& tensor) {
  return tensor.allocation_type == kTfLiteMmapRo;
}

// False where it does not fit, or an extent is negative.
bool bytes_of(TfLiteType type, const TfLiteIntArray& dims, size_t* bytes);

}  // namespace r2b_test

#endif  // R2B_TESTS_HOST_ARRAYS_H_
