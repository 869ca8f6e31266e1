// Convolutions of bytes on 64-bit Arm, for tiles of pixels and channels. The patches of a
// tile are gathered once for all channels, each behind the other, as signed bytes: 128
// less than the pixels are, which the packed biases make up for.
//
// A file for an instruction set brings a type `Tile`, in its unnamed namespace:
//   kPixels, kChannels     of a tile; channels in fours
//   kStep                  weights of a channel are filled up with zeros to a multiple
//   place(channel, i, n)   where weight i of n of a channel is, in bytes of its tile
//   add<pixels>(patches, n, weights, sums)    sums[pixel][four of channels] += n products
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

// Patches are gathered for so many bytes at a time.
constexpr int kPanelBytes = 512;

template <int kPixels>
struct BytePanel {
  // What is read and written at a time may go a little further.
  int8_t patches[kPixels][kPanelBytes + 2 * kBytesBehind];
};

inline int rounded_up(int value, int step) { return divide_up(value, step) * step; }

// packed: [tile of channels]{biases, weights}
template <typename Tile>
size_t tile_bytes(int num_weights) {
  return Tile::kChannels * (sizeof(int32_t) + size_t(rounded_up(num_weights, Tile::kStep)));
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
  std::memset(packed, 0, integer_filter_bytes<Tile>(num_channels, num_runs, run_length));
  for (int channel = 0; channel < num_channels; channel++) {
    const int own = channel % Tile::kChannels;
    char* tile = static_cast<char*>(packed) +
                 size_t(channel / Tile::kChannels) * tile_bytes<Tile>(num_weights);
    int32_t sum = bias[channel];
    for (int i = 0; i < num_weights; i++) {
      const int8_t weight = filter[ptrdiff_t{channel} * num_weights + i];
      tile[Tile::kChannels * sizeof(int32_t) + Tile::place(own, i, num_weights)] =
          char(weight);
      sum += 128 * weight;
    }
    std::memcpy(tile + own * sizeof(int32_t), &sum, sizeof(sum));
  }
}

// Bytes [begin, end) of the patches of kPixels pixels from one on.
template <int kPixels>
void gather(const Patches<uint8_t>& patches, int pixel, int begin, int end,
            BytePanel<kPixels>* panel) {
  const uint8x16_t sign = vdupq_n_u8(0x80);
  const uint8_t* first = patches.source + pixel * patches.pixel_step;
  neon::for_each_stretch(patches, begin, end,
                         [&](ptrdiff_t offset, int position, int count) R2B_ALWAYS {
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

// A tile's place in a row.
struct TileWork {
  const char* packed;
  const float* multiplier;  // or null
  const float* addend;      // or null
  float* output;
  ptrdiff_t output_stride;
  int begin, end, num_weights;  // those of the panel, of all

  bool is_first() const { return begin == 0; }
  bool is_last() const { return end == num_weights; }
};

// y[p][v] = value(p, v)
template <int kPixels, int kFours, typename Value>
R2B_INLINE void for_each_four(float32x4_t (&y)[kPixels][kFours], const Value& value) {
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    unroll<kFours>([&](auto v) R2B_ALWAYS { y[p][v] = value(p, v); });
  });
}

template <int kPixels, int kFours>
void store_sums(const TileWork& work, const int32x4_t (&sums)[kPixels][kFours]) {
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    unroll<kFours>([&](auto v) R2B_ALWAYS {
      vst1q_f32(work.output + p * work.output_stride + 4 * v,
                vreinterpretq_f32_s32(sums[p][v]));
    });
  });
}

// Between panels the output holds sums in its bits.
template <typename Tile, int kPixels>
void convolve_tile(const TileWork& work, const BytePanel<kPixels>& panel) {
  constexpr int kFours = Tile::kChannels / 4;
  const auto* biases = reinterpret_cast<const int32_t*>(work.packed);
  const auto* weights = reinterpret_cast<const int8_t*>(biases + Tile::kChannels) +
                        ptrdiff_t{work.begin} * Tile::kChannels;
  int32x4_t sums[kPixels][kFours];
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    const float* before = work.output + p * work.output_stride;
    unroll<kFours>([&](auto v) R2B_ALWAYS {
      sums[p][v] = work.is_first() ? vld1q_s32(biases + 4 * v)
                                   : vreinterpretq_s32_f32(vld1q_f32(before + 4 * v));
    });
  });
  Tile::template add<kPixels>(panel.patches[0], work.end - work.begin, weights, sums);
  if (!work.is_last()) return store_sums(work, sums);
  float32x4_t y[kPixels][kFours];
  for_each_four(y, [&](auto p, auto v) R2B_ALWAYS { return vcvtq_f32_s32(sums[p][v]); });
  if (work.multiplier) {
    float32x4_t multiplier[kFours];
    unroll<kFours>([&](auto v) R2B_ALWAYS {
      multiplier[v] = vld1q_f32(work.multiplier + 4 * v);
    });
    for_each_four(y, [&](auto p, auto v) R2B_ALWAYS {
      return vmulq_f32(y[p][v], multiplier[v]);
    });
  }
  if (work.addend) {
    float32x4_t addend[kFours];
    unroll<kFours>(
        [&](auto v) R2B_ALWAYS { addend[v] = vld1q_f32(work.addend + 4 * v); });
    for_each_four(
        y, [&](auto p, auto v) R2B_ALWAYS { return vaddq_f32(y[p][v], addend[v]); });
  }
  float* output = work.output;
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    unroll<kFours>([&](auto v) R2B_ALWAYS { vst1q_f32(output + 4 * v, y[p][v]); });
    output += work.output_stride;
  });
}

// The last channels, less than a tile's: in copies of what belongs to them.
template <typename Tile, int kPixels>
void convolve_edge(TileWork work, const BytePanel<kPixels>& panel, int num_channels) {
  float copy[kPixels][Tile::kChannels] = {};
  float multiplier[Tile::kChannels] = {}, addend[Tile::kChannels] = {};
  float* output = work.output;
  const ptrdiff_t stride = work.output_stride;
  const size_t bytes = size_t(num_channels) * sizeof(float);
  for (int p = 0; p < kPixels && !work.is_first(); p++) {
    std::memcpy(copy[p], output + p * stride, bytes);
  }
  if (work.multiplier) std::memcpy(multiplier, work.multiplier, bytes);
  if (work.addend) std::memcpy(addend, work.addend, bytes);
  work.multiplier = work.multiplier ? multiplier : nullptr;
  work.addend = work.addend ? addend : nullptr;
  work.output = copy[0];
  work.output_stride = Tile::kChannels;
  convolve_tile<Tile>(work, panel);
  for (int p = 0; p < kPixels; p++) std::memcpy(output + p * stride, copy[p], bytes);
}

template <typename Tile, int kPixels>
void convolve_pixels(const IntegerConvRow& row, int pixel) {
  const int num_weights = row.patches.num_runs * row.patches.run_length;
  BytePanel<kPixels> panel;
  for (int begin = 0; begin < num_weights; begin += kPanelBytes) {
    const int end = neon::smaller(begin + kPanelBytes, num_weights);
    gather(row.patches, pixel, begin, end, &panel);
    TileWork work = {static_cast<const char*>(row.filter),
                     row.multiplier,
                     row.addend,
                     row.output + pixel * row.output_stride,
                     row.output_stride,
                     begin,
                     end,
                     num_weights};
    int left = row.num_channels;
    for (; left >= Tile::kChannels; left -= Tile::kChannels) {
      convolve_tile<Tile>(work, panel);
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
  for_each_tile<Tile::kPixels>(row.num_pixels, [&](int pixel, auto kPixels) {
    convolve_pixels<Tile, kPixels.value>(row, pixel);
  });
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_NEON_INTEGER_H_
