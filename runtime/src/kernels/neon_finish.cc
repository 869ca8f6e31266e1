// What follows a convolution, on 64-bit Arm: eight channels at a time along the row, so
// that what belongs to channels stays in registers, four pixels at once.
#include "neon.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cmath>

namespace r2b {
namespace neon {
namespace {

constexpr int kTilePixels = 4;
constexpr int kTileChannels = 8;

// Which steps rows have: any, what most of a network have, that and an addend.
enum Steps { kAny, kUsual, kUsualAndAddend };

// Eight channels' vectors.
struct Channels {
  float32x4_t multiplier[2], bias[2], gate[2], addend[2], slope[2], scale[2], shift[2],
      sums[2];
};

// Where the next pixel's values of these channels are.
struct Position {
  const int32_t* counts;
  const float* values;
  const float* skip;
  float* output;
  uint8_t* packed;
};

template <typename Element>
R2B_INLINE void move(Element*& pointer, ptrdiff_t step) {
  pointer += step;
  keep(pointer);
}

// One instruction, which compilers make three of.
template <int kLane>
R2B_INLINE void store_byte(uint8x16_t bytes, ptrdiff_t step, uint8_t*& pointer) {
  asm volatile("st1 {%1.b}[%2], [%0], %3"
               : "+r"(pointer)
               : "w"(bytes), "i"(kLane), "r"(step)
               : "memory");
}

template <typename Element>
R2B_INLINE Element* element_at(Element* first, ptrdiff_t offset) {
  return first ? first + offset : nullptr;
}

Position start_of(const FinishRow& row, int channel) {
  uint8_t* packed = reinterpret_cast<uint8_t*>(row.packed);
  return {element_at(row.counts, channel), element_at(row.values, channel),
          element_at(row.skip, channel), element_at(row.output, channel),
          element_at(packed, channel / 8)};
}

template <Steps kSteps>
R2B_INLINE void load_vector(const float* vector, int channel, float neutral,
                            float32x4_t (&to)[2]) {
  unroll<2>([&](auto v) R2B_ALWAYS {
    to[v] = kSteps != kAny || vector ? vld1q_f32(vector + channel + 4 * v)
                                     : vdupq_n_f32(neutral);
  });
}

// Steps that are left out get a value that changes nothing. Usual multipliers are
// doubled, so that counts need not be.
template <Steps kSteps>
R2B_INLINE Channels load_channels(const FinishRow& row, int channel) {
  Channels channels;
  load_vector<kSteps>(row.multiplier, channel, 1.0f, channels.multiplier);
  load_vector<kSteps>(row.bias, channel, -0.0f, channels.bias);
  load_vector<kSteps>(row.gate, channel, 1.0f, channels.gate);
  if (kSteps != kUsual)
    load_vector<kSteps>(row.addend, channel, -0.0f, channels.addend);
  load_vector<kSteps>(row.slope, channel, 1.0f, channels.slope);
  load_vector<kSteps>(row.scale, channel, 1.0f, channels.scale);
  load_vector<kSteps>(row.shift, channel, -0.0f, channels.shift);
  load_vector<kSteps>(row.sums, channel, 0.0f, channels.sums);
  for (float32x4_t& multiplier : channels.multiplier)
    if (kSteps != kAny) multiplier = vaddq_f32(multiplier, multiplier);
  return channels;
}

// What most rows have: counts, no limits, all the rest, with an addend or without.
Steps steps_of(const FinishRow& row) {
  const bool is_usual = row.counts && row.clamp_min <= 0 &&
                        row.clamp_max == INT32_MAX && row.gate && row.slope &&
                        !row.has_limits && row.skip && row.output && row.scale &&
                        row.shift && row.packed && row.sums;
  if (!is_usual) return kAny;
  return row.addend ? kUsualAndAddend : kUsual;
}

// Whether eight multipliers can be doubled without overflow.
R2B_INLINE bool can_double(const float* multiplier) {
  float32x4_t limit = vdupq_n_f32(0x1p127f);
  uint32x4_t is_large = vorrq_u32(vcageq_f32(vld1q_f32(multiplier), limit),
                                  vcageq_f32(vld1q_f32(multiplier + 4), limit));
  return vmaxvq_u32(is_large) == 0;
}

template <Steps kSteps>
R2B_INLINE float32x4_t from_counts(int32x4_t count, const FinishRow& row) {
  if (kSteps != kAny) return vcvtq_f32_s32(count);
  int32x4_t raised = vmaxq_s32(vshlq_n_s32(count, 1), vdupq_n_s32(row.clamp_min));
  return vcvtq_f32_s32(vminq_s32(raised, vdupq_n_s32(row.clamp_max)));
}

// y = what the convolution gave for the next pixel.
template <Steps kSteps, bool kPlain>
R2B_INLINE void load_pixel(const FinishRow& row, const Channels& channels, Position& at,
                           const float* correction, float32x4_t (&y)[2]) {
  if (kSteps != kAny || row.counts) {
    int32x4x2_t counts = vld1q_s32_x2(at.counts);
    move(at.counts, row.counts_stride);
    unroll<2>([&](auto v) R2B_ALWAYS {
      y[v] = vmulq_f32(from_counts<kSteps>(counts.val[v], row), channels.multiplier[v]);
      y[v] = vaddq_f32(y[v], channels.bias[v]);
      if (!kPlain && correction) y[v] = vaddq_f32(y[v], vld1q_f32(correction + 4 * v));
    });
  } else {
    float32x4x2_t values = vld1q_f32_x2(at.values);
    move(at.values, row.values_stride);
    y[0] = values.val[0], y[1] = values.val[1];
  }
}

R2B_INLINE void limit(const FinishRow& row, float32x4_t (&y)[2]) {
  const float32x4_t lowest = vdupq_n_f32(row.lowest),
                    highest = vdupq_n_f32(row.highest);
  unroll<2>([&](auto v) R2B_ALWAYS {
    y[v] = vbslq_f32(vcltq_f32(y[v], lowest), lowest, y[v]);
    y[v] = vbslq_f32(vcltq_f32(highest, y[v]), highest, y[v]);
  });
}

// The next pixel up to its output.
template <Steps kSteps>
R2B_INLINE void finish_pixel(const FinishRow& row, const Channels& channels,
                             Position& at, float32x4_t (&y)[2]) {
  unroll<2>([&](auto v) R2B_ALWAYS {
    y[v] = vmulq_f32(y[v], channels.gate[v]);
    if (kSteps != kUsual) y[v] = vaddq_f32(y[v], channels.addend[v]);
    float32x4_t scaled = vmulq_f32(y[v], channels.slope[v]);
    y[v] = vbslq_f32(vcltzq_f32(y[v]), scaled, y[v]);
  });
  if (kSteps == kAny && !row.limits_follow_skip) limit(row, y);
  if (kSteps != kAny || row.skip) {
    float32x4x2_t skip = vld1q_f32_x2(at.skip);
    move(at.skip, row.skip_stride);
    unroll<2>([&](auto v) R2B_ALWAYS { y[v] = vaddq_f32(y[v], skip.val[v]); });
  }
  if (kSteps == kAny && row.limits_follow_skip) limit(row, y);
  if (kSteps != kAny || row.output) {
    float32x4x2_t output = {{y[0], y[1]}};
    vst1q_f32_x2(at.output, output);
    move(at.output, row.output_stride);
  }
}

// The next kPixels pixels. kPlain: they have no corrections.
template <int kPixels, Steps kSteps, bool kPlain>
R2B_INLINE void finish_pixels(const FinishRow& row, int channel, int pixel,
                              Channels& channels, Position& at) {
  // A byte for each pixel, in it four bits for each vector, all alike.
  uint32x4_t bits = vdupq_n_u32(0);
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    const float* correction =
        kPlain || !row.corrections ? nullptr : row.corrections[pixel + p];
    float32x4_t y[2];
    load_pixel<kSteps, kPlain>(row, channels, at, element_at(correction, channel), y);
    finish_pixel<kSteps>(row, channels, at, y);
    unroll<2>([&](auto v) R2B_ALWAYS {
      float32x4_t z = vaddq_f32(vmulq_f32(y[v], channels.scale[v]), channels.shift[v]);
      channels.sums[v] = vaddq_f32(channels.sums[v], z);
      uint32x4_t is_negative = vcltzq_f32(z);
      constexpr int kShift = 8 * p + 4 * v;
      bits = kShift == 0 ? is_negative : vsliq_n_u32(bits, is_negative, kShift);
    });
    if (p % 2 == 1) order(bits, at.counts);  // no more than two at once in registers
  });
  if (kSteps != kAny || row.packed) {
    const uint32x4_t own_bits = {0x11111111, 0x22222222, 0x44444444, 0x88888888};
    bits = vandq_u32(bits, own_bits);
    bits = vpaddq_u32(bits, bits);
    uint8x16_t bytes = vreinterpretq_u8_u32(vpaddq_u32(bits, bits));
    unroll<kPixels>([&](auto p) R2B_ALWAYS {
      store_byte<p>(bytes, row.packed_stride * 4, at.packed);
    });
  }
}

// Eight channels of all pixels. Pixels [plain_begin, plain_end) have no corrections.
template <Steps kSteps>
void finish_channels(const FinishRow& passed, int channel, int plain_begin,
                     int plain_end) {
  FinishRow row = passed;  // what is stored does not change it
  if (!row.has_limits) row.lowest = -INFINITY, row.highest = INFINITY;
  if (!row.counts) row.multiplier = row.bias = nullptr, row.corrections = nullptr;
  Channels channels = load_channels<kSteps>(row, channel);
  Position at = start_of(row, channel);
  const int num_whole = row.num_pixels - row.num_pixels % kTilePixels;
  int pixel = 0;
  while (pixel < num_whole) {
    for (; pixel < smaller(plain_begin, num_whole); pixel += kTilePixels)
      finish_pixels<kTilePixels, kSteps, false>(row, channel, pixel, channels, at);
    for (; pixel + kTilePixels <= plain_end; pixel += kTilePixels)
      finish_pixels<kTilePixels, kSteps, true>(row, channel, pixel, channels, at);
    plain_begin = row.num_pixels;
  }
  for (; pixel < row.num_pixels; pixel++)
    finish_pixels<1, kSteps, false>(row, channel, pixel, channels, at);
  if (kSteps == kAny && !row.sums) return;
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
    if (row.addend) y += row.addend[c];
    if (row.slope) y = y < 0 ? y * row.slope[c] : y;
    const auto limited = [&row](float x) {
      const float raised = x < row.lowest ? row.lowest : x;
      return row.highest < raised ? row.highest : raised;
    };
    if (row.has_limits && !row.limits_follow_skip) y = limited(y);
    if (row.skip) y += row.skip[p * row.skip_stride + c];
    if (row.has_limits && row.limits_follow_skip) y = limited(y);
    if (row.output) row.output[p * row.output_stride + c] = y;
    if (row.scale) y *= row.scale[c];
    if (row.shift) y += row.shift[c];
    if (row.sums) row.sums[c] += y;
    if (row.packed)
      row.packed[p * row.packed_stride + c / 32] |= uint32_t(y < 0) << c % 32;
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
  Steps steps = steps_of(row);
  for (int channel = 0; channel < whole; channel += kTileChannels) {
    if (steps == kAny || !can_double(row.multiplier + channel)) {
      finish_channels<kAny>(row, channel, plain_begin, plain_end);
    } else if (steps == kUsual) {
      finish_channels<kUsual>(row, channel, plain_begin, plain_end);
    } else {
      finish_channels<kUsualAndAddend>(row, channel, plain_begin, plain_end);
    }
  }
  for (int channel = whole; channel < row.num_channels; channel++)
    finish_channel(row, channel);
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
