// Binary convolution for x86 without an instruction that counts bits in vectors. Looking
// counts up by nibbles is fastest, and the table to look in need not be the counts of
// 0..15:
//
// For each byte of activations there are 32 bytes: in the low half the bits in which its
// low nibble differs from 0..15, in the high half the same of its high nibble. A filter's
// byte is kept as two nibbles, the low ones of 16 output channels in the low half of 32
// bytes, the high ones in the high half. One shuffle then gives the differing bits of 8
// input channels and of 16 output channels for each 32 bytes of a vector.
//
// A file for an instruction set brings a type `Bytes`, in its unnamed namespace:
//   Vector, kParts           a vector of kParts times 32 bytes
//   zero, load, add          as whole vectors of bytes
//   repeat(from)             the 32 bytes there in each part
//   look_up(table, places)   in 16 bytes at a time
//   part(vector, i)          32 bytes of it
//   keep(vector)             an empty statement that compilers think changes it
//   kVectorsOfGroup, pixels_of_tile(vectors)    what there are registers for
//
// Everything is in an unnamed namespace, as in `vector_loops.h`.
#ifndef R2B_KERNELS_NIBBLE_COUNTS_H_
#define R2B_KERNELS_NIBBLE_COUNTS_H_

#include <immintrin.h>

#include "held_tiles.h"
#include "make_kernels.h"

namespace r2b {
namespace {

constexpr int kPartBytes = 32;
constexpr int kPartChannels = 16;
// A word adds up to 16 to the count of its low nibbles, and to that of its high ones.
constexpr int kMostWords = 255 / 16;
constexpr int kMostWordsInHalves = 65535 / 32;

// Output channels of a vector.
template <typename Bytes>
constexpr int kBlock = Bytes::kParts * kPartChannels;

struct alignas(64) DifferingBits {
  uint8_t of_byte[256][kPartBytes];
};

constexpr DifferingBits make_differing_bits() {
  DifferingBits table = {};
  for (int byte = 0; byte < 256; ++byte) {
    for (int i = 0; i < kPartBytes; ++i) {
      const int bits = ((i < 16 ? byte : byte >> 4) ^ i) & 15;
      table.of_byte[byte][i] =
          uint8_t((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3));
    }
  }
  return table;
}

constexpr DifferingBits kDifferingBits = make_differing_bits();

// Channels of 32 bytes in the order of its bytes: when the bytes of even and of odd
// places become 16-bit numbers, eight channels that follow each other stay together.
constexpr int channel_of_lane(int lane) { return lane / 2 + lane % 2 * 8; }

// Packed binary filter: groups of up to kVectorsOfGroup blocks of channels, in each
// [byte][block of the group][nibbles as above]; channels past the last are zero.
template <typename Bytes>
size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock<Bytes>)) * num_words * sizeof(uint32_t) *
         Bytes::kParts * kPartBytes;
}

template <typename Bytes>
void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint8_t* to = static_cast<uint8_t*>(packed);
  const auto pack_group = [&](int first, int vectors) {
    for (int i = 0; i < num_words * 4; ++i) {
      for (int part = 0; part < vectors * Bytes::kParts; ++part, to += kPartBytes) {
        for (int lane = 0; lane < kPartChannels; ++lane) {
          const int c = first + part * kPartChannels + channel_of_lane(lane);
          const uint32_t word =
              c < num_channels ? filter[ptrdiff_t{c} * num_words + i / 4] : 0;
          to[lane] = word >> (i % 4 * 8) & 15;
          to[lane + kPartChannels] = word >> (i % 4 * 8 + 4) & 15;
        }
      }
    }
  };
  for_each_group<Bytes::kVectorsOfGroup, kBlock<Bytes>>(num_channels, pack_group);
}

// Words of a patch that fit into byte-sized counts.
struct Chunk {
  ptrdiff_t offsets[kMostWords];
  int num_words;
};

// Where the table has the row of one of the four bytes of a word.
template <int kByte>
inline const uint8_t* differing_bits(uint32_t word) {
  constexpr int kShift = 8 * kByte - 5;  // rows of the table have 1 << 5 bytes
  const size_t offset = (kShift < 0 ? word << 5 : word >> (kShift & 31)) & (255 << 5);
  return reinterpret_cast<const uint8_t*>(&kDifferingBits) + offset;
}

// Adds to the counts of each pixel what its table has for these weights.
template <typename Bytes, int kPixels>
R2B_INLINE void add_counts(typename Bytes::Vector weights,
                           const Held<Bytes, kPixels>& tables,
                           Held<Bytes, kPixels>& counts) {
  counts.first = Bytes::add(counts.first, Bytes::look_up(tables.first, weights));
  // Nothing is added up in another order: compilers else add the bytes of a word first,
  // for which there are not enough registers.
  Bytes::keep(counts.first);
  if constexpr (kPixels > 1) add_counts(weights, tables.rest, counts.rest);
}

template <int kByte, typename Bytes, int kPixels, int kVectors>
R2B_INLINE void count_byte(const uint32_t* x, ptrdiff_t step, const uint8_t* filter,
                           HeldRows<Bytes, kPixels, kVectors>& counts) {
  Held<Bytes, kPixels> tables;
  for_each(tables, [&](auto& table, int p) R2B_ALWAYS {
    table = Bytes::repeat(differing_bits<kByte>(x[p * step]));
  });
  for_each(counts, [&](auto& of_pixels, int v) R2B_ALWAYS {
    const auto weights =
        Bytes::load(filter + (kByte * kVectors + v) * Bytes::kParts * kPartBytes);
    add_counts(weights, tables, of_pixels);
  });
}

inline __m256i load_part(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
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
    low = _mm256_add_epi16(low, load_part(to));
    high = _mm256_add_epi16(high, load_part(to + 8));
  }
  if (how.widens) {
    low = sum_of_nibbles(low);
    high = sum_of_nibbles(high);
    if (how.adds_words) {
      low = _mm256_add_epi32(low, load_part(to));
      high = _mm256_add_epi32(high, load_part(to + 8));
    }
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), high);
}

template <typename Bytes, int kPixels, int kVectors>
void count_tile(const uint32_t* source, ptrdiff_t step, const Chunk& chunk,
                const uint8_t* filter, Joining how, int32_t* to, ptrdiff_t stride) {
  HeldRows<Bytes, kPixels, kVectors> counts;  // of each vector those of pixels
  for_each(counts, [](auto& of_pixels, int) R2B_ALWAYS {
    for_each(of_pixels, [](auto& count, int) R2B_ALWAYS { count = Bytes::zero(); });
  });
  for (int i = 0; i < chunk.num_words; ++i) {
    const uint32_t* x = source + chunk.offsets[i];
    count_byte<0>(x, step, filter, counts);
    count_byte<1>(x, step, filter, counts);
    count_byte<2>(x, step, filter, counts);
    count_byte<3>(x, step, filter, counts);
    filter += 4 * kVectors * Bytes::kParts * kPartBytes;
  }
  for_each(counts, [&](auto& of_pixels, int v) R2B_ALWAYS {
    for_each(of_pixels, [&](auto& count, int p) R2B_ALWAYS {
      for (int part = 0; part < Bytes::kParts; ++part) {
        int32_t* target = to + p * stride + v * kBlock<Bytes> + part * kPartChannels;
        join_counts(Bytes::part(count, part), how, target);
      }
    });
  });
}

template <typename Bytes, int kVectors>
void count_group(const BinaryConvRow& row, int channel, const uint8_t* filter) {
  const Patches<uint32_t>& patches = row.patches;
  const int num_words = patches.num_runs * patches.run_length;
  const int num_chunks = divide_up(num_words, kMostWords);
  const bool fits_halves = num_words <= kMostWordsInHalves;
  WordCursor cursor;
  for (int i = 0, done = 0; i < num_chunks; ++i) {
    Chunk chunk;
    chunk.num_words = divide_up(num_words - done, num_chunks - i);
    cursor.next(patches, chunk.num_words, chunk.offsets);
    const bool is_first = i == 0, is_last = i == num_chunks - 1;
    const Joining how = fits_halves ? Joining{!is_first, is_last, false}
                                    : Joining{false, true, !is_first};
    const auto count = [&](int pixel, auto kPixels) {
      count_tile<Bytes, kPixels.value, kVectors>(
          patches.source + pixel * patches.pixel_step, patches.pixel_step, chunk,
          filter, how, row.counts + pixel * row.counts_stride + channel,
          row.counts_stride);
    };
    for_each_tile<Bytes::pixels_of_tile(kVectors)>(row.num_pixels, count);
    filter += chunk.num_words * ptrdiff_t{4 * kVectors * Bytes::kParts * kPartBytes};
    done += chunk.num_words;
  }
}

template <typename Bytes>
void binary_conv_row(const BinaryConvRow& row) {
  const ptrdiff_t num_words = ptrdiff_t{row.patches.num_runs} * row.patches.run_length;
  const uint8_t* filter = static_cast<const uint8_t*>(row.filter);
  const auto convolve_group = [&](int c, int vectors) {
    const uint8_t* group = filter + c / kPartChannels * num_words * 4 * kPartBytes;
    with_size<Bytes::kVectorsOfGroup>(vectors, [&](auto kVectors) {
      count_group<Bytes, kVectors.value>(row, c, group);
    });
  };
  for_each_group<Bytes::kVectorsOfGroup, kBlock<Bytes>>(row.num_channels,
                                                        convolve_group);
}

template <typename Bytes, typename Simd>
constexpr Kernels make_nibble_kernels(const char* name) {
  return make_kernels<Simd>(name, kBlock<Bytes>, binary_filter_bytes<Bytes>,
                            pack_binary_filter<Bytes>, binary_conv_row<Bytes>);
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_NIBBLE_COUNTS_H_
