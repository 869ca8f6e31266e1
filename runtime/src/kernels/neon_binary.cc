// Binary convolution on 64-bit Arm with two instructions for 128 bits.
//
// Counting differing bits as popcount(a ^ w) takes three (eor, cnt, add). Two bits can
// be counted at once. With a1, a2 bits of the patch and w1, w2 of the filter,
//
//   (a1 ^ w1) + (a2 ^ w2) = 2 r - (a1 ^ a2) + (w1 ^ w2),
//   r = (a2 ^ ~w1) ? (a1 ^ a2) : ~(w1 ^ w2)
//
// (all 16 cases hold). The sum of a1 ^ a2 is the pixel's, that of w1 ^ w2 the filter's:
// only r has to be counted for each pair of them. Here a1 is the low half of a word and
// a2 the high half, a vector holds these halves for eight output channels, and eor,
// bsl, cnt, add do a word of eight channels.
#include "neon.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstring>

#include "neon_count_words.h"

namespace r2b {
namespace neon {
namespace {

constexpr int kTilePixels = 4;
constexpr int kVectorChannels = 8;
constexpr int kWideVectors = 4;    // in a tile, while there are so many
constexpr int kNarrowVectors = 2;  // then
constexpr int kWideChannels = kWideVectors * kVectorChannels;
// A byte takes 31 counts of at most 8.
constexpr int kFlushWords = 31;
// Patches are gathered, and counts kept in 16 bits, for so many words.
constexpr int kPanelWords = 512;

// Four pixels' words side by side: low half a1 ^ a2, high half a2.
struct Panel {
  uint32_t words[kPanelWords + 1][kTilePixels];
  int16_t ones[kTilePixels];  // how many bits of a1 ^ a2 are set
};

template <int kCount>
R2B_INLINE uint32x4_t load_words(const uint32_t* source) {
  if (kCount == 4) return vld1q_u32(source);
  if (kCount == 2) return vcombine_u32(vld1_u32(source), vdup_n_u32(0));
  return vsetq_lane_u32(*source, vdupq_n_u32(0), 0);
}

template <int kCount>
R2B_INLINE void store_words(uint32_t* target, const uint32x4x4_t& words) {
  if (kCount == 4) {
    vst4q_u32(target, words);
  } else if (kCount == 2) {
    uint32x2x4_t low;
    unroll<kTilePixels>([&](auto p) R2B_ALWAYS {
      const uint32x4_t& pixel = words.val[p];
      low.val[p] = vget_low_u32(pixel);
    });
    vst4_u32(target, low);
  } else {
    vst4q_lane_u32(target, words, 0);
  }
}

// kCount words of each pixel from `source` on.
template <int kCount>
R2B_INLINE void gather_words(const FourPixels<uint32_t>& pixels, const uint32_t* source,
                             uint32_t* target, uint16x8_t (&ones)[kTilePixels]) {
  uint32x4x4_t words = {{load_words<kCount>(source),
                         load_words<kCount>(bytes_behind(source, pixels.second)),
                         load_words<kCount>(bytes_behind(source, pixels.third)),
                         load_words<kCount>(bytes_behind(source, pixels.fourth))}};
  unroll<kTilePixels>([&](auto p) R2B_ALWAYS {
    words.val[p] = veorq_u32(words.val[p], vshrq_n_u32(words.val[p], 16));
    ones[p] = vpadalq_u8(ones[p], vcntq_u8(vreinterpretq_u8_u32(words.val[p])));
  });
  store_words<kCount>(target, words);
}

// Words [begin, end) of four pixels' patches.
__attribute__((noinline)) void gather(const Patches<uint32_t>& patches, int pixel,
                                      int num_pixels, int begin, int end,
                                      Panel* panel) {
  const FourPixels<uint32_t> pixels(patches, pixel, num_pixels);
  uint16x8_t ones[kTilePixels];
  unroll<kTilePixels>([&](auto p) R2B_ALWAYS { ones[p] = vdupq_n_u16(0); });
  auto copy = [&](ptrdiff_t offset, int position, int count) R2B_ALWAYS {
    const uint32_t* source = pixels.first + offset;
    uint32_t* target = panel->words[position];
    for (; count >= 4; count -= 4) {
      gather_words<4>(pixels, source, target, ones);
      source += 4, target += 4 * kTilePixels;
      keep(source);
    }
    if (count & 2) {
      gather_words<2>(pixels, source, target, ones);
      source += 2, target += 2 * kTilePixels;
      keep(source);
    }
    if (count & 1) gather_words<1>(pixels, source, target, ones);
  };
  for_each_stretch(patches, begin, end, copy);
  // Even lanes are the low halves'.
  uint16x8_t sums =
      vpaddq_u16(vuzp1q_u16(ones[0], ones[1]), vuzp1q_u16(ones[2], ones[3]));
  vst1_s16(panel->ones, vreinterpret_s16_u16(vget_low_u16(vpaddq_u16(sums, sums))));
}

// The same where pixels have one word each and lie side by side: so do the four words.
__attribute__((noinline)) void gather_neighbours(const Patches<uint32_t>& patches,
                                                 int pixel, int begin, int end,
                                                 Panel* panel) {
  uint16x8_t ones = vdupq_n_u16(0);
  auto copy = [&](ptrdiff_t offset, int position, int count) R2B_ALWAYS {
    const uint32_t* source = patches.source + pixel + offset;
    for (int i = 0; i < count; i++) {
      uint32x4_t words = vld1q_u32(source + i);
      words = veorq_u32(words, vshrq_n_u32(words, 16));
      ones = vpadalq_u8(ones, vcntq_u8(vreinterpretq_u8_u32(words)));
      vst1q_u32(panel->words[position + i], words);
    }
  };
  for_each_stretch(patches, begin, end, copy);
  vst1_s16(panel->ones, vreinterpret_s16_u16(vget_low_u16(vuzp1q_u16(ones, ones))));
}

// counts = 2 sums - ones + offsets, added to what other panels gave or not.
template <bool kAdd, int kPixels, int kVectors>
R2B_INLINE void write_counts(const uint16x8_t (&sums)[kPixels * kVectors],
                             const int16_t* ones, const int32_t* offsets,
                             int num_pixels, int32_t* counts, ptrdiff_t counts_stride) {
  int32x4_t channels[kVectors][2];
  unroll<kVectors>([&](auto v) R2B_ALWAYS {
    channels[v][0] = vld1q_s32(offsets + v * kVectorChannels);
    channels[v][1] = vld1q_s32(offsets + v * kVectorChannels + 4);
  });
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    if (kVectors == kWideVectors || p < num_pixels) {
      int16x8_t pixel = vld1q_dup_s16(ones + p);
      unroll<kVectors>([&](auto v) R2B_ALWAYS {
        int32_t* target = counts + v * kVectorChannels;
        uint16x8_t bits = sums[p * kVectors + v];
        int16x8_t sum = vsubq_s16(vreinterpretq_s16_u16(vaddq_u16(bits, bits)), pixel);
        int32x4_t low = vaddw_s16(channels[v][0], vget_low_s16(sum));
        int32x4_t high = vaddw_high_s16(channels[v][1], sum);
        if (kAdd) {
          low = vaddq_s32(low, vld1q_s32(target));
          high = vaddq_s32(high, vld1q_s32(target + 4));
        }
        vst1q_s32(target, low);
        vst1q_s32(target + 4, high);
      });
      counts += counts_stride;
    }
  });
}

// What the kernels of a row's tiles are given.
struct Tiles {
  const Panel* panel;
  int num_words;  // of the panel
  int num_pixels;
  bool add;  // to what the panels before gave
  const int32_t* filter;
  int32_t* counts;
  ptrdiff_t counts_stride;
};

// The next num_tiles tiles of kPixels pixels and kVectors vectors. Each one's filter
// begins with the sums of w1 ^ w2.
template <int kPixels, int kVectors>
void count_tiles(Tiles* tiles, int num_tiles) {
  constexpr int kTile = kPixels * kVectors;
  constexpr int kChannels = kVectors * kVectorChannels;
  const int num_words = tiles->num_words;
  const int32_t* filter = tiles->filter;
  int32_t* counts = tiles->counts;
  for (; num_tiles > 0; num_tiles--) {
    CountPosition at = {reinterpret_cast<const uint16_t*>(tiles->panel->words),
                        reinterpret_cast<const uint16_t*>(filter + kChannels)};
    uint8x16_t bytes[kTile];
    uint16x8_t sums[kTile];
    int left = num_words;
    count_words<kPixels, kVectors>(&at, smaller(left, kFlushWords), bytes);
    unroll<kTile>([&](auto i) R2B_ALWAYS { sums[i] = vpaddlq_u8(bytes[i]); });
    while ((left -= kFlushWords) > 0) {
      count_words<kPixels, kVectors>(&at, smaller(left, kFlushWords), bytes);
      unroll<kTile>([&](auto i) R2B_ALWAYS {
        uint16x8_t sum = sums[i];
        sums[i] = vpadalq_u8(sum, bytes[i]);
      });
    }
    const int16_t* ones = tiles->panel->ones;
    if (tiles->add) {
      write_counts<true, kPixels, kVectors>(sums, ones, filter, tiles->num_pixels,
                                            counts, tiles->counts_stride);
    } else {
      write_counts<false, kPixels, kVectors>(sums, ones, filter, tiles->num_pixels,
                                             counts, tiles->counts_stride);
    }
    filter += size_t(1 + num_words) * kChannels;
    counts += kChannels;
  }
  tiles->filter = filter;
  tiles->counts = counts;
}

using CountTiles = void (*)(Tiles*, int);

constexpr CountTiles kCountWide[kTilePixels] = {
    count_tiles<1, kWideVectors>, count_tiles<2, kWideVectors>,
    count_tiles<3, kWideVectors>, count_tiles<4, kWideVectors>};
constexpr CountTiles kCountNarrow = count_tiles<kTilePixels, kNarrowVectors>;

int padded_channels(int num_channels) {
  return (num_channels + kBinaryChannelBlock - 1) / kBinaryChannelBlock *
         kBinaryChannelBlock;
}

// How many channels the tile that begins at `channel` has.
int tile_channels(int channel, int num_padded) {
  return num_padded - channel < kWideChannels ? kBinaryChannelBlock : kWideChannels;
}

}  // namespace

// packed: [panel][tile of channels]{int32 sums of w1 ^ w2 [channel],
//                                   [word][vector]{~w1 [8], ~(w1 ^ w2) [8]}}
size_t binary_filter_bytes(int num_channels, int num_words) {
  size_t num_panels = (num_words + kPanelWords - 1) / kPanelWords;
  return ((num_panels + num_words) * padded_channels(num_channels) + kWideChannels) *
         sizeof(uint32_t);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  int num_padded = padded_channels(num_channels);
  uint32_t* target = static_cast<uint32_t*>(packed);
  memset(packed, 0, binary_filter_bytes(num_channels, num_words));
  for (int begin = 0; begin < num_words; begin += kPanelWords) {
    int count = smaller(num_words - begin, kPanelWords);
    for (int channel = 0, width; channel < num_padded; channel += width) {
      width = tile_channels(channel, num_padded);
      uint32_t* sums = target;
      uint16_t* halves = reinterpret_cast<uint16_t*>(target + width);
      target += width * (1 + count);
      for (int c = 0; c < width && channel + c < num_channels; c++) {
        const uint32_t* source = filter + size_t(channel + c) * num_words + begin;
        uint16_t* column =
            halves + c / kVectorChannels * 2 * kVectorChannels + c % kVectorChannels;
        for (int word = 0; word < count; word++) {
          uint16_t first = source[word] & 0xffff;
          uint16_t difference = first ^ (source[word] >> 16);
          column[word * 2 * width] = ~first;
          column[word * 2 * width + kVectorChannels] = ~difference;
          sums[c] += __builtin_popcount(difference);
        }
      }
    }
  }
}

void binary_conv_row(const BinaryConvRow& row) {
  Panel panel;
  int num_words = row.patches.num_runs * row.patches.run_length;
  int num_padded = padded_channels(row.num_channels);
  int num_wide = num_padded / kWideChannels;
  int num_narrow = num_padded % kWideChannels / kBinaryChannelBlock;
  for (int pixel = 0; pixel < row.num_pixels; pixel += kTilePixels) {
    int num_pixels = smaller(row.num_pixels - pixel, kTilePixels);
    int32_t* counts = row.counts + pixel * row.counts_stride;
    const int32_t* filter = static_cast<const int32_t*>(row.filter);
    for (int begin = 0; begin < num_words; begin += kPanelWords) {
      int count = smaller(num_words - begin, kPanelWords);
      if (row.patches.pixel_step == 1 && num_pixels == kTilePixels) {
        gather_neighbours(row.patches, pixel, begin, begin + count, &panel);
      } else {
        gather(row.patches, pixel, num_pixels, begin, begin + count, &panel);
      }
      const bool add = begin > 0;
      Tiles tiles = {&panel, count, num_pixels, add, filter, counts, row.counts_stride};
      kCountWide[num_pixels - 1](&tiles, num_wide);
      if (num_narrow > 0) kCountNarrow(&tiles, num_narrow);
      filter = tiles.filter;
    }
  }
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
