#include "graph_maker.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <iterator>

#include "host_arrays.h"
#include "numbers.h"

namespace r2b_fuzz {
namespace {

using r2b_test::Bytes;
using r2b_test::Dims;
using r2b_test::is_constant;
using r2b_test::values_of;

constexpr int kMaxOperators = 8;

enum Kind {
  kQuantize,
  kDequantize,
  kBinaryConvolution,
  kBinaryPool,
  kConvolution,
  kDense,
  kMaxPool,
  kAveragePool,
  kMean,
  kMultiply,
  kAdd,
  kSubtract,
  kPrelu,
  kRelu,
  kLogistic,
  kSoftmax,
  kUnpackConstant,
  kForeign,
  kNumKinds
};

// Kinds from here on are not taken modulo their number.
constexpr uint8_t kFirstWhole = 240, kFirstLayer = 246;

// Mostly small; a large one makes padding large with a large dilation.
int kernel_side(uint8_t byte) {
  constexpr int kLarge[] = {5, 18, 33, 64, 257, 1000, 4096, 65536};
  return byte < 232 ? 1 + byte % 4 : kLarge[byte % std::size(kLarge)];
}

int last_of(const Dims& dims) { return dims.empty() ? 1 : dims.back(); }

// As many as a constant can have.
int channels_of(const Dims& dims) { return is_small(dims) ? last_of(dims) : 1; }

}  // namespace

int GraphMaker::make() {
  const TfLiteType types[] = {kTfLiteFloat32, kTfLiteInt8,  kTfLiteBool,   kTfLiteInt32,
                              kTfLiteUInt8,   kTfLiteInt64, kTfLiteFloat16};
  const TfLiteType type = types[header_.input_type % std::size(types)];
  Dims dims;
  const int rank = header_.rank < 200 ? 4 : header_.rank % 8;
  const int moduli[] = {3, 9, 9, 72, 5, 5};
  for (int i = 0; i < rank; ++i) {
    dims.push_back(extent(header_.extents[i % 6], moduli[i % 6]));
  }
  const int input = type == kTfLiteInt8 ? host_.add_quantized(type, dims, 0.5f, 3)
                                        : host_.add_tensor(type, dims);
  pool_.push_back(input);
  const int count = 1 + header_.num_operators % kMaxOperators;
  for (int i = 0; i < count; ++i) add_operator(source_.take_struct<Record>());
  find_ends();
  return input;
}

int GraphMaker::pick(uint8_t selector) const {
  return pool_[pool_.size() - 1 - selector % pool_.size()];
}

int GraphMaker::floats(const Dims& dims, uint8_t values) {
  std::vector<float> data(is_small(dims) ? count_of(dims) : 0);
  for (size_t i = 0; i < data.size(); ++i) data[i] = some_float(values, i);
  return host_.add_constant(kTfLiteFloat32, dims, data);
}

int GraphMaker::words(const Dims& dims, uint8_t values) {
  std::vector<uint32_t> data(is_small(dims) ? count_of(dims) : 0);
  for (size_t i = 0; i < data.size(); ++i) data[i] = some_word(values, i);
  return host_.add_constant(kTfLiteInt32, dims, data);
}

int GraphMaker::output(const Record& record, TfLiteType type, const Dims& dims) {
  const float scales[] = {0.5f, 1.0f, 0.03f, 1e-30f, 3e30f, 1e-42f};
  if (type != kTfLiteInt8) return host_.add_tensor(type, dims);
  return host_.add_quantized(type, dims,
                             scales[record.quantization % std::size(scales)],
                             static_cast<int8_t>(record.quantization * 3));
}

GraphMaker::Window GraphMaker::window(const Record& record) const {
  return {kernel_side(record.kernel_height), kernel_side(record.kernel_width),
          number(record.stride_height, 3),   number(record.stride_width, 3),
          number(record.dilation_height, 3), number(record.dilation_width, 3),
          (record.window & 1) == 0,          record.window >> 2 & 3};
}

// The shape after the window, or any where there is none.
Dims GraphMaker::slid(const Dims& from, const Window& window, int channels) const {
  const auto slide = [&](int in, int kernel, int64_t stride, int64_t dilation) {
    if (stride < 1 || dilation < 1 || stride > INT_MAX || dilation > INT_MAX) return 1;
    const int64_t reach = window.same ? 1 : (kernel - 1) * dilation + 1;
    const int64_t out = (in + stride - reach) / stride;
    return static_cast<int>(std::clamp<int64_t>(out, 0, INT_MAX));
  };
  const Window& w = window;
  if (from.size() != 4) return {1, 1, 1, channels};
  return {from[0], slide(from[1], w.kernel_height, w.stride_height, w.dilation_height),
          slide(from[2], w.kernel_width, w.stride_width, w.dilation_width), channels};
}

void GraphMaker::add_operator(const Record& record) {
  const int input = pick(record.input);
  const Dims dims = host_.dims(input);
  if (record.kind >= kFirstLayer) return add_integer_layer(record, input);
  if (record.kind >= kFirstWhole) return add_whole(record, input);
  const int kind = record.kind % kNumKinds;
  switch (kind) {
    case kQuantize:
    case kDequantize:
      return add_binary(record, input, kind == kQuantize);
    case kBinaryConvolution:
      return add_binary_convolution(record, input);
    case kBinaryPool:
      return add_binary_pool(record, input);
    case kUnpackConstant:
      return add_unpacking(record);
    case kConvolution:
    case kDense:
      return add_weighted(record, input, kind == kDense);
    case kMean:
      return add_mean(record, input);
    case kMultiply:
      return add_elementwise(record, input, 18);
    case kAdd:
      return add_elementwise(record, input, 0);
    case kSubtract:
      return add_elementwise(record, input, 41);
    case kMaxPool:
    case kAveragePool: {
      const Window w = window(record);
      return builtin(record, kind == kMaxPool ? 17 : 1, {input},
                     output(record, kTfLiteFloat32, slid(dims, w, last_of(dims))),
                     {w.same ? 1 : 2, static_cast<int>(w.stride_width),
                      static_cast<int>(w.stride_height), w.kernel_width,
                      w.kernel_height, w.activation});
    }
    case kPrelu: {
      const int slope = record.operand < 128
                            ? floats({1, 1, channels_of(dims)}, record.values)
                            : operand(record, input);
      return builtin(record, 54, {input, slope}, output(record, kTfLiteFloat32, dims),
                     {});
    }
    case kForeign:
      return builtin(
          record, record.operand & 1 ? r2b_test::kDynamicCopyCode : r2b_test::kCopyCode,
          {input}, host_.add_tensor(host_.tensor(input).type, dims), {});
    default: {
      const int code = kind == kRelu       ? 19 + record.operand % 3
                       : kind == kLogistic ? 14
                                           : 25;
      float beta = some_float(record.values, 1);
      int bits;
      std::memcpy(&bits, &beta, sizeof bits);
      return builtin(record, code, {input}, output(record, kTfLiteFloat32, dims),
                     {bits});
    }
  }
}

// The second operand: a vector, a scalar, an earlier tensor, a tensor of one pixel.
int GraphMaker::operand(const Record& record, int input) {
  const Dims dims = host_.dims(input);
  const int channels = channels_of(dims);
  const Dims shapes[] = {{channels},
                         {},
                         {1, 1, 1, channels},
                         is_small(dims) ? dims : Dims{1},
                         {channels, 1}};
  if (record.operand >= std::size(shapes)) return pick(record.operand - 5);
  return floats(shapes[record.operand], record.values);
}

void GraphMaker::add_elementwise(const Record& record, int input, int code) {
  const int other = operand(record, input);
  Dims dims = host_.dims(input);
  if (host_.dims(other).size() > dims.size()) dims = host_.dims(other);
  std::vector<int> inputs = {input, other};
  if (record.shift & 1) std::swap(inputs[0], inputs[1]);
  builtin(record, code, inputs, output(record, kTfLiteFloat32, dims),
          {record.window >> 2 & 3, 0});
}

void GraphMaker::add_weighted(const Record& record, int input, bool is_dense) {
  const Window w = window(record);
  Dims dims = host_.dims(input);
  const int channels_in = channels_of(dims), channels_out = 1 + record.channels % 40;
  Dims shape = {channels_out, w.kernel_height, w.kernel_width, channels_in};
  if (is_dense) shape = {channels_out, channels_in};
  const int filter = floats(shape, record.values);
  const int bias = record.operand & 1 ? -1 : floats({channels_out}, record.values + 1);
  if (!is_dense) {
    return builtin(
        record, 3, {input, filter, bias},
        output(record, kTfLiteFloat32, slid(dims, w, channels_out)),
        {w.same ? 1 : 2, static_cast<int>(w.stride_width),
         static_cast<int>(w.stride_height), w.activation,
         static_cast<int>(w.dilation_width), static_cast<int>(w.dilation_height)});
  }
  const bool keep = record.window & 1;
  const int rows = is_small(dims) && channels_in > 0
                       ? static_cast<int>(count_of(dims)) / channels_in
                       : 1;
  if (!keep) dims = {rows, channels_out};
  if (keep && !dims.empty()) dims.back() = channels_out;
  builtin(record, kDenseCode, {input, filter, bias},
          output(record, kTfLiteFloat32, dims), {w.activation, 0, keep});
}

void GraphMaker::add_mean(const Record& record, int input) {
  const Dims dims = host_.dims(input);
  const bool keep = record.window & 1;
  std::vector<int32_t> axes;
  for (int i = 0; i < record.operand % 4; ++i) {
    axes.push_back(static_cast<int>(record.values >> (2 * i) & 7) - 4);
  }
  if (record.operand == 0) axes = {1, 2};
  Dims result = {dims.empty() ? 1 : dims[0], last_of(dims)};
  if (keep) result = {result[0], 1, 1, result[1]};
  const int axis =
      host_.add_constant(kTfLiteInt32, {static_cast<int>(axes.size())}, axes);
  builtin(record, kMeanCode, {input, axis}, output(record, kTfLiteFloat32, result),
          {keep});
}

// As many scales as channels, give or take one.
void GraphMaker::quantize_channels(const Record& record, int packed) {
  const Dims dims = host_.dims(packed);
  const int axis =
      static_cast<int>(record.shift % 4 + dims.size()) - 1 - record.shift / 64;
  const size_t at = static_cast<size_t>(axis);
  size_t count = at < dims.size() ? static_cast<size_t>(dims[at]) : 3;
  count += static_cast<size_t>(record.spare % 3);
  std::vector<float> scales;
  std::vector<int> zero_points;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t byte = static_cast<uint8_t>(some_word(record.spare, i));
    scales.push_back(some_float(record.values, i));
    zero_points.push_back(extent(byte, 100));
  }
  if (record.spare >= 240) zero_points.pop_back();
  host_.set_channel_quantization(packed, scales, zero_points, axis);
}

// DEQUANTIZE of a constant, which later operators may take for theirs.
void GraphMaker::add_unpacking(const Record& record) {
  const int like = pick(record.input);
  Dims dims = {1 + record.channels % 66};
  if (record.operand & 1) dims = host_.dims(like);
  if (!is_small(dims)) dims = {1};
  const bool is_half = record.output_type % 2 == 0;
  const size_t count = count_of(dims);
  std::vector<uint8_t> bytes(count * (is_half ? 2 : 1));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(some_word(record.values, i));
  }
  const TfLiteType type = is_half ? kTfLiteFloat16 : kTfLiteInt8;
  const int packed = host_.add_constant(type, dims, bytes.data(), bytes.size());
  if (!is_half) host_.set_quantization(packed, 0.25f, record.quantization % 5);
  if (!is_half && record.quantization >= 128) quantize_channels(record, packed);
  builtin(record, 6, {packed}, output(record, kTfLiteFloat32, dims), {});
}

// Inputs are what nothing writes; outputs what the header says, and the last.
void GraphMaker::find_ends() {
  std::vector<bool> is_written(host_.context()->tensors_size, false);
  std::vector<bool> is_input(is_written), is_output(is_written);
  const int num_nodes = static_cast<int>(host_.num_nodes());
  for (int i = 0; i < num_nodes; ++i) {
    for (int tensor : values_of(host_.node(i).outputs)) {
      is_written[static_cast<size_t>(tensor)] = true;
    }
  }
  const auto add_input = [&](int tensor) {
    const size_t at = static_cast<size_t>(tensor);
    if (is_written[at] || is_input[at] || is_constant(host_.tensor(tensor))) return;
    is_input[at] = true;
    inputs_.push_back(tensor);
  };
  add_input(pool_.front());
  for (int i = 0; i < num_nodes; ++i) {
    for (int tensor : values_of(host_.node(i).inputs)) {
      if (tensor >= 0) add_input(tensor);
    }
  }
  for (int i = 0; i < num_nodes; ++i) {
    if (i + 1 < num_nodes && (header_.outputs >> (i % 8) & 1) == 0) continue;
    for (int tensor : values_of(host_.node(i).outputs)) {
      if (!is_output[static_cast<size_t>(tensor)]) outputs_.push_back(tensor);
      is_output[static_cast<size_t>(tensor)] = true;
    }
  }
  host_.count_bytes();
  host_.set_inputs(inputs_);
  host_.set_outputs(outputs_);
}

}  // namespace r2b_fuzz
