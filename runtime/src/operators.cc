#include "operators.h"

#include <cstring>
#include <limits>

#include "option_map.h"

namespace r2b {

namespace {

// Parameters of LiteRT's operators, as its C interface lays them out; others have one.
struct ConvolutionParams {
  int padding, stride_width, stride_height, activation;
  int dilation_width, dilation_height;
};
struct PoolParams {
  int padding, stride_width, stride_height, filter_width, filter_height, activation;
};
struct DenseParams {
  int activation, weights_format;
  bool keep_num_dims;
};

struct KnownOperator {
  int code;
  const char* name;
  OperatorKind kind;
  int num_inputs;
};

constexpr KnownOperator kOperators[] = {
    {0, "ADD", OperatorKind::kAdd, 2},
    {1, "AVERAGE_POOL_2D", OperatorKind::kAveragePool, 1},
    {3, "CONV_2D", OperatorKind::kConvolution, 3},
    {6, "DEQUANTIZE", OperatorKind::kUnpackConstant, 1},
    {8, "FLOOR", OperatorKind::kFloor, 1},
    {9, "FULLY_CONNECTED", OperatorKind::kDense, 3},
    {14, "LOGISTIC", OperatorKind::kLogistic, 1},
    {17, "MAX_POOL_2D", OperatorKind::kMaxPool, 1},
    {18, "MUL", OperatorKind::kMultiply, 2},
    {19, "RELU", OperatorKind::kLimits, 1},
    {20, "RELU_N1_TO_1", OperatorKind::kLimits, 1},
    {21, "RELU6", OperatorKind::kLimits, 1},
    {25, "SOFTMAX", OperatorKind::kSoftmax, 1},
    {40, "MEAN", OperatorKind::kMean, 2},
    {41, "SUB", OperatorKind::kSubtract, 2},
    {53, "CAST", OperatorKind::kCast, 1},
    {54, "PRELU", OperatorKind::kPrelu, 2},
    {55, "MAXIMUM", OperatorKind::kMaximum, 2},
    {57, "MINIMUM", OperatorKind::kMinimum, 2},
    {kTfLiteBuiltinCustom, "LceQuantize", OperatorKind::kQuantize, 1},
    {kTfLiteBuiltinCustom, "LceDequantize", OperatorKind::kDequantize, 1},
    {kTfLiteBuiltinCustom, "LceBconv2d", OperatorKind::kBinaryConvolution, 5},
    {kTfLiteBuiltinCustom, "LceBMaxPool2d", OperatorKind::kBinaryMaxPool, 1},
};

bool known_activation(int64_t code, Activation* activation) {
  if (code < 0 || code > 3) return false;
  *activation = static_cast<Activation>(code);
  return true;
}

// LiteRT numbers paddings 1 and 2 in its C interface.
bool known_padding(int code, Padding* padding) {
  if (code != 1 && code != 2) return false;
  *padding = code == 1 ? Padding::kSame : Padding::kValid;
  return true;
}

bool read_builtin_params(const TfLiteNode& node, int code, Operator* op) {
  const void* data = node.builtin_data;
  switch (op->kind) {
    case OperatorKind::kPrelu:
    case OperatorKind::kLogistic:
    case OperatorKind::kFloor:
    case OperatorKind::kMaximum:
    case OperatorKind::kMinimum:
    case OperatorKind::kCast:
    case OperatorKind::kUnpackConstant:
      return true;
    case OperatorKind::kLimits:
      op->activation = code == 19   ? Activation::kRelu
                       : code == 20 ? Activation::kReluN1To1
                                    : Activation::kRelu6;
      return true;
    default:
      if (data == nullptr) return false;
  }
  switch (op->kind) {
    case OperatorKind::kConvolution: {
      const auto& params = *static_cast<const ConvolutionParams*>(data);
      op->stride_height = params.stride_height;
      op->stride_width = params.stride_width;
      op->dilation_height = params.dilation_height;
      op->dilation_width = params.dilation_width;
      return known_padding(params.padding, &op->padding) &&
             known_activation(params.activation, &op->activation);
    }
    case OperatorKind::kMaxPool:
    case OperatorKind::kAveragePool: {
      const auto& params = *static_cast<const PoolParams*>(data);
      op->stride_height = params.stride_height;
      op->stride_width = params.stride_width;
      op->window_height = params.filter_height;
      op->window_width = params.filter_width;
      return known_padding(params.padding, &op->padding) &&
             known_activation(params.activation, &op->activation);
    }
    case OperatorKind::kDense: {
      const auto& params = *static_cast<const DenseParams*>(data);
      op->keep_dims = params.keep_num_dims;
      return params.weights_format == 0 &&
             known_activation(params.activation, &op->activation);
    }
    case OperatorKind::kMean:
      op->keep_dims = *static_cast<const bool*>(data);
      return true;
    case OperatorKind::kSoftmax:
      op->beta = *static_cast<const float*>(data);
      return true;
    default:  // MUL, ADD, SUB
      return known_activation(*static_cast<const int*>(data), &op->activation);
  }
}

// Reads `key` as an integer from `lowest` to `highest`.
bool read_option(const OptionMap& options, const char* key, int64_t lowest,
                 int64_t highest, int64_t* value, std::string* why) {
  if (!options.has(key)) {
    *why = format("option %s is missing", key);
    return false;
  }
  if (!options.get_int(key, value)) {
    *why = format("option %s is not an integer", key);
    return false;
  }
  if (*value < lowest || *value > highest) {
    *why = format("option %s is %lld, not from %lld to %lld", key,
                  static_cast<long long>(*value), static_cast<long long>(lowest),
                  static_cast<long long>(highest));
    return false;
  }
  return true;
}

constexpr int64_t kMaxOption = 1 << 20;

bool read_window_options(const OptionMap& options, Operator* op, std::string* why) {
  int64_t padding = 0;
  if (!read_option(options, "stride_height", 1, kMaxOption, &op->stride_height, why) ||
      !read_option(options, "stride_width", 1, kMaxOption, &op->stride_width, why) ||
      !read_option(options, "padding", 0, 1, &padding, why)) {
    return false;
  }
  op->padding = padding == 0 ? Padding::kSame : Padding::kValid;
  return true;
}

bool read_binary_convolution(const OptionMap& options, Operator* op, std::string* why) {
  int64_t pad_values = 0, activation = 0;
  if (!read_window_options(options, op, why) ||
      !read_option(options, "dilation_height_factor", 1, kMaxOption,
                   &op->dilation_height, why) ||
      !read_option(options, "dilation_width_factor", 1, kMaxOption, &op->dilation_width,
                   why) ||
      !read_option(options, "pad_values", 0, 1, &pad_values, why) ||
      !read_option(options, "channels_in", 1, INT32_MAX, &op->channels_in, why) ||
      !read_option(options, "fused_activation_function", 0, 3, &activation, why)) {
    return false;
  }
  op->pad_with_ones = pad_values == 1;
  op->activation = static_cast<Activation>(activation);
  return true;
}

bool read_binary_options(const TfLiteNode& node, Operator* op, std::string* why) {
  if (op->kind == OperatorKind::kQuantize || op->kind == OperatorKind::kDequantize) {
    return true;
  }
  OptionMap options;
  if (node.custom_initial_data == nullptr || node.custom_initial_data_size <= 0 ||
      !options.parse(node.custom_initial_data,
                     static_cast<size_t>(node.custom_initial_data_size))) {
    *why = format("its %d bytes of options are not a FlexBuffer map",
                  node.custom_initial_data_size);
    return false;
  }
  if (op->kind == OperatorKind::kBinaryConvolution) {
    return read_binary_convolution(options, op, why);
  }
  return read_window_options(options, op, why) &&
         read_option(options, "filter_height", 1, kMaxOption, &op->window_height,
                     why) &&
         read_option(options, "filter_width", 1, kMaxOption, &op->window_width, why);
}

bool read_tensors(const TfLiteContext& context, const TfLiteNode& node, int num_inputs,
                  bool fewer, Operator* op, std::string* why) {
  if (node.inputs == nullptr || node.outputs == nullptr || node.outputs->size != 1 ||
      (fewer ? node.inputs->size > num_inputs || node.inputs->size < 1
             : node.inputs->size != num_inputs)) {
    *why = format("it has %d inputs and %d outputs, not %d and 1",
                  node.inputs == nullptr ? 0 : node.inputs->size,
                  node.outputs == nullptr ? 0 : node.outputs->size, num_inputs);
    return false;
  }
  const int limit = static_cast<int>(context.tensors_size);
  op->inputs.assign(node.inputs->data, node.inputs->data + node.inputs->size);
  op->inputs.resize(static_cast<size_t>(num_inputs), -1);
  op->output = node.outputs->data[0];
  for (int tensor : op->inputs) {
    if (tensor < -1 || tensor >= limit) {
      *why = format("input tensor %d is not in the model", tensor);
      return false;
    }
  }
  if (op->inputs[0] < 0 || op->output < 0 || op->output >= limit) {
    *why = "its first input or its output is missing";
    return false;
  }
  return true;
}

}  // namespace

void activation_limits(Activation activation, float* lowest, float* highest) {
  const float infinity = std::numeric_limits<float>::infinity();
  *lowest = activation == Activation::kNone        ? -infinity
            : activation == Activation::kReluN1To1 ? -1.0f
                                                   : 0.0f;
  *highest = activation == Activation::kReluN1To1 ? 1.0f
             : activation == Activation::kRelu6   ? 6.0f
                                                  : infinity;
}

bool is_binary(OperatorKind kind) { return kind <= OperatorKind::kBinaryMaxPool; }

Reading read_operator(TfLiteContext* context, int node_index, Operator* op,
                      std::string* why) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, node_index, &node, &registration) !=
          kTfLiteOk ||
      node == nullptr || registration == nullptr) {
    *why = format("node %d cannot be read", node_index);
    return Reading::kBroken;
  }
  op->node = node_index;
  for (const KnownOperator& known : kOperators) {
    const bool is_custom = known.code == kTfLiteBuiltinCustom;
    if (registration->builtin_code != known.code ||
        (is_custom && (registration->custom_name == nullptr ||
                       std::strcmp(registration->custom_name, known.name) != 0))) {
      continue;
    }
    op->kind = known.kind;
    op->name = known.name;
    const bool fewer =
        known.kind == OperatorKind::kConvolution || known.kind == OperatorKind::kDense;
    const bool is_read =
        read_tensors(*context, *node, known.num_inputs, fewer, op, why) &&
        (is_custom ? read_binary_options(*node, op, why)
                   : read_builtin_params(*node, known.code, op));
    if (is_read) return Reading::kRead;
    return is_custom ? Reading::kBroken : Reading::kForeign;
  }
  return Reading::kForeign;
}

}  // namespace r2b
