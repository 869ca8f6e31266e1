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

// neon_integer.cc
size_t integer_filter_bytes(int num_channels, int num_runs, int run_length);
void pack_integer_filter(const int8_t* filter, const int32_t* bias, int num_channels,
                         int num_runs, int run_length, void* packed);
void integer_conv_row(const IntegerConvRow& row);
void quantize_row(const QuantizedRow& row);

// neon_finish.cc
void finish_row(const FinishRow& row);

// neon_pool.cc
void max_pool_row(const PoolRow& row);
void mean_pool_row(const PoolRow& row, float factor);

inline int smaller(int a, int b) { return b < a ? b : a; }

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

// Empty statements that keep compilers from rearranging.

// Loads step a pointer on themselves, by a number in a register: the value of either is
// not seen through.
template <typename Value>
R2B_INLINE void keep(Value& value) {
  asm("" : "+r"(value));
}

// What is read at `later` is read after `earlier` is made.
template <typename Vector, typename Element>
R2B_INLINE void order(Vector& earlier, Element*& later) {
  asm volatile("" : "+w"(earlier), "+r"(later));
}

// Calls copy(offset, position, count) for each stretch of a patch whose elements of
// [begin, end) lie side by side; position counts from begin.
template <typename Element, typename Copy>
R2B_INLINE void for_each_stretch(const Patches<Element>& patches, int begin, int end,
                                 const Copy& copy) {
  const ptrdiff_t* run = patches.run_offsets + begin / patches.run_length;
  int skipped = begin % patches.run_length;
  for (int position = 0; position < end - begin; skipped = 0) {
    int count = patches.run_length - skipped;
    if (count > end - begin - position) count = end - begin - position;
    copy(*run++ + skipped, position, count);
    position += count;
  }
}

// Four pixels' patches, the last one again where there are less: the second to the
// fourth are so many bytes behind the first.
template <typename Element>
struct FourPixels {
  FourPixels(const Patches<Element>& patches, ptrdiff_t pixel, int num_pixels) {
    const ptrdiff_t step = patches.pixel_step * ptrdiff_t(sizeof(Element));
    first = patches.source + pixel * patches.pixel_step;
    second = num_pixels > 1 ? step : 0;
    third = num_pixels > 2 ? second + step : second;
    fourth = num_pixels > 3 ? third + step : third;
  }
  const Element* first;
  ptrdiff_t second, third, fourth;
};

template <typename Element>
R2B_INLINE const Element* bytes_behind(const Element* pointer, ptrdiff_t bytes) {
  return reinterpret_cast<const Element*>(reinterpret_cast<const char*>(pointer) +
                                          bytes);
}

}  // namespace neon
}  // namespace r2b

#endif  // R2B_KERNELS_NEON_H_
