// Peaks with NEON: EOR, BSL, CNT and ADD for two words; and fused multiply-adds.
#include <arm_neon.h>

#include "peaks.h"
#include "spin.h"

namespace r2b {
namespace {

struct Binary {
  using Vector = uint8x16_t;
  static Vector zero() { return vdupq_n_u8(0); }
  static void hide(Vector& vector) { asm volatile("" : "+w"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    const Vector one = vdupq_n_u8(1);
    const Vector bits = vbslq_u8(veorq_u8(operand, one), operand, one);
    return vaddq_u8(sum, vcntq_u8(bits));
  }
};

struct Real {
  using Vector = float32x4_t;
  static Vector zero() { return vdupq_n_f32(0.0f); }
  static void hide(Vector& vector) { asm volatile("" : "+w"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    return vfmaq_f32(sum, operand, operand);
  }
};

}  // namespace

const Peak neon_peak = {"neon", spin<Binary>, 2 * kSums * 128, spin<Real>, kSums * 4};

}  // namespace r2b
