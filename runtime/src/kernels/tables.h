// The tables there are; which of them are in a build depends on its processor.
#ifndef R2B_KERNELS_TABLES_H_
#define R2B_KERNELS_TABLES_H_

#include "kernels.h"

namespace r2b {

extern const Kernels portable_kernels;
extern const Kernels sse4_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512bw_kernels;
extern const Kernels avx512_kernels;
extern const Kernels neon_kernels;
extern const Kernels neondot_kernels;

// The table of AVX2 with its integer convolutions by VNNI; for a CPU that has it.
Kernels with_avxvnni(Kernels avx2);

}  // namespace r2b

#endif  // R2B_KERNELS_TABLES_H_
