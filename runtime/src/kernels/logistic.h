// 1 / (1 + e^-x) of many numbers at once.
#ifndef R2B_KERNELS_LOGISTIC_H_
#define R2B_KERNELS_LOGISTIC_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "exponential.h"
#include "kernels.h"

namespace r2b {
namespace {

template <int kDoubles>
struct Wide;

template <>
struct Wide<2> {
  using Floats __attribute__((vector_size(8))) = float;
  using Doubles __attribute__((vector_size(16))) = double;
  using Words __attribute__((vector_size(16))) = uint64_t;
};

template <>
struct Wide<4> {
  using Floats __attribute__((vector_size(16))) = float;
  using Doubles __attribute__((vector_size(32))) = double;
  using Words __attribute__((vector_size(32))) = uint64_t;
};

template <>
struct Wide<8> {
  using Floats __attribute__((vector_size(32))) = float;
  using Doubles __attribute__((vector_size(64))) = double;
  using Words __attribute__((vector_size(64))) = uint64_t;
};

// kDoubles of them, in double precision, each rounded once in the end.
template <int kDoubles>
R2B_INLINE void logistic_of(const float* x, float* y) {
  using Floats = typename Wide<kDoubles>::Floats;
  using Doubles = typename Wide<kDoubles>::Doubles;
  Floats values;
  std::memcpy(&values, x, sizeof values);
  const Doubles power = exponential<Doubles, typename Wide<kDoubles>::Words>(
      -__builtin_convertvector(values, Doubles));
  values = __builtin_convertvector(1.0 / (1.0 + power), Floats);
  std::memcpy(y, &values, sizeof values);
}

template <int kDoubles>
void logistic(const float* x, ptrdiff_t count, float* y) {
  ptrdiff_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles) logistic_of<kDoubles>(x + i, y + i);
  if (i == count) return;
  float rest[kDoubles] = {};
  const size_t bytes = size_t(count - i) * sizeof(float);
  std::memcpy(rest, x + i, bytes);
  logistic_of<kDoubles>(rest, rest);
  std::memcpy(y + i, rest, bytes);
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_LOGISTIC_H_
