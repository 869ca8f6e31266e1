// Operators of Larq Compute Engine, and how many channels packed words stand for.
#include "graph_maker.h"
#include "numbers.h"

namespace r2b_fuzz {

using r2b_test::Dims;

namespace {

int words_of(int channels) { return channels / 32 + (channels % 32 > 0); }

}  // namespace

void GraphMaker::set_real_channels(int packed, int channels) {
  channels_of_.resize(static_cast<size_t>(packed) + 1);
  channels_of_.back() = channels;
}

int GraphMaker::real_channels(int packed) const {
  const size_t at = static_cast<size_t>(packed);
  if (at < channels_of_.size() && channels_of_[at] > 0) return channels_of_[at];
  const Dims dims = host_.dims(packed);
  return dims.empty() || dims.back() < 1 || dims.back() > 1000 ? 32 : dims.back() * 32;
}

void GraphMaker::add_binary(const Record& record, int input, bool packs) {
  Dims dims = host_.dims(input);
  if (dims.empty()) dims = {1};
  if (packs) {
    const int channels = dims.back();
    dims.back() = channels < 0 ? 1 : words_of(channels);
    const int packed = output(record, kTfLiteInt32, dims);
    set_real_channels(packed, channels);
    return custom(record, "LceQuantize", {}, {input}, packed);
  }
  const TfLiteType types[] = {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool};
  dims.back() = real_channels(input);
  custom(record, "LceDequantize", {}, {input},
         output(record, types[record.output_type % 3], dims));
}

void GraphMaker::add_binary_convolution(const Record& record, int input) {
  const Window w = window(record);
  const int channels_in = real_channels(input);
  const int channels_out = 1 + record.channels % 66;
  int groups = record.window >> 6 & 3;
  groups = groups > 1 && channels_in % (32 * groups) == 0 ? groups : 1;
  const int filter = words(
      {channels_out, w.kernel_height, w.kernel_width, words_of(channels_in / groups)},
      record.values);
  const TfLiteType types[] = {kTfLiteFloat32, kTfLiteInt8, kTfLiteInt32};
  const TfLiteType type = types[record.output_type % 3];
  const bool is_packed = type == kTfLiteInt32;
  const int scale = is_packed ? -1 : floats({channels_out}, record.values);
  const int bias = is_packed ? -1 : floats({channels_out}, record.values + 1);
  const int thresholds = is_packed ? words({channels_out}, record.values) : -1;
  Dims dims = slid(host_.dims(input), w, channels_out);
  if (is_packed) dims.back() = words_of(channels_out);
  const int result = output(record, type, dims);
  if (is_packed) {
    set_real_channels(result, channels_out);
    // Thresholds near the middle decide something.
    for (int i = 0; i < channels_out && record.values < 200; ++i) {
      int32_t& threshold = host_.data<int32_t>(thresholds)[i];
      threshold = static_cast<int32_t>(threshold % (int64_t{channels_in} + 1));
    }
  }
  custom(record, "LceBconv2d",
         {{"channels_in", channels_in},
          {"dilation_height_factor", w.dilation_height},
          {"dilation_width_factor", w.dilation_width},
          {"fused_activation_function", w.activation},
          {"pad_values", record.window >> 1 & 1},
          {"padding", w.same ? 0 : 1},
          {"stride_height", w.stride_height},
          {"stride_width", w.stride_width}},
         {input, filter, scale, bias, thresholds}, result);
}

void GraphMaker::add_binary_pool(const Record& record, int input) {
  const Window w = window(record);
  Dims dims = host_.dims(input);
  dims = slid(dims, w, dims.empty() ? 1 : dims.back());
  const int result = output(record, kTfLiteInt32, dims);
  set_real_channels(result, real_channels(input));
  custom(record, "LceBMaxPool2d",
         {{"filter_height", w.kernel_height},
          {"filter_width", w.kernel_width},
          {"padding", w.same ? 0 : 1},
          {"stride_height", w.stride_height},
          {"stride_width", w.stride_width}},
         {input}, result);
}

}  // namespace r2b_fuzz
