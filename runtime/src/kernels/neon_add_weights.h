// The innermost loop of the real-valued convolution on 64-bit Arm, in assembly: it
// needs all 32 registers, and compilers that order it themselves spill.
#ifndef R2B_KERNELS_NEON_ADD_WEIGHTS_H_
#define R2B_KERNELS_NEON_ADD_WEIGHTS_H_

#if defined(__aarch64__)

#include <arm_neon.h>

#include "neon.h"

namespace r2b {
namespace neon {

// clang-format off
// In registers: v16-v19 four weights' values of the first four pixels, v20-v23 of the
// others, v24-v31 four weights of eight channels.
#define R2B_FMLA(sum, weights, values, lane) \
  "fmla %" #sum ".4s, v" #weights ".4s, v" #values ".s[" #lane "]\n"
#define R2B_PIXEL(low, high, values, lane, sum_low, sum_high) \
  R2B_FMLA(sum_low, low, values, lane) R2B_FMLA(sum_high, high, values, lane)

#define R2B_PIXELS_0(low, high, values)
#define R2B_PIXELS_1(low, high, values) R2B_PIXEL(low, high, values, 0, 0, 1)
#define R2B_PIXELS_2(low, high, values) \
  R2B_PIXELS_1(low, high, values) R2B_PIXEL(low, high, values, 1, 2, 3)
#define R2B_PIXELS_3(low, high, values) \
  R2B_PIXELS_2(low, high, values) R2B_PIXEL(low, high, values, 2, 4, 5)
#define R2B_PIXELS_4(low, high, values) \
  R2B_PIXELS_3(low, high, values) R2B_PIXEL(low, high, values, 3, 6, 7)
#define R2B_PIXELS_5(low, high, values) R2B_PIXEL(low, high, values, 0, 8, 9)
#define R2B_PIXELS_6(low, high, values) \
  R2B_PIXELS_5(low, high, values) R2B_PIXEL(low, high, values, 1, 10, 11)
#define R2B_PIXELS_7(low, high, values) \
  R2B_PIXELS_6(low, high, values) R2B_PIXEL(low, high, values, 2, 12, 13)
#define R2B_PIXELS_8(low, high, values) \
  R2B_PIXELS_7(low, high, values) R2B_PIXEL(low, high, values, 3, 14, 15)

#define R2B_START(sum_low, sum_high)                \
  "ldp %q" #sum_low ", %q" #sum_high ", [%[start]]\n" \
  "add %[start], %[start], %[start_step]\n"
#define R2B_START_1 R2B_START(0, 1)
#define R2B_START_2 R2B_START_1 R2B_START(2, 3)
#define R2B_START_3 R2B_START_2 R2B_START(4, 5)
#define R2B_START_4 R2B_START_3 R2B_START(6, 7)
#define R2B_START_5 R2B_START_4 R2B_START(8, 9)
#define R2B_START_6 R2B_START_5 R2B_START(10, 11)
#define R2B_START_7 R2B_START_6 R2B_START(12, 13)
#define R2B_START_8 R2B_START_7 R2B_START(14, 15)

#define R2B_LOAD_FIRST "ld1 {v16.4s-v19.4s}, [%[first]], #64\n"
#define R2B_LOAD_SECOND "ld1 {v20.4s-v23.4s}, [%[second]], #64\n"
#define R2B_LOAD_WEIGHTS_01 "ld1 {v24.4s-v27.4s}, [%[filter]], #64\n"
#define R2B_LOAD_WEIGHTS_23 "ld1 {v28.4s-v31.4s}, [%[filter]], #64\n"

#define R2B_WEIGHT_0(FIRST, SECOND) FIRST(24, 25, 16) SECOND(24, 25, 20)
#define R2B_WEIGHT_1(FIRST, SECOND) FIRST(26, 27, 17) SECOND(26, 27, 21)
#define R2B_WEIGHT_2(FIRST, SECOND) FIRST(28, 29, 18) SECOND(28, 29, 22)
#define R2B_FOUR_WEIGHTS(FIRST, SECOND, LOAD_SECOND)                           \
  R2B_WEIGHT_0(FIRST, SECOND)                                                  \
  R2B_WEIGHT_1(FIRST, SECOND) R2B_LOAD_WEIGHTS_01                              \
  R2B_WEIGHT_2(FIRST, SECOND)                                                  \
  FIRST(30, 31, 19) R2B_LOAD_FIRST SECOND(30, 31, 23) LOAD_SECOND              \
  R2B_LOAD_WEIGHTS_23

#define R2B_ADD_WEIGHTS(START, FIRST, SECOND, LOAD_SECOND)                             \
  asm volatile(START R2B_LOAD_WEIGHTS_01 R2B_LOAD_FIRST LOAD_SECOND                    \
               R2B_LOAD_WEIGHTS_23                                                     \
               "tbz %w[fours], #0, 0f\n"                                               \
               R2B_FOUR_WEIGHTS(FIRST, SECOND, LOAD_SECOND)                            \
               "0: lsr %w[fours], %w[fours], #1\n"                                     \
               "cbz %w[fours], 2f\n"                                                   \
               "1:\n"                                                                  \
               R2B_FOUR_WEIGHTS(FIRST, SECOND, LOAD_SECOND)                            \
               R2B_FOUR_WEIGHTS(FIRST, SECOND, LOAD_SECOND)                            \
               "subs %w[fours], %w[fours], #1\n"                                       \
               "b.ne 1b\n"                                                             \
               "2: cbz %w[left], 3f\n"                                                 \
               R2B_WEIGHT_0(FIRST, SECOND)                                             \
               "cmp %w[left], #2\n"                                                    \
               "b.lo 3f\n"                                                             \
               R2B_WEIGHT_1(FIRST, SECOND)                                             \
               "b.eq 3f\n"                                                             \
               R2B_WEIGHT_2(FIRST, SECOND)                                             \
               "3:\n"                                                                  \
               : "=&w"(sums[0]), "=&w"(sums[1]), "=&w"(sums[2]), "=&w"(sums[3]),       \
                 "=&w"(sums[4]), "=&w"(sums[5]), "=&w"(sums[6]), "=&w"(sums[7]),       \
                 "=&w"(sums[8]), "=&w"(sums[9]), "=&w"(sums[10]), "=&w"(sums[11]),     \
                 "=&w"(sums[12]), "=&w"(sums[13]), "=&w"(sums[14]), "=&w"(sums[15]),   \
                 [first] "+r"(first), [second] "+r"(second), [filter] "+r"(filter),    \
                 [start] "+r"(start), [fours] "+r"(fours)                              \
               : [left] "r"(left), [start_step] "r"(start_step)                        \
               : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", \
                 "v26", "v27", "v28", "v29", "v30", "v31", "cc", "memory")
// clang-format on

// sums[2 * pixel], sums[2 * pixel + 1] = start (start_step bytes from pixel to pixel)
// and num_weights weights' products, one after the other. Sums past kPixels are not
// set. first, second: [weight][4 pixels]; filter: [weight][8 channels]. All three have
// four weights to spare at their ends: they are read ahead, so that in-order cores do
// not wait.
template <int kPixels>
R2B_INLINE void add_weights(const float* first, const float* second,
                            const float* filter, int num_weights, const float* start,
                            ptrdiff_t start_step, float32x4_t (&sums)[16]) {
  unsigned fours = unsigned(num_weights) / 4, left = unsigned(num_weights) % 4;
  if constexpr (kPixels == 1) {
    R2B_ADD_WEIGHTS(R2B_START_1, R2B_PIXELS_1, R2B_PIXELS_0, "");
  } else if constexpr (kPixels == 2) {
    R2B_ADD_WEIGHTS(R2B_START_2, R2B_PIXELS_2, R2B_PIXELS_0, "");
  } else if constexpr (kPixels == 3) {
    R2B_ADD_WEIGHTS(R2B_START_3, R2B_PIXELS_3, R2B_PIXELS_0, "");
  } else if constexpr (kPixels == 4) {
    R2B_ADD_WEIGHTS(R2B_START_4, R2B_PIXELS_4, R2B_PIXELS_0, "");
  } else if constexpr (kPixels == 5) {
    R2B_ADD_WEIGHTS(R2B_START_5, R2B_PIXELS_4, R2B_PIXELS_5, R2B_LOAD_SECOND);
  } else if constexpr (kPixels == 6) {
    R2B_ADD_WEIGHTS(R2B_START_6, R2B_PIXELS_4, R2B_PIXELS_6, R2B_LOAD_SECOND);
  } else if constexpr (kPixels == 7) {
    R2B_ADD_WEIGHTS(R2B_START_7, R2B_PIXELS_4, R2B_PIXELS_7, R2B_LOAD_SECOND);
  } else {
    static_assert(kPixels == 8);
    R2B_ADD_WEIGHTS(R2B_START_8, R2B_PIXELS_4, R2B_PIXELS_8, R2B_LOAD_SECOND);
  }
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
#endif  // R2B_KERNELS_NEON_ADD_WEIGHTS_H_
