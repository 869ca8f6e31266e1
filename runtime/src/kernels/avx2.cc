// Kernels for AVX2. It has no instruction that counts bits; looking counts up by
// nibbles is fastest, and the table to look in need not be the counts of 0..15:
//
// For each byte of activations there is a vector of 32 bytes: in the low half the bits
// in which its low nibble differs from 0..15, in the high half the same of its high
// nibble. A filter's byte is kept as two nibbles, the low ones of 16 output channels in
// the low half of a vector, the high ones in the high half. One shuffle then gives the
// differing bits of 8 input and 16 output channels.
#include <immintrin.h>

#include "tables.h"
#include "vector_loops.h"

namespace r2b {
namespace {

struct Avx2Simd {
  using Floats = __m256;
  using Mask = __m256i;
  struct Clamp {
    __m256i low, high;
  };
  static constexpr int kLanes = 8;
  static constexpr int kRealVectors = 4;
  static constexpr int kRealSums = 12;

  static Mask mask(int count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes);
  }
  static Clamp clamp(int32_t low, int32_t high) {
    return {_mm256_set1_epi32(low), _mm256_set1_epi32(high)};
  }
  static Floats splat(float value) { return _mm256_set1_ps(value); }
  static Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static Floats load(const float* from, Mask mask) {
    return _mm256_maskload_ps(from, mask);
  }
  static void store(float* to, Floats values) { _mm256_storeu_ps(to, values); }
  static void store(float* to, Floats values, Mask mask) {
    _mm256_maskstore_ps(to, mask, values);
  }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats fused(Floats a, Floats b, Floats c) {
    return _mm256_fmadd_ps(a, b, c);
  }
  // Of two zeros, and where one is NaN, these instructions give the second operand.
  static Floats larger(Floats a, Floats b) { return _mm256_max_ps(b, a); }
  static Floats smaller(Floats a, Floats b) { return _mm256_min_ps(b, a); }
  static Floats negative(Floats y) {
    return _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_LT_OQ);
  }
  static Floats scale_negative(Floats y, Floats slope) {
    return _mm256_blendv_ps(y, _mm256_mul_ps(y, slope), negative(y));
  }
  static uint32_t negative_bits(Floats y) {
    return uint32_t(_mm256_movemask_ps(negative(y)));
  }
  static Floats from_counts(__m256i counts, Clamp clamp) {
    const __m256i twice = _mm256_add_epi32(counts, counts);
    return _mm256_cvtepi32_ps(
        _mm256_min_epi32(_mm256_max_epi32(twice, clamp.low), clamp.high));
  }
  static Floats from_counts(const int32_t* from, Clamp clamp) {
    return from_counts(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                       clamp);
  }
  static Floats from_counts(const int32_t* from, Mask mask, Clamp clamp) {
    return from_counts(_mm256_maskload_epi32(from, mask), clamp);
  }
};

constexpr int kBlock = 16;        // output channels of a vector
constexpr int kVectorBytes = 32;  // of a byte of input channels
constexpr int kVectorsOfGroup = 8;
// A word adds up to 16 to the count of its low nibbles, and to that of its high ones.
constexpr int kMostWords = 255 / 16;
constexpr int kMostWordsInHalves = 65535 / 32;

struct alignas(64) DifferingBits {
  uint8_t of_byte[256][kVectorBytes];
};

constexpr DifferingBits make_differing_bits() {
  DifferingBits table = {};
  for (int byte = 0; byte < 256; ++byte) {
    for (int i = 0; i < kVectorBytes; ++i) {
      const int bits = ((i < 16 ? byte : byte >> 4) ^ i) & 15;
      table.of_byte[byte][i] =
          uint8_t((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3));
    }
  }
  return table;
}

constexpr DifferingBits kDifferingBits = make_differing_bits();

// Channels of a block in the order of its bytes: when the bytes of even and of odd
// places become 16-bit numbers, eight channels that follow each other stay together.
constexpr int channel_of_lane(int lane) { return lane / 2 + lane % 2 * 8; }

// Packed binary filter: groups of up to kVectorsOfGroup blocks of channels, in each
// [byte][block of the group][nibbles as above]; channels past the last are zero.
size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * num_words * sizeof(uint32_t) *
         kVectorBytes;
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint8_t* to = static_cast<uint8_t*>(packed);
  for_each_group<kVectorsOfGroup, kBlock>(num_channels, [&](int first, int vectors) {
    for (int i = 0; i < num_words * 4; ++i) {
      for (int v = 0; v < vectors; ++v, to += kVectorBytes) {
        for (int lane = 0; lane < kBlock; ++lane) {
          const int c = first + v * kBlock + channel_of_lane(lane);
          const uint32_t word =
              c < num_channels ? filter[ptrdiff_t{c} * num_words + i / 4] : 0;
          to[lane] = word >> (i % 4 * 8) & 15;
          to[lane + kBlock] = word >> (i % 4 * 8 + 4) & 15;
        }
      }
    }
  });
}

// Words of a patch that fit into byte-sized counts.
struct Chunk {
  ptrdiff_t offsets[kMostWords];
  int num_words;
};

// Walks along the words of a patch.
struct Cursor {
  int run = 0, word = 0;

  Chunk next(const Patches<uint32_t>& patches, int num_words) {
    Chunk chunk;
    chunk.num_words = num_words;
    for (int i = 0; i < num_words; ++i) {
      chunk.offsets[i] = patches.run_offsets[run] + word;
      if (++word == patches.run_length) ++run, word = 0;
    }
    return chunk;
  }
};

inline __m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// The vector of one of the four bytes of a word.
template <int kByte>
inline __m256i differing_bits(uint32_t word) {
  constexpr int kShift = 8 * kByte - 5;  // rows of the table have 1 << 5 bytes
  const size_t offset = (kShift < 0 ? word << 5 : word >> (kShift & 31)) & (255 << 5);
  return load(reinterpret_cast<const uint8_t*>(&kDifferingBits) + offset);
}

// Adds nothing up in another order: compilers else add the bytes of a word first, for
// which there are not enough registers.
inline void keep_in_register(__m256i& values) { __asm__("" : "+x"(values)); }

template <int kByte, int kPixels, int kVectors>
inline void count_byte(const uint32_t* words, const uint8_t* filter,
                       __m256i (&counts)[kPixels][kVectors]) {
  __m256i weights[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    weights[v] = load(filter + (kByte * kVectors + v) * kVectorBytes);
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
    const __m256i table = differing_bits<kByte>(words[p]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      counts[p][v] =
          _mm256_add_epi8(counts[p][v], _mm256_shuffle_epi8(table, weights[v]));
      keep_in_register(counts[p][v]);
    }
  }
}

// 16-bit counts of 8 channels, of low nibbles and of high ones: their sums in 32 bits.
inline __m256i sum_of_nibbles(__m256i counts) {
  return _mm256_cvtepu16_epi32(_mm_add_epi16(_mm256_castsi256_si128(counts),
                                             _mm256_extracti128_si256(counts, 1)));
}

// What becomes of a chunk's counts of 16 channels: while they fit into 16 bits they are
// kept so, in the place of the 32-bit ones, of low and high nibbles apart.
struct Joining {
  bool adds_halves;  // to the chunks before, 16 bits each
  bool widens;
  bool adds_words;  // to the chunks before, 32 bits each
};

inline void join_counts(__m256i bytes, Joining how, int32_t* to) {
  __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi16(255));
  __m256i high = _mm256_srli_epi16(bytes, 8);
  if (how.adds_halves) {
    low = _mm256_add_epi16(low, load(to));
    high = _mm256_add_epi16(high, load(to + 8));
  }
  if (how.widens) {
    low = sum_of_nibbles(low);
    high = sum_of_nibbles(high);
    if (how.adds_words) {
      low = _mm256_add_epi32(low, load(to));
      high = _mm256_add_epi32(high, load(to + 8));
    }
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), high);
}

template <int kPixels, int kVectors>
void count_tile(const uint32_t* source, ptrdiff_t step, const Chunk& chunk,
                const uint8_t* filter, Joining how, int32_t* to, ptrdiff_t stride) {
  __m256i counts[kPixels][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) counts[p][v] = _mm256_setzero_si256();
  }
  for (int i = 0; i < chunk.num_words; ++i) {
    const uint32_t* x = source + chunk.offsets[i];
    uint32_t words[kPixels];
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) words[p] = x[p * step];
    count_byte<0>(words, filter, counts);
    count_byte<1>(words, filter, counts);
    count_byte<2>(words, filter, counts);
    count_byte<3>(words, filter, counts);
    filter += 4 * kVectors * kVectorBytes;
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      join_counts(counts[p][v], how, to + p * stride + v * kBlock);
    }
  }
}

// Pixels of a tile, by the number of vectors: there are 16 registers.
constexpr int pixels_of_tile(int vectors) {
  return vectors == 1 ? 6 : vectors == 3 ? 3 : vectors <= 4 ? 8 / vectors : 1;
}

template <int kVectors>
void count_group(const BinaryConvRow& row, int channel, const uint8_t* filter) {
  const Patches<uint32_t>& patches = row.patches;
  const int num_words = patches.num_runs * patches.run_length;
  const int num_chunks = divide_up(num_words, kMostWords);
  const bool fits_halves = num_words <= kMostWordsInHalves;
  Cursor cursor;
  for (int i = 0, done = 0; i < num_chunks; ++i) {
    const Chunk chunk =
        cursor.next(patches, divide_up(num_words - done, num_chunks - i));
    const bool is_first = i == 0, is_last = i == num_chunks - 1;
    const Joining how = fits_halves ? Joining{!is_first, is_last, false}
                                    : Joining{false, true, !is_first};
    const auto count = [&](int pixel, auto kPixels) {
      count_tile<kPixels.value, kVectors>(
          patches.source + pixel * patches.pixel_step, patches.pixel_step, chunk,
          filter, how, row.counts + pixel * row.counts_stride + channel,
          row.counts_stride);
    };
    for_each_tile<pixels_of_tile(kVectors)>(row.num_pixels, count);
    filter += chunk.num_words * ptrdiff_t{4 * kVectors * kVectorBytes};
    done += chunk.num_words;
  }
}

void binary_conv_row(const BinaryConvRow& row) {
  const ptrdiff_t num_words = ptrdiff_t{row.patches.num_runs} * row.patches.run_length;
  const uint8_t* filter = static_cast<const uint8_t*>(row.filter);
  for_each_group<kVectorsOfGroup, kBlock>(row.num_channels, [&](int c, int vectors) {
    const uint8_t* group = filter + c / kBlock * num_words * 4 * kVectorBytes;
    with_size<kVectorsOfGroup>(
        vectors, [&](auto kVectors) { count_group<kVectors.value>(row, c, group); });
  });
}

}  // namespace

constexpr Kernels avx2_kernels = make_kernels<Avx2Simd>(
    "avx2", kBlock, binary_filter_bytes, pack_binary_filter, binary_conv_row);

}  // namespace r2b
