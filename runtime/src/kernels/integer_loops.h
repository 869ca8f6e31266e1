// Loops over 8-bit numbers that are the same for vectors of every width.
//
// Beside what `vector_loops.h` asks for a `Simd` brings:
//   Integers                 kLanes 32-bit numbers, or 4 * kLanes 8-bit ones
//   load_integers            a whole vector
//   repeat(bytes)            the four bytes there, in each lane
//   to_floats(s)
//   kWeightLimit             how large weights may be for sums to be exact
//   kStretches               how products of unsigned bytes x and signed ones w are added
//     false: add_products(s, x, w)   to each lane of s those of its four bytes
//     true:  add_pairs(s, x, w)      to each half of a lane those of its two bytes
//            add_halves(s, halves)   to each lane of s its two halves
//   kIntegerVectors, kIntegerSums   vectors of channels, and of sums, of a tile
//   store_bytes(to, y, low)  kLanes bytes floor(y) - low, which 8 bits hold
#ifndef R2B_KERNELS_INTEGER_LOOPS_H_
#define R2B_KERNELS_INTEGER_LOOPS_H_

#include "integer_filter.h"
#include "vector_loops.h"

namespace r2b {
namespace {

// Adds to sums[p][v] what four bytes of each pixel give with their weights.
template <typename Simd, int kPixels, int kVectors, typename Add>
R2B_INLINE void add_four(const uint8_t* x, ptrdiff_t step, const char* weights,
                         typename Simd::Integers (&sums)[kPixels][kVectors],
                         const Add& add) {
  using Integers = typename Simd::Integers;
  Integers weight[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    weight[v] = Simd::load_integers(weights + v * 4 * Simd::kLanes);
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
    const Integers bytes = Simd::repeat(x + p * step);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[p][v] = add(sums[p][v], bytes, weight[v]);
    }
  }
}

// sums[p][v] += the products of whole runs.
template <typename Simd, int kPixels, int kVectors>
R2B_INLINE void add_runs(const Patches<uint8_t>& patches, const char* weights,
                         int pixel,
                         typename Simd::Integers (&sums)[kPixels][kVectors]) {
  constexpr int kBytes = 4 * Simd::kLanes;
  const ptrdiff_t step = patches.pixel_step;
  const int fours = divide_up(patches.run_length, 4);
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint8_t* x = patches.source + pixel * step + patches.run_offsets[r];
    for (int i = 0; i < fours; ++i, x += 4, weights += kVectors * kBytes) {
      add_four<Simd>(x, step, weights, sums, Simd::add_products);
    }
  }
}

// The same by stretches, which integer_filter.h explains.
template <typename Simd, int kPixels, int kVectors>
R2B_INLINE void add_stretches(const Patches<uint8_t>& patches, const char* weights,
                              int pixel,
                              typename Simd::Integers (&sums)[kPixels][kVectors]) {
  using Integers = typename Simd::Integers;
  constexpr int kBytes = 4 * Simd::kLanes;
  const ptrdiff_t step = patches.pixel_step;
  const ptrdiff_t fours = divide_up(patches.run_length, 4);
  const uint8_t* length = reinterpret_cast<const uint8_t*>(weights);
  weights +=
      ptrdiff_t{length_rows(patches.num_runs, patches.run_length)} * kVectors * kBytes;
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint8_t* x = patches.source + pixel * step + patches.run_offsets[r];
    const uint8_t* end = x + 4 * fours;
    while (x < end) {
      Integers halves[kPixels][kVectors];
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          halves[p][v] = Simd::load_integers(weights + v * kBytes);
        }
      }
      const uint8_t* stretch_end = x + 4 * ptrdiff_t{*length++};
      for (; x < stretch_end; x += 4) {
        weights += kVectors * kBytes;
        add_four<Simd>(x, step, weights, halves, Simd::add_pairs);
      }
      weights += kVectors * kBytes;
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          sums[p][v] = Simd::add_halves(sums[p][v], halves[p][v]);
        }
      }
    }
  }
}

template <typename Simd, int kPixels, int kVectors>
void integer_tile(const IntegerConvRow& row, const char* weights, int pixel,
                  int channel) {
  using Floats = typename Simd::Floats;
  using Integers = typename Simd::Integers;
  constexpr int kLanes = Simd::kLanes, kBytes = 4 * kLanes;
  Integers sums[kPixels][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[p][v] = Simd::load_integers(weights + v * kBytes);
    }
  }
  weights += kVectors * kBytes;
  if constexpr (Simd::kStretches) {
    add_stretches<Simd>(row.patches, weights, pixel, sums);
  } else {
    add_runs<Simd>(row.patches, weights, pixel, sums);
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
  const auto store = [&](const auto& vectors) R2B_ALWAYS {
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
      filter_rows<Simd>(patches.num_runs, patches.run_length) * 4;
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
