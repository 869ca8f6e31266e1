// Pooling on 64-bit Arm.
#include "neon.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace r2b {
namespace neon {
namespace {

constexpr int kVectors = 4;  // together

struct Larger {
  static float32x4_t combine(float32x4_t a, float32x4_t b) {
    return vbslq_f32(vcltq_f32(a, b), b, a);
  }
  static float combine(float a, float b) { return a < b ? b : a; }
};

struct Sum {
  static float32x4_t combine(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
  static float combine(float a, float b) { return a + b; }
};

template <typename Operation>
R2B_INLINE void combine_pixels(const PoolWindow& window, bool has_factor, float factor) {
  const int num_channels = window.num_channels, num_pixels = window.num_pixels;
  const float* const* pixels = window.pixels;
  float* output = window.output;
  int channel = 0;
  for (; channel + 4 * kVectors <= num_channels; channel += 4 * kVectors) {
    float32x4x4_t result = vld1q_f32_x4(pixels[0] + channel);
    for (int p = 1; p < num_pixels; p++) {
      float32x4x4_t values = vld1q_f32_x4(pixels[p] + channel);
      unroll<kVectors>([&](auto v) R2B_ALWAYS {
        result.val[v] = Operation::combine(result.val[v], values.val[v]);
      });
    }
    if (has_factor) {
      unroll<kVectors>([&](auto v) R2B_ALWAYS {
        result.val[v] = vmulq_n_f32(result.val[v], factor);
      });
    }
    vst1q_f32_x4(output + channel, result);
  }
  for (; channel < num_channels; channel++) {
    float result = pixels[0][channel];
    for (int p = 1; p < num_pixels; p++)
      result = Operation::combine(result, pixels[p][channel]);
    output[channel] = has_factor ? result * factor : result;
  }
}

}  // namespace

void max_window(const PoolWindow& window) {
  combine_pixels<Larger>(window, false, 1.0f);
}

void mean_window(const PoolWindow& window, float factor) {
  combine_pixels<Sum>(window, true, factor);
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
