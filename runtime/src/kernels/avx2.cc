// Kernels for AVX2.
#include "avx2_simd.h"
#include "nibble_counts.h"
#include "tables.h"

namespace r2b {
namespace {

struct StretchSimd : Avx2Simd {
  static constexpr int kIntegerSums = 6;
  static constexpr bool kStretches = true;
  static constexpr int kWeightLimit = kStretchWeightLimit;

  static Integers add_pairs(Integers sums, Integers bytes, Integers weights) {
    return _mm256_add_epi16(sums, _mm256_maddubs_epi16(bytes, weights));
  }
  static Integers add_halves(Integers sums, Integers halves) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(halves, _mm256_set1_epi16(1)));
  }
};

}  // namespace

constexpr Kernels avx2_kernels = make_nibble_kernels<Avx2Bytes, StretchSimd>("avx2");

}  // namespace r2b
