// Tables whose kernels are loops over vectors.
#ifndef R2B_KERNELS_MAKE_KERNELS_H_
#define R2B_KERNELS_MAKE_KERNELS_H_

#include "finish_loops.h"
#include "integer_loops.h"
#include "logistic.h"
#include "vector_loops.h"

namespace r2b {
namespace {

// A table: the binary convolution is its own, the rest is from the loops. It must be a
// constant: code that makes it when the library is loaded might not run on this CPU.
template <typename Simd>
constexpr Kernels make_kernels(const char* name, int binary_channel_block,
                               size_t (*binary_filter_bytes)(int, int),
                               void (*pack_binary_filter)(const uint32_t*, int, int,
                                                          void*),
                               void (*binary_conv_row)(const BinaryConvRow&)) {
  return {name,
          binary_channel_block,
          binary_filter_bytes,
          pack_binary_filter,
          binary_conv_row,
          real_filter_bytes<Simd>,
          pack_real_filter<Simd>,
          real_conv_row<Simd>,
          Simd::kWeightLimit,
          integer_filter_bytes<Simd>,
          pack_integer_filter<Simd>,
          integer_conv_row<Simd>,
          quantize_row<Simd>,
          finish_row<Simd>,
          logistic<Simd::kLanes / 2>,
          max_pool_row<Simd>,
          mean_pool_row<Simd>};
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_MAKE_KERNELS_H_
