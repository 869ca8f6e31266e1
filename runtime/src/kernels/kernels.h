// What the delegate asks of an instruction set: one table of functions for each.
//
// Every table gives the same bits: sums of real numbers run in the order written here,
// `multiply, then add` is two roundings, and only `real_conv_row` fuses them (always).
// Words are as in Larq Compute Engine: bit = 1 means negative, channel 0 in the lowest
// bit, unused bits 0. Floats and words need no alignment beyond their own.
#ifndef R2B_KERNELS_KERNELS_H_
#define R2B_KERNELS_KERNELS_H_

#include <cstddef>
#include <cstdint>

// For parts of a loop whose vectors must stay in registers.
#define R2B_ALWAYS __attribute__((always_inline))
#define R2B_INLINE inline R2B_ALWAYS

namespace r2b {

// Where a convolution finds the patches of a row of output pixels. The source has its
// padding around it already ("framed"), so that the patch of output pixel x is
//   source[x * pixel_step + run_offsets[r] + i],  r < num_runs, i < run_length,
// in this order of r and i; a filter's values are in the same order.
template <typename Element>
struct Patches {
  const Element* source;
  ptrdiff_t pixel_step;
  const ptrdiff_t* run_offsets;
  int num_runs;
  int run_length;

  // Those of the pixels from x = `pixel` on.
  Patches from(int pixel) const {
    Patches later = *this;
    later.source += pixel * pixel_step;
    return later;
  }
};

// One row of a binary convolution, as counts of differing bits.
struct BinaryConvRow {
  Patches<uint32_t> patches;
  const void* filter;  // what `pack_binary_filter` wrote
  int num_pixels;
  int num_channels;
  // [num_pixels][counts_stride]; entries from num_channels on to the next multiple of
  // `binary_channel_block` may be overwritten, so counts_stride is at least that.
  int32_t* counts;
  ptrdiff_t counts_stride;
};

// One row of a real-valued convolution: bias first, then one fused multiply-add for each
// weight, in the order of the patch.
struct RealConvRow {
  Patches<float> patches;
  const void* filter;  // what `pack_real_filter` wrote, bias included
  int num_pixels;
  int num_channels;
  float* output;  // [num_pixels][output_stride], nothing written past num_channels
  ptrdiff_t output_stride;
};

// One row of a convolution of 8-bit pixels by 8-bit weights. Sums are exact: a table
// takes weights from -integer_weight_limit to integer_weight_limit.
//   y = float(bias + the sum over the patch of pixel * weight), below 2^24
//   y *= multiplier; y += addend           each in its own rounding; null: left out
struct IntegerConvRow {
  // Up to kBytesBehind bytes behind each run are read, whatever they are.
  Patches<uint8_t> patches;
  const void* filter;  // what `pack_integer_filter` wrote, bias included
  int num_pixels;
  int num_channels;
  const float* multiplier;
  const float* addend;
  float* output;  // [num_pixels][output_stride], nothing written past num_channels
  ptrdiff_t output_stride;
};
constexpr int kBytesBehind = 16;

// Floats to whole numbers of 8 bits, from `lowest` to `highest`, at most 255 apart:
//   y = floor(value * scale + shift), in three roundings
//   byte = min(max(y, lowest), highest) - lowest, and what it is for NaN
struct QuantizedRow {
  const float* values;
  ptrdiff_t num_values;
  float scale, shift;
  float lowest, highest;  // whole, below 2^24
  bool nan_is_highest;    // or lowest
  uint8_t* bytes;
};

// What follows a convolution, on a row of pixels, each step in its own rounding:
//   y = float(clamp(2 * count, clamp_min, clamp_max)) * multiplier + bias   (or values)
//                                          counts are not negative, and below 2^30
//   y += correction of this pixel          where it has one
//   y *= gate; y += addend; y = y < 0 ? y * slope : y
//   y = min(max(y, lowest), highest); y += skip
//                                          limits_follow_skip: these two exchanged
//   output = y
//   z = y * scale + shift; packed bit = z < 0; sums += z, pixel after pixel
// Null pointers leave their step out. Vectors have num_channels entries.
struct FinishRow {
  int num_pixels;
  int num_channels;
  // Either counts and the four that follow, or values.
  const int32_t* counts;
  ptrdiff_t counts_stride;
  int32_t clamp_min, clamp_max;
  const float* multiplier;
  const float* bias;
  const float* const* corrections;  // [num_pixels], entries may be null; or null
  const float* values;              // may be the same memory as output
  ptrdiff_t values_stride;

  const float* gate;
  const float* addend;
  const float* slope;
  bool has_limits, limits_follow_skip;
  float lowest, highest;
  const float* skip;  // may be the same memory as output
  ptrdiff_t skip_stride;
  float* output;
  ptrdiff_t output_stride;

  const float* scale;
  const float* shift;
  uint32_t* packed;  // [num_pixels][packed_stride], ceil(num_channels / 32) words each
  ptrdiff_t packed_stride;
  float* sums;  // [num_channels], added to
};

// Windows of a pool along a row, all of num_lines lines of num_taps pixels:
//   y[w][c] = the largest (or the sum) of lines[l][w * window_step + t * num_channels + c]
// in the order of l and t.
struct PoolRow {
  const float* const* lines;
  int num_lines;
  int num_taps;
  int num_windows;
  ptrdiff_t window_step;
  int num_channels;
  float* output;  // [num_windows][num_channels]
};

struct Kernels {
  const char* name;  // as R2B_KERNEL spells it
  // Counts and packed filters come in blocks of so many output channels.
  int binary_channel_block;

  // filter [num_channels][num_words] -> packed, of so many bytes, 64-byte aligned.
  size_t (*binary_filter_bytes)(int num_channels, int num_words);
  void (*pack_binary_filter)(const uint32_t* filter, int num_channels, int num_words,
                             void* packed);
  void (*binary_conv_row)(const BinaryConvRow& row);

  // filter [num_channels][num_weights] and bias [num_channels] (or null: zeros).
  size_t (*real_filter_bytes)(int num_channels, int num_weights);
  void (*pack_real_filter)(const float* filter, const float* bias, int num_channels,
                           int num_weights, void* packed);
  void (*real_conv_row)(const RealConvRow& row);

  // filter [num_channels][num_runs][run_length] and bias [num_channels].
  int integer_weight_limit;
  size_t (*integer_filter_bytes)(int num_channels, int num_runs, int run_length);
  void (*pack_integer_filter)(const int8_t* filter, const int32_t* bias,
                              int num_channels, int num_runs, int run_length,
                              void* packed);
  void (*integer_conv_row)(const IntegerConvRow& row);
  void (*quantize_row)(const QuantizedRow& row);

  void (*finish_row)(const FinishRow& row);
  // y = 1 / (1 + e^-x), in double precision; may be the same memory.
  void (*logistic)(const float* x, ptrdiff_t count, float* y);
  // The larger of two is `a < b ? b : a`.
  void (*max_pool_row)(const PoolRow& row);
  // Sums in order, then times `factor`.
  void (*mean_pool_row)(const PoolRow& row, float factor);
};

// The tables that this CPU can run, best first; the last is always portable. Null-ended.
const Kernels* const* available_kernels();

// The table called `name`, or null where there is none or this CPU cannot run it.
const Kernels* find_kernels(const char* name);

}  // namespace r2b

#endif  // R2B_KERNELS_KERNELS_H_
