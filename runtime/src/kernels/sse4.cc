// Kernels for x86-64 without AVX2: SSE4.2, SSSE3 and POPCNT, as every such processor since
// 2008 has, and those of small boards until 2022.
#include <immintrin.h>

#include "four_lanes.h"
#include "make_kernels.h"
#include "tables.h"

namespace r2b {
namespace {

struct Sse4Simd : FourLanes {
  using Integers = __m128i;
  static constexpr int kIntegerSums = 8;
  static constexpr bool kStretches = false;  // it has too few registers
  static constexpr int kWeightLimit = 63;    // two products of 255 by it fit 16 bits

  static Floats splat(float value) { return _mm_set1_ps(value); }
  // Of two zeros, and where one is NaN, these instructions give the second operand.
  static Floats larger(Floats a, Floats b) { return _mm_max_ps(b, a); }
  static Floats smaller(Floats a, Floats b) { return _mm_min_ps(b, a); }
  static __m128 negative(Floats y) { return _mm_cmplt_ps(y, _mm_setzero_ps()); }
  static Floats scale_negative(Floats y, Floats slope) {
    return _mm_blendv_ps(y, _mm_mul_ps(y, slope), negative(y));
  }
  static uint32_t negative_bits(Floats y) {
    return uint32_t(_mm_movemask_ps(negative(y)));
  }

  // The product of two floats is exact in doubles, and its sum with a third, rounded to a
  // double and then to a float, is as if rounded once, unless the double lies in the
  // middle between two floats: it may be what something beside it was rounded to. That is
  // rare, and seen in the 29 bits that a float has not. (Where a float would be denormal
  // it has fewer, but those are zero: the delegate flushes them.)
  static Floats fused(Floats a, Floats b, Floats c) {
    const __m128d low_product = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b));
    const __m128d high_product = _mm_mul_pd(upper(a), upper(b));
    __m128d low = _mm_add_pd(low_product, _mm_cvtps_pd(c));
    __m128d high = _mm_add_pd(high_product, upper(c));
    const __m128i last_bits =
        _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88));
    const __m128i in_the_middle = _mm_cmpeq_epi32(_mm_slli_epi32(last_bits, 3),
                                                  _mm_set1_epi32(int32_t(1u << 31)));
    if (__builtin_expect(_mm_movemask_epi8(in_the_middle) != 0, 0)) {
      low = off_the_middle(low, low_product, _mm_cvtps_pd(c));
      high = off_the_middle(high, high_product, upper(c));
    }
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
  }

  static Integers load_integers(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
  }
  static Integers repeat(const uint8_t* bytes) {
    int32_t four;
    std::memcpy(&four, bytes, sizeof(four));
    return _mm_set1_epi32(four);
  }
  static Integers add_products(Integers sums, Integers bytes, Integers weights) {
    const __m128i pairs = _mm_maddubs_epi16(bytes, weights);
    return _mm_add_epi32(sums, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
  }
  static Floats to_floats(Integers sums) { return _mm_cvtepi32_ps(sums); }
  static void store_bytes(uint8_t* to, Floats y, int32_t low) {
    const __m128i whole = _mm_cvttps_epi32(_mm_floor_ps(y));
    const __m128i halves = _mm_packus_epi32(_mm_sub_epi32(whole, _mm_set1_epi32(low)),
                                            _mm_setzero_si128());
    const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
    std::memcpy(to, &bytes, sizeof(bytes));
  }

 private:
  static __m128d upper(__m128 values) {
    return _mm_cvtps_pd(_mm_movehl_ps(values, values));
  }

  // Moves sums in the middle between two floats to where a + b is, if it is not there.
  static __m128d off_the_middle(__m128d sum, __m128d a, __m128d b) {
    const __m128d added = _mm_sub_pd(sum, a);
    const __m128d error =
        _mm_add_pd(_mm_sub_pd(a, _mm_sub_pd(sum, added)), _mm_sub_pd(b, added));
    const __m128d zero = _mm_setzero_pd();
    const __m128i bits = _mm_castpd_si128(sum);
    const __m128i in_the_middle = _mm_cmpeq_epi64(
        _mm_and_si128(bits, _mm_set1_epi64x((1 << 29) - 1)), _mm_set1_epi64x(1 << 28));
    // Not where the error is no number.
    const __m128i is_off = _mm_castpd_si128(
        _mm_or_pd(_mm_cmplt_pd(error, zero), _mm_cmpgt_pd(error, zero)));
    const __m128i signs = _mm_castpd_si128(_mm_xor_pd(sum, error));
    const __m128i step =  // in magnitude, 1 or -1
        _mm_or_si128(_mm_cmpgt_epi64(_mm_setzero_si128(), signs), _mm_set1_epi64x(1));
    const __m128i change = _mm_and_si128(step, _mm_and_si128(is_off, in_the_middle));
    return _mm_castsi128_pd(_mm_add_epi64(bits, change));
  }
};

// Packed binary filter: [block of channels][pair of words][channel of the block], a last
// word without a partner beside zeros.
constexpr int kBlock = 4;
constexpr int kMostPixels = 2;

constexpr int kMostPairs = 256;  // that are counted at a time

ptrdiff_t num_pairs(ptrdiff_t num_words) { return (num_words + 1) / 2; }

size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * kBlock *
         size_t(num_pairs(num_words)) * sizeof(uint64_t);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint64_t* to = static_cast<uint64_t*>(packed);
  const auto word = [&](int channel, int i) -> uint64_t {
    const bool is_used = channel < num_channels && i < num_words;
    return is_used ? filter[ptrdiff_t{channel} * num_words + i] : 0;
  };
  for (int first = 0; first < num_channels; first += kBlock) {
    for (int i = 0; i < num_words; i += 2) {
      for (int c = first; c < first + kBlock; ++c) {
        *to++ = word(c, i) | word(c, i + 1) << 32;
      }
    }
  }
}

// Some pairs of words of the patches of a tile's pixels.
struct Piece {
  uint64_t pairs[kMostPixels][kMostPairs];
  int num_pairs = 0;
  bool is_first;
};

template <int kPixels>
void count_block(const Piece& piece, const uint64_t* filter, int32_t* counts,
                 ptrdiff_t stride) {
  int64_t sums[kPixels][kBlock] = {};
  for (int i = 0; i < piece.num_pairs; ++i, filter += kBlock) {
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
      for (int c = 0; c < kBlock; ++c) {
        sums[p][c] += __builtin_popcountll(piece.pairs[p][i] ^ filter[c]);
      }
    }
  }
  for (int p = 0; p < kPixels; ++p) {
    for (int c = 0; c < kBlock; ++c) {
      int32_t& count = counts[p * stride + c];
      count = int32_t(sums[p][c]) + (piece.is_first ? 0 : count);
    }
  }
}

// Words [begin, end) of the patch of a pixel; `begin` is even.
void gather(const Patches<uint32_t>& patches, ptrdiff_t pixel, int begin, int end,
            uint64_t* pairs) {
  const uint32_t* source = patches.source + pixel * patches.pixel_step;
  int run = begin / patches.run_length, i = begin % patches.run_length;
  for (int word = begin; word < end; ++word) {
    const uint64_t value = source[patches.run_offsets[run] + i];
    if ((word - begin) % 2 == 0) {
      pairs[(word - begin) / 2] = value;
    } else {
      pairs[(word - begin) / 2] |= value << 32;
    }
    if (++i == patches.run_length) ++run, i = 0;
  }
}

void binary_conv_row(const BinaryConvRow& row) {
  const int num_words = row.patches.num_runs * row.patches.run_length;
  const ptrdiff_t block_pairs = num_pairs(num_words) * kBlock;
  for_each_tile<kMostPixels>(row.num_pixels, [&](int pixel, auto kPixels) {
    Piece piece;
    for (int begin = 0; begin < num_words; begin += 2 * kMostPairs) {
      const int left = num_words - begin;
      const int count = left < 2 * kMostPairs ? left : 2 * kMostPairs;
      piece.num_pairs = int(num_pairs(count));
      piece.is_first = begin == 0;
      for (int p = 0; p < kPixels.value; ++p) {
        gather(row.patches, pixel + p, begin, begin + count, piece.pairs[p]);
      }
      const uint64_t* filter =
          static_cast<const uint64_t*>(row.filter) + ptrdiff_t{begin} / 2 * kBlock;
      int32_t* counts = row.counts + pixel * row.counts_stride;
      for (int c = 0; c < row.num_channels; c += kBlock, filter += block_pairs) {
        count_block<kPixels.value>(piece, filter, counts + c, row.counts_stride);
      }
    }
  });
}

}  // namespace

constexpr Kernels sse4_kernels = make_kernels<Sse4Simd>(
    "sse4", kBlock, binary_filter_bytes, pack_binary_filter, binary_conv_row);

}  // namespace r2b
