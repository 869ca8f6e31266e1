// Kernels for AVX-512 with VPOPCNTDQ: a word of 16 output channels in a vector.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 finds its own header's "undefined" vectors to be undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <cstring>

#include "tables.h"
#include "vector_loops.h"

namespace r2b {
namespace {

struct Avx512Simd {
  using Floats = __m512;
  using Mask = __mmask16;
  struct Clamp {
    __m512i low, high;
  };
  static constexpr int kLanes = 16;
  static constexpr int kRealVectors = 4;
  static constexpr int kRealSums = 24;

  static Mask mask(int count) { return Mask((1u << count) - 1); }
  static Clamp clamp(int32_t low, int32_t high) {
    return {_mm512_set1_epi32(low), _mm512_set1_epi32(high)};
  }
  static Floats splat(float value) { return _mm512_set1_ps(value); }
  static Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats load(const float* from, Mask mask) {
    return _mm512_maskz_loadu_ps(mask, from);
  }
  static void store(float* to, Floats values) { _mm512_storeu_ps(to, values); }
  static void store(float* to, Floats values, Mask mask) {
    _mm512_mask_storeu_ps(to, mask, values);
  }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats fused(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
  }
  // Of two zeros, and where one is NaN, these instructions give the second operand.
  static Floats larger(Floats a, Floats b) { return _mm512_max_ps(b, a); }
  static Floats smaller(Floats a, Floats b) { return _mm512_min_ps(b, a); }
  static Mask negative(Floats y) {
    return _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ);
  }
  static Floats scale_negative(Floats y, Floats slope) {
    return _mm512_mask_mul_ps(y, negative(y), y, slope);
  }
  static uint32_t negative_bits(Floats y) { return negative(y); }
  static Floats from_counts(__m512i counts, Clamp clamp) {
    const __m512i twice = _mm512_add_epi32(counts, counts);
    return _mm512_cvtepi32_ps(
        _mm512_min_epi32(_mm512_max_epi32(twice, clamp.low), clamp.high));
  }
  static Floats from_counts(const int32_t* from, Clamp clamp) {
    return from_counts(_mm512_loadu_si512(from), clamp);
  }
  static Floats from_counts(const int32_t* from, Mask mask, Clamp clamp) {
    return from_counts(_mm512_maskz_loadu_epi32(mask, from), clamp);
  }
};

// Two words are counted at once. With a1, a2 of a pixel, w1, w2 of a filter, bit by bit,
//   (a1 ^ w1) + (a2 ^ w2) = 2 r - (a1 ^ a2) + (w1 ^ w2),
//   r = a2 ^ ~w1 ? a1 ^ a2 : ~(w1 ^ w2),
// and the last two terms belong to the pixel or the filter alone: what is left to do for
// each pair of them is an exclusive or, a selection, one count and one sum.
//
// Packed binary filter: groups of up to kVectorsOfGroup vectors of channels, in each
// [pair of words][~w1, ~(w1 ^ w2)][channel of the group], then the sum of w1 ^ w2 of each
// channel. A last word without a partner has zeros for one; so do channels past the last.
constexpr int kBlock = 16;
constexpr int kVectorsOfGroup = 4;
constexpr int kPixelsOfTile = 4;

// Words of a group's packed filter, for each of its channels.
ptrdiff_t packed_words(ptrdiff_t num_words) { return (num_words + 1) / 2 * 2 + 1; }

size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * kBlock *
         size_t(packed_words(num_words)) * sizeof(uint32_t);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint32_t* to = static_cast<uint32_t*>(packed);
  const auto word = [&](int channel, int i) {
    return channel < num_channels && i < num_words
               ? filter[ptrdiff_t{channel} * num_words + i]
               : 0;
  };
  for_each_group<kVectorsOfGroup, kBlock>(num_channels, [&](int first, int vectors) {
    const int channels = vectors * kBlock;
    uint32_t* sums = to + ptrdiff_t{num_words + 1} / 2 * 2 * channels;
    for (int c = 0; c < channels; ++c) sums[c] = 0;
    for (int i = 0; i < num_words; i += 2, to += 2 * channels) {
      for (int c = 0; c < channels; ++c) {
        const uint32_t w1 = word(first + c, i), w2 = word(first + c, i + 1);
        to[c] = ~w1;
        to[channels + c] = ~(w1 ^ w2);
        sums[c] += uint32_t(__builtin_popcount(w1 ^ w2));
      }
    }
    to = sums + channels;
  });
}

// Bits in which a word and the next one differ.
inline int count_differing(const uint32_t* words) {
  uint64_t both;
  std::memcpy(&both, words, sizeof both);
  asm("" : "+r"(both));
  return __builtin_popcount(uint32_t(both) ^ uint32_t(both >> 32));
}

// Counts in a tile, of patches with an even number of words in each run: into `counts`,
// or added to what is there.
template <int kPixels, int kVectors>
void count_tile(const Patches<uint32_t>& patches, const uint32_t* filter, bool add,
                bool is_last, int32_t* counts, ptrdiff_t counts_stride) {
  constexpr int kSelect = 0xca;  // bit by bit: the first operand ? second : third
  __m512i sums[kPixels][kVectors];
  int differing[kPixels] = {};
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_setzero_si512();
  }
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint32_t* x = patches.source + patches.run_offsets[r];
    for (int i = 0; i < patches.run_length; i += 2, x += 2) {
      __m512i second[kPixels], difference[kPixels];
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
        const uint32_t* words = x + p * patches.pixel_step;
        differing[p] += count_differing(words);
        // In scalar registers, where there is room: compilers would use vectors.
        asm("" : "+r"(differing[p]));
        second[p] = _mm512_set1_epi32(int32_t(words[1]));
        difference[p] = _mm512_xor_si512(second[p], _mm512_set1_epi32(int32_t(words[0])));
      }
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const __m512i first_equal = _mm512_loadu_si512(filter + v * kBlock);
        const __m512i equal = _mm512_loadu_si512(filter + (kVectors + v) * kBlock);
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p) {
          const __m512i mask = _mm512_xor_si512(second[p], first_equal);
          const __m512i bits =
              _mm512_ternarylogic_epi32(mask, difference[p], equal, kSelect);
          sums[p][v] = _mm512_add_epi32(sums[p][v], _mm512_popcnt_epi32(bits));
        }
      }
      filter += 2 * kVectors * kBlock;
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const __m512i of_filter =
        is_last ? _mm512_loadu_si512(filter + v * kBlock) : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
      int32_t* to = counts + p * counts_stride + v * kBlock;
      __m512i count = _mm512_sub_epi32(of_filter, _mm512_set1_epi32(differing[p]));
      count = _mm512_add_epi32(count, _mm512_add_epi32(sums[p][v], sums[p][v]));
      if (add) count = _mm512_add_epi32(count, _mm512_loadu_si512(to));
      _mm512_storeu_si512(to, count);
    }
  }
}

// Runs of an odd number of words: patches are copied, some words at a time, to where
// they are one run.
template <int kPixels, int kVectors>
void count_gathered(const Patches<uint32_t>& patches, const uint32_t* filter,
                    int32_t* counts, ptrdiff_t counts_stride) {
  constexpr int kPiece = 256;
  uint32_t pieces[kPixels * kPiece];
  const ptrdiff_t num_words = ptrdiff_t{patches.num_runs} * patches.run_length;
  const uint32_t* run = patches.source + patches.run_offsets[0];
  int next_run = 1, left_of_run = patches.run_length;
  for (ptrdiff_t done = 0; done < num_words; done += kPiece) {
    const int length = int(num_words - done < kPiece ? num_words - done : kPiece);
    for (int i = 0; i < length; ++i, ++run, --left_of_run) {
      if (left_of_run == 0) {
        run = patches.source + patches.run_offsets[next_run++];
        left_of_run = patches.run_length;
      }
      for (int p = 0; p < kPixels; ++p) {
        pieces[p * kPiece + i] = run[p * patches.pixel_step];
      }
    }
    if (length % 2 != 0) {
      for (int p = 0; p < kPixels; ++p) pieces[p * kPiece + length] = 0;
    }
    const int even = (length + 1) / 2 * 2;
    const ptrdiff_t start = 0;
    const Patches<uint32_t> piece = {pieces, kPiece, &start, 1, even};
    count_tile<kPixels, kVectors>(piece, filter, done > 0, done + length == num_words,
                                  counts, counts_stride);
    filter += ptrdiff_t{even} * kVectors * kBlock;
  }
}

void binary_conv_row(const BinaryConvRow& row) {
  const Patches<uint32_t>& all = row.patches;
  const ptrdiff_t num_words = ptrdiff_t{all.num_runs} * all.run_length;
  const uint32_t* filter = static_cast<const uint32_t*>(row.filter);
  const bool in_pairs = all.run_length % 2 == 0;
  for_each_group<kVectorsOfGroup, kBlock>(row.num_channels, [&](int c, int vectors) {
    const uint32_t* group = filter + c * packed_words(num_words);
    with_size<kVectorsOfGroup>(vectors, [&](auto kVectors) {
      for_each_tile<kPixelsOfTile>(row.num_pixels, [&](int pixel, auto kPixels) {
        Patches<uint32_t> patches = all;
        patches.source += pixel * all.pixel_step;
        int32_t* counts = row.counts + pixel * row.counts_stride + c;
        if (in_pairs) {
          count_tile<kPixels.value, kVectors.value>(patches, group, false, true, counts,
                                                    row.counts_stride);
        } else {
          count_gathered<kPixels.value, kVectors.value>(patches, group, counts,
                                                        row.counts_stride);
        }
      });
    });
  });
}

}  // namespace

constexpr Kernels avx512_kernels = make_kernels<Avx512Simd>(
    "avx512", kBlock, binary_filter_bytes, pack_binary_filter, binary_conv_row);

}  // namespace r2b
