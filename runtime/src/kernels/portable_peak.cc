// Peaks of plain C++, and how peaks are measured.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "peaks.h"
#include "spin.h"

namespace r2b {
namespace {

struct Binary {
  using Vector = uint64_t;
  static Vector zero() { return 0; }
  static void hide(Vector& vector) { asm volatile("" : "+r"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    return sum + static_cast<Vector>(__builtin_popcountll(operand ^ 1));
  }
};

struct Real {
  using Vector = float;
  static Vector zero() { return 0; }
  static void hide(Vector& vector) { asm volatile("" : "+m"(vector)); }
  static Vector step(Vector sum, Vector operand) {
    return std::fma(operand, operand, sum);
  }
};

// The best of several short runs, in rounds a second.
double measure(void (*spin_rounds)(int64_t)) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRuns = 8;
  constexpr double kEnough = 2e-3;
  double best = 0;
  int64_t rounds = 1 << 10;
  for (int run = 0; run < kRuns;) {
    const auto begin = Clock::now();
    spin_rounds(rounds);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (seconds < kEnough) {
      rounds *= 2;
      continue;
    }
    best = std::max(best, static_cast<double>(rounds) / seconds);
    ++run;
  }
  return best;
}

}  // namespace

const Peak portable_peak = {"portable", spin<Binary>, kSums * 64, spin<Real>, kSums};

const Peak* find_peak(const char* kernels) {
  const Peak* const peaks[] = {
#if defined(__x86_64__)
      &avx512_peak, &avx2_peak,
#elif defined(__aarch64__)
      &neon_peak,
#endif
      &portable_peak};
  for (const Peak* peak : peaks) {
    if (std::strcmp(peak->kernels, kernels) == 0) return peak;
  }
  return nullptr;
}

Rates measure_peak(const Peak& peak) {
  return {measure(peak.spin_binary) * static_cast<double>(peak.binary_macs_a_round),
          measure(peak.spin_real) * static_cast<double>(peak.real_macs_a_round)};
}

}  // namespace r2b
