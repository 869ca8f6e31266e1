// The table for 64-bit Arm with dot products of bytes (Cortex-A55, A75, A76 and later).
#include "neon.h"

#if defined(__aarch64__)

#include "logistic.h"
#include "neon_integer.h"
#include "tables.h"

namespace r2b {
namespace {

struct DotTile {
  static constexpr int kPixels = 8, kChannels = 8;

  // [four weights][channel][weight]
  static size_t weight_bytes(int num_weights) {
    return size_t(rounded_up(num_weights, 4)) * kChannels;
  }

  static void pack(const TileFilter& filter, int8_t* to) {
    for (int first = 0; first < filter.num_weights; first += 4) {
      for (int c = 0; c < kChannels; c++) {
        for (int i = first; i < first + 4; i++) *to++ = filter.at(c, i);
      }
    }
  }

  struct Place {
    const int8_t* weights;
    int count;
  };
  static Place place(const int8_t* weights, const WeightRange& range) {
    return {weights + ptrdiff_t{range.begin} * kChannels, range.end - range.begin};
  }

  // Four weights, which the pixels have in their lane kLane of four bytes.
  template <int kLane, int kNumPixels>
  R2B_INLINE static void add_four(const int8x16_t (&pixels)[kNumPixels],
                                  const int8_t* weights,
                                  int32x4_t (&sums)[kNumPixels][2]) {
    const int8x16_t low = vld1q_s8(weights), high = vld1q_s8(weights + 16);
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      sums[p][0] = vdotq_laneq_s32(sums[p][0], low, pixels[p], kLane);
      sums[p][1] = vdotq_laneq_s32(sums[p][1], high, pixels[p], kLane);
    });
  }

  template <int kNumPixels>
  R2B_INLINE static void load(const int8_t* patches, int8x16_t (&pixels)[kNumPixels]) {
    unroll<kNumPixels>(
        [&](auto p) R2B_ALWAYS { pixels[p] = vld1q_s8(patches + p * kPatchBytes); });
  }

  template <int kNumPixels>
  R2B_INLINE static void add(const int8_t* patches, const Place& place,
                             const Starts& starts, int32x4_t (&sums)[kNumPixels][2]) {
    constexpr ptrdiff_t kFour = 4 * kChannels;
    const int8_t* weights = place.weights;
    int count = place.count;
    unroll<kNumPixels>([&](auto p) R2B_ALWAYS {
      sums[p][0] = starts.load(p, 0);
      sums[p][1] = starts.load(p, 1);
    });
    int8x16_t pixels[kNumPixels];
    for (; count > 12; count -= 16, patches += 16, weights += 4 * kFour) {
      load(patches, pixels);
      add_four<0>(pixels, weights, sums);
      add_four<1>(pixels, weights + kFour, sums);
      add_four<2>(pixels, weights + 2 * kFour, sums);
      add_four<3>(pixels, weights + 3 * kFour, sums);
    }
    if (count <= 0) return;
    load(patches, pixels);
    add_four<0>(pixels, weights, sums);
    if (count > 4) add_four<1>(pixels, weights + kFour, sums);
    if (count > 8) add_four<2>(pixels, weights + 2 * kFour, sums);
  }
};

}  // namespace

constexpr Kernels neondot_kernels = {
    "neondot",
    neon::kBinaryChannelBlock,
    neon::binary_filter_bytes,
    neon::pack_binary_filter,
    neon::binary_conv_row,
    neon::real_filter_bytes,
    neon::pack_real_filter,
    neon::real_conv_row,
    127,
    integer_filter_bytes<DotTile>,
    pack_integer_filter<DotTile>,
    integer_conv_row<DotTile>,
    neon::quantize_row,
    neon::finish_row,
    logistic<2>,
    neon::max_pool_row,
    neon::mean_pool_row,
};

}  // namespace r2b

#endif  // __aarch64__
