// Peaks with AVX2: VPSHUFB, which looks up 4 bits of 32 channels, and VPADDB; and fused
// multiply-adds.
#include <immintrin.h>

#include "peaks.h"
#include "spin.h"

namespace r2b {
namespace {

struct Binary {
  using Vector = __m256i;
  static Vector zero() { return _mm256_setzero_si256(); }
  static void hide(Vector& vector) { asm volatile("" : "+x"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    return _mm256_add_epi8(sum, _mm256_shuffle_epi8(operand, operand));
  }
};

struct Real {
  using Vector = __m256;
  static Vector zero() { return _mm256_setzero_ps(); }
  static void hide(Vector& vector) { asm volatile("" : "+x"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    return _mm256_fmadd_ps(operand, operand, sum);
  }
};

}  // namespace

const Peak avx2_peak = {"avx2", spin<Binary>, kSums * 128, spin<Real>, kSums * 8};

}  // namespace r2b
