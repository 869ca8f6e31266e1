// What the tests of kernels share: a case to report, inputs, and the comparison of
// whole outputs. Equal to the bit; but where a result is not a number, any NaN will do:
// which one comes out depends on the order of operands, which a compiler may swap.
#ifndef R2B_TESTS_KERNEL_CASES_H_
#define R2B_TESTS_KERNEL_CASES_H_

#include <signal.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "guarded.h"
#include "kernels/kernels.h"

namespace r2b_test {

// What is being tested, for messages: set before the kernel runs, as it may crash.
struct Case {
  const char* table = "";
  const char* function = "";
  uint64_t seed = 0;
  std::string text;
};
inline Case current;

inline void set_case(const r2b::Kernels& kernels, const char* function, uint64_t seed,
                     const std::string& text) {
  current = {kernels.name, function, seed, text};
}

inline std::string case_text(const std::string& what) {
  return std::string(current.function) + " of table " + current.table + ": " + what +
         "; case: " + current.text + "; seed " + std::to_string(current.seed);
}

inline void report_crash(int) {
  const std::string text = case_text("touched memory that is not its own");
  std::fprintf(stderr, "%s\n", text.c_str());
  _exit(1);
}

using NamedValues = std::initializer_list<std::pair<const char*, long>>;

inline std::string describe(NamedValues values) {
  std::string text;
  for (const auto& [name, value] : values) {
    text += std::string(text.empty() ? "" : " ") + name + "=" + std::to_string(value);
  }
  return text;
}

inline uint32_t bits_of(float value) {
  if (std::isnan(value)) return 0x7fc00000u;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline uint32_t bits_of(uint32_t value) { return value; }
inline uint32_t bits_of(int32_t value) { return uint32_t(value); }
inline uint32_t bits_of(uint8_t value) { return value; }

// The whole output, with what lies between rows and behind the last one.
template <typename Element>
void check_output(const char* name, const Guarded<Element>& got,
                  const std::vector<Element>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (bits_of(got[i]) == bits_of(expected[i])) continue;
    const std::string what = std::string(name) + "[" + std::to_string(i) + "] is " +
                             std::to_string(got[i]) + ", expected " +
                             std::to_string(expected[i]);
    check(false, __FILE__, __LINE__, case_text(what));
    return;
  }
  check(true, __FILE__, __LINE__, name);
}

template <typename Element>
std::vector<Element> copy_of(const Guarded<Element>& array) {
  return std::vector<Element>(array.data(), array.data() + array.size());
}

using FloatLimits = std::numeric_limits<float>;

inline const float kSpecialValues[] = {
    0.0f,
    -0.0f,
    FloatLimits::quiet_NaN(),
    -FloatLimits::quiet_NaN(),
    FloatLimits::infinity(),
    -FloatLimits::infinity(),
    FloatLimits::denorm_min(),
    -FloatLimits::denorm_min(),
    0x1p-127f,
    -0x1.8p-130f,
    FloatLimits::min(),
    -FloatLimits::min(),
    FloatLimits::max(),
    FloatLimits::lowest(),
};

// One in `one_in` values is special; none for 0.
inline void fill(Guarded<float>& array, Random& random, int one_in) {
  const int last = int(sizeof(kSpecialValues) / sizeof(float)) - 1;
  for (size_t i = 0; i < array.size(); ++i) {
    array[i] = one_in != 0 && random.between(1, one_in) == 1
                   ? kSpecialValues[random.between(0, last)]
                   : random.uniform();
  }
}

using Side = Guarded<float>::Side;

// 1 to 70, then primes and the widths of networks.
inline std::vector<int> channel_counts() {
  std::vector<int> counts;
  for (int c = 1; c <= 70; ++c) counts.push_back(c);
  for (const int c : {96, 97, 127, 128, 129, 131, 191, 192, 256, 257, 509, 512}) {
    counts.push_back(c);
  }
  return counts;
}

inline uint64_t next_seed() {
  static uint64_t seed = 0;
  return ++seed;
}

inline void for_each_table(void (*test)(const r2b::Kernels&)) {
  signal(SIGSEGV, report_crash);
  const r2b::Kernels* const* table = r2b::available_kernels();
  for (; *table != nullptr; ++table) test(**table);
  signal(SIGSEGV, SIG_DFL);
}

}  // namespace r2b_test

#endif  // R2B_TESTS_KERNEL_CASES_H_
