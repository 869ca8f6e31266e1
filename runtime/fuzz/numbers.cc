#include "numbers.h"

#include <algorithm>
#include <climits>
#include <limits>

namespace r2b_fuzz {
namespace {

constexpr uint8_t kFirstExtreme = 240;
constexpr int64_t kExtremes[] = {
    0,           -1,          1 << 10, 1 << 16,      1 << 20,          1 << 24,
    INT_MAX / 4, INT_MAX - 1, INT_MAX, INT_MIN,      int64_t{1} << 31, int64_t{1} << 32,
    INT64_MAX,   INT64_MIN,   -2,      (1 << 20) + 1};

uint32_t mixed(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352d;
  x ^= x >> 15;
  x *= 0x846ca68b;
  return x ^ x >> 16;
}

}  // namespace

int64_t number(uint8_t byte, int64_t modulus) {
  if (byte >= kFirstExtreme) return kExtremes[byte - kFirstExtreme];
  return 1 + byte % modulus;
}

int extent(uint8_t byte, int modulus) {
  return static_cast<int>(std::clamp<int64_t>(number(byte, modulus), INT_MIN, INT_MAX));
}

bool is_small(const r2b_test::Dims& dims) {
  int64_t count = 1;
  for (int each : dims) {
    if (each < 0 || each > 65536) return false;
    count *= each;
    if (count > 65536) return false;
  }
  return true;
}

size_t count_of(const r2b_test::Dims& dims) {
  size_t count = 1;
  for (int each : dims) count *= static_cast<size_t>(each);
  return count;
}

float some_float(uint8_t seed, size_t i) {
  const uint32_t random = mixed(static_cast<uint32_t>(i) * 256 + seed);
  const float small = static_cast<float>(static_cast<int>(random % 65) - 32) / 8;
  if (seed < 200) return small;
  switch (random >> 16 & 15) {
    case 0:
      return std::numeric_limits<float>::quiet_NaN();
    case 1:
      return std::numeric_limits<float>::infinity();
    case 2:
      return -std::numeric_limits<float>::infinity();
    case 3:
      return std::numeric_limits<float>::denorm_min();
    case 4:
      return -0.0f;
    case 5:
      return std::numeric_limits<float>::max();
    case 6:
      return -1e30f;
    default:
      return small;
  }
}

uint32_t some_word(uint8_t seed, size_t i) {
  if (seed == 254) return 0;
  if (seed == 255) return ~uint32_t{0};
  return mixed(static_cast<uint32_t>(i) * 256 + seed);
}

}  // namespace r2b_fuzz
