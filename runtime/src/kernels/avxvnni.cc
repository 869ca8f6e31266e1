// Integer kernels for AVX2 with AVX-VNNI: Intel's PCs and small boards since 2021, which
// lack AVX-512.
#include "avx2_simd.h"
#include "integer_loops.h"
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

Kernels with_avxvnni(Kernels avx2) {
  avx2.name = "avxvnni";
  avx2.integer_weight_limit = AvxVnniSimd::kWeightLimit;
  avx2.integer_filter_bytes = integer_filter_bytes<AvxVnniSimd>;
  avx2.pack_integer_filter = pack_integer_filter<AvxVnniSimd>;
  avx2.integer_conv_row = integer_conv_row<AvxVnniSimd>;
  return avx2;
}

}  // namespace r2b
