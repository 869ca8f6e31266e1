// Convolutions of bytes on 64-bit Arm without an instruction for dot products, and what
// makes bytes of floats.
#include "neon.h"

#if defined(__aarch64__)

#include <cstdlib>

#include "neon_integer.h"

namespace r2b {
namespace {

// Sums of products stay in 16 bits as long as the weights allow, a stretch of them,
// before they are added, by pairs, to those of 32 bits.
struct MultiplyTile {
  static constexpr int kPixels = 2, kChannels = 8;
  // Weights come by eights, which products of 16 bits fill a register with. So many of
  // two pixels, and the sums of 32 bits, are what registers hold.
  static constexpr int kMostEights = 8;
  static constexpr int kPanelEights = kPanelBytes / 8;
  // A pixel is -128 at the least: 16 bits hold the sum if those of magnitudes are less.
  static constexpr int kMostMagnitude = 255;

  static int num_eights(int num_weights) { return int(unsigned(num_weights + 7) / 8); }
  static size_t length_bytes(int num_weights) {
    return size_t(first_length(8 * num_eights(num_weights)) + 1);
  }
  // Where the lengths of a panel are that begins at that weight.
  static int first_length(int begin) {
    return int(unsigned(begin) / 8 + unsigned(begin) / kPanelBytes);
  }

  // The lengths of the stretches, in eights, a zero after those of a panel; then
  // [stretch][channel][weight of the stretch], and what may be read behind the last.
  static size_t weight_bytes(int num_weights) {
    const size_t eights = size_t(num_eights(num_weights)) * 8 * kChannels;
    return (length_bytes(num_weights) + eights + 16 + 3) / 4 * 4;
  }

  static void pack(const TileFilter& filter, int8_t* to) {
    int8_t* next_length = nullptr;
    int8_t* const lengths = to;
    to += length_bytes(filter.num_weights);
    for (int eight = 0; eight < num_eights(filter.num_weights);) {
      if (eight % kPanelEights == 0) next_length = lengths + first_length(8 * eight);
      const int length = stretch_length(filter, eight);
      for (int c = 0; c < kChannels; c++) {
        for (int i = 8 * eight; i < 8 * (eight + length); i++) *to++ = filter.at(c, i);
      }
      *next_length++ = int8_t(length);
      eight += length;
    }
  }

  // How many eights from `first` on: those of a panel whose sums fit for all pixels.
  static int stretch_length(const TileFilter& filter, int first) {
    const int end = neon::smaller(num_eights(filter.num_weights),
                                  rounded_up(first + 1, kPanelEights));
    const int most = neon::smaller(kMostEights, end - first);
    int sums[kChannels][8] = {};
    for (int length = 0; length < most; length++) {
      for (int c = 0; c < kChannels; c++) {
        for (int lane = 0; lane < 8; lane++) {
          sums[c][lane] += std::abs(int{filter.at(c, 8 * (first + length) + lane)});
          if (sums[c][lane] > kMostMagnitude) return length;
        }
      }
    }
    return most;
  }

  struct Place {
    const int8_t* lengths;
    const int8_t* weights;
  };
  static Place place(const int8_t* weights, const WeightRange& range) {
    return {
        weights + first_length(range.begin),
        weights + length_bytes(range.num_weights) + ptrdiff_t{range.begin} * kChannels};
  }

  template <int kVectors>
  R2B_INLINE static void load(const int8_t* from, int8x16_t (&to)[kVectors]) {
    const auto copy = [&](const auto& vectors) R2B_ALWAYS {
      unroll<kVectors>([&](auto i) R2B_ALWAYS { to[i] = vectors.val[i]; });
    };
    if constexpr (kVectors == 1) to[0] = vld1q_s8(from);
    if constexpr (kVectors == 2) copy(vld1q_s8_x2(from));
    if constexpr (kVectors == 3) copy(vld1q_s8_x3(from));
    if constexpr (kVectors == 4) copy(vld1q_s8_x4(from));
  }

  // What has come to the next stretch: of each pixel and channel there are four sums to
  // be added up, which the first stretch sets.
  template <int kNumPixels>
  struct Progress {
    const int8_t* patches;
    const int8_t* weights;
    int32x4_t parts[kNumPixels][kChannels];
  };

  template <bool kIsFirst, int kEights, int kNumPixels>
  R2B_INLINE static void add_stretch(Progress<kNumPixels>* at) {
    constexpr int kVectors = (kEights + 1) / 2;
    int8x16_t pixels[kNumPixels][kVectors];
    unroll<kNumPixels>(
        [&](auto p) R2B_ALWAYS { load(at->patches + p * kPatchBytes, pixels[p]); });
    at->patches += 8 * kEights;
    ptrdiff_t step = 8 * kEights;
    if (kVectors > 1 && kEights % 2 == 1) neon::keep(step);
    unroll<kChannels>([&](auto c) R2B_ALWAYS {
      int8x16_t weights[kVectors];
      load(at->weights, weights);
      at->weights += step;
      unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
        int16x8_t products;
        unroll<kVectors>([&](auto i) R2B_ALWAYS {
          const int8x8_t x = vget_low_s8(pixels[p][i]), w = vget_low_s8(weights[i]);
          products = i == 0 ? vmull_s8(x, w) : vmlal_s8(products, x, w);
          if (2 * i + 1 < kEights) {
            products = vmlal_high_s8(products, pixels[p][i], weights[i]);
          }
        });
        int32x4_t& part = at->parts[p][c];
        part = kIsFirst ? vpaddlq_s16(products) : vpadalq_s16(part, products);
        neon::order(part, at->weights);  // no more at once than registers hold
      });
    });
  }

  // False for a stretch of no length.
  template <bool kIsFirst, int kNumPixels>
  R2B_INLINE static bool add_stretch(int eights, Progress<kNumPixels>* at) {
    switch (eights) {
      case 1:
        return add_stretch<kIsFirst, 1>(at), true;
      case 2:
        return add_stretch<kIsFirst, 2>(at), true;
      case 3:
        return add_stretch<kIsFirst, 3>(at), true;
      case 4:
        return add_stretch<kIsFirst, 4>(at), true;
      case 5:
        return add_stretch<kIsFirst, 5>(at), true;
      case 6:
        return add_stretch<kIsFirst, 6>(at), true;
      case 7:
        return add_stretch<kIsFirst, 7>(at), true;
      case 8:
        return add_stretch<kIsFirst, 8>(at), true;
      case 0:
        return false;
      default:
        __builtin_unreachable();
    }
  }

  template <int kNumPixels>
  R2B_INLINE static void add(const int8_t* patches, const Place& place,
                             const Starts& starts,
                             int32x4_t (&sums)[kNumPixels][kChannels / 4]) {
    Progress<kNumPixels> at;
    at.patches = patches;
    at.weights = place.weights;
    const int8_t* length = place.lengths;
    add_stretch<true>(*length++, &at);
    while (add_stretch<false>(*length++, &at)) continue;
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      const auto& parts = at.parts[p];
      unroll<kChannels / 4>([&](auto v) R2B_ALWAYS {
        const int32x4_t low = vpaddq_s32(parts[4 * v], parts[4 * v + 1]);
        const int32x4_t high = vpaddq_s32(parts[4 * v + 2], parts[4 * v + 3]);
        sums[p][v] = vaddq_s32(starts.load(p, v), vpaddq_s32(low, high));
      });
    });
  }
};

// Where one is NaN, these instructions give the other.
R2B_INLINE float32x4_t limited(float32x4_t values, const QuantizedRow& row) {
  float32x4_t y =
      vaddq_f32(vmulq_f32(values, vdupq_n_f32(row.scale)), vdupq_n_f32(row.shift));
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
  r2b::pack_integer_filter<MultiplyTile>(filter, bias, num_channels, num_runs,
                                         run_length, packed);
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
