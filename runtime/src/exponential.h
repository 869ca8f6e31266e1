// e^x, the same bits on every machine: libraries differ in the last ones.
#ifndef R2B_EXPONENTIAL_H_
#define R2B_EXPONENTIAL_H_

#include <cstdint>
#include <cstring>

namespace r2b {

// x = k ln 2 + r, |r| <= ln 2 / 2, and the series of e^r to r^11, whose rest is below
// 1e-14 and so far below what is left of it in float32. `Doubles` is double and `Words`
// uint64_t, or both are vectors of as many. (One for each file: those of an instruction
// set are for processors that have it.)
template <typename Doubles, typename Words>
__attribute__((always_inline)) static inline Doubles exponential(Doubles x) {
  constexpr double kLog2E = 1.4426950408889634;
  // ln 2 in two parts: k times the first is exact.
  constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
  constexpr double kSeries[] = {
      1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
      1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2,     1.0,        1.0};
  // Beyond this float32 has infinity and zero anyway. NaN is neither.
  const Doubles most = Doubles{} + 700.0, least = Doubles{} - 700.0;
  x = x > most ? most : x;
  x = x < least ? least : x;
  // Adding 1.5 * 2^52 rounds to a whole number, which then is in the low bits.
  constexpr double kRound = 0x1.8p52;
  const Doubles shifted = x * kLog2E + kRound;
  const Doubles k = shifted - kRound;
  const Doubles r = (x - k * kLn2High) - k * kLn2Low;
  Doubles sum = {};
  for (double term : kSeries) sum = sum * r + term;
  Words bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  Doubles power;
  std::memcpy(&power, &bits, sizeof power);
  return sum * power;
}

}  // namespace r2b

#endif  // R2B_EXPONENTIAL_H_
