// Integer layers, from a picture or from floats, and what is nearly one.
#include <algorithm>
#include <limits>

#include "graph_maker.h"
#include "numbers.h"

namespace r2b_fuzz {

namespace {

constexpr int kAdd = 0, kDequantize = 6, kFloor = 8, kMultiply = 18, kSubtract = 41,
              kCast = 53, kMaximum = 55, kMinimum = 57;

bool is_one_in(uint8_t byte, int count) { return byte % count == count - 1; }

}  // namespace

int GraphMaker::number_constant(float value) {
  return host_.add_constant(kTfLiteFloat32, {}, std::vector<float>{value});
}

// Whole numbers from 0 to 255 less `most`, and seldom one that is not.
int GraphMaker::whole_floats(const Dims& dims, const Record& record, int most) {
  std::vector<float> data(is_small(dims) ? count_of(dims) : 0);
  for (size_t i = 0; i < data.size(); ++i) {
    const int byte = static_cast<int>(some_word(record.values, i) & 255);
    data[i] = static_cast<float>(byte % (2 * most + 1) - (most == 127 ? 0 : most));
  }
  if (!data.empty() && is_one_in(record.spare, 16)) data.back() += 0.5f;
  return host_.add_constant(kTfLiteFloat32, dims, data);
}

int GraphMaker::step(const Record& record, int code, std::vector<int> inputs,
                     const Dims& dims) {
  const int result = host_.add_tensor(kTfLiteFloat32, dims);
  builtin(record, code, std::move(inputs), result, {0, 0});
  return result;
}

void GraphMaker::add_whole(const Record& record, int input) {
  const Dims dims = host_.dims(input);
  constexpr int kCodes[] = {kCast, kFloor, kMaximum, kMinimum};
  const int code = kCodes[record.kind & 3];
  if (code == kMaximum || code == kMinimum) return add_elementwise(record, input, code);
  step(record, code, {input}, dims);
}

int GraphMaker::add_integer_input(const Record& record, int input) {
  const Dims dims = host_.dims(input);
  int x = input;
  if (host_.tensor(input).type == kTfLiteUInt8) {
    x = step(record, kCast, {x}, dims);
    if (is_one_in(record.operand, 8)) return x;
    const int channels = dims.empty() || !is_small(dims) ? 1 : dims.back();
    const int length = is_one_in(record.shift, 4) ? 1 : channels;
    const int zeros = whole_floats({length}, record, 127);
    return step(record, kSubtract, {x, zeros}, dims);
  }
  x = step(record, kMultiply, {x, number_constant(some_float(record.values, 2))}, dims);
  x = step(record, kAdd, {x, number_constant(0.5f)}, dims);
  x = step(record, kFloor, {x}, dims);
  const float lowest = static_cast<float>(static_cast<int8_t>(record.quantization));
  const float more = is_one_in(record.spare, 5) ? 1.0f : 0.0f;
  const float range = static_cast<float>(record.shift) + more;
  std::vector<std::pair<int, float>> limits = {{kMaximum, lowest},
                                               {kMinimum, lowest + range}};
  if (record.output_type & 1) std::swap(limits[0], limits[1]);
  // One that limits nothing, before, between or behind them.
  if (is_one_in(record.values, 16)) {
    const auto place = limits.begin() + record.operand % 3;
    limits.insert(place, {record.spare & 1 ? kMaximum : kMinimum,
                          std::numeric_limits<float>::quiet_NaN()});
  }
  for (const auto& [code, limit] : limits) {
    std::vector<int> pair = {x, number_constant(limit)};
    if (is_one_in(record.operand, 16)) std::swap(pair[0], pair[1]);
    x = step(record, code, pair, dims);
  }
  return x;
}

// Weights as floats, or as int8 that is made floats of.
int GraphMaker::integer_weights(const Record& record, const Dims& shape) {
  // Beyond 63 only some kernels are exact, and the others compute in floats.
  const int most = is_one_in(record.values, 4) ? 126 : 63;
  if (record.output_type & 2) return whole_floats(shape, record, most);
  std::vector<int8_t> bytes(is_small(shape) ? count_of(shape) : 0);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int byte = static_cast<int>(some_word(record.values, i) & 255);
    bytes[i] = static_cast<int8_t>(byte % (2 * most + 2) - most);
  }
  const int packed = host_.add_constant(kTfLiteInt8, shape, bytes);
  host_.set_quantization(packed, is_one_in(record.spare, 16) ? 0.5f : 1.0f, 0);
  return step(record, kDequantize, {packed}, shape);
}

void GraphMaker::add_integer_layer(const Record& record, int input) {
  const int x = add_integer_input(record, input);
  const Window w = window(record);
  Dims dims = host_.dims(x);
  const int channels_in = dims.empty() || !is_small(dims) ? 1 : dims.back();
  const int channels_out = 1 + record.channels % 40;
  const bool is_dense = (record.operand & 2) != 0;
  Dims shape = {channels_out, channels_in};
  if (!is_dense) shape = {channels_out, w.kernel_height, w.kernel_width, channels_in};
  const int filter = integer_weights(record, shape);
  const int bias = record.operand & 1 ? -1 : whole_floats({channels_out}, record, 63);
  if (is_dense) {
    if (!dims.empty()) dims.back() = channels_out;
    const int result = host_.add_tensor(kTfLiteFloat32, dims);
    builtin(record, kDenseCode, {x, filter, bias}, result, {w.activation, 0, 1});
    return;
  }
  dims = slid(dims, w, channels_out);
  int y = host_.add_tensor(kTfLiteFloat32, dims);
  builtin(record, 3, {x, filter, bias}, y,
          {w.same ? 1 : 2, static_cast<int>(w.stride_width),
           static_cast<int>(w.stride_height), w.activation,
           static_cast<int>(w.dilation_width), static_cast<int>(w.dilation_height)});
  if (record.operand & 4) {
    y = step(record, kMultiply, {y, floats({channels_out}, record.values)}, dims);
  }
  if (record.operand & 8) {
    step(record, kAdd, {y, floats({channels_out}, record.values)}, dims);
  }
}

}  // namespace r2b_fuzz
