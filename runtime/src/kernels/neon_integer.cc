// Convolutions of bytes on 64-bit Arm without an instruction for dot products, and what
// makes bytes of floats.
#include "neon.h"

#if defined(__aarch64__)

#include "neon_integer.h"

namespace r2b {
namespace {

// Four products of a byte and 63 or less are no more than 16 bits hold: eight at a time,
// they are added there before their sums are, by pairs, to those of 32 bits.
struct MultiplyTile {
  static constexpr int kPixels = 4, kChannels = 4;
  static constexpr int kStep = 8, kBlock = 32;
  static constexpr ptrdiff_t kPatch = sizeof(BytePanel<1>);

  // [32 weights][channel][weight], with fewer in the last.
  static size_t place(int channel, int i, int num_weights) {
    const int first = i / kBlock * kBlock;
    const int count = neon::smaller(rounded_up(num_weights - first, kStep), kBlock);
    return size_t(first * kChannels + channel * count + i - first);
  }

  // The next 8 * kEights weights. sums: of each pixel and channel, four to be added up.
  template <int kNumPixels, int kEights>
  R2B_INLINE static void add_block(const int8_t*& patches, const int8_t*& weights,
                                   int32x4_t (&sums)[kNumPixels][kChannels]) {
    int8x16_t pixels[kNumPixels][2];
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      pixels[p][0] = load<kEights>(patches + p * kPatch);
      pixels[p][1] = load<kEights - 2>(patches + p * kPatch + 16);
    });
    patches += 8 * kEights;
    unroll<kChannels>([&](auto c) R2B_ALWAYS {
      const int8x16_t first = load<kEights>(weights);
      const int8x16_t second = load<kEights - 2>(weights + 16);
      weights += 8 * kEights;
      unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
        int16x8_t products = vmull_s8(vget_low_s8(pixels[p][0]), vget_low_s8(first));
        if (kEights > 1) products = vmlal_high_s8(products, pixels[p][0], first);
        if (kEights > 2) {
          products = vmlal_s8(products, vget_low_s8(pixels[p][1]), vget_low_s8(second));
        }
        if (kEights > 3) products = vmlal_high_s8(products, pixels[p][1], second);
        sums[p][c] = vpadalq_s16(sums[p][c], products);
      });
    });
  }

  template <int kEights>
  R2B_INLINE static int8x16_t load(const int8_t* from) {
    if (kEights >= 2) return vld1q_s8(from);
    if (kEights == 1) return vcombine_s8(vld1_s8(from), vdup_n_s8(0));
    return vdupq_n_s8(0);
  }

  template <int kNumPixels>
  R2B_INLINE static void add(const int8_t* patches, int count, const int8_t* weights,
                             int32x4_t (&sums)[kNumPixels][1]) {
    int32x4_t parts[kNumPixels][kChannels];
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      unroll<kChannels>([&](auto c) R2B_ALWAYS { parts[p][c] = vdupq_n_s32(0); });
    });
    for (; count > 24; count -= kBlock) {
      add_block<kNumPixels, 4>(patches, weights, parts);
    }
    if (count > 16) {
      add_block<kNumPixels, 3>(patches, weights, parts);
    } else if (count > 8) {
      add_block<kNumPixels, 2>(patches, weights, parts);
    } else if (count > 0) {
      add_block<kNumPixels, 1>(patches, weights, parts);
    }
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      const int32x4_t low = vpaddq_s32(parts[p][0], parts[p][1]);
      const int32x4_t high = vpaddq_s32(parts[p][2], parts[p][3]);
      sums[p][0] = vaddq_s32(sums[p][0], vpaddq_s32(low, high));
    });
  }
};

// Where one is NaN, these instructions give the other.
R2B_INLINE float32x4_t limited(float32x4_t values, const QuantizedRow& row) {
  float32x4_t y = vaddq_f32(vmulq_f32(values, vdupq_n_f32(row.scale)),
                            vdupq_n_f32(row.shift));
  if (row.nan_is_highest) y = vminnmq_f32(y, vdupq_n_f32(row.highest));
  y = vmaxnmq_f32(y, vdupq_n_f32(row.lowest));
  return vminnmq_f32(y, vdupq_n_f32(row.highest));
}

// Sixteen bytes.
R2B_INLINE void quantize(const float* values, const QuantizedRow& row, uint8_t* bytes) {
  const int32x4_t lowest = vdupq_n_s32(int32_t(row.lowest));
  int16x8_t fours[4];
  unroll<4>([&](auto i) R2B_ALWAYS {
    const float32x4_t y = limited(vld1q_f32(values + 4 * i), row);
    fours[i] = vreinterpretq_s16_s32(vsubq_s32(vcvtmq_s32_f32(y), lowest));
  });
  const int16x8_t low = vuzp1q_s16(fours[0], fours[1]);
  const int16x8_t high = vuzp1q_s16(fours[2], fours[3]);
  vst1q_u8(bytes, vuzp1q_u8(vreinterpretq_u8_s16(low), vreinterpretq_u8_s16(high)));
}

}  // namespace

namespace neon {

size_t integer_filter_bytes(int num_channels, int num_runs, int run_length) {
  return r2b::integer_filter_bytes<MultiplyTile>(num_channels, num_runs, run_length);
}

void pack_integer_filter(const int8_t* filter, const int32_t* bias, int num_channels,
                         int num_runs, int run_length, void* packed) {
  r2b::pack_integer_filter<MultiplyTile>(filter, bias, num_channels, num_runs, run_length,
                                         packed);
}

void integer_conv_row(const IntegerConvRow& row) {
  r2b::integer_conv_row<MultiplyTile>(row);
}

void quantize_row(const QuantizedRow& row) {
  constexpr int kValues = 16;
  ptrdiff_t i = 0;
  for (; i + kValues <= row.num_values; i += kValues) {
    quantize(row.values + i, row, row.bytes + i);
  }
  const size_t left = size_t(row.num_values - i);
  if (left == 0) return;
  float values[kValues] = {};
  uint8_t bytes[kValues];
  std::memcpy(values, row.values + i, left * sizeof(float));
  quantize(values, row, bytes);
  std::memcpy(row.bytes + i, bytes, left);
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
