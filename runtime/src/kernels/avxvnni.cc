// Kernels for AVX2 with AVX-VNNI: Intel's PCs and small boards since 2021, which lack
// AVX-512.
#include "avx2_simd.h"
#include "nibble_counts.h"
#include "tables.h"

namespace r2b {
namespace {

struct AvxVnniSimd : Avx2Simd {
  static constexpr int kIntegerSums = 12;
  static constexpr bool kStretches = false;
  static constexpr int kWeightLimit = 127;

  static Integers add_products(Integers sums, Integers bytes, Integers weights) {
    // gcc keeps two copies of sums by the intrinsic, one of them in memory.
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(bytes), "x"(weights));
    return sums;
  }
};

}  // namespace

constexpr Kernels avxvnni_kernels =
    make_nibble_kernels<Avx2Bytes, AvxVnniSimd>("avxvnni");

}  // namespace r2b
