// Kernels for AVX-512 with VPOPCNTDQ, words of 16 output channels in a vector, and VNNI.
#include "avx512_simd.h"
#include "make_kernels.h"
#include "tables.h"

namespace r2b {
namespace {

// Two words are counted at once. With a1, a2 of a pixel, w1, w2 of a filter, bit by
// bit,
//   (a1 ^ w1) + (a2 ^ w2) = 2 r - (a1 ^ a2) + (w1 ^ w2),
//   r = a2 ^ ~w1 ? a1 ^ a2 : ~(w1 ^ w2),
// and the last two terms belong to the pixel or the filter alone: what is left to do
// for each pair of them is an exclusive or, a selection, one count and one sum.
//
// Packed binary filter: groups of up to kVectorsOfGroup vectors of channels, in each
// [pair of words][~w1, ~(w1 ^ w2)][channel of the group], the words without a partner,
// and the sums of w1 ^ w2. Channels past the last are those of a filter of zeros.
constexpr int kBlock = 16;
constexpr int kVectorsOfGroup = 4;

// A single vector is too little for what pairs cost each pixel: there words stay alone.
constexpr bool has_pairs(int vectors) { return vectors > 1; }
constexpr int pixels_of_tile(int vectors) { return has_pairs(vectors) ? 4 : 6; }

// Words of a group's packed filter, for each of its channels.
ptrdiff_t packed_words(ptrdiff_t num_words) { return num_words + 1; }

size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * kBlock *
         size_t(packed_words(num_words)) * sizeof(uint32_t);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint32_t* to = static_cast<uint32_t*>(packed);
  const auto word = [&](int channel, int i) {
    return channel < num_channels ? filter[ptrdiff_t{channel} * num_words + i] : 0;
  };
  for_each_group<kVectorsOfGroup, kBlock>(num_channels, [&](int first, int vectors) {
    const int channels = vectors * kBlock;
    uint32_t* sums = to + ptrdiff_t{num_words} * channels;
    for (int c = 0; c < channels; ++c) sums[c] = 0;
    int i = 0;
    for (; has_pairs(vectors) && i + 1 < num_words; i += 2, to += 2 * channels) {
      for (int c = 0; c < channels; ++c) {
        const uint32_t w1 = word(first + c, i), w2 = word(first + c, i + 1);
        to[c] = ~w1;
        to[channels + c] = ~(w1 ^ w2);
        sums[c] += uint32_t(__builtin_popcount(w1 ^ w2));
      }
    }
    for (; i < num_words; ++i, to += channels) {
      for (int c = 0; c < channels; ++c) to[c] = word(first + c, i);
    }
    to += channels;
  });
}

// Where words of a patch are, seen from its pixel.
struct Piece {
  static constexpr int kMostWords = 512;
  ptrdiff_t offsets[kMostWords];
  int num_words;
  bool is_first, is_last;
};

// From memory, whatever a compiler thinks of it: from a register it takes longer.
inline __m512i broadcast(const uint32_t* from) {
  __m512i words;
  __asm__("vpbroadcastd %1, %0" : "=v"(words) : "m"(*from));
  return words;
}

// Not in a vector, as compilers would: vectors have enough to do.
inline void add_bits(uint32_t word, uint32_t& sum) {
  uint32_t bits;
  __asm__("popcntl %1, %0" : "=r"(bits) : "r"(word) : "cc");
  sum += bits;
  __asm__("" : "+r"(sum));
}

template <int kPixels, int kVectors>
void count_tile(const Piece& piece, const uint32_t* source, ptrdiff_t step,
                const uint32_t* filter, int32_t* counts, ptrdiff_t counts_stride) {
  constexpr int kSelect = 0xca;  // bit by bit: the first operand ? second : third
  __m512i sums[kPixels][kVectors];
  uint32_t differing[kPixels] = {};
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_setzero_si512();
  }
  int i = 0;
  for (; has_pairs(kVectors) && i + 1 < piece.num_words; i += 2) {
    const uint32_t* x1 = source + piece.offsets[i];
    const uint32_t* x2 = source + piece.offsets[i + 1];
    __m512i first_equal[kVectors], equal[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      first_equal[v] = _mm512_loadu_si512(filter + v * kBlock);
      equal[v] = _mm512_loadu_si512(filter + (kVectors + v) * kBlock);
    }
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
      add_bits(x1[p * step] ^ x2[p * step], differing[p]);
      const __m512i second = broadcast(x2 + p * step);
      const __m512i difference = _mm512_xor_si512(second, broadcast(x1 + p * step));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const __m512i mask = _mm512_xor_si512(second, first_equal[v]);
        const __m512i bits =
            _mm512_ternarylogic_epi32(mask, difference, equal[v], kSelect);
        sums[p][v] = _mm512_add_epi32(sums[p][v], _mm512_popcnt_epi32(bits));
      }
    }
    filter += 2 * kVectors * kBlock;
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
      __m512i count = _mm512_add_epi32(sums[p][v], sums[p][v]);
      count = _mm512_sub_epi32(count, _mm512_set1_epi32(int32_t(differing[p])));
      sums[p][v] = count;
    }
  }
  for (; i < piece.num_words; ++i) {
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
      const __m512i word = broadcast(source + piece.offsets[i] + p * step);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const __m512i bits =
            _mm512_xor_si512(word, _mm512_loadu_si512(filter + v * kBlock));
        sums[p][v] = _mm512_add_epi32(sums[p][v], _mm512_popcnt_epi32(bits));
      }
    }
    filter += kVectors * kBlock;
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      int32_t* to = counts + p * counts_stride + v * kBlock;
      __m512i count = sums[p][v];
      if (piece.is_last) {
        count = _mm512_add_epi32(count, _mm512_loadu_si512(filter + v * kBlock));
      }
      if (!piece.is_first) count = _mm512_add_epi32(count, _mm512_loadu_si512(to));
      _mm512_storeu_si512(to, count);
    }
  }
}

void count_piece(const BinaryConvRow& row, const Piece& piece, ptrdiff_t words_before) {
  const ptrdiff_t num_words = ptrdiff_t{row.patches.num_runs} * row.patches.run_length;
  const ptrdiff_t step = row.patches.pixel_step;
  for_each_group<kVectorsOfGroup, kBlock>(row.num_channels, [&](int c, int vectors) {
    const uint32_t* filter = static_cast<const uint32_t*>(row.filter) +
                             c * packed_words(num_words) +
                             words_before * vectors * kBlock;
    with_size<kVectorsOfGroup>(vectors, [&](auto kVectors) {
      constexpr int kMostPixels = pixels_of_tile(kVectors.value);
      for_each_tile<kMostPixels>(row.num_pixels, [&](int pixel, auto kPixels) {
        count_tile<kPixels.value, kVectors.value>(
            piece, row.patches.source + pixel * step, step, filter,
            row.counts + pixel * row.counts_stride + c, row.counts_stride);
      });
    });
  });
}

void binary_conv_row(const BinaryConvRow& row) {
  const Patches<uint32_t>& patches = row.patches;
  const ptrdiff_t num_words = ptrdiff_t{patches.num_runs} * patches.run_length;
  Piece piece;
  WordCursor cursor;
  for (ptrdiff_t done = 0; done < num_words; done += piece.num_words) {
    const ptrdiff_t left = num_words - done;
    piece.num_words = int(left < Piece::kMostWords ? left : Piece::kMostWords);
    piece.is_first = done == 0;
    piece.is_last = piece.num_words == left;
    cursor.next(patches, piece.num_words, piece.offsets);
    count_piece(row, piece, done);
  }
}

struct VnniSimd : Avx512Simd {
  static constexpr bool kStretches = false;
  static constexpr int kWeightLimit = 127;
  static constexpr int kIntegerSums = 24;

  static Integers add_products(Integers sums, Integers bytes, Integers weights) {
    // gcc keeps two copies of sums by the intrinsic, one of them in memory.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(bytes), "v"(weights));
    return sums;
  }
};

}  // namespace

constexpr Kernels avx512_kernels = make_kernels<VnniSimd>(
    "avx512", kBlock, binary_filter_bytes, pack_binary_filter, binary_conv_row);

}  // namespace r2b
