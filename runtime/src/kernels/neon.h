// The pieces of the table for 64-bit Arm, and what they share. Only the baseline of
// ARMv8.0-A is used.
#ifndef R2B_KERNELS_NEON_H_
#define R2B_KERNELS_NEON_H_

#include <cstddef>
#include <type_traits>
#include <utility>

#include "kernels.h"

namespace r2b {
namespace neon {

// neon_binary.cc
constexpr int kBinaryChannelBlock = 16;
size_t binary_filter_bytes(int num_channels, int num_words);
void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed);
void binary_conv_row(const BinaryConvRow& row);

// neon_real.cc
size_t real_filter_bytes(int num_channels, int num_weights);
void pack_real_filter(const float* filter, const float* bias, int num_channels,
                      int num_weights, void* packed);
void real_conv_row(const RealConvRow& row);

// neon_finish.cc
void finish_row(const FinishRow& row);

// neon_pool.cc
void max_window(const PoolWindow& window);
void mean_window(const PoolWindow& window, float factor);

#define R2B_ALWAYS __attribute__((always_inline))
#define R2B_INLINE inline R2B_ALWAYS

template <typename Body, int... kIndex>
R2B_INLINE void unroll(const Body& body, std::integer_sequence<int, kIndex...>) {
  (body(std::integral_constant<int, kIndex>()), ...);
}

// body(0), body(1), ... body(kCount - 1), each index a constant: arrays of vectors that
// are indexed so stay in registers, and lanes may be named.
template <int kCount, typename Body>
R2B_INLINE void unroll(const Body& body) {
  unroll(body, std::make_integer_sequence<int, kCount>());
}

// Three empty statements that keep compilers from rearranging.

// Loads step the pointer on themselves: its value is not seen through.
template <typename Element>
R2B_INLINE void keep_pointer(const Element*& pointer) {
  asm("" : "+r"(pointer));
}

// What needs `later` comes after what makes `earlier`.
template <typename Vector, typename Other>
R2B_INLINE void order(Vector& earlier, Other& later) {
  asm volatile("" : "+w"(earlier), "+w"(later));
}
template <typename Vector, typename Element>
R2B_INLINE void order(Vector& earlier, const Element*& later) {
  asm volatile("" : "+w"(earlier), "+r"(later));
}

template <typename Vector>
R2B_INLINE void keep_until_here(const Vector& vector) {
  asm volatile("" : : "w"(vector));
}

// Calls copy(source, position, count) for each stretch of the patch of the pixel at
// `pixel` whose elements [begin, end) lie side by side; position counts from begin.
template <typename Element, typename Copy>
R2B_INLINE void for_each_stretch(const Patches<Element>& patches, int begin, int end,
                                 const Copy& copy) {
  int run = begin / patches.run_length;
  int skipped = begin - run * patches.run_length;
  for (int position = begin; position < end; run++) {
    int count = patches.run_length - skipped;
    if (count > end - position) count = end - position;
    copy(patches.run_offsets[run] + skipped, position - begin, count);
    position += count;
    skipped = 0;
  }
}

}  // namespace neon
}  // namespace r2b

#endif  // R2B_KERNELS_NEON_H_
