// Pooling on 64-bit Arm.
#include "neon.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace r2b {
namespace neon {
namespace {

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

// 16 * kFours channels from `channel` on.
template <typename Operation, int kFours>
R2B_INLINE void combine_vectors(const PoolWindow& window, int channel, bool has_factor,
                                float factor) {
  float32x4_t result[4 * kFours];
  const float* first = window.pixels[0] + channel;
  unroll<4 * kFours>([&](auto i) R2B_ALWAYS { result[i] = vld1q_f32(first + 4 * i); });
  for (int p = 1; p < window.num_pixels; p++) {
    const float* pixel = window.pixels[p] + channel;
    unroll<kFours>([&](auto i) R2B_ALWAYS {
      float32x4x4_t values = vld1q_f32_x4(pixel);
      pixel += 16;
      keep_pointer(pixel);
      unroll<4>([&](auto v) R2B_ALWAYS {
        result[4 * i + v] = Operation::combine(result[4 * i + v], values.val[v]);
      });
    });
  }
  unroll<4 * kFours>([&](auto i) R2B_ALWAYS {
    if (has_factor) result[i] = vmulq_n_f32(result[i], factor);
    vst1q_f32(window.output + channel + 4 * i, result[i]);
  });
}

template <typename Operation>
R2B_INLINE void combine_pixels(const PoolWindow& window, bool has_factor,
                               float factor) {
  int channel = 0;
  for (; channel + 32 <= window.num_channels; channel += 32)
    combine_vectors<Operation, 2>(window, channel, has_factor, factor);
  for (; channel + 16 <= window.num_channels; channel += 16)
    combine_vectors<Operation, 1>(window, channel, has_factor, factor);
  for (; channel < window.num_channels; channel++) {
    float result = window.pixels[0][channel];
    for (int p = 1; p < window.num_pixels; p++)
      result = Operation::combine(result, window.pixels[p][channel]);
    window.output[channel] = has_factor ? result * factor : result;
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
