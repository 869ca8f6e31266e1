// The part of the host that a delegate calls: the graph's functions, and partitioning.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "host.h"
#include "host_arrays.h"

namespace r2b_test {
namespace {

constexpr int kDelegateCode = 51;

size_t bytes_of_type(TfLiteType type) {
  switch (type) {
    case kTfLiteInt64:
      return 8;
    case kTfLiteFloat32:
    case kTfLiteInt32:
      return 4;
    case kTfLiteFloat16:
      return 2;
    case kTfLiteUInt8:
    case kTfLiteInt8:
    case kTfLiteBool:
      return 1;
    default:
      return 0;
  }
}

bool contains(const std::vector<int>& values, int value) {
  for (int each : values) {
    if (each == value) return true;
  }
  return false;
}

void add_once(std::vector<int>* values, int value) {
  if (!contains(*values, value)) values->push_back(value);
}

void* no_external(TfLiteContext*, int) { return nullptr; }
void no_set_external(TfLiteContext*, int, void*) {}

TfLiteStatus forbid(TfLiteContext* context) {
  context->ReportError(context, "The function is forbidden now.");
  return kTfLiteError;
}
TfLiteStatus forbidden_plan(TfLiteContext* context, TfLiteIntArray**) {
  return forbid(context);
}
TfLiteStatus forbidden_node(TfLiteContext* context, int, TfLiteNode**,
                            TfLiteRegistration**) {
  return forbid(context);
}
TfLiteStatus forbidden_replace(TfLiteContext* context, TfLiteRegistration,
                               const TfLiteIntArray*, TfLiteDelegate*) {
  return forbid(context);
}

}  // namespace

// False where it does not fit.
bool bytes_of(TfLiteType type, const TfLiteIntArray& dims, size_t* bytes) {
  *bytes = bytes_of_type(type);
  for (int i = 0; i < dims.size; ++i) {
    if (dims.data[i] < 0) return false;
    if (__builtin_mul_overflow(*bytes, static_cast<size_t>(dims.data[i]), bytes)) {
      return false;
    }
  }
  return true;
}

Host::Host(int num_threads) {
  context_.impl = this;
  context_.ResizeTensor = resize_tensor;
  context_.ReportError = report_error;
  context_.AddTensors = add_tensors;
  context_.recommended_num_threads = num_threads;
  context_.get_external = no_external;
  context_.set_external = no_set_external;
  allow_graph_functions(false);
}

void Host::allow_graph_functions(bool allow) {
  context_.GetExecutionPlan = allow ? get_execution_plan : forbidden_plan;
  context_.GetNodeAndRegistration = allow ? get_node : forbidden_node;
  context_.ReplaceNodeSubsetsWithDelegateKernels =
      allow ? replace_nodes : forbidden_replace;
}

// What the delegate may call.

TfLiteStatus Host::get_execution_plan(TfLiteContext* context, TfLiteIntArray** plan) {
  Host& host = *of(context);
  std::free(host.plan_array_);
  *plan = host.plan_array_ = make_int_array(host.plan_);
  return kTfLiteOk;
}

TfLiteStatus Host::get_node(TfLiteContext* context, int index, TfLiteNode** node,
                            TfLiteRegistration** registration) {
  Host& host = *of(context);
  if (index < 0 || static_cast<size_t>(index) >= host.nodes_.size()) {
    context->ReportError(context, "There is no node %d.", index);
    return kTfLiteError;
  }
  Node& found = *host.nodes_[static_cast<size_t>(index)];
  *node = &found.node;
  *registration = &found.registration;
  return kTfLiteOk;
}

TfLiteStatus Host::resize_tensor(TfLiteContext* context, TfLiteTensor* tensor,
                                 TfLiteIntArray* dims) {
  size_t bytes = 0;
  const bool resizable = !is_constant(*tensor);
  if (!resizable || !bytes_of(tensor->type, *dims, &bytes)) {
    std::free(dims);
    context->ReportError(
        context, resizable ? "The shape overflows." : "The tensor has a fixed size.");
    return kTfLiteError;
  }
  Host& host = *of(context);
  host.forget_memory(tensor);
  tensor->bytes = bytes;
  std::free(tensor->dims);
  tensor->dims = dims;
  if (tensor->allocation_type != kTfLiteDynamic) return kTfLiteOk;
  return host.give_memory(static_cast<int>(tensor - host.tensors_));
}

void Host::report_error(TfLiteContext* context, const char* format, ...) {
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  of(context)->errors_ += std::string(text) + "\n";
}

TfLiteStatus Host::add_tensors(TfLiteContext* context, int count, int* first) {
  Host& host = *of(context);
  const size_t before = context->tensors_size;
  *first = static_cast<int>(before);
  context->tensors_size += static_cast<size_t>(count);
  const size_t unit = sizeof(TfLiteTensor);
  auto* moved = static_cast<TfLiteTensor*>(std::calloc(context->tensors_size, unit));
  if (before > 0) std::memcpy(static_cast<void*>(moved), host.tensors_, before * unit);
  std::free(host.tensors_);
  host.tensors_ = context->tensors = moved;
  return kTfLiteOk;
}

TfLiteStatus Host::replace_nodes(TfLiteContext* context,
                                 TfLiteRegistration registration,
                                 const TfLiteIntArray* nodes,
                                 TfLiteDelegate* delegate) {
  if (nodes->size == 0) return kTfLiteOk;
  Host& host = *of(context);
  std::vector<bool> is_claimed(host.nodes_.size(), false);
  for (int node : values_of(nodes)) {
    if (!contains(host.plan_, node)) {
      context->ReportError(context, "Node %d is not in the plan.", node);
      return kTfLiteError;
    }
    is_claimed[static_cast<size_t>(node)] = true;
    ++host.num_claimed_;
  }
  registration.builtin_code = kDelegateCode;
  const std::vector<Subset> subsets = host.partition(is_claimed);
  host.plan_.clear();
  host.move_nodes();
  for (const Subset& subset : subsets) {
    if (subset.claimed) {
      host.add_delegate_node(subset, registration, delegate);
    } else {
      host.plan_.insert(host.plan_.end(), subset.nodes.begin(), subset.nodes.end());
    }
  }
  return kTfLiteOk;
}

// Nodes are at other addresses from now on.
void Host::move_nodes() {
  for (auto& node : nodes_) {
    auto moved = std::make_unique<Node>(*node);
    node->node = TfLiteNode();
    node = std::move(moved);
  }
}

// As LiteRT partitions: again and again the largest set of nodes of one kind, the kind
// of the first that is ready, whose inputs are computed by then.
std::vector<Host::Subset> Host::partition(const std::vector<bool>& is_claimed) const {
  std::vector<bool> is_ready(context_.tensors_size, true);
  for (int node : plan_) {
    for (int tensor : values_of(nodes_[node]->node.outputs)) {
      if (tensor >= 0) is_ready[tensor] = false;
    }
  }
  std::vector<bool> is_done(nodes_.size(), false);
  const auto can_run = [&](int node) {
    for (int tensor : values_of(nodes_[node]->node.inputs)) {
      if (tensor >= 0 && !is_ready[tensor]) return false;
    }
    return true;
  };
  std::vector<Subset> subsets;
  for (bool found_any = true; found_any;) {
    Subset subset;
    for (bool found = true; found;) {
      found = false;
      for (int node : plan_) {
        if (is_done[node] || !can_run(node)) continue;
        if (subset.nodes.empty()) subset.claimed = is_claimed[node];
        if (subset.claimed != is_claimed[node]) continue;
        subset.nodes.push_back(node);
        is_done[node] = found = true;
        for (int tensor : values_of(nodes_[node]->node.outputs)) {
          if (tensor >= 0) is_ready[tensor] = true;
        }
      }
    }
    found_any = !subset.nodes.empty();
    if (found_any) subsets.push_back(subset);
  }
  return subsets;
}

std::vector<int> Host::read_from_outside(const Subset& subset) const {
  std::vector<int> written, read;
  for (int node : subset.nodes) {
    for (int tensor : values_of(nodes_[node]->node.outputs)) add_once(&written, tensor);
  }
  for (int node : subset.nodes) {
    for (int tensor : values_of(nodes_[node]->node.inputs)) {
      if (tensor >= 0 && !contains(written, tensor)) add_once(&read, tensor);
    }
  }
  return read;
}

std::vector<int> Host::read_by_others(const Subset& subset) const {
  std::vector<int> others = outputs_;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->is_delegate || contains(subset.nodes, static_cast<int>(i))) continue;
    for (int tensor : values_of(nodes_[i]->node.inputs)) others.push_back(tensor);
  }
  std::vector<int> read;
  for (int node : subset.nodes) {
    for (int tensor : values_of(nodes_[node]->node.outputs)) {
      if (contains(others, tensor)) add_once(&read, tensor);
    }
  }
  return read;
}

void Host::add_delegate_node(const Subset& subset,
                             const TfLiteRegistration& registration,
                             TfLiteDelegate* delegate) {
  const std::vector<int> inputs = read_from_outside(subset);
  const std::vector<int> outputs = read_by_others(subset);
  const int index = add_node(inputs, outputs);
  Node& added = *nodes_.back();
  added.is_delegate = true;
  added.registration = registration;
  added.node.delegate = delegate;
  // One block, as LiteRT has it: the node's to free.
  const auto bytes_of_array = [](size_t count) { return sizeof(int) * (1 + count); };
  char* block = static_cast<char*>(
      std::malloc(sizeof(TfLiteDelegateParams) + bytes_of_array(subset.nodes.size()) +
                  bytes_of_array(inputs.size()) + bytes_of_array(outputs.size())));
  auto* params = reinterpret_cast<TfLiteDelegateParams*>(block);
  block += sizeof(TfLiteDelegateParams);
  const auto place = [&](const std::vector<int>& values) {
    auto* array = reinterpret_cast<TfLiteIntArray*>(block);
    array->size = static_cast<int>(values.size());
    for (size_t i = 0; i < values.size(); ++i) array->data[i] = values[i];
    block += bytes_of_array(values.size());
    return array;
  };
  params->delegate = delegate;
  params->nodes_to_replace = place(subset.nodes);
  params->input_tensors = place(inputs);
  params->output_tensors = place(outputs);
  added.node.builtin_data = params;
  for (int tensor : outputs) tensors_[tensor].delegate = delegate;
  plan_.push_back(index);
  ++num_partitions_;
  if (registration.init != nullptr) {
    // `added` may move if the delegate asks for nodes; its index does not.
    void* data = registration.init(&context_, reinterpret_cast<const char*>(params), 0);
    nodes_[static_cast<size_t>(index)]->node.user_data = data;
  }
}

}  // namespace r2b_test
