// The loop that the peaks of all instruction sets share.
#ifndef R2B_KERNELS_SPIN_H_
#define R2B_KERNELS_SPIN_H_

#include <cstdint>

namespace r2b {
namespace {

// Enough independent sums to hide how long one instruction takes.
constexpr int kSums = 12;

// `step(sum, operand)` on kSums sums, again and again. Operations has the type Vector, a
// function step, a function zero and a function hide, after which the compiler no longer
// knows what is in a register, so that it can leave nothing out.
template <typename Operations>
void spin(int64_t rounds) {
  using Vector = typename Operations::Vector;
  Vector sums[kSums];
  Vector operand = Operations::zero();
  for (Vector& sum : sums) sum = Operations::zero();
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      Operations::hide(operand);
      sums[i] = Operations::step(sums[i], operand);
    }
  }
  for (Vector& sum : sums) Operations::hide(sum);
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_SPIN_H_
