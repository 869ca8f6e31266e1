// Convolutions of bytes on 64-bit Arm, for tiles of pixels and channels. The patches of
// some pixels are gathered once for all channels, as signed bytes: 128 less than the
// pixels are, which the packed biases make up for.
//
// A file for an instruction set brings a type `Tile`, in its unnamed namespace:
//   kPixels, kChannels             of a tile; channels in fours
//   weight_bytes(n)                of n weights of each channel, packed
//   pack(filter, to)               all of a tile's channels
//   Place, place(weights, range)   where that range of those packed is
//   add<pixels>(patches, place, starts, sums)
//                                  sums[pixel][four of channels] = where they start, and
//                                  the products of the range
//
// Everything is in an unnamed namespace, as in `vector_loops.h`.
#ifndef R2B_KERNELS_NEON_INTEGER_H_
#define R2B_KERNELS_NEON_INTEGER_H_

#include <arm_neon.h>

#include <cstring>

#include "neon.h"
#include "vector_loops.h"

namespace r2b {
namespace {

using neon::unroll;

// Patches are gathered for so many pixels, and bytes of each, at a time.
constexpr int kPanelPixels = 8;
constexpr int kPanelBytes = 512;
// What is read and written at a time may go a little further.
constexpr int kPatchBytes = kPanelBytes + 2 * kBytesBehind;

struct BytePanel {
  int8_t patches[kPanelPixels][kPatchBytes];
};

inline int rounded_up(int value, int step) { return divide_up(value, step) * step; }

// Weights of the channels of a tile; there are zeros for those past the last.
struct TileFilter {
  const int8_t* weights;  // [num_channels][num_weights]
  int num_channels, num_weights;

  int8_t at(int channel, int i) const {
    return channel < num_channels && i < num_weights
               ? weights[ptrdiff_t{channel} * num_weights + i]
               : int8_t{0};
  }
};

// What a panel holds of so many weights.
struct WeightRange {
  int begin, end, num_weights;
};

// packed: [tile of channels]{biases, weights}
template <typename Tile>
size_t tile_bytes(int num_weights) {
  return Tile::kChannels * sizeof(int32_t) + Tile::weight_bytes(num_weights);
}

template <typename Tile>
size_t integer_filter_bytes(int num_channels, int num_runs, int run_length) {
  return size_t(divide_up(num_channels, Tile::kChannels)) *
         tile_bytes<Tile>(num_runs * run_length);
}

template <typename Tile>
void pack_integer_filter(const int8_t* filter, const int32_t* bias, int num_channels,
                         int num_runs, int run_length, void* packed) {
  const int num_weights = num_runs * run_length;
  std::memset(packed, 0,
              integer_filter_bytes<Tile>(num_channels, num_runs, run_length));
  char* to = static_cast<char*>(packed);
  for (int first = 0; first < num_channels; first += Tile::kChannels) {
    const TileFilter tile = {filter + ptrdiff_t{first} * num_weights,
                             neon::smaller(num_channels - first, Tile::kChannels),
                             num_weights};
    for (int c = 0; c < tile.num_channels; c++) {
      int32_t sum = bias[first + c];
      for (int i = 0; i < num_weights; i++) sum += 128 * tile.at(c, i);
      std::memcpy(to + c * sizeof(int32_t), &sum, sizeof(sum));
    }
    Tile::pack(tile, reinterpret_cast<int8_t*>(to + Tile::kChannels * sizeof(int32_t)));
    to += tile_bytes<Tile>(num_weights);
  }
}

// Bytes [begin, end) of the patches of kPixels pixels from one on.
template <int kPixels>
void gather(const Patches<uint8_t>& patches, int pixel, int begin, int end,
            BytePanel* panel) {
  const uint8x16_t sign = vdupq_n_u8(0x80);
  const uint8_t* first = patches.source + pixel * patches.pixel_step;
  neon::for_each_stretch(
      patches, begin, end, [&](ptrdiff_t offset, int position, int count) R2B_ALWAYS {
        const uint8_t* source = first + offset;
        for (int i = 0; i < count; i += 16, source += 16) {
          const uint8_t* from = source;
          unroll<kPixels>([&](auto p) R2B_ALWAYS {
            vst1q_s8(panel->patches[p] + position + i,
                     vreinterpretq_s8_u8(veorq_u8(vld1q_u8(from), sign)));
            from += patches.pixel_step;
          });
        }
      });
  // Weights of zero are there for what is read past the end.
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    vst1q_s8(panel->patches[p] + end - begin, vdupq_n_s8(0));
    vst1q_s8(panel->patches[p] + end - begin + 16, vdupq_n_s8(0));
  });
}

// The channels of a tile, of all pixels of a panel.
struct TileWork {
  const char* packed;
  const float* multiplier;  // or null
  const float* addend;      // or null
  float* output;
  ptrdiff_t output_stride;
  int num_pixels;
  WeightRange range;

  bool is_first() const { return range.begin == 0; }
  bool is_last() const { return range.end == range.num_weights; }
};

// What the sums of a tile's pixels start with.
struct Starts {
  const char* first;
  ptrdiff_t step;  // bytes from a pixel's to the next's

  R2B_INLINE int32x4_t load(int pixel, int four) const {
    const auto* from = reinterpret_cast<const uint8_t*>(first + pixel * step);
    return vreinterpretq_s32_u8(vld1q_u8(from + 16 * four));
  }
};

// y[p][v] = value(p, v)
template <int kPixels, int kFours, typename Value>
R2B_INLINE void for_each_four(float32x4_t (&y)[kPixels][kFours], const Value& value) {
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    unroll<kFours>([&](auto v) R2B_ALWAYS { y[p][v] = value(p, v); });
  });
}

template <int kPixels, int kFours>
R2B_INLINE void store(const float32x4_t (&y)[kPixels][kFours], float* output,
                      ptrdiff_t stride) {
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    unroll<kFours>([&](auto v) R2B_ALWAYS { vst1q_f32(output + 4 * v, y[p][v]); });
    output += stride;
  });
}

// Pixels from one of the panel on. Between panels the output holds sums in its bits.
template <typename Tile, int kPixels>
R2B_INLINE void convolve_tile(const TileWork& work, const typename Tile::Place& place,
                              const BytePanel& panel, int pixel) {
  constexpr int kFours = Tile::kChannels / 4;
  float* output = work.output + pixel * work.output_stride;
  const Starts starts = work.is_first() ? Starts{work.packed, 0}
                                        : Starts{reinterpret_cast<const char*>(output),
                                                 4 * work.output_stride};
  int32x4_t sums[kPixels][kFours];
  Tile::template add<kPixels>(panel.patches[pixel], place, starts, sums);
  float32x4_t y[kPixels][kFours];
  if (!work.is_last()) {
    for_each_four(y, [&](auto p, auto v)
                         R2B_ALWAYS { return vreinterpretq_f32_s32(sums[p][v]); });
    return store(y, output, work.output_stride);
  }
  for_each_four(y,
                [&](auto p, auto v) R2B_ALWAYS { return vcvtq_f32_s32(sums[p][v]); });
  if (work.multiplier) {
    float32x4_t multiplier[kFours];
    unroll<kFours>(
        [&](auto v) R2B_ALWAYS { multiplier[v] = vld1q_f32(work.multiplier + 4 * v); });
    for_each_four(y, [&](auto p, auto v)
                         R2B_ALWAYS { return vmulq_f32(y[p][v], multiplier[v]); });
  }
  if (work.addend) {
    float32x4_t addend[kFours];
    unroll<kFours>([&](auto v)
                       R2B_ALWAYS { addend[v] = vld1q_f32(work.addend + 4 * v); });
    for_each_four(
        y, [&](auto p, auto v) R2B_ALWAYS { return vaddq_f32(y[p][v], addend[v]); });
  }
  store(y, output, work.output_stride);
}

template <typename Tile>
void convolve_panel(const TileWork& given, const BytePanel& panel) {
  const TileWork work = given;  // which what is stored cannot change
  const char* weights = work.packed + Tile::kChannels * sizeof(int32_t);
  const auto place = Tile::place(reinterpret_cast<const int8_t*>(weights), work.range);
  int pixel = 0;
  for (; pixel + Tile::kPixels <= work.num_pixels; pixel += Tile::kPixels) {
    convolve_tile<Tile, Tile::kPixels>(work, place, panel, pixel);
  }
  if (pixel == work.num_pixels) return;
  with_size<Tile::kPixels - 1>(work.num_pixels - pixel, [&](auto kPixels) R2B_ALWAYS {
    convolve_tile<Tile, kPixels.value>(work, place, panel, pixel);
  });
}

// The last channels, less than a tile's: in copies of what belongs to them.
template <typename Tile>
void convolve_edge(TileWork work, const BytePanel& panel, int num_channels) {
  float copy[kPanelPixels][Tile::kChannels] = {};
  float multiplier[Tile::kChannels] = {}, addend[Tile::kChannels] = {};
  float* output = work.output;
  const ptrdiff_t stride = work.output_stride;
  const size_t bytes = size_t(num_channels) * sizeof(float);
  for (int p = 0; p < work.num_pixels && !work.is_first(); p++) {
    std::memcpy(copy[p], output + p * stride, bytes);
  }
  if (work.multiplier) std::memcpy(multiplier, work.multiplier, bytes);
  if (work.addend) std::memcpy(addend, work.addend, bytes);
  work.multiplier = work.multiplier ? multiplier : nullptr;
  work.addend = work.addend ? addend : nullptr;
  work.output = copy[0];
  work.output_stride = Tile::kChannels;
  convolve_panel<Tile>(work, panel);
  for (int p = 0; p < work.num_pixels; p++) {
    std::memcpy(output + p * stride, copy[p], bytes);
  }
}

template <typename Tile, int kPixels>
void convolve_pixels(const IntegerConvRow& row, int pixel) {
  const int num_weights = row.patches.num_runs * row.patches.run_length;
  BytePanel panel;
  for (int begin = 0; begin < num_weights; begin += kPanelBytes) {
    const int end = neon::smaller(begin + kPanelBytes, num_weights);
    gather<kPixels>(row.patches, pixel, begin, end, &panel);
    TileWork work = {static_cast<const char*>(row.filter),
                     row.multiplier,
                     row.addend,
                     row.output + pixel * row.output_stride,
                     row.output_stride,
                     kPixels,
                     {begin, end, num_weights}};
    int left = row.num_channels;
    for (; left >= Tile::kChannels; left -= Tile::kChannels) {
      convolve_panel<Tile>(work, panel);
      work.packed += tile_bytes<Tile>(num_weights);
      if (work.multiplier) work.multiplier += Tile::kChannels;
      if (work.addend) work.addend += Tile::kChannels;
      work.output += Tile::kChannels;
    }
    if (left > 0) convolve_edge<Tile>(work, panel, left);
  }
}

template <typename Tile>
void integer_conv_row(const IntegerConvRow& row) {
  // Panels of nearly the same size, of whole tiles where those are small.
  constexpr int kUnit = Tile::kPixels < kPanelPixels ? Tile::kPixels : 1;
  const int units = row.num_pixels / kUnit, done = units * kUnit;
  for_each_tile<kPanelPixels / kUnit>(units, [&](int unit, auto kUnits) {
    convolve_pixels<Tile, kUnits.value * kUnit>(row, unit * kUnit);
  });
  if (done == row.num_pixels) return;
  with_size<kUnit>(row.num_pixels - done, [&](auto kPixels) {
    convolve_pixels<Tile, kPixels.value>(row, done);
  });
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_NEON_INTEGER_H_
