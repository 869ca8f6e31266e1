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

template <int kCount>
R2B_INLINE void gather_values(const float* const pixels[4], ptrdiff_t offset,
                              float* target) {
  if constexpr (kCount == 4) {
    float32x4x4_t values;
    unroll<4>([&](auto p) R2B_ALWAYS { values.val[p] = vld1q_f32(pixels[p] + offset); });
    vst4q_f32(target, values);
  } else {
    unroll<4>([&](auto p) R2B_ALWAYS { target[p] = pixels[p][offset]; });
  }
}

// Weights [begin, end) of the patches of num_pixels pixels, the last repeated where a
// four is not whole.
void gather(const Patches<float>& patches, int pixel, int num_pixels, int begin, int end,
            Panel* panel) {
  for (int four = 0; four * 4 < num_pixels; four++) {
    const float* pixels[4];
    unroll<4>([&](auto p) R2B_ALWAYS {
      int last = four * 4 + p < num_pixels ? four * 4 + p : num_pixels - 1;
      pixels[p] = patches.source + (pixel + last) * patches.pixel_step;
    });
    for_each_stretch(patches, begin, end, [&](ptrdiff_t offset, int position, int count) {
      float* target = panel->values[four][position];
      int i = 0;
      for (; i + 4 <= count; i += 4) gather_values<4>(pixels, offset + i, target + i * 4);
      for (; i < count; i++) gather_values<1>(pixels, offset + i, target + i * 4);
    });
  }
}

// sums of one panel, from the bias or from what the panels before left in `output`.
template <int kPixels>
void convolve_tile(const Panel& panel, int num_weights, const float* filter,
                   const float* bias, float* output, ptrdiff_t output_stride) {
  WeightPosition at = {panel.values[0][0], panel.values[1][0], filter};
  float32x4_t sums[2 * kTilePixels];
  add_weights<kPixels>(&at, num_weights / 4, bias ? bias : output,
                       bias ? 0 : output_stride * ptrdiff_t(sizeof(float)), sums);
  for (int left = num_weights % 4; left > 0; left--) {
    float32x4_t pixels[2] = {vld1q_f32(at.first), vld1q_f32(at.second)};
    float32x4_t low = vld1q_f32(at.filter), high = vld1q_f32(at.filter + 4);
    unroll<kPixels>([&](auto p) R2B_ALWAYS {
      sums[2 * p] = vfmaq_laneq_f32(sums[2 * p], low, pixels[p / 4], p % 4);
      sums[2 * p + 1] = vfmaq_laneq_f32(sums[2 * p + 1], high, pixels[p / 4], p % 4);
    });
    at.first += 4, at.second += 4, at.filter += kTileChannels;
  }
  unroll<kPixels>([&](auto p) R2B_ALWAYS {
    vst1q_f32(output, sums[2 * p]);
    vst1q_f32(output + 4, sums[2 * p + 1]);
    output += output_stride;
  });
}

using ConvolveTile = void (*)(const Panel&, int, const float*, const float*, float*,
                              ptrdiff_t);

constexpr ConvolveTile kTiles[kTilePixels] = {
    convolve_tile<1>, convolve_tile<2>, convolve_tile<3>, convolve_tile<4>,
    convolve_tile<5>, convolve_tile<6>, convolve_tile<7>, convolve_tile<8>};

// The same where less than eight channels are left: in a copy of the output.
void convolve_edge(const Panel& panel, int num_weights, const float* filter,
                   const float* bias, int num_pixels, int num_channels, float* output,
                   ptrdiff_t output_stride) {
  float copy[kTilePixels][kTileChannels] = {};
  size_t bytes = num_channels * sizeof(float);
  for (int p = 0; p < num_pixels && !bias; p++)
    memcpy(copy[p], output + p * output_stride, bytes);
  kTiles[num_pixels - 1](panel, num_weights, filter, bias, copy[0], kTileChannels);
  for (int p = 0; p < num_pixels; p++) memcpy(output + p * output_stride, copy[p], bytes);
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
  size_t filter_step = size_t(1 + num_weights) * kTileChannels;
  for (int pixel = 0; pixel < row.num_pixels; pixel += kTilePixels) {
    int left = row.num_pixels - pixel;
    int num_pixels = left < kTilePixels ? left : kTilePixels;
    float* output = row.output + pixel * row.output_stride;
    for (int begin = 0; begin < num_weights; begin += kPanelWeights) {
      int rest = num_weights - begin;
      int count = rest < kPanelWeights ? rest : kPanelWeights;
      gather(row.patches, pixel, num_pixels, begin, begin + count, &panel);
      const float* bias = static_cast<const float*>(row.filter);
      for (int channel = 0; channel < row.num_channels; channel += kTileChannels) {
        const float* filter = bias + size_t(1 + begin) * kTileChannels;
        const float* start = begin ? nullptr : bias;
        int num_channels = row.num_channels - channel;
        if (num_channels >= kTileChannels) {
          kTiles[num_pixels - 1](panel, count, filter, start, output + channel,
                                 row.output_stride);
        } else {
          convolve_edge(panel, count, filter, start, num_pixels, num_channels,
                        output + channel, row.output_stride);
        }
        bias += filter_step;
      }
    }
  }
}

}  // namespace neon
}  // namespace r2b

#endif  // __aarch64__
