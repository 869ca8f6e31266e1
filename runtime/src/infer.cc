// Shapes of outputs, and everything that can be wrong with an operator's tensors.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph.h"

namespace r2b {

namespace {

using Inputs = std::vector<const Value*>;

// Counts of differing bits stay exact in float32 arithmetic below this.
constexpr int64_t kMaxPatchBits = 1 << 23;

// Maps with their padding may take so many times their own memory, and so much more in
// bytes: what networks need, and little enough for a file of a few bytes that asks for
// more.
constexpr int64_t kMaxPadding = 16;
constexpr int64_t kFreePadding = int64_t{64} << 20;

bool wrong(std::string* why, const char* what, const Value& value) {
  *why = format("%s, and it has shape %s and type %d", what, value.shape.text().c_str(),
                static_cast<int>(value.type));
  return false;
}

// The same of a constant, which may be missing.
bool wrong_constant(std::string* why, const char* what, const Value* value) {
  if (value != nullptr) return wrong(why, what, *value);
  *why = format("%s, and there is none", what);
  return false;
}

bool wrong_channels(std::string* why, const Value& x, const char* name,
                    const Value& constant, int32_t channels) {
  *why =
      format("its input of shape %s has %d channels, and its %s of shape %s is for %d",
             x.shape.text().c_str(), x.channels(), name, constant.shape.text().c_str(),
             channels);
  return false;
}

bool is_vector(const Value* value, TfLiteType type, int32_t length) {
  return value != nullptr && value->constant != nullptr && value->type == type &&
         value->shape.rank == 1 && value->shape.dims[0] == length;
}

bool infer_quantize(const Inputs& in, const Value& output, Shape* shape,
                    std::string* why) {
  const Value& x = *in[0];
  if (x.type != kTfLiteFloat32 && x.type != kTfLiteInt8 && x.type != kTfLiteBool) {
    return wrong(why, "its input must be float32, int8 or bool", x);
  }
  if (output.type != kTfLiteInt32)
    return wrong(why, "its output must be int32", output);
  if (x.shape.rank < 1) return wrong(why, "its input must have channels", x);
  *shape = x.shape;
  shape->dims[shape->rank - 1] = packed_words(x.shape.last());
  return true;
}

bool infer_dequantize(const Inputs& in, const Value& output, Shape* shape,
                      std::string* why) {
  const Value& x = *in[0];
  if (x.type != kTfLiteInt32) return wrong(why, "its input must be int32", x);
  if (output.type != kTfLiteFloat32 && output.type != kTfLiteInt8 &&
      output.type != kTfLiteBool) {
    return wrong(why, "its output must be float32, int8 or bool", output);
  }
  // The number of channels is not to be had from the words: the file names it.
  if (x.shape.rank < 1 || output.shape.rank != x.shape.rank ||
      packed_words(output.shape.last()) != x.shape.last()) {
    return wrong(why, "its output does not fit its input's packed channels", output);
  }
  if (output.type == kTfLiteInt8 &&
      !(output.scale > 0 && std::isfinite(output.scale))) {
    return wrong(why, "its int8 output must have a positive scale", output);
  }
  *shape = x.shape;
  shape->dims[shape->rank - 1] = output.shape.last();
  return true;
}

bool check_groups(const Operator& op, const Value& x, const Value& filter,
                  std::string* why) {
  const int32_t words = filter.shape.dims[3];
  if (x.shape.dims[3] != packed_words(static_cast<int32_t>(op.channels_in))) {
    *why = format("channels_in is %lld, which its input of shape %s does not hold",
                  static_cast<long long>(op.channels_in), x.shape.text().c_str());
    return false;
  }
  if (words == x.shape.dims[3]) return true;
  if (words < 1 || x.shape.dims[3] % words != 0 || op.channels_in % 32 != 0 ||
      filter.shape.dims[0] % (x.shape.dims[3] / words) != 0) {
    *why = format(
        "a filter of shape %s divides %lld input channels into no groups of "
        "whole words",
        filter.shape.text().c_str(), static_cast<long long>(op.channels_in));
    return false;
  }
  return true;
}

// Padding with zeros counts as half of the bits where the result stays an integer.
bool check_zero_padding(const Operator& op, const Value& x, const Value& filter,
                        const Value& output, std::string* why) {
  const bool in_float =
      output.type == kTfLiteFloat32 && op.activation == Activation::kNone;
  const int64_t group = op.channels_in * filter.shape.dims[3] / x.shape.dims[3];
  if (op.padding == Padding::kValid || op.pad_with_ones || in_float || group % 2 == 0) {
    return true;
  }
  *why = format(
      "padding with zeros, an output that is not plain float32 and %lld input "
      "channels do not go together: the number must be even",
      static_cast<long long>(group));
  return false;
}

bool infer_binary_convolution(const Operator& op, const Inputs& in, const Value& output,
                              Shape* shape, std::string* why) {
  const Value& x = *in[0];
  if (x.type != kTfLiteInt32 || x.shape.rank != 4) {
    return wrong(why, "its input must be int32 [N, H, W, words]", x);
  }
  const Value* filter = in[1];
  if (filter == nullptr || filter->constant == nullptr ||
      filter->type != kTfLiteInt32 || filter->shape.rank != 4 ||
      filter->shape.elements() < 1) {
    return wrong_constant(
        why, "its filter must be a constant int32 [O, height, width, words]", filter);
  }
  const int32_t channels = filter->shape.dims[0];
  if (!check_groups(op, x, *filter, why)) return false;
  if (!(Size(filter->shape.dims[1]) * filter->shape.dims[2] * filter->shape.dims[3] *
        32)
           .fits(kMaxPatchBits)) {
    return wrong(why, "its filter has more than 2^23 bits a channel", *filter);
  }
  if (!check_zero_padding(op, x, *filter, output, why)) return false;
  if (output.type == kTfLiteInt32) {
    if (!is_vector(in[4], kTfLiteInt32, channels)) {
      *why = format("its thresholds must be a constant int32 [%d]", channels);
      return false;
    }
  } else if (output.type == kTfLiteFloat32 || output.type == kTfLiteInt8) {
    if (!is_vector(in[2], kTfLiteFloat32, channels) ||
        !is_vector(in[3], kTfLiteFloat32, channels)) {
      *why = format("its multiplier and bias must be constant float32 [%d]", channels);
      return false;
    }
  } else {
    return wrong(why, "its output must be float32, int8 or int32", output);
  }
  if (output.type == kTfLiteInt8 &&
      !(output.scale > 0 && std::isfinite(output.scale))) {
    return wrong(why, "its int8 output must have a positive scale", output);
  }
  Axis vertical, horizontal;
  if (!make_axes(op, x, filter, &vertical, &horizontal, why)) return false;
  *shape = make_shape(x.shape.dims[0], vertical.out, horizontal.out,
                      output.type == kTfLiteInt32 ? packed_words(channels) : channels);
  return true;
}

bool infer_pool(const Operator& op, const Inputs& in, TfLiteType type,
                const Value& output, Shape* shape, std::string* why) {
  const Value& x = *in[0];
  if (x.type != type || output.type != type || x.shape.rank != 4) {
    return wrong(why,
                 type == kTfLiteInt32 ? "its input must be int32 [N, H, W, words]"
                                      : "its input must be float32 [N, H, W, C]",
                 x);
  }
  Axis vertical, horizontal;
  if (!make_axes(op, x, nullptr, &vertical, &horizontal, why)) return false;
  *shape = make_shape(x.shape.dims[0], vertical.out, horizontal.out, x.shape.dims[3]);
  return true;
}

bool infer_convolution(const Operator& op, const Inputs& in, Shape* shape,
                       std::string* why) {
  const Value& x = *in[0];
  const Value* filter = in[1];
  if (x.shape.rank != 4) return wrong(why, "its input must be float32 [N, H, W, C]", x);
  if (filter == nullptr || filter->constant == nullptr ||
      filter->type != kTfLiteFloat32 || filter->shape.rank != 4 ||
      filter->shape.elements() < 1) {
    return wrong_constant(
        why, "its filter must be a constant float32 [O, height, width, C]", filter);
  }
  if (filter->shape.dims[3] != x.shape.dims[3]) {
    return wrong_channels(why, x, "filter", *filter, filter->shape.dims[3]);
  }
  if (in[2] != nullptr && !is_vector(in[2], kTfLiteFloat32, filter->shape.dims[0])) {
    return wrong(why, "its bias must be a constant float32 [O]", *in[2]);
  }
  Axis vertical, horizontal;
  if (!make_axes(op, x, filter, &vertical, &horizontal, why)) return false;
  *shape =
      make_shape(x.shape.dims[0], vertical.out, horizontal.out, filter->shape.dims[0]);
  return true;
}

bool infer_dense(const Operator& op, const Inputs& in, Shape* shape, std::string* why) {
  const Value& x = *in[0];
  const Value* filter = in[1];
  if (filter == nullptr || filter->constant == nullptr ||
      filter->type != kTfLiteFloat32 || filter->shape.rank != 2 ||
      filter->shape.elements() < 1) {
    return wrong_constant(why, "its filter must be a constant float32 [O, C]", filter);
  }
  const int32_t channels = filter->shape.dims[1];
  if (x.shape.elements() < 0 || x.shape.elements() % channels != 0 ||
      (op.keep_dims && (x.shape.rank < 1 || x.shape.last() != channels))) {
    return wrong_channels(why, x, "filter", *filter, channels);
  }
  if (in[2] != nullptr && !is_vector(in[2], kTfLiteFloat32, filter->shape.dims[0])) {
    return wrong(why, "its bias must be a constant float32 [O]", *in[2]);
  }
  *shape = x.shape;
  if (!op.keep_dims) {
    *shape = Shape();
    shape->rank = 2;
    shape->dims[0] = static_cast<int32_t>(x.shape.elements() / channels);
  }
  shape->dims[shape->rank - 1] = filter->shape.dims[0];
  return true;
}

bool infer_mean(const Operator& op, const Inputs& in, Shape* shape, std::string* why) {
  const Value& x = *in[0];
  const Value* axes = in[1];
  if (x.shape.rank != 4 || axes == nullptr || axes->constant == nullptr ||
      axes->type != kTfLiteInt32 || axes->shape.elements() != 2) {
    return wrong(why, "it must run over height and width of [N, H, W, C]", x);
  }
  unsigned seen = 0;
  for (int i = 0; i < 2; i++) {
    int32_t axis;
    std::memcpy(&axis, static_cast<const char*>(axes->constant) + 4 * i, 4);
    if (axis >= -4 && axis < 4) seen |= 1u << ((axis + 4) % 4);
  }
  if (seen != 6 || x.shape.dims[1] < 1 || x.shape.dims[2] < 1) {
    return wrong(why, "it must run over height and width of [N, H, W, C]", x);
  }
  *shape = make_shape(x.shape.dims[0], 1, 1, x.shape.dims[3]);
  if (!op.keep_dims) {
    shape->rank = 2;
    shape->dims[1] = x.shape.dims[3];
    shape->dims[2] = shape->dims[3] = 0;
  }
  return true;
}

bool infer_broadcast(const Inputs& in, Shape* shape, std::string* why) {
  const Shape& a = in[0]->shape;
  if (in[1] == nullptr || in[1]->type != kTfLiteFloat32) {
    *why = "its second input must be float32";
    return false;
  }
  const Shape& b = in[1]->shape;
  shape->rank = a.rank > b.rank ? a.rank : b.rank;
  for (int i = 1; i <= shape->rank; i++) {
    const int32_t x = i <= a.rank ? a.dims[a.rank - i] : 1;
    const int32_t y = i <= b.rank ? b.dims[b.rank - i] : 1;
    if (x != y && x != 1 && y != 1) {
      *why = format("shapes %s and %s do not go together", a.text().c_str(),
                    b.text().c_str());
      return false;
    }
    shape->dims[shape->rank - i] = x == 1 ? y : x;
  }
  return true;
}

bool infer_prelu(const Inputs& in, Shape* shape, std::string* why) {
  const Value& x = *in[0];
  const Value* slope = in[1];
  if (x.shape.rank < 1) return wrong(why, "its input must have channels", x);
  if (slope == nullptr || slope->constant == nullptr || slope->type != kTfLiteFloat32 ||
      slope->shape.rank < 1 || slope->shape.elements() != slope->shape.last()) {
    return wrong_constant(
        why, "its slope must be a constant float32, one for each channel", slope);
  }
  if (slope->shape.last() != x.shape.last()) {
    return wrong_channels(why, x, "slope", *slope, slope->shape.last());
  }
  // XNNPACK gives its output as many; LiteRT's own kernel takes no such slope.
  if (slope->shape.rank > x.shape.rank) {
    return wrong(why, "its slope must have no more dimensions than its input", *slope);
  }
  *shape = x.shape;
  return true;
}

bool infer_any(const Operator& op, const Inputs& in, const Value& output, Shape* shape,
               std::string* why) {
  switch (op.kind) {
    case OperatorKind::kQuantize:
      return infer_quantize(in, output, shape, why);
    case OperatorKind::kDequantize:
      return infer_dequantize(in, output, shape, why);
    case OperatorKind::kBinaryConvolution:
      return infer_binary_convolution(op, in, output, shape, why);
    case OperatorKind::kBinaryMaxPool:
      return infer_pool(op, in, kTfLiteInt32, output, shape, why);
    case OperatorKind::kUnpackConstant:
      *shape = in[0]->shape;
      if (in[0]->constant == nullptr ||
          (in[0]->type != kTfLiteInt8 && in[0]->type != kTfLiteFloat16) ||
          output.type != kTfLiteFloat32) {
        return wrong(why, "its input must be a float16 or int8 constant", *in[0]);
      }
      return true;
    case OperatorKind::kCast:
      *shape = in[0]->shape;
      if (in[0]->type != kTfLiteUInt8 || output.type != kTfLiteFloat32) {
        return wrong(why, "its input must be uint8 and its output float32", *in[0]);
      }
      return true;
    default:
      break;
  }
  if (in[0]->type != kTfLiteFloat32 || output.type != kTfLiteFloat32) {
    return wrong(why, "its input and output must be float32", *in[0]);
  }
  switch (op.kind) {
    case OperatorKind::kConvolution:
      return infer_convolution(op, in, shape, why);
    case OperatorKind::kDense:
      return infer_dense(op, in, shape, why);
    case OperatorKind::kMaxPool:
    case OperatorKind::kAveragePool:
      return infer_pool(op, in, kTfLiteFloat32, output, shape, why);
    case OperatorKind::kMean:
      return infer_mean(op, in, shape, why);
    case OperatorKind::kMultiply:
    case OperatorKind::kAdd:
    case OperatorKind::kSubtract:
    case OperatorKind::kMaximum:
    case OperatorKind::kMinimum:
      return infer_broadcast(in, shape, why);
    case OperatorKind::kPrelu:
      return infer_prelu(in, shape, why);
    default:
      *shape = in[0]->shape;
      if (op.kind == OperatorKind::kSoftmax && shape->rank < 1) {
        return wrong(why, "its input must have channels", *in[0]);
      }
      return true;
  }
}

}  // namespace

bool can_be_padded(Size padded, Size plain) {
  return padded.fits(plain * kMaxPadding + kFreePadding);
}

bool can_be_padded(const Shape& shape, Size lines, Size pixels) {
  const Size images = Size(4) * std::max(shape.dims[0], 1) * shape.dims[3];
  return can_be_padded(images * lines * pixels, images * shape.dims[1] * shape.dims[2]);
}

bool make_axes(const Operator& op, const Value& input, const Value* filter,
               Axis* vertical, Axis* horizontal, std::string* why) {
  const int64_t height = filter ? filter->shape.dims[1] : op.window_height;
  const int64_t width = filter ? filter->shape.dims[2] : op.window_width;
  if (!make_axis(input.shape.dims[1], height, op.stride_height, op.dilation_height,
                 op.padding, vertical, why) ||
      !make_axis(input.shape.dims[2], width, op.stride_width, op.dilation_width,
                 op.padding, horizontal, why)) {
    return false;
  }
  // Only convolutions have their padding in memory.
  if (filter == nullptr) return true;
  if (can_be_padded(input.shape, vertical->padded(), horizontal->padded())) return true;
  *why = format(
      "its windows reach over %d x %d pixels of an input of shape %s: more "
      "padding than there is memory for",
      vertical->padded(), horizontal->padded(), input.shape.text().c_str());
  return false;
}

bool infer_output(const Operator& op, const Inputs& inputs, const Value& output,
                  Shape* shape, std::string* why) {
  for (const Value* input : inputs) {
    if (input != nullptr && input->shape.elements() < 0) {
      return wrong(why, "an input has 2^31 elements or more", *input);
    }
  }
  if (output.constant != nullptr && op.kind != OperatorKind::kUnpackConstant) {
    return wrong(why, "its output is a constant", output);
  }
  if (!infer_any(op, inputs, output, shape, why)) return false;
  if (shape->elements() < 0) {
    *why = format("its output would have shape %s: 2^31 elements or more",
                  shape->text().c_str());
    return false;
  }
  return true;
}

}  // namespace r2b
