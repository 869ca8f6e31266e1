// What follows a convolution, on 64-bit Arm: eight channels at a time along the row, so
// that what belongs to channels stays in registers, four pixels at once.
#include "neon.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace r2b {
namespace neon {
namespace {

constexpr int kTilePixels = 4;
constexpr int kTileChannels = 8;

// Eight channels' vectors.
struct Channels {
  float32x4_t multiplier[2], bias[2], gate[2], slope[2], scale[2], shift[2], sums[2];
};

// Where the next pixel's values of these channels are.
struct Position {
  const int32_t* counts;
  const float* values;
  const float* skip;
  float* output;
  uint8_t* packed;
  const float* const* corrections;  // not moved on to the channels
};

template <typename Element>
R2B_INLINE Element* element_at(Element* first, ptrdiff_t offset) {
  return first ? first + offset : nullptr;
}

Position start_of(const FinishRow& row, int channel) {
  uint8_t* packed = reinterpret_cast<uint8_t*>(row.packed);
  return {element_at(row.counts, channel), element_at(row.values, channel),
          element_at(row.skip, channel),   element_at(row.output, channel),
          element_at(packed, channel / 8), row.corrections};
}

R2B_INLINE void load_channels(const float* vector, int channel, float32x4_t (&to)[2]) {
  if (!vector) return;
  to[0] = vld1q_f32(vector + channel);
  to[1] = vld1q_f32(vector + channel + 4);
}

Channels load_channels(const FinishRow& row, int channel) {
  Channels channels = {};
  load_channels(row.counts ? row.multiplier : nullptr, channel, channels.multiplier);
  load_channels(row.counts ? row.bias : nullptr, channel, channels.bias);
  load_channels(row.gate, channel, channels.gate);
  load_channels(row.slope, channel, channels.slope);
  load_channels(row.scale, channel, channels.scale);
  load_channels(row.shift, channel, channels.shift);
  load_channels(row.sums, channel, channels.sums);
  return channels;
}

// What most rows have: counts, no limits, everything else, and limits of counts that can
// be put on them before they are doubled.
bool is_usual(const FinishRow& row) {
  bool halves = row.clamp_max >= 0 && (row.clamp_max % 2 == 0 || row.clamp_max == INT32_MAX);
  return row.counts && row.clamp_min <= 0 && halves && row.gate && row.slope &&
         !row.has_limits && row.skip && row.output && row.scale && row.shift &&
         row.packed && row.sums;
}

// Doubles the multipliers, so that counts need not be, unless that overflows.
R2B_INLINE bool double_multipliers(Channels* channels) {
  float32x4_t limit = vdupq_n_f32(0x1p127f);
  uint32x4_t is_large = vorrq_u32(vcageq_f32(channels->multiplier[0], limit),
                                  vcageq_f32(channels->multiplier[1], limit));
  if (vmaxvq_u32(is_large)) return false;
  for (float32x4_t& multiplier : channels->multiplier)
    multiplier = vaddq_f32(multiplier, multiplier);
  return true;
}

template <bool kUsual>
R2B_INLINE float32x4_t from_counts(int32x4_t count, const FinishRow& row) {
  if (kUsual) {
    return vcvtq_f32_s32(vminq_s32(count, vdupq_n_s32(row.clamp_max / 2)));
  }
  int32x4_t raised = vmaxq_s32(vshlq_n_s32(count, 1), vdupq_n_s32(row.clamp_min));
  return vcvtq_f32_s32(vminq_s32(raised, vdupq_n_s32(row.clamp_max)));
}

// The next kPixels pixels. kUsual: see is_usual; kPlain: they have no corrections.
template <int kPixels, bool kUsual, bool kPlain>
R2B_INLINE void finish_pixels(const FinishRow& row, int channel, Channels& channels,
                              Position& at) {
  uint32x4_t bits = vdupq_n_u32(0);
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    float32x4_t y[2];
    if (kUsual || row.counts) {
      int32x4x2_t counts = vld1q_s32_x2(at.counts);
      at.counts += row.counts_stride;
      const float* correction = kPlain ? nullptr : at.corrections[p];
      unroll<2>([&](auto v) R2B_ALWAYS {
        y[v] = from_counts<kUsual>(counts.val[v], row);
        y[v] = vaddq_f32(vmulq_f32(y[v], channels.multiplier[v]), channels.bias[v]);
        if (correction) y[v] = vaddq_f32(y[v], vld1q_f32(correction + channel + 4 * v));
      });
    } else {
      float32x4x2_t values = vld1q_f32_x2(at.values);
      at.values += row.values_stride;
      y[0] = values.val[0], y[1] = values.val[1];
    }
    float32x4x2_t skip;
    if (kUsual || row.skip) {
      skip = vld1q_f32_x2(at.skip);
      at.skip += row.skip_stride;
    }
    unroll<2>([&](auto v) R2B_ALWAYS {
      if (kUsual || row.gate) y[v] = vmulq_f32(y[v], channels.gate[v]);
      if (kUsual || row.slope) {
        float32x4_t scaled = vmulq_f32(y[v], channels.slope[v]);
        y[v] = vbslq_f32(vcltzq_f32(y[v]), scaled, y[v]);
      }
      if (!kUsual && row.has_limits) {
        float32x4_t lowest = vdupq_n_f32(row.lowest), highest = vdupq_n_f32(row.highest);
        y[v] = vbslq_f32(vcltq_f32(y[v], lowest), lowest, y[v]);
        y[v] = vbslq_f32(vcltq_f32(highest, y[v]), highest, y[v]);
      }
      if (kUsual || row.skip) y[v] = vaddq_f32(y[v], skip.val[v]);
    });
    if (kUsual || row.output) {
      float32x4x2_t output = {{y[0], y[1]}};
      vst1q_f32_x2(at.output, output);
      at.output += row.output_stride;
    }
    unroll<2>([&](auto v) R2B_ALWAYS {
      if (kUsual || row.scale) y[v] = vmulq_f32(y[v], channels.scale[v]);
      if (kUsual || row.shift) y[v] = vaddq_f32(y[v], channels.shift[v]);
      channels.sums[v] = vaddq_f32(channels.sums[v], y[v]);
      // A byte for each pixel, four bits in it for each vector, all alike.
      uint32x4_t is_negative = vcltzq_f32(y[v]);
      if constexpr (p + v == 0) {
        bits = is_negative;
      } else {
        bits = vsliq_n_u32(bits, is_negative, 8 * p + 4 * v);
      }
    });
  });
  if (!kPlain) at.corrections += kPixels;
  if (kUsual || row.packed) {
    const uint32x4_t own_bits = {0x11111111, 0x22222222, 0x44444444, 0x88888888};
    bits = vandq_u32(bits, own_bits);
    bits = vpaddq_u32(bits, bits);
    uint8x16_t bytes = vreinterpretq_u8_u32(vpaddq_u32(bits, bits));
    unroll<kPixels>([&](auto p) R2B_ALWAYS {
      vst1q_lane_u8(at.packed, bytes, p);
      at.packed += row.packed_stride * 4;
    });
  }
}

// Eight channels of all pixels. Pixels [plain_begin, plain_end) have no corrections.
template <bool kUsual>
void finish_channels(const FinishRow& passed, int channel, int plain_begin, int plain_end,
                     Channels channels) {
  const FinishRow row = passed;  // what is stored does not change it
  Position at = start_of(row, channel);
  int pixel = 0;
  for (; pixel + kTilePixels <= row.num_pixels; pixel += kTilePixels) {
    if (pixel >= plain_begin && pixel + kTilePixels <= plain_end) {
      finish_pixels<kTilePixels, kUsual, true>(row, channel, channels, at);
      at.corrections += kTilePixels;
    } else {
      finish_pixels<kTilePixels, kUsual, false>(row, channel, channels, at);
    }
  }
  for (; pixel < row.num_pixels; pixel++) {
    if (pixel >= plain_begin && pixel < plain_end) {
      finish_pixels<1, kUsual, true>(row, channel, channels, at);
      at.corrections++;
    } else {
      finish_pixels<1, kUsual, false>(row, channel, channels, at);
    }
  }
  if (!row.sums) return;
  vst1q_f32(row.sums + channel, channels.sums[0]);
  vst1q_f32(row.sums + channel + 4, channels.sums[1]);
}

// One channel of all pixels, where no eight are left. Its bit is zero so far.
void finish_channel(const FinishRow& row, int c) {
  for (int p = 0; p < row.num_pixels; p++) {
    float y;
    if (row.counts) {
      int32_t count = 2 * row.counts[p * row.counts_stride + c];
      count = count < row.clamp_min ? row.clamp_min : count;
      count = row.clamp_max < count ? row.clamp_max : count;
      y = float(count) * row.multiplier[c];
      y += row.bias[c];
      if (row.corrections && row.corrections[p]) y += row.corrections[p][c];
    } else {
      y = row.values[p * row.values_stride + c];
    }
    if (row.gate) y *= row.gate[c];
    if (row.slope) y = y < 0 ? y * row.slope[c] : y;
    if (row.has_limits) {
      y = y < row.lowest ? row.lowest : y;
      y = row.highest < y ? row.highest : y;
    }
    if (row.skip) y += row.skip[p * row.skip_stride + c];
    if (row.output) row.output[p * row.output_stride + c] = y;
    if (row.scale) y *= row.scale[c];
    if (row.shift) y += row.shift[c];
    if (row.sums) row.sums[c] += y;
    if (row.packed) row.packed[p * row.packed_stride + c / 32] |= uint32_t(y < 0) << c % 32;
  }
}

}  // namespace

void finish_row(const FinishRow& row) {
  int whole = row.num_channels / kTileChannels * kTileChannels;
  if (row.packed && row.num_channels % 32 != 0) {
    for (int p = 0; p < row.num_pixels; p++)
      row.packed[p * row.packed_stride + row.num_channels / 32] = 0;
  }
  // Most rows have corrections at their ends only, or everywhere.
  int plain_begin = 0, plain_end = row.num_pixels;
  if (row.counts && row.corrections) {
    while (plain_begin < row.num_pixels && row.corrections[plain_begin]) plain_begin++;
    plain_end = plain_begin;
    while (plain_end < row.num_pixels && !row.corrections[plain_end]) plain_end++;
  }
  bool usual = is_usual(row);
  for (int channel = 0; channel < whole; channel += kTileChannels) {
    Channels channels = load_channels(row, channel);
    if (usual && double_multipliers(&channels)) {
      finish_channels<true>(row, channel, plain_begin, plain_end, channels);
    } else {
      finish_channels<false>(row, channel, plain_begin, plain_end, channels);
    }
  }
  for (int channel = whole; channel < row.num_channels; channel++)
    finish_channel(row, channel);
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
