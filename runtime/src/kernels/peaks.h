// The most that an instruction set can do on this CPU, to judge kernels by: their
// innermost instructions on registers, with nothing to load and nothing to wait for.
#ifndef R2B_KERNELS_PEAKS_H_
#define R2B_KERNELS_PEAKS_H_

#include <cstdint>

namespace r2b {

struct Peak {
  const char* kernels;  // the name of their table
  // Each does its work so many times over; a round has so many multiply-accumulates.
  void (*spin_binary)(int64_t rounds);
  int64_t binary_macs_a_round;
  void (*spin_real)(int64_t rounds);
  int64_t real_macs_a_round;
};

extern const Peak portable_peak;
#if defined(__x86_64__)
extern const Peak avx2_peak;
extern const Peak avx512_peak;
#elif defined(__aarch64__)
extern const Peak neon_peak;
#endif

// The peak that belongs to a table, or null.
const Peak* find_peak(const char* kernels);

struct Rates {
  double binary_macs, real_macs;  // a second, one thread
};

// Measures for some tens of milliseconds.
Rates measure_peak(const Peak& peak);

}  // namespace r2b

#endif  // R2B_KERNELS_PEAKS_H_
