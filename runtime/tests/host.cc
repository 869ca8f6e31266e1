#include "host.h"

#include <cstdlib>
#include <cstring>

#include "host_arrays.h"

namespace r2b_test {
namespace {

constexpr int64_t kAllowDynamicTensors = 1;
// Constants in a model file are aligned to this and no more.
constexpr size_t kConstantAlignment = 4;

}  // namespace

TfLiteIntArray* make_int_array(const std::vector<int>& values) {
  const size_t bytes = sizeof(int) * (1 + values.size());
  auto* array = static_cast<TfLiteIntArray*>(std::malloc(bytes));
  array->size = static_cast<int>(values.size());
  if (!values.empty()) {
    std::memcpy(array->data, values.data(), bytes - sizeof(int));
  }
  return array;
}

Host::Node::~Node() {
  std::free(node.inputs);
  std::free(node.outputs);
  std::free(node.intermediates);
  std::free(node.temporaries);
  std::free(node.builtin_data);
  std::free(const_cast<void*>(node.custom_initial_data));
}

Host::~Host() {
  for (const auto& node : nodes_) {
    if (node->is_delegate && node->node.user_data != nullptr &&
        node->registration.free != nullptr) {
      node->registration.free(&context_, node->node.user_data);
    }
  }
  for (size_t i = 0; i < context_.tensors_size; ++i) {
    TfLiteTensor& tensor = tensors_[i];
    forget_memory(&tensor);
    std::free(tensor.dims);
    std::free(const_cast<char*>(tensor.name));
    std::free(const_cast<TfLiteIntArray*>(tensor.dims_signature));
    forget_quantization(&tensor);
  }
  std::free(tensors_);
  std::free(plan_array_);
}

// `allocation` marks memory of the host's own: its start.
void Host::forget_memory(TfLiteTensor* tensor) {
  std::free(const_cast<void*>(tensor->allocation));
  tensor->allocation = nullptr;
  tensor->data = nullptr;
}

int Host::add_tensor(TfLiteType type, const Dims& dims) {
  int index = 0;
  add_tensors(&context_, 1, &index);
  TfLiteTensor& tensor = tensors_[index];
  tensor.type = type;
  tensor.dims = make_int_array(dims);
  tensor.allocation_type = kTfLiteArenaRw;
  tensor.name = strdup(("tensor" + std::to_string(index)).c_str());
  tensor.buffer_handle = -1;
  if (!bytes_of(type, *tensor.dims, &tensor.bytes)) tensor.bytes = 0;
  return index;
}

void Host::set_quantization(int index, float scale, int zero_point) {
  set_channel_quantization(index, {scale}, {zero_point}, 0);
}

void Host::set_channel_quantization(int index, const std::vector<float>& scales,
                                    const std::vector<int>& zero_points, int axis) {
  TfLiteTensor& tensor = tensors_[index];
  forget_quantization(&tensor);
  auto* affine = static_cast<TfLiteAffineQuantization*>(
      std::malloc(sizeof(TfLiteAffineQuantization)));
  const size_t bytes = scales.size() * sizeof(float);
  affine->scale = static_cast<TfLiteFloatArray*>(std::malloc(sizeof(int) + bytes));
  affine->scale->size = static_cast<int>(scales.size());
  if (bytes > 0) std::memcpy(affine->scale->data, scales.data(), bytes);
  affine->zero_point = make_int_array(zero_points);
  affine->quantized_dimension = axis;
  tensor.quantization = {kTfLiteAffineQuantization, affine};
  tensor.params = {0, 0};
  if (scales.size() == 1 && zero_points.size() == 1) {
    tensor.params = {scales[0], zero_points[0]};
  }
}

void Host::forget_quantization(TfLiteTensor* tensor) {
  auto* affine = static_cast<TfLiteAffineQuantization*>(tensor->quantization.params);
  if (affine == nullptr) return;
  std::free(affine->scale);
  std::free(affine->zero_point);
  std::free(affine);
  tensor->quantization = {kTfLiteNoQuantization, nullptr};
}

int Host::add_quantized(TfLiteType type, const Dims& dims, float scale,
                        int zero_point) {
  const int index = add_tensor(type, dims);
  set_quantization(index, scale, zero_point);
  return index;
}

int Host::add_constant(TfLiteType type, const Dims& dims, const void* data,
                       size_t bytes) {
  const int index = add_tensor(type, dims);
  tensors_[index].allocation_type = kTfLiteMmapRo;
  set_constant(&tensors_[index], data, bytes, kConstantAlignment);
  return index;
}

void Host::set_constant(TfLiteTensor* tensor, const void* data, size_t bytes,
                        size_t shift) {
  char* memory = static_cast<char*>(std::malloc(bytes + shift));
  if (bytes > 0) std::memcpy(memory + shift, data, bytes);
  forget_memory(tensor);
  tensor->allocation = memory;
  tensor->data = memory + shift;
  tensor->bytes = bytes;
}

void Host::make_variable(int constant) {
  forget_memory(&tensors_[constant]);
  tensors_[constant].allocation_type = kTfLiteArenaRw;
}

void Host::shorten_constant(int constant, size_t bytes) {
  TfLiteTensor* tensor = &tensors_[constant];
  if (!is_constant(*tensor) || tensor->bytes <= bytes) return;
  set_constant(tensor, tensor->data, bytes, kConstantAlignment);
}

void Host::misalign_constant(int constant, size_t bytes) {
  TfLiteTensor* tensor = &tensors_[constant];
  if (!is_constant(*tensor)) return;
  set_constant(tensor, tensor->data, tensor->bytes, kConstantAlignment + bytes);
}

void Host::count_bytes() {
  for (size_t i = 0; i < context_.tensors_size; ++i) {
    TfLiteTensor& tensor = tensors_[i];
    if (is_constant(tensor)) continue;
    if (tensor.dims == nullptr || !bytes_of(tensor.type, *tensor.dims, &tensor.bytes)) {
      tensor.bytes = 0;
    }
  }
}

int Host::add_node(const std::vector<int>& inputs, const std::vector<int>& outputs) {
  auto node = std::make_unique<Node>();
  node->node.inputs = make_int_array(inputs);
  node->node.outputs = make_int_array(outputs);
  node->node.intermediates = make_int_array({});
  node->node.temporaries = make_int_array({});
  const int index = static_cast<int>(nodes_.size());
  nodes_.push_back(std::move(node));
  return index;
}

int Host::add_custom(const char* name, const Bytes& options,
                     const std::vector<int>& inputs, const std::vector<int>& outputs) {
  const int index = add_node(inputs, outputs);
  Node& added = *nodes_.back();
  added.registration.builtin_code = kTfLiteBuiltinCustom;
  added.registration.custom_name = name;
  added.registration.version = 1;
  added.node.custom_initial_data_size = static_cast<int>(options.size());
  if (!options.empty()) {
    void* copy = std::malloc(options.size());
    std::memcpy(copy, options.data(), options.size());
    added.node.custom_initial_data = copy;
  }
  plan_.push_back(index);
  return index;
}

int Host::add_builtin(int code, const std::vector<int>& inputs,
                      const std::vector<int>& outputs, const void* params,
                      size_t bytes) {
  const int index = add_node(inputs, outputs);
  Node& added = *nodes_.back();
  added.registration.builtin_code = code;
  added.registration.version = 1;
  if (bytes > 0) {
    added.node.builtin_data = std::malloc(bytes);
    std::memcpy(added.node.builtin_data, params, bytes);
  }
  plan_.push_back(index);
  return index;
}

Dims Host::dims(int tensor) const { return values_of(tensors_[tensor].dims); }

int64_t Host::num_elements(int tensor) const {
  int64_t count = 1;
  for (int extent : dims(tensor)) count *= extent;
  return count;
}

// An interpreter's life.

TfLiteStatus Host::apply(TfLiteDelegate* delegate) {
  if ((delegate->flags & kAllowDynamicTensors) == 0) {
    report_error(&context_, "The delegate does not allow dynamic tensors.");
    return kTfLiteError;
  }
  allow_graph_functions(true);
  const TfLiteStatus status = delegate->Prepare(&context_, delegate);
  allow_graph_functions(false);
  return status;
}

TfLiteStatus Host::resize_input(int tensor, const Dims& dims) {
  return resize_tensor(&context_, &tensors_[tensor], make_int_array(dims));
}

TfLiteStatus Host::allocate() {
  for (int tensor : inputs_) {
    if (give_memory(tensor) != kTfLiteOk) return kTfLiteError;
  }
  return prepare_from(0);
}

bool Host::has_dynamic_output(const Node& node) const {
  for (int tensor : values_of(node.node.outputs)) {
    if (tensor >= 0 && tensors_[tensor].allocation_type == kTfLiteDynamic) return true;
  }
  return false;
}

// Up to the first node whose output's shape is known only when it has run.
TfLiteStatus Host::prepare_from(size_t position) {
  const size_t first = position;
  for (bool is_known = true; is_known && position < plan_.size(); ++position) {
    Node* node = nodes_[static_cast<size_t>(plan_[position])].get();
    if (prepare(node) != kTfLiteOk) return kTfLiteError;
    is_known = !has_dynamic_output(*node);
  }
  next_to_prepare_ = position;
  for (size_t i = first; i < position; ++i) {
    const TfLiteNode& node = nodes_[static_cast<size_t>(plan_[i])]->node;
    if (give_memory_to(node.inputs) != kTfLiteOk ||
        give_memory_to(node.outputs) != kTfLiteOk ||
        give_memory_to(node.temporaries) != kTfLiteOk) {
      return kTfLiteError;
    }
  }
  return kTfLiteOk;
}

bool Host::is_copy(const Node& node) {
  const int code = node.registration.builtin_code;
  const TfLiteIntArray& inputs = *node.node.inputs;
  return (code == kCopyCode || code == kDynamicCopyCode) && inputs.size > 0 &&
         inputs.data[0] >= 0 && node.node.outputs->size > 0;
}

TfLiteStatus Host::prepare(Node* node) {
  const TfLiteRegistration& registration = node->registration;
  if (node->is_delegate) {
    return registration.prepare == nullptr
               ? kTfLiteOk
               : registration.prepare(&context_, &node->node);
  }
  if (registration.builtin_code == kTfLiteBuiltinCustom) {
    report_error(&context_, "Encountered unresolved custom op: %s.",
                 registration.custom_name == nullptr ? "" : registration.custom_name);
    return kTfLiteError;
  }
  if (!is_copy(*node)) return kTfLiteOk;
  const bool is_dynamic = registration.builtin_code == kDynamicCopyCode;
  TfLiteTensor* output = &tensors_[node->node.outputs->data[0]];
  if (is_dynamic && !is_constant(*output)) {
    forget_memory(output);
    output->allocation_type = kTfLiteDynamic;
    return kTfLiteOk;
  }
  return resize_tensor(&context_, output,
                       make_int_array(dims(node->node.inputs->data[0])));
}

TfLiteStatus Host::invoke() {
  for (size_t i = 0; i < plan_.size(); ++i) {
    if (i == next_to_prepare_ && prepare_from(i) != kTfLiteOk) return kTfLiteError;
    Node* node = nodes_[static_cast<size_t>(plan_[i])].get();
    for (int tensor : values_of(node->node.inputs)) {
      if (tensor >= 0 && tensors_[tensor].data == nullptr &&
          tensors_[tensor].bytes > 0) {
        report_error(&context_, "Input tensor %d lacks data.", tensor);
        return kTfLiteError;
      }
    }
    if (run(node) != kTfLiteOk) return kTfLiteError;
    if (has_dynamic_output(*node)) next_to_prepare_ = i + 1;
  }
  return kTfLiteOk;
}

// The host's own operators copy; all others that nothing has claimed give zeros.
TfLiteStatus Host::run(Node* node) {
  const TfLiteRegistration& registration = node->registration;
  if (node->is_delegate) return registration.invoke(&context_, &node->node);
  if (is_copy(*node)) {
    const TfLiteTensor& from = tensors_[node->node.inputs->data[0]];
    TfLiteTensor& to = tensors_[node->node.outputs->data[0]];
    const bool fits = registration.builtin_code == kCopyCode ||
                      resize_tensor(&context_, &to,
                                    make_int_array(values_of(from.dims))) == kTfLiteOk;
    if (!fits || to.bytes != from.bytes) {
      report_error(&context_, "The copy has other bytes.");
      return kTfLiteError;
    }
    if (to.bytes > 0) std::memcpy(to.data, from.data, to.bytes);
    return kTfLiteOk;
  }
  for (int index : values_of(node->node.outputs)) {
    const TfLiteTensor& output = tensors_[index];
    if (output.data != nullptr && !is_constant(output)) {
      std::memset(output.data, 0, output.bytes);
    }
  }
  return kTfLiteOk;
}

size_t Host::memory_used() const {
  size_t bytes = 0;
  for (size_t i = 0; i < context_.tensors_size; ++i) {
    if (tensors_[i].data != nullptr) bytes += tensors_[i].bytes;
  }
  return bytes;
}

TfLiteStatus Host::give_memory_to(const TfLiteIntArray* tensors) {
  for (int tensor : values_of(tensors)) {
    if (tensor >= 0 && give_memory(tensor) != kTfLiteOk) return kTfLiteError;
  }
  return kTfLiteOk;
}

TfLiteStatus Host::give_memory(int index) {
  TfLiteTensor& tensor = tensors_[index];
  if (tensor.allocation != nullptr || is_constant(tensor)) return kTfLiteOk;
  const size_t used = memory_used();
  if (tensor.bytes > memory_limit_ || used > memory_limit_ - tensor.bytes) {
    report_error(&context_, "No memory for tensor %d of %zu bytes.", index,
                 tensor.bytes);
    return kTfLiteError;
  }
  tensor.data = std::malloc(tensor.bytes);
  tensor.allocation = tensor.data;
  // Whoever reads before anything is written gets this, and not a zero by chance.
  std::memset(tensor.data, 0x5a, tensor.bytes);
  return kTfLiteOk;
}

}  // namespace r2b_test
