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
  static constexpr int kPixels = 2, kChannels = 8, kStep = 32;
  static constexpr ptrdiff_t kPatch = sizeof(BytePanel<1>);

  // [32 weights][channel][weight]
  static size_t place(int channel, int i, int) {
    return size_t(i / kStep * kStep * kChannels + channel * kStep + i % kStep);
  }

  // The next 32 weights, none after the first 8 * kEights but zeros. parts: of each pixel
  // and channel, four sums to be added up; the first block sets them.
  template <bool kIsFirst, int kEights, int kNumPixels>
  R2B_INLINE static void add_block(const int8_t* patches, const int8_t* weights,
                                   int32x4_t (&parts)[kNumPixels][kChannels]) {
    int8x16x2_t pixels[kNumPixels];
    unroll<kNumPixels>(
        [&](auto p) R2B_ALWAYS { pixels[p] = vld1q_s8_x2(patches + p * kPatch); });
    unroll<kChannels>([&](auto c) R2B_ALWAYS {
      const int8x16x2_t weight = vld1q_s8_x2(weights);
      weights += kStep;
      unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
        const int8x16_t x = pixels[p].val[0], y = pixels[p].val[1];
        const int8x16_t v = weight.val[0], w = weight.val[1];
        int16x8_t products = vmull_s8(vget_low_s8(x), vget_low_s8(v));
        if (kEights > 1) products = vmlal_high_s8(products, x, v);
        if (kEights > 2) products = vmlal_s8(products, vget_low_s8(y), vget_low_s8(w));
        if (kEights > 3) products = vmlal_high_s8(products, y, w);
        parts[p][c] = kIsFirst ? vpaddlq_s16(products)
                               : vpadalq_s16(parts[p][c], products);
        neon::order(parts[p][c], weights);  // no more at once than registers hold
      });
    });
  }

  template <int kNumPixels>
  R2B_INLINE static void add(const int8_t* patches, int count, const int8_t* weights,
                             int32x4_t (&sums)[kNumPixels][kChannels / 4]) {
    int32x4_t parts[kNumPixels][kChannels];
    add_block<true, 4>(patches, weights, parts);
    while ((count -= kStep) > 0) {
      patches += kStep;
      weights += kStep * kChannels;
      if (count > 24) {
        add_block<false, 4>(patches, weights, parts);
      } else if (count > 16) {
        add_block<false, 3>(patches, weights, parts);
      } else if (count > 8) {
        add_block<false, 2>(patches, weights, parts);
      } else {
        add_block<false, 1>(patches, weights, parts);
      }
    }
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      unroll<kChannels / 4>([&](auto v) R2B_ALWAYS {
        const int32x4_t low = vpaddq_s32(parts[p][4 * v], parts[p][4 * v + 1]);
        const int32x4_t high = vpaddq_s32(parts[p][4 * v + 2], parts[p][4 * v + 3]);
        sums[p][v] = vaddq_s32(sums[p][v], vpaddq_s32(low, high));
      });
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
