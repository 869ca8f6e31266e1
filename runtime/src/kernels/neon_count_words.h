// The innermost loop of the binary convolution on 64-bit Arm, in assembly: it needs all
// 32 registers, and compilers that order it themselves spill.
#ifndef R2B_KERNELS_NEON_COUNT_WORDS_H_
#define R2B_KERNELS_NEON_COUNT_WORDS_H_

#if defined(__aarch64__)

#include <arm_neon.h>

#include "neon.h"

namespace r2b {
namespace neon {

// Where a tile is in its panel and its filter. Both are read a word ahead, so that
// in-order cores do not wait: there is a word to spare at their ends.
struct CountPosition {
  const uint16_t* words;   // [word][4 pixels]{a1 ^ a2, a2}
  const uint16_t* filter;  // [word][vector]{~w1 [8], ~(w1 ^ w2) [8]}
};

// clang-format off
// In registers: v16-v23 the filter's word (~w1, ~(w1 ^ w2) of each vector), v24-v27 the
// words of two pixels (a1 ^ a2, a2 of each), v28-v31 the bits to count.
#define R2B_EOR(bits, second, first_equal) \
  "eor v" #bits ".16b, v" #second ".16b, v" #first_equal ".16b\n"
#define R2B_BSL(bits, difference, equal) \
  "bsl v" #bits ".16b, v" #difference ".16b, v" #equal ".16b\n"
#define R2B_CNT(bits) "cnt v" #bits ".16b, v" #bits ".16b\n"
#define R2B_ADD(count, bits) "add %" #count ".16b, %" #count ".16b, v" #bits ".16b\n"
#define R2B_SET(count, bits) "cnt %" #count ".16b, v" #bits ".16b\n"

// One pixel with four vectors, or two pixels with two.
#define R2B_BITS_1X4(difference, second)                                          \
  R2B_EOR(28, second, 16) R2B_EOR(29, second, 18) R2B_EOR(30, second, 20)         \
  R2B_EOR(31, second, 22) R2B_BSL(28, difference, 17) R2B_BSL(29, difference, 19) \
  R2B_BSL(30, difference, 21) R2B_BSL(31, difference, 23)
#define R2B_BITS_2X2                                                              \
  R2B_EOR(28, 25, 16) R2B_EOR(29, 25, 18) R2B_EOR(30, 27, 16) R2B_EOR(31, 27, 18) \
  R2B_BSL(28, 24, 17) R2B_BSL(29, 24, 19) R2B_BSL(30, 26, 17) R2B_BSL(31, 26, 19)

#define R2B_COUNT_ADD(a, b, c, d)                 \
  R2B_CNT(28) R2B_CNT(29) R2B_CNT(30) R2B_CNT(31) \
  R2B_ADD(a, 28) R2B_ADD(b, 29) R2B_ADD(c, 30) R2B_ADD(d, 31)
#define R2B_COUNT_SET(a, b, c, d) \
  R2B_SET(a, 28) R2B_SET(b, 29) R2B_SET(c, 30) R2B_SET(d, 31)

#define R2B_LOAD_2_PIXELS "ld4r {v24.8h-v27.8h}, [%[words]], #8\n"
#define R2B_LOAD_LAST_2 "ld4r {v24.8h-v27.8h}, [%[words]], %[rest]\n"
#define R2B_LOAD_LAST_1 "ld2r {v24.8h-v25.8h}, [%[words]], %[rest]\n"
#define R2B_LOAD_FILTER_2 "ld1 {v16.8h-v19.8h}, [%[filter]], #64\n"
#define R2B_LOAD_FILTER_4 R2B_LOAD_FILTER_2 "ld1 {v20.8h-v23.8h}, [%[filter]], #64\n"

// A word of four, three, two, one pixels with four vectors; of four with two. Counts
// are numbered pixel by pixel.
#define R2B_WORD_4X4(COUNT)                                          \
  R2B_BITS_1X4(24, 25) COUNT(0, 1, 2, 3)                             \
  R2B_BITS_1X4(26, 27) R2B_LOAD_2_PIXELS COUNT(4, 5, 6, 7)           \
  R2B_BITS_1X4(24, 25) COUNT(8, 9, 10, 11)                           \
  R2B_BITS_1X4(26, 27) R2B_LOAD_FILTER_4 R2B_LOAD_2_PIXELS COUNT(12, 13, 14, 15)
#define R2B_WORD_3X4(COUNT)                                          \
  R2B_BITS_1X4(24, 25) COUNT(0, 1, 2, 3)                             \
  R2B_BITS_1X4(26, 27) R2B_LOAD_LAST_1 COUNT(4, 5, 6, 7)             \
  R2B_BITS_1X4(24, 25) R2B_LOAD_FILTER_4 R2B_LOAD_2_PIXELS COUNT(8, 9, 10, 11)
#define R2B_WORD_2X4(COUNT)              \
  R2B_BITS_1X4(24, 25) COUNT(0, 1, 2, 3) \
  R2B_BITS_1X4(26, 27) R2B_LOAD_FILTER_4 R2B_LOAD_LAST_2 COUNT(4, 5, 6, 7)
#define R2B_WORD_1X4(COUNT) \
  R2B_BITS_1X4(24, 25) R2B_LOAD_FILTER_4 R2B_LOAD_LAST_1 COUNT(0, 1, 2, 3)
#define R2B_WORD_4X2(COUNT)                        \
  R2B_BITS_2X2 R2B_LOAD_2_PIXELS COUNT(0, 1, 2, 3) \
  R2B_BITS_2X2 R2B_LOAD_FILTER_2 R2B_LOAD_2_PIXELS COUNT(4, 5, 6, 7)

// The first word sets the counts, a second makes the rest even.
#define R2B_COUNT_WORDS(LOAD_FIRST, WORD, last_step, ...)                              \
  asm volatile(LOAD_FIRST WORD(R2B_COUNT_SET)                                         \
               "tbnz %w[num_words], #0, 0f\n"                                         \
               WORD(R2B_COUNT_ADD)                                                    \
               "0: cbz %w[pairs], 2f\n"                                               \
               "1:\n"                                                                 \
               WORD(R2B_COUNT_ADD) WORD(R2B_COUNT_ADD)                                \
               "subs %w[pairs], %w[pairs], #1\n"                                      \
               "b.ne 1b\n"                                                            \
               "2:\n"                                                                 \
               : __VA_ARGS__, [words] "+r"(words), [filter] "+r"(filter),             \
                 [pairs] "+r"(pairs)                                                  \
               : [num_words] "r"(num_words), [rest] "r"(ptrdiff_t(last_step))         \
               : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24",       \
                 "v25", "v26", "v27", "v28", "v29", "v30", "v31", "cc", "memory")
#define R2B_FOUR(counts) \
  "=&w"((counts)[0]), "=&w"((counts)[1]), "=&w"((counts)[2]), "=&w"((counts)[3])

// counts[pixel * kVectors + vector] = popcounts of the next 1 <= num_words <= 31 words,
// a byte for each half.
// clang-format on

template <int kPixels, int kVectors>
R2B_INLINE void count_words(CountPosition* at, int num_words,
                            uint8x16_t (&counts)[kPixels * kVectors]) {
  const uint16_t* words = at->words;
  const uint16_t* filter = at->filter;
  int pairs = (num_words - 1) / 2;
  uint8x16_t* c = counts;
  if constexpr (kPixels == 4 && kVectors == 4) {
    R2B_COUNT_WORDS(R2B_LOAD_FILTER_4 R2B_LOAD_2_PIXELS, R2B_WORD_4X4, 0, R2B_FOUR(c),
                    R2B_FOUR(c + 4), R2B_FOUR(c + 8), R2B_FOUR(c + 12));
  } else if constexpr (kPixels == 3) {
    R2B_COUNT_WORDS(R2B_LOAD_FILTER_4 R2B_LOAD_2_PIXELS, R2B_WORD_3X4, 8, R2B_FOUR(c),
                    R2B_FOUR(c + 4), R2B_FOUR(c + 8));
  } else if constexpr (kPixels == 2) {
    R2B_COUNT_WORDS(R2B_LOAD_FILTER_4 R2B_LOAD_LAST_2, R2B_WORD_2X4, 16, R2B_FOUR(c),
                    R2B_FOUR(c + 4));
  } else if constexpr (kPixels == 1) {
    R2B_COUNT_WORDS(R2B_LOAD_FILTER_4 R2B_LOAD_LAST_1, R2B_WORD_1X4, 16, R2B_FOUR(c));
  } else {
    static_assert(kPixels == 4 && kVectors == 2);
    R2B_COUNT_WORDS(R2B_LOAD_FILTER_2 R2B_LOAD_2_PIXELS, R2B_WORD_4X2, 0, R2B_FOUR(c),
                    R2B_FOUR(c + 4));
  }
  at->words += num_words * 8;
  at->filter += num_words * kVectors * 16;
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
#endif  // R2B_KERNELS_NEON_COUNT_WORDS_H_
