#include "graph.h"

#include <cstring>

namespace r2b {

namespace {
// More than `allocate` gives, and offsets of elements stay far from where they wrap.
constexpr int64_t kMaxBytes = int64_t{1} << 40;
}  // namespace

int Value::rows() const {
  // [N, H, 0, C] has no pixel, and its N and H may be anything.
  if (shape.elements() == 0) return 0;
  if (shape.rank == 4) return shape.dims[0] * shape.dims[1];
  return static_cast<int>(shape.pixels());
}

int64_t Value::bytes() const {
  const Size images = shape.rank == 4 ? shape.dims[0] : shape.pixels();
  const Size lines = Size(frame.top) + height() + frame.bottom;
  const Size pixels = Size(frame.left) + row_pixels() + frame.right;
  const Size bytes =
      images * lines * pixels * channels() * static_cast<int64_t>(element_bytes(type));
  return bytes.fits(kMaxBytes) ? bytes.count() : -1;
}

bool read_value(const TfLiteContext& context, int tensor, Value* value,
                std::string* why) {
  const TfLiteTensor& from = context.tensors[tensor];
  value->tensor = tensor;
  value->type = from.type;
  value->scale = from.params.scale;
  value->zero_point = from.params.zero_point;
  if (!value->shape.read(from.dims)) {
    *why = format("tensor %d has no shape of up to %d dimensions", tensor, kMaxRank);
    return false;
  }
  value->shape.open(from.dims_signature);
  if (from.allocation_type != kTfLiteMmapRo || from.data == nullptr) return true;
  const int64_t elements = value->shape.elements();
  if (elements < 0 || element_bytes(from.type) == 0 ||
      from.bytes != static_cast<size_t>(elements) * element_bytes(from.type)) {
    *why = format(
        "constant tensor %d holds %zu bytes, which its shape %s and type %d "
        "do not ask for",
        tensor, from.bytes, value->shape.text().c_str(), static_cast<int>(from.type));
    return false;
  }
  value->constant = from.data;
  return true;
}

int Graph::value_of(TfLiteContext* context, int tensor, const ConstantSources& sources,
                    Indices* indices, std::string* why) {
  const int index = static_cast<int>(values.size());
  const auto [known, is_new] = indices->emplace(tensor, index);
  if (!is_new) return known->second;
  values.push_back(std::make_unique<Value>());
  Value& value = *values.back();
  if (!read_value(*context, tensor, &value, why)) return -1;
  const auto source = sources.find(tensor);
  if (source == sources.end()) return index;
  // Whoever unpacks it when the model runs, it is needed now.
  Value packed;
  if (!read_value(*context, source->second, &packed, why)) return -1;
  value.own = allocate(Size(packed.shape.elements()) * int64_t{sizeof(float)});
  if (value.own == nullptr) {
    *why = format("there is no memory for constant tensor %d", source->second);
    return -1;
  }
  auto* floats = reinterpret_cast<float*>(value.own.get());
  if (packed.constant == nullptr || packed.shape != value.shape ||
      !unpack_constant(context->tensors[source->second], packed, floats)) {
    *why =
        format("the quantization of constant tensor %d cannot be read", source->second);
    return -1;
  }
  value.constant = floats;
  value.packed = packed.constant;
  return index;
}

Value* Graph::add_value(TfLiteType type, const Shape& shape) {
  values.push_back(std::make_unique<Value>());
  values.back()->type = type;
  values.back()->shape = shape;
  return values.back().get();
}

bool Graph::read(TfLiteContext* context, const TfLiteIntArray* nodes,
                 const TfLiteIntArray* outputs, const ConstantSources& sources,
                 std::string* why) {
  Indices indices;
  std::vector<bool> written(context->tensors_size, false);
  for (int i = 0; i < nodes->size; i++) {
    Operator op;
    if (read_operator(context, nodes->data[i], &op, why) != Reading::kRead) {
      *why = format("%s (node %d): %s", op.name, nodes->data[i], why->c_str());
      return false;
    }
    written[static_cast<size_t>(op.output)] = true;
    operators.push_back(op);
  }
  for (Operator& op : operators) {
    for (int& input : op.inputs) {
      if (input < 0) continue;
      const bool inside = written[static_cast<size_t>(input)];
      input = value_of(context, input, sources, &indices, why);
      if (input < 0) return *why = format("%s: %s", op.name, why->c_str()), false;
      Value& value = *values[static_cast<size_t>(input)];
      value.from_outside = !inside && value.constant == nullptr;
    }
    op.output = value_of(context, op.output, sources, &indices, why);
    if (op.output < 0) return *why = format("%s: %s", op.name, why->c_str()), false;
  }
  for (int i = 0; outputs != nullptr && i < outputs->size; i++) {
    const int tensor = outputs->data[i];
    if (tensor < 0 || static_cast<size_t>(tensor) >= context->tensors_size) continue;
    const auto found = indices.find(tensor);
    if (found == indices.end()) continue;
    values[static_cast<size_t>(found->second)]->to_outside = true;
  }
  return true;
}

bool Graph::infer_shapes(TfLiteContext* context, std::string* why) {
  for (auto& value : values) {
    if (!value->from_outside) continue;
    const TfLiteTensor& tensor = context->tensors[value->tensor];
    if (!value->shape.read(tensor.dims)) {
      *why = format("tensor %d has no shape of up to %d dimensions", value->tensor,
                    kMaxRank);
      return false;
    }
  }
  for (const Operator& op : operators) {
    std::vector<const Value*> inputs;
    for (size_t i = 0; i < op.inputs.size(); i++) {
      inputs.push_back(has_input(op, i) ? &input(op, i) : nullptr);
    }
    Shape shape;
    if (!infer_output(op, inputs, output(op), &shape, why)) {
      *why = format("%s (node %d): %s", op.name, op.node, why->c_str());
      return false;
    }
    output(op).shape = shape;
  }
  return true;
}

bool Graph::is_mean(const Operator& op) const {
  if (op.kind == OperatorKind::kMean) return true;
  if (op.kind != OperatorKind::kAveragePool || op.activation != Activation::kNone) {
    return false;
  }
  Axis vertical, horizontal;
  std::string unused;
  const auto holds_all = [](const Axis& axis) {
    return axis.out == 1 && axis.end_tap(0) - axis.first_tap(0) == axis.in;
  };
  return make_axes(op, input(op, 0), nullptr, &vertical, &horizontal, &unused) &&
         holds_all(vertical) && holds_all(horizontal);
}

namespace {

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {  // zero and denormals: mantissa times 2^-24, exact in float
    const float size = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -size : size;
  }
  const uint32_t bits = exponent == 31
                            ? sign | 0x7f800000u | (mantissa << 13)
                            : sign | ((exponent + 112) << 23) | (mantissa << 13);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

bool unpack_constant(const TfLiteTensor& tensor, const Value& packed, float* floats) {
  const size_t count = static_cast<size_t>(packed.shape.elements());
  if (packed.type == kTfLiteFloat16) {
    for (size_t i = 0; i < count; i++) {
      uint16_t half;
      std::memcpy(&half, static_cast<const char*>(packed.constant) + 2 * i, 2);
      floats[i] = half_to_float(half);
    }
    return true;
  }
  if (packed.type != kTfLiteInt8) return false;
  const auto* bytes = static_cast<const int8_t*>(packed.constant);
  const auto* affine =
      static_cast<const TfLiteAffineQuantization*>(tensor.quantization.params);
  int64_t num_scales = 1, num_zeros = 1, inner = static_cast<int64_t>(count);
  if (tensor.quantization.type == kTfLiteAffineQuantization && affine != nullptr &&
      affine->scale != nullptr && affine->scale->size > 1) {
    num_scales = affine->scale->size;
    const int axis = affine->quantized_dimension;
    if (axis < 0 || axis >= packed.shape.rank ||
        packed.shape.dims[axis] != num_scales || affine->zero_point == nullptr) {
      return false;
    }
    // Some versions of LiteRT keep one for all channels where all are alike.
    num_zeros = affine->zero_point->size;
    if (num_zeros != 1 && num_zeros != num_scales) return false;
    inner = 1;
    for (int i = axis + 1; i < packed.shape.rank; i++) inner *= packed.shape.dims[i];
  }
  for (size_t i = 0; i < count; i++) {
    const int64_t which = static_cast<int64_t>(i) / inner % num_scales;
    const float scale = num_scales > 1 ? affine->scale->data[which] : packed.scale;
    // Wide: a damaged file may have any zero point.
    const int64_t zero = num_scales > 1 ? affine->zero_point->data[which % num_zeros]
                                        : packed.zero_point;
    floats[i] = scale * static_cast<float>(bytes[i] - zero);
  }
  return true;
}

}  // namespace r2b
