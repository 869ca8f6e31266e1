// Loops over 8-bit numbers that are the same for vectors of every width.
//
// Beside what `vector_loops.h` asks for a `Simd` brings:
//   Integers                 kLanes 32-bit numbers, or 4 * kLanes 8-bit ones
//   load_integers            a whole vector
//   repeat(bytes)            the four bytes there, in each lane
//   add_products(s, x, w)    to each lane of s the sum of the products of its four
//                            unsigned bytes of x and its four signed ones of w
//   to_floats(s)
//   kWeightLimit             how large those of w may be for the sum to be exact
//   kIntegerVectors, kIntegerSums   vectors of channels, and of sums, of a tile
//   store_bytes(to, y, low)  kLanes bytes floor(y) - low, which 8 bits hold
#ifndef R2B_KERNELS_INTEGER_LOOPS_H_
#define R2B_KERNELS_INTEGER_LOOPS_H_

#include "vector_loops.h"

namespace r2b {
namespace {

// Packed integer filter: in each group of channels the 32-bit biases, then for each run
// of a patch its weights, four by four, [four][channel of the group][weight of four]: a
// run is filled up with weights of zero, as are channels past the last.
template <typename Simd>
size_t integer_filter_bytes(int num_channels, int num_runs, int run_length) {
  return size_t(divide_up(num_channels, Simd::kLanes)) * Simd::kLanes *
         (size_t(num_runs) * size_t(divide_up(run_length, 4)) + 1) * sizeof(int32_t);
}

template <typename Simd>
void pack_integer_filter(const int8_t* filter, const int32_t* bias, int num_channels,
                         int num_runs, int run_length, void* packed) {
  char* to = static_cast<char*>(packed);
  const auto pack_group = [&](int first, int vectors) {
    const int end = first + vectors * Simd::kLanes;
    for (int c = first; c < end; ++c, to += sizeof(int32_t)) {
      const int32_t value = c < num_channels ? bias[c] : 0;
      std::memcpy(to, &value, sizeof(value));
    }
    for (int r = 0; r < num_runs; ++r) {
      for (int i = 0; i < run_length; i += 4) {
        for (int c = first; c < end; ++c) {
          const int8_t* from =
              filter + (ptrdiff_t{c} * num_runs + r) * run_length + i;
          for (int k = 0; k < 4; ++k) {
            const bool is_used = c < num_channels && i + k < run_length;
            *to++ = char(is_used ? from[k] : 0);
          }
        }
      }
    }
  };
  for_each_group<Simd::kIntegerVectors, Simd::kLanes>(num_channels, pack_group);
}

template <typename Simd, int kPixels, int kVectors>
void integer_tile(const IntegerConvRow& row, const char* weights, int pixel,
                  int channel) {
  using Floats = typename Simd::Floats;
  using Integers = typename Simd::Integers;
  constexpr int kLanes = Simd::kLanes, kBytes = 4 * kLanes;
  const ptrdiff_t step = row.patches.pixel_step;
  const int fours = divide_up(row.patches.run_length, 4);
  Integers sums[kPixels][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[p][v] = Simd::load_integers(weights + v * kBytes);
    }
  }
  for (int r = 0; r < row.patches.num_runs; ++r) {
    const uint8_t* x = row.patches.source + pixel * step + row.patches.run_offsets[r];
    for (int i = 0; i < fours; ++i, x += 4) {
      weights += kVectors * kBytes;
      Integers weight[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        weight[v] = Simd::load_integers(weights + v * kBytes);
      }
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
        const Integers bytes = Simd::repeat(x + p * step);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          sums[p][v] = Simd::add_products(sums[p][v], bytes, weight[v]);
        }
      }
    }
  }
  const int channels = row.num_channels - channel;
  float* output = row.output + pixel * row.output_stride + channel;
  Floats values[kPixels][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) values[p][v] = Simd::to_floats(sums[p][v]);
  }
  // Always in line: values stay in registers.
  const auto store = [&](const auto& vectors) __attribute__((always_inline)) {
    Floats multiplier[kVectors], addend[kVectors];
    if (row.multiplier != nullptr) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        multiplier[v] = vectors.load(row.multiplier + channel, v);
      }
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          values[p][v] = Simd::multiply(values[p][v], multiplier[v]);
        }
      }
    }
    if (row.addend != nullptr) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        addend[v] = vectors.load(row.addend + channel, v);
      }
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          values[p][v] = Simd::add(values[p][v], addend[v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        vectors.store(output + p * row.output_stride, v, values[p][v]);
      }
    }
  };
  if (channels >= kVectors * kLanes) {
    store(WholeVectors<Simd, kVectors>());
  } else {
    store(PartVectors<Simd, kVectors>(channels));
  }
}

// Pixels of a tile.
template <typename Simd>
constexpr int integer_pixels(int vectors) {
  return Simd::kIntegerSums / vectors < 8 ? Simd::kIntegerSums / vectors : 8;
}

template <typename Simd>
void integer_conv_row(const IntegerConvRow& row) {
  const Patches<uint8_t>& patches = row.patches;
  const ptrdiff_t channel_bytes =
      (ptrdiff_t{patches.num_runs} * divide_up(patches.run_length, 4) + 1) * 4;
  const char* filter = static_cast<const char*>(row.filter);
  const auto convolve_group = [&](int c, int vectors) {
    const char* group = filter + c * channel_bytes;
    with_size<Simd::kIntegerVectors>(vectors, [&](auto kVectors) {
      constexpr int kMostPixels = integer_pixels<Simd>(kVectors.value);
      for_each_tile<kMostPixels>(row.num_pixels, [&](int pixel, auto kPixels) {
        integer_tile<Simd, kPixels.value, kVectors.value>(row, group, pixel, c);
      });
    });
  };
  for_each_group<Simd::kIntegerVectors, Simd::kLanes>(row.num_channels, convolve_group);
}

template <typename Simd>
void quantize_row(const QuantizedRow& row) {
  using Floats = typename Simd::Floats;
  const Floats scale = Simd::splat(row.scale), shift = Simd::splat(row.shift);
  const Floats lowest = Simd::splat(row.lowest), highest = Simd::splat(row.highest);
  const int32_t first = int32_t(row.lowest);
  const auto limited = [&](Floats values) {
    Floats y = Simd::add(Simd::multiply(values, scale), shift);
    // Where one is NaN these give the first operand.
    if (row.nan_is_highest) y = Simd::smaller(highest, y);
    return Simd::smaller(highest, Simd::larger(lowest, y));
  };
  ptrdiff_t i = 0;
  for (; i + Simd::kLanes <= row.num_values; i += Simd::kLanes) {
    Simd::store_bytes(row.bytes + i, limited(Simd::load(row.values + i)), first);
  }
  if (i == row.num_values) return;
  const int left = int(row.num_values - i);
  uint8_t bytes[Simd::kLanes];
  const Floats values = Simd::load(row.values + i, Simd::mask(left));
  Simd::store_bytes(bytes, limited(values), first);
  for (int k = 0; k < left; ++k) row.bytes[i + k] = bytes[k];
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_INTEGER_LOOPS_H_
