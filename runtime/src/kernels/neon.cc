// The table for 64-bit Arm.
#include "neon.h"

#if defined(__aarch64__)

#include "logistic.h"
#include "tables.h"

namespace r2b {

constexpr Kernels neon_kernels = {
    "neon",
    neon::kBinaryChannelBlock,
    neon::binary_filter_bytes,
    neon::pack_binary_filter,
    neon::binary_conv_row,
    neon::real_filter_bytes,
    neon::pack_real_filter,
    neon::real_conv_row,
    127,
    neon::integer_filter_bytes,
    neon::pack_integer_filter,
    neon::integer_conv_row,
    neon::quantize_row,
    neon::finish_row,
    logistic<2>,
    neon::max_pool_row,
    neon::mean_pool_row,
};

}  // namespace r2b

#endif  // __aarch64__
