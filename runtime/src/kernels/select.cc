// Which tables this CPU can run.
#include <cstring>

#include "tables.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace r2b {
namespace {

#if defined(__x86_64__)

struct Features {
  bool sse4 = false;      // SSE4.2, SSSE3 and POPCNT
  bool avx2 = false;      // with FMA, POPCNT and BMI2, which every such CPU has
  bool avxvnni = false;   // the same, and AVX-VNNI
  bool avx512bw = false;  // F, BW, DQ and VL
  bool avx512 = false;    // the same, VPOPCNTDQ and VNNI
};

// The parts of a CPU's state that the operating system saves: XCR0.
uint32_t saved_states() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

Features detect() {
  constexpr uint32_t kVectorState = 0x06, kMaskState = 0xe0;  // XMM, YMM; masks, ZMM
  Features features;
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
  constexpr uint32_t kSse4 = bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT;
  constexpr uint32_t kAvx = bit_FMA | bit_AVX | bit_OSXSAVE;
  features.sse4 = (ecx & kSse4) == kSse4;
  if (!features.sse4 || (ecx & kAvx) != kAvx) return features;
  const uint32_t states = saved_states();
  if ((states & kVectorState) != kVectorState) return features;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return features;
  constexpr uint32_t kAvx2 = bit_AVX2 | bit_BMI2;
  constexpr uint32_t kAvx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  features.avx2 = (ebx & kAvx2) == kAvx2;
  features.avx512bw = features.avx2 && (ebx & kAvx512) == kAvx512 &&
                      (states & kMaskState) == kMaskState;
  constexpr uint32_t kCounts = bit_AVX512VPOPCNTDQ | bit_AVX512VNNI;
  features.avx512 = features.avx512bw && (ecx & kCounts) == kCounts;
  const uint32_t last_subleaf = eax;
  constexpr uint32_t kAvxVnni = 1u << 4;  // which old headers do not name
  features.avxvnni = features.avx2 && last_subleaf >= 1 &&
                     __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) &&
                     (eax & kAvxVnni) != 0;
  return features;
}

#elif defined(__aarch64__)

// As Linux tells programs: HWCAP_ASIMDDP, which old headers do not name.
bool has_dot_products() { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }

#endif

constexpr int kMostTables = 6;

struct Available {
  const Kernels* tables[kMostTables + 1] = {};
  Kernels avxvnni;

  Available() {
    const Kernels** next = tables;
#if defined(__x86_64__)
    const Features features = detect();
    if (features.avx512) *next++ = &avx512_kernels;
    if (features.avx512bw) *next++ = &avx512bw_kernels;
#if defined(R2B_AVXVNNI)
    if (features.avxvnni) {
      avxvnni = with_avxvnni(avx2_kernels);
      *next++ = &avxvnni;
    }
#endif
    if (features.avx2) *next++ = &avx2_kernels;
    if (features.sse4) *next++ = &sse4_kernels;
#elif defined(__aarch64__)
    if (has_dot_products()) *next++ = &neondot_kernels;
    *next++ = &neon_kernels;
#endif
    *next = &portable_kernels;
  }
};

}  // namespace

const Kernels* const* available_kernels() {
  static const Available available;
  return available.tables;
}

const Kernels* find_kernels(const char* name) {
  for (const Kernels* const* table = available_kernels(); *table != nullptr; ++table) {
    if (std::strcmp((*table)->name, name) == 0) return *table;
  }
  return nullptr;
}

}  // namespace r2b
