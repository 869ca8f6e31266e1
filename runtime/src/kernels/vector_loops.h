// Loops that are the same for vectors of every width.
//
// A file for an instruction set brings a type `Simd`, in its unnamed namespace:
//   Floats, kLanes           a vector of floats and how many there are in it
//   Mask, mask(n)            the first n lanes, 0 <= n <= kLanes
//   load, store              whole vectors, or (with a Mask) the lanes of it only
//   splat, add, multiply
//   fused(a, b, c)           a * b + c, rounded once
//   larger(a, b)             a < b ? b : a
//   smaller(a, b)            b < a ? b : a
//   scale_negative(y, s)     y < 0 ? y * s : y
//   negative_bits(y)         bit i: lane i < 0
//   Clamp, clamp(low, high)  whatever `from_counts` wants of the two
//   from_counts(p, [mask,] clamp)   float(clamp(2 * count, low, high))
//   kRealVectors, kRealSums         vectors of channels, and of sums, of a tile of the
//                                   real-valued convolution
// and what `integer_loops.h` asks for.
//
// Everything here is in an unnamed namespace, and nothing calls functions of the
// standard library: what is compiled for an instruction set must not become the one
// copy of a shared function that the linker keeps.
#ifndef R2B_KERNELS_VECTOR_LOOPS_H_
#define R2B_KERNELS_VECTOR_LOOPS_H_

#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace r2b {
namespace {

template <int kSize>
using Size = std::integral_constant<int, kSize>;

// Calls body(Size<size>()), 1 <= size <= kMost.
template <int kMost, typename Body>
inline void with_size(int size, const Body& body) {
  if constexpr (kMost > 1) {
    if (size < kMost) return with_size<kMost - 1>(size, body);
  }
  body(Size<kMost>());
}

// Calls body(first, Size<size>()) for tiles that cover num_items, of nearly equal sizes
// up to kMost: a small last tile would waste most of what a tile is for.
template <int kMost, typename Body>
inline void for_each_tile(int num_items, const Body& body) {
  int first = 0;
  for (int left = (num_items + kMost - 1) / kMost; left > 0; --left) {
    const int size = (num_items - first + left - 1) / left;
    with_size<kMost>(size, [&](auto tile) { body(first, tile); });
    first += size;
  }
}

inline int divide_up(int value, int divisor) { return (value + divisor - 1) / divisor; }

// Walks along the words of a patch.
struct WordCursor {
  int run = 0, word = 0;

  // Where the next words are, seen from their pixel.
  void next(const Patches<uint32_t>& patches, int num_words, ptrdiff_t* offsets) {
    for (int done = 0; done < num_words;) {
      const int left = num_words - done, in_run = patches.run_length - word;
      const int count = in_run < left ? in_run : left;
      const ptrdiff_t first = patches.run_offsets[run] + word;
      for (int i = 0; i < count; ++i) offsets[done + i] = first + i;
      done += count;
      word += count;
      if (word == patches.run_length) ++run, word = 0;
    }
  }
};

// Several vectors side by side: whole ones, or those of the last channels.
template <typename Simd, int kVectors>
struct WholeVectors {
  static constexpr int kCount = kVectors;
  static constexpr int kLanes = Simd::kLanes;
  typename Simd::Floats load(const float* from, int v) const {
    return Simd::load(from + v * kLanes);
  }
  void store(float* to, int v, typename Simd::Floats values) const {
    Simd::store(to + v * kLanes, values);
  }
  typename Simd::Floats from_counts(const int32_t* from, int v,
                                    typename Simd::Clamp clamp) const {
    return Simd::from_counts(from + v * kLanes, clamp);
  }
  uint32_t used_bits() const { return ~uint32_t{0}; }
};

template <typename Simd, int kVectors>
struct PartVectors {
  static constexpr int kCount = kVectors;
  static constexpr int kLanes = Simd::kLanes;
  explicit PartVectors(int num_values) : num_values(num_values) {
    for (int v = 0; v < kVectors; ++v) {
      const int left = num_values - v * kLanes;
      masks[v] = Simd::mask(left < 0 ? 0 : left < kLanes ? left : kLanes);
    }
  }
  typename Simd::Floats load(const float* from, int v) const {
    return Simd::load(from + v * kLanes, masks[v]);
  }
  void store(float* to, int v, typename Simd::Floats values) const {
    Simd::store(to + v * kLanes, values, masks[v]);
  }
  typename Simd::Floats from_counts(const int32_t* from, int v,
                                    typename Simd::Clamp clamp) const {
    return Simd::from_counts(from + v * kLanes, masks[v], clamp);
  }
  uint32_t used_bits() const { return (uint32_t{1} << num_values) - 1; }
  int num_values;
  typename Simd::Mask masks[kVectors];
};

// Calls body(first channel, vectors) for all channels from `c` on, kVectors vectors at a
// time, and once for those that are left: with half as many vectors where these hold them.
template <typename Simd, int kVectors, typename Body>
inline void for_each_vectors(int num_channels, const Body& body, int c = 0) {
  static_assert((kVectors & (kVectors - 1)) == 0, "halves must be whole vectors");
  constexpr int kBlock = kVectors * Simd::kLanes;
  for (; c + kBlock <= num_channels; c += kBlock) {
    body(c, WholeVectors<Simd, kVectors>());
  }
  if (c == num_channels) return;
  if constexpr (kVectors > 1) {
    if (num_channels - c <= kBlock / 2) {
      return for_each_vectors<Simd, kVectors / 2>(num_channels, body, c);
    }
  }
  body(c, PartVectors<Simd, kVectors>(num_channels - c));
}

// Calls body(first channel, number of vectors) for groups of up to kVectors vectors of
// kLanes channels. All groups before a channel are full, so a packed filter's values
// before the group of channel c are c times those of a channel.
template <int kVectors, int kLanes, typename Body>
inline void for_each_group(int num_channels, const Body& body) {
  for (int c = 0; c < num_channels; c += kVectors * kLanes) {
    const int vectors = divide_up(num_channels - c, kLanes);
    body(c, vectors < kVectors ? vectors : kVectors);
  }
}

// Packed real-valued filter: in each group of channels [bias, then the weights in
// order][channel of the group]; channels past the last are zero.
template <typename Simd>
size_t real_filter_bytes(int num_channels, int num_weights) {
  return size_t(divide_up(num_channels, Simd::kLanes)) * Simd::kLanes *
         (size_t(num_weights) + 1) * sizeof(float);
}

template <typename Simd>
void pack_real_filter(const float* filter, const float* bias, int num_channels,
                      int num_weights, void* packed) {
  float* to = static_cast<float*>(packed);
  const auto pack_group = [&](int first, int vectors) {
    const int end = first + vectors * Simd::kLanes;
    for (int c = first; c < end; ++c) {
      *to++ = bias != nullptr && c < num_channels ? bias[c] : 0.0f;
    }
    for (int i = 0; i < num_weights; ++i) {
      for (int c = first; c < end; ++c) {
        *to++ = c < num_channels ? filter[ptrdiff_t{c} * num_weights + i] : 0.0f;
      }
    }
  };
  for_each_group<Simd::kRealVectors, Simd::kLanes>(num_channels, pack_group);
}

template <typename Simd, int kPixels, int kVectors>
void real_tile(const RealConvRow& row, const float* weights, int pixel, int channel) {
  using Floats = typename Simd::Floats;
  constexpr int kLanes = Simd::kLanes;
  const Patches<float>& patches = row.patches;
  const ptrdiff_t step = patches.pixel_step;
  Floats sums[kPixels][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[p][v] = Simd::load(weights + v * kLanes);
  }
  for (int r = 0; r < patches.num_runs; ++r) {
    const float* x = patches.source + pixel * step + patches.run_offsets[r];
    for (int i = 0; i < patches.run_length; ++i, ++x) {
      weights += kVectors * kLanes;
      if constexpr (kPixels < kVectors) {
        Floats values[kPixels];
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p) values[p] = Simd::splat(x[p * step]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const Floats weight = Simd::load(weights + v * kLanes);
#pragma GCC unroll 8
          for (int p = 0; p < kPixels; ++p) {
            sums[p][v] = Simd::fused(values[p], weight, sums[p][v]);
          }
        }
      } else {
        Floats weight[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) weight[v] = Simd::load(weights + v * kLanes);
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p) {
          const Floats value = Simd::splat(x[p * step]);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            sums[p][v] = Simd::fused(value, weight[v], sums[p][v]);
          }
        }
      }
    }
  }
  const int channels = row.num_channels - channel;
  float* output = row.output + pixel * row.output_stride + channel;
  const auto store = [&](const auto& vectors) R2B_ALWAYS {
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        vectors.store(output + p * row.output_stride, v, sums[p][v]);
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
constexpr int real_pixels(int vectors) {
  return Simd::kRealSums / vectors < 8 ? Simd::kRealSums / vectors : 8;
}

template <typename Simd>
void real_conv_row(const RealConvRow& row) {
  const Patches<float>& patches = row.patches;
  const ptrdiff_t num_weights = ptrdiff_t{patches.num_runs} * patches.run_length;
  const float* filter = static_cast<const float*>(row.filter);
  const auto convolve_group = [&](int c, int vectors) {
    const float* group = filter + c * (num_weights + 1);
    with_size<Simd::kRealVectors>(vectors, [&](auto kVectors) {
      constexpr int kMostPixels = real_pixels<Simd>(kVectors.value);
      for_each_tile<kMostPixels>(row.num_pixels, [&](int pixel, auto kPixels) {
        real_tile<Simd, kPixels.value, kVectors.value>(row, group, pixel, c);
      });
    });
  };
  for_each_group<Simd::kRealVectors, Simd::kLanes>(row.num_channels, convolve_group);
}

constexpr int kPoolVectors = 4;

// Folds the pixels of each window, first to last, and stores what `last` makes of them.
template <typename Simd, typename Fold, typename Last>
inline void fold_windows(const PoolRow& row, const Fold& fold, const Last& last) {
  const auto fold_channels = [&](int c, const auto& vectors) {
    constexpr int kCount = std::decay_t<decltype(vectors)>::kCount;
    for (ptrdiff_t w = 0; w < row.num_windows; ++w) {
      const ptrdiff_t first = w * row.window_step + c;
      typename Simd::Floats folded[kCount];
      for (int v = 0; v < kCount; ++v) {
        folded[v] = vectors.load(row.lines[0] + first, v);
      }
      for (int l = 0; l < row.num_lines; ++l) {
        const float* pixel = row.lines[l] + first;
        for (int t = l == 0 ? 1 : 0; t < row.num_taps; ++t) {
          const float* values = pixel + ptrdiff_t{t} * row.num_channels;
          for (int v = 0; v < kCount; ++v) {
            folded[v] = fold(folded[v], vectors.load(values, v));
          }
        }
      }
      float* output = row.output + w * row.num_channels + c;
      for (int v = 0; v < kCount; ++v) vectors.store(output, v, last(folded[v]));
    }
  };
  for_each_vectors<Simd, kPoolVectors>(row.num_channels, fold_channels);
}

template <typename Simd>
void max_pool_row(const PoolRow& row) {
  using Floats = typename Simd::Floats;
  fold_windows<Simd>(
      row, [](Floats a, Floats b) { return Simd::larger(a, b); },
      [](Floats largest) { return largest; });
}

template <typename Simd>
void mean_pool_row(const PoolRow& row, float factor) {
  using Floats = typename Simd::Floats;
  fold_windows<Simd>(
      row, [](Floats a, Floats b) { return Simd::add(a, b); },
      [factor](Floats sum) { return Simd::multiply(sum, Simd::splat(factor)); });
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_VECTOR_LOOPS_H_
