// Real-valued convolution on 64-bit Arm: tiles of eight pixels and eight channels. The
// patches of a tile are gathered once, weight by weight, for all channels.
#include "neon.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstring>

#include "neon_add_weights.h"

namespace r2b {
namespace neon {
namespace {

constexpr int kTilePixels = 8;
constexpr int kTileChannels = 8;
// Patches are gathered for so many weights at a time.
constexpr int kPanelWeights = 256;

// The patches of eight pixels: of the first four, and of the others.
struct Panel {
  float values[2][kPanelWeights + 4][4];
};

// Four weights of four pixels.
R2B_INLINE void gather_weights(const FourPixels<float>& pixels, const float* source,
                               float (*target)[4]) {
  float32x4x4_t values = {{vld1q_f32(source),
                           vld1q_f32(bytes_behind(source, pixels.second)),
                           vld1q_f32(bytes_behind(source, pixels.third)),
                           vld1q_f32(bytes_behind(source, pixels.fourth))}};
  vst4q_f32(target[0], values);
}

R2B_INLINE void gather_weight(const FourPixels<float>& pixels, const float* source,
                              float* target) {
  target[0] = source[0];
  target[1] = *bytes_behind(source, pixels.second);
  target[2] = *bytes_behind(source, pixels.third);
  target[3] = *bytes_behind(source, pixels.fourth);
}

// Weights [begin, end) of the patches of num_pixels pixels.
__attribute__((noinline)) void gather(const Patches<float>& patches, int pixel,
                                      int num_pixels, int begin, int end,
                                      Panel* panel) {
  const FourPixels<float> first(patches, pixel, num_pixels);
  const FourPixels<float> second(patches, pixel + (num_pixels > 4 ? 4 : 0),
                                 num_pixels > 4 ? num_pixels - 4 : num_pixels);
  const ptrdiff_t between = (second.first - first.first) * ptrdiff_t(sizeof(float));
  auto copy = [&](ptrdiff_t offset, int position, int count) R2B_ALWAYS {
    const float* source = first.first + offset;
    float (*target)[4] = panel->values[0] + position;
    float (*other)[4] = panel->values[1] + position;
    for (; count >= 4; count -= 4) {
      gather_weights(first, source, target);
      gather_weights(second, bytes_behind(source, between), other);
      source += 4, target += 4, other += 4;
      keep(source);
    }
    for (; count > 0; count--) {
      gather_weight(first, source, *target);
      gather_weight(second, bytes_behind(source, between), *other);
      source++, target++, other++;
      keep(source);
    }
  };
  for_each_stretch(patches, begin, end, copy);
}

// What the kernels of a row's tiles are given.
struct Tiles {
  const Panel* panel;
  int num_weights;      // of the panel
  const float* filter;  // the panel's part of the first eight channels
  const float* bias;    // or null, where there are sums of panels before in `output`
  size_t filter_step;   // from eight channels to the next
  float* output;
  ptrdiff_t output_stride;
};

// Eight channels of kPixels pixels, num_tiles times.
template <int kPixels>
void convolve_tiles(const Tiles& tiles, int num_tiles) {
  const float* filter = tiles.filter;
  const float* bias = tiles.bias;
  float* output = tiles.output;
  for (; num_tiles > 0; num_tiles--) {
    float32x4_t sums[2 * kTilePixels];
    add_weights<kPixels>(tiles.panel->values[0][0], tiles.panel->values[1][0], filter,
                         tiles.num_weights, bias ? bias : output,
                         bias ? 0 : tiles.output_stride * ptrdiff_t(sizeof(float)),
                         sums);
    float* target = output;
    unroll<kPixels>([&](auto p) R2B_ALWAYS {
      vst1q_f32(target, sums[2 * p]);
      vst1q_f32(target + 4, sums[2 * p + 1]);
      target += tiles.output_stride;
    });
    filter += tiles.filter_step;
    bias = bias ? bias + tiles.filter_step : nullptr;
    output += kTileChannels;
  }
}

using ConvolveTiles = void (*)(const Tiles&, int);

constexpr ConvolveTiles kConvolve[kTilePixels] = {
    convolve_tiles<1>, convolve_tiles<2>, convolve_tiles<3>, convolve_tiles<4>,
    convolve_tiles<5>, convolve_tiles<6>, convolve_tiles<7>, convolve_tiles<8>};

// Where less than eight channels are left: in a copy of the output.
void convolve_edge(Tiles tiles, int num_pixels, int num_channels) {
  float copy[kTilePixels][kTileChannels] = {};
  float* output = tiles.output;
  size_t bytes = num_channels * sizeof(float);
  for (int p = 0; p < num_pixels && !tiles.bias; p++)
    memcpy(copy[p], output + p * tiles.output_stride, bytes);
  tiles.output = copy[0];
  ptrdiff_t output_stride = tiles.output_stride;
  tiles.output_stride = kTileChannels;
  kConvolve[num_pixels - 1](tiles, 1);
  for (int p = 0; p < num_pixels; p++)
    memcpy(output + p * output_stride, copy[p], bytes);
}

}  // namespace

// packed: [8 channels]{bias [8], [weight][8]}
size_t real_filter_bytes(int num_channels, int num_weights) {
  size_t num_tiles = (num_channels + kTileChannels - 1) / kTileChannels;
  return (num_tiles * (1 + num_weights) + 4) * kTileChannels * sizeof(float);
}

void pack_real_filter(const float* filter, const float* bias, int num_channels,
                      int num_weights, void* packed) {
  float* target = static_cast<float*>(packed);
  memset(packed, 0, real_filter_bytes(num_channels, num_weights));
  for (int channel = 0; channel < num_channels; channel++) {
    const float* source = filter + size_t(channel) * num_weights;
    float* column = target + channel % kTileChannels;
    if (bias) column[0] = bias[channel];
    for (int i = 0; i < num_weights; i++) column[(1 + i) * kTileChannels] = source[i];
    if ((channel + 1) % kTileChannels == 0)
      target += size_t(1 + num_weights) * kTileChannels;
  }
}

void real_conv_row(const RealConvRow& row) {
  Panel panel;
  int num_weights = row.patches.num_runs * row.patches.run_length;
  int num_tiles = row.num_channels / kTileChannels;
  int num_edge_channels = row.num_channels % kTileChannels;
  const float* filter = static_cast<const float*>(row.filter);
  size_t filter_step = size_t(1 + num_weights) * kTileChannels;
  for (int pixel = 0; pixel < row.num_pixels; pixel += kTilePixels) {
    int num_pixels = smaller(row.num_pixels - pixel, kTilePixels);
    for (int begin = 0; begin < num_weights; begin += kPanelWeights) {
      int count = smaller(num_weights - begin, kPanelWeights);
      gather(row.patches, pixel, num_pixels, begin, begin + count, &panel);
      Tiles tiles = {&panel,
                     count,
                     filter + size_t(1 + begin) * kTileChannels,
                     begin ? nullptr : filter,
                     filter_step,
                     row.output + pixel * row.output_stride,
                     row.output_stride};
      kConvolve[num_pixels - 1](tiles, num_tiles);
      if (num_edge_channels == 0) continue;
      tiles.filter += num_tiles * filter_step;
      if (tiles.bias) tiles.bias += num_tiles * filter_step;
      tiles.output += num_tiles * kTileChannels;
      convolve_edge(tiles, num_pixels, num_edge_channels);
    }
  }
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
