// Kernels for any processor: vectors of four as the compiler's vector extension makes
// them of whatever the processor has.
#include "tables.h"
#include "vector_loops.h"

namespace r2b {
namespace {

struct PortableSimd {
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
      const Doubles sums =
          fused_in_doubles(Doubles{a[i], a[i + 1]}, Doubles{b[i], b[i + 1]},
                           Doubles{c[i], c[i + 1]});
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
};

// Packed binary filter: [block of channels][word][channel of the block].
constexpr int kBlock = 4;
using Words __attribute__((vector_size(16))) = uint32_t;

size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * num_words * sizeof(Words);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint32_t* to = static_cast<uint32_t*>(packed);
  for (int c = 0; c < num_channels; c += kBlock) {
    for (int i = 0; i < num_words; ++i) {
      for (int lane = 0; lane < kBlock; ++lane) {
        const bool used = c + lane < num_channels;
        *to++ = used ? filter[ptrdiff_t{c + lane} * num_words + i] : 0;
      }
    }
  }
}

// The number of bits in each byte.
inline Words bits_of_bytes(Words words) {
  Words bits = words - ((words >> 1) & 0x55555555u);
  bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u);
  return (bits + (bits >> 4)) & 0x0f0f0f0fu;
}

inline Words sum_of_bytes(Words bytes) {
  const Words pairs = (bytes & 0x00ff00ffu) + ((bytes >> 8) & 0x00ff00ffu);
  return (pairs + (pairs >> 16)) & 0xffffu;
}

void count_block(const Patches<uint32_t>& patches, const uint32_t* source,
                 const Words* filter, int32_t* counts) {
  constexpr int kMostInBytes = 31;  // 31 words of 8 bits a byte stay below 256
  Words total = {}, bytes = {};
  int in_bytes = 0;
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint32_t* x = source + patches.run_offsets[r];
    for (int i = 0; i < patches.run_length; ++i) {
      bytes += bits_of_bytes(*filter++ ^ x[i]);
      if (++in_bytes == kMostInBytes) {
        total += sum_of_bytes(bytes);
        bytes = Words{};
        in_bytes = 0;
      }
    }
  }
  total += sum_of_bytes(bytes);
  std::memcpy(counts, &total, sizeof(total));
}

void binary_conv_row(const BinaryConvRow& row) {
  const int num_words = row.patches.num_runs * row.patches.run_length;
  for (int c = 0; c < row.num_channels; c += kBlock) {
    const Words* filter =
        static_cast<const Words*>(row.filter) + ptrdiff_t{c / kBlock} * num_words;
    for (ptrdiff_t p = 0; p < row.num_pixels; ++p) {
      count_block(row.patches, row.patches.source + p * row.patches.pixel_step, filter,
                  row.counts + p * row.counts_stride + c);
    }
  }
}

}  // namespace

constexpr Kernels portable_kernels =
    make_kernels<PortableSimd>("portable", kBlock, binary_filter_bytes,
                               pack_binary_filter, binary_conv_row);

}  // namespace r2b
