// Vectors of four floats as the compiler's vector extension makes them of whatever the
// processor has.
#ifndef R2B_KERNELS_FOUR_LANES_H_
#define R2B_KERNELS_FOUR_LANES_H_

#include <cstdint>
#include <cstring>

namespace r2b {
namespace {

// What `vector_loops.h` and `integer_loops.h` ask for.
struct FourLanes {
  using Floats __attribute__((vector_size(16))) = float;
  using Integers __attribute__((vector_size(16))) = int32_t;
  using Doubles __attribute__((vector_size(16))) = double;
  using Mask = int;
  struct Clamp {
    int32_t low, high;
  };
  static constexpr int kLanes = 4;
  static constexpr int kRealVectors = 2;
  static constexpr int kRealSums = 4;
  static constexpr int kIntegerVectors = 2;
  static constexpr int kIntegerSums = 4;
  static constexpr bool kStretches = false;
  static constexpr int kWeightLimit = 127;

  static Mask mask(int count) { return count; }
  static Clamp clamp(int32_t low, int32_t high) { return {low, high}; }
  static Floats splat(float value) { return Floats{value, value, value, value}; }
  static Floats load(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof(values));
    return values;
  }
  static Floats load(const float* from, Mask mask) {
    Floats values = splat(0.0f);
    for (int i = 0; i < mask; ++i) values[i] = from[i];
    return values;
  }
  static void store(float* to, Floats values) {
    std::memcpy(to, &values, sizeof(values));
  }
  static void store(float* to, Floats values, Mask mask) {
    for (int i = 0; i < mask; ++i) to[i] = values[i];
  }
  static Floats add(Floats a, Floats b) { return a + b; }
  static Floats multiply(Floats a, Floats b) { return a * b; }
  static Floats fused(Floats a, Floats b, Floats c) {
#if defined(__FMA__) || defined(__aarch64__)
    for (int i = 0; i < kLanes; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#else
    for (int i = 0; i < kLanes; i += 2) {
      const Doubles sums = fused_in_doubles(
          Doubles{a[i], a[i + 1]}, Doubles{b[i], b[i + 1]}, Doubles{c[i], c[i + 1]});
      c[i] = float(sums[0]);
      c[i + 1] = float(sums[1]);
    }
    return c;
#endif
  }
  // For processors that have no such instruction. The product of two floats is exact;
  // the sum becomes the nearest double whose last bit is odd, unless it is exact: then
  // rounding it again, to a float, is as if it had not been rounded before.
  static Doubles fused_in_doubles(Doubles a, Doubles b, Doubles c) {
    const Doubles product = a * b, sum = product + c;
    const Doubles added = sum - product;
    const Doubles error = (product - (sum - added)) + (c - added);
    const Doubles zeros = {0.0, 0.0};
    const auto inexact = (error < zeros) | (error > zeros);  // not where it is NaN
    const auto step = ((error < zeros) ^ (sum < zeros)) | 1;
    auto bits = inexact;
    std::memcpy(&bits, &sum, sizeof(bits));
    const auto is_even = -(~bits & 1);
    bits += step & inexact & is_even;
    Doubles odd;
    std::memcpy(&odd, &bits, sizeof(odd));
    return odd;
  }
  static Floats larger(Floats a, Floats b) { return a < b ? b : a; }
  static Floats smaller(Floats a, Floats b) { return b < a ? b : a; }
  static Floats scale_negative(Floats y, Floats slope) {
    return y < splat(0.0f) ? y * slope : y;
  }
  static uint32_t negative_bits(Floats y) {
    const Integers negative = y < splat(0.0f);
    uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= uint32_t(negative[i] & 1) << i;
    return bits;
  }
  static Floats from_counts(Integers counts, Clamp clamp) {
    const Integers twice = counts + counts;
    const Integers zeros = {0, 0, 0, 0};
    const Integers low = zeros + clamp.low, high = zeros + clamp.high;
    const Integers raised = twice < low ? low : twice;
    return __builtin_convertvector(high < raised ? high : raised, Floats);
  }
  static Floats from_counts(const int32_t* from, Clamp clamp) {
    Integers counts;
    std::memcpy(&counts, from, sizeof(counts));
    return from_counts(counts, clamp);
  }
  static Floats from_counts(const int32_t* from, Mask mask, Clamp clamp) {
    Integers counts = {0, 0, 0, 0};
    for (int i = 0; i < mask; ++i) counts[i] = from[i];
    return from_counts(counts, clamp);
  }
  static Integers load_integers(const void* from) {
    Integers integers;
    std::memcpy(&integers, from, sizeof(integers));
    return integers;
  }
  static Integers repeat(const uint8_t* bytes) {
    int32_t four;
    std::memcpy(&four, bytes, sizeof(four));
    return Integers{four, four, four, four};
  }
  static Integers add_products(Integers sums, Integers bytes, Integers weights) {
    for (int k = 0; k < 4; ++k)
      sums += unsigned_byte(bytes, k) * signed_byte(weights, k);
    return sums;
  }
  static Floats to_floats(Integers sums) {
    return __builtin_convertvector(sums, Floats);
  }
  static void store_bytes(uint8_t* to, Floats y, int32_t low) {
    // Towards zero; where that is upwards, one down: true is -1.
    Integers whole = __builtin_convertvector(y, Integers);
    whole += __builtin_convertvector(whole, Floats) > y;
    for (int i = 0; i < kLanes; ++i) to[i] = uint8_t(whole[i] - low);
  }

 private:
  // Of each lane, the byte that is number k in memory.
  static constexpr int shift_of(int k) {
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 8 * k : 24 - 8 * k;
  }
  static Integers unsigned_byte(Integers lanes, int k) {
    return (lanes >> shift_of(k)) & 255;
  }
  static Integers signed_byte(Integers lanes, int k) {
    const Integers byte = unsigned_byte(lanes, k);
    return byte - ((byte & 128) << 1);
  }
};

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_FOUR_LANES_H_
