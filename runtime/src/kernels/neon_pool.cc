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

// Calls take(pixel) for the pixels of the window that begins at `first` of each line, but
// for its first one.
template <typename Take>
R2B_INLINE void for_each_other_pixel(const PoolRow& row, ptrdiff_t first,
                                     const Take& take) {
  for (int l = 0; l < row.num_lines; l++) {
    const float* pixel = row.lines[l] + first;
    int taps = row.num_taps;
    if (l == 0) pixel += row.num_channels, taps--;
    for (; taps > 0; taps--, pixel += row.num_channels) take(pixel);
  }
}

// 16 * kFours channels from `channel` on, of all windows.
template <typename Operation, int kFours>
R2B_INLINE void fold_vectors(const PoolRow& row, int channel, bool has_factor,
                             float factor) {
  float* output = row.output + channel;
  ptrdiff_t first = channel;
  for (int w = 0; w < row.num_windows; w++, first += row.window_step) {
    float32x4_t result[4 * kFours];
    unroll<4 * kFours>([&](auto i) R2B_ALWAYS {
      result[i] = vld1q_f32(row.lines[0] + first + 4 * i);
    });
    for_each_other_pixel(row, first, [&](const float* pixel) R2B_ALWAYS {
      unroll<kFours>([&](auto i) R2B_ALWAYS {
        float32x4x4_t values = vld1q_f32_x4(pixel);
        pixel += 16;
        keep(pixel);
        unroll<4>([&](auto v) R2B_ALWAYS {
          result[4 * i + v] = Operation::combine(result[4 * i + v], values.val[v]);
        });
      });
    });
    unroll<4 * kFours>([&](auto i) R2B_ALWAYS {
      if (has_factor) result[i] = vmulq_n_f32(result[i], factor);
      vst1q_f32(output + 4 * i, result[i]);
    });
    output += row.num_channels;
  }
}

template <typename Operation>
R2B_INLINE void fold_channel(const PoolRow& row, int channel, bool has_factor,
                             float factor) {
  ptrdiff_t first = channel;
  for (int w = 0; w < row.num_windows; w++, first += row.window_step) {
    float result = row.lines[0][first];
    for_each_other_pixel(row, first, [&](const float* pixel) R2B_ALWAYS {
      result = Operation::combine(result, *pixel);
    });
    row.output[ptrdiff_t{w} * row.num_channels + channel] =
        has_factor ? result * factor : result;
  }
}

template <typename Operation>
R2B_INLINE void fold_windows(const PoolRow& row, bool has_factor, float factor) {
  int channel = 0;
  for (; channel + 32 <= row.num_channels; channel += 32)
    fold_vectors<Operation, 2>(row, channel, has_factor, factor);
  for (; channel + 16 <= row.num_channels; channel += 16)
    fold_vectors<Operation, 1>(row, channel, has_factor, factor);
  for (; channel < row.num_channels; channel++)
    fold_channel<Operation>(row, channel, has_factor, factor);
}

}  // namespace

void max_pool_row(const PoolRow& row) { fold_windows<Larger>(row, false, 1.0f); }

void mean_pool_row(const PoolRow& row, float factor) {
  fold_windows<Sum>(row, true, factor);
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
