// Kernels for AVX-512 with VPOPCNTDQ, words of 16 output channels in a vector, and VNNI.
#include "avx512_simd.h"
#include "held_tiles.h"
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

inline void add(__m512i counts, __m512i& sum) {
#ifdef __clang__
  sum = _mm512_add_epi32(sum, counts);
#else
  // gcc would add into another register and copy it back.
  __asm__("vpaddd %1, %0, %0" : "+v"(sum) : "v"(counts));
#endif
}

struct Words {
  using Vector = __m512i;
};
struct Bits {
  using Vector = uint32_t;
};

// Counts a pair of words of a pixel against those of each vector of channels.
template <int kVectors>
R2B_INLINE void add_pair(__m512i second, __m512i difference,
                         const Held<Words, kVectors>& first_equal,
                         const Held<Words, kVectors>& equal,
                         Held<Words, kVectors>& sums) {
  constexpr int kSelect = 0xca;  // bit by bit: the first operand ? second : third
  const __m512i mask = _mm512_xor_si512(second, first_equal.first);
  const __m512i bits =
      _mm512_ternarylogic_epi32(mask, difference, equal.first, kSelect);
  add(_mm512_popcnt_epi32(bits), sums.first);
  if constexpr (kVectors > 1) {
    add_pair(second, difference, first_equal.rest, equal.rest, sums.rest);
  }
}

// The same of each pixel, whose words are a step apart.
template <int kVectors, int kPixels>
R2B_INLINE void add_pairs(const uint32_t* x1, const uint32_t* x2, ptrdiff_t step,
                          const Held<Words, kVectors>& first_equal,
                          const Held<Words, kVectors>& equal,
                          HeldRows<Words, kVectors, kPixels>& sums,
                          Held<Bits, kPixels>& differing) {
  add_bits(*x1 ^ *x2, differing.first);
  const __m512i second = broadcast(x2);
  const __m512i difference = _mm512_xor_si512(second, broadcast(x1));
  add_pair(second, difference, first_equal, equal, sums.first);
  if constexpr (kPixels > 1) {
    add_pairs(x1 + step, x2 + step, step, first_equal, equal, sums.rest,
              differing.rest);
  }
}

// What pairs were counted as becomes their count, but for the filter's own part.
template <int kVectors, int kPixels>
R2B_INLINE void finish_pairs(const Held<Bits, kPixels>& differing,
                             HeldRows<Words, kVectors, kPixels>& sums) {
  const __m512i own = _mm512_set1_epi32(int32_t(differing.first));
  for_each(sums.first, [&](auto& sum, int) R2B_ALWAYS {
    sum = _mm512_sub_epi32(_mm512_add_epi32(sum, sum), own);
  });
  if constexpr (kPixels > 1) finish_pairs(differing.rest, sums.rest);
}

template <int kPixels, int kVectors>
void count_tile(const Piece& piece, const uint32_t* source, ptrdiff_t step,
                const uint32_t* filter, int32_t* counts, ptrdiff_t counts_stride) {
  HeldRows<Words, kVectors, kPixels> sums;
  Held<Bits, kPixels> differing;
  for_each(sums, [](auto& of_pixel, int) R2B_ALWAYS {
    for_each(of_pixel, [](auto& sum, int) R2B_ALWAYS { sum = _mm512_setzero_si512(); });
  });
  for_each(differing, [](auto& bits, int) R2B_ALWAYS { bits = 0; });
  int i = 0;
  for (; has_pairs(kVectors) && i + 1 < piece.num_words; i += 2) {
    Held<Words, kVectors> first_equal, equal;
    for_each(first_equal, [&](auto& words, int v) R2B_ALWAYS {
      words = _mm512_loadu_si512(filter + v * kBlock);
    });
    for_each(equal, [&](auto& words, int v) R2B_ALWAYS {
      words = _mm512_loadu_si512(filter + (kVectors + v) * kBlock);
    });
    add_pairs(source + piece.offsets[i], source + piece.offsets[i + 1], step,
              first_equal, equal, sums, differing);
    filter += 2 * kVectors * kBlock;
  }
  finish_pairs(differing, sums);
  for (; i < piece.num_words; ++i) {
    for_each(sums, [&](auto& of_pixel, int p) R2B_ALWAYS {
      const __m512i word = broadcast(source + piece.offsets[i] + p * step);
      for_each(of_pixel, [&](auto& sum, int v) R2B_ALWAYS {
        const __m512i bits =
            _mm512_xor_si512(word, _mm512_loadu_si512(filter + v * kBlock));
        sum = _mm512_add_epi32(sum, _mm512_popcnt_epi32(bits));
      });
    });
    filter += kVectors * kBlock;
  }
  for_each(sums, [&](auto& of_pixel, int p) R2B_ALWAYS {
    for_each(of_pixel, [&](auto& sum, int v) R2B_ALWAYS {
      int32_t* to = counts + p * counts_stride + v * kBlock;
      __m512i count = sum;
      if (piece.is_last) {
        count = _mm512_add_epi32(count, _mm512_loadu_si512(filter + v * kBlock));
      }
      if (!piece.is_first) count = _mm512_add_epi32(count, _mm512_loadu_si512(to));
      _mm512_storeu_si512(to, count);
    });
  });
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
