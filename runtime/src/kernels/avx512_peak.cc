// Peaks with AVX-512: VPXORD, VPTERNLOGD, VPOPCNTD and VPADDD for two words; and fused
// multiply-adds.
#include <immintrin.h>

#include "peaks.h"
#include "spin.h"

namespace r2b {
namespace {

struct Binary {
  using Vector = __m512i;
  static Vector zero() { return _mm512_setzero_si512(); }
  static void hide(Vector& vector) { asm volatile("" : "+v"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    const Vector one = _mm512_set1_epi32(1);
    const Vector mask = _mm512_xor_si512(operand, one);
    const Vector bits = _mm512_ternarylogic_epi32(mask, operand, one, 0xca);
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(bits));
  }
};

struct Real {
  using Vector = __m512;
  static Vector zero() { return _mm512_setzero_ps(); }
  static void hide(Vector& vector) { asm volatile("" : "+v"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    return _mm512_fmadd_ps(operand, operand, sum);
  }
};

}  // namespace

const Peak avx512_peak = {"avx512", spin<Binary>, 2 * kSums * 512, spin<Real>, kSums * 16};

}  // namespace r2b
