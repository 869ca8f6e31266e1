#include "host_layout.h"

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "host_memory.h"

namespace r2b {
namespace {

// A wrong layout shows in the first few; the numbers below are far beyond any model's,
// and far below what a pointer looks like when it is read as a number.
constexpr int kNodesToCheck = 32;
constexpr size_t kMaxTensors = size_t{1} << 24;
constexpr int kMaxNodes = 1 << 24;
constexpr int kMaxNodeTensors = 1 << 16;
constexpr int kMaxHostRank = 8;
constexpr int kMaxType = 63;
constexpr int kMaxCode = 4095;
constexpr int kMaxVersion = 4095;
constexpr int kMaxThreads = 1 << 16;
constexpr size_t kMaxNameLength = 4096;
constexpr char kBinaryPrefix[] = "Lce";

// What follows the mirrored part of the context in every known version.
struct ContextHead {
  TfLiteContext mirrored;
  void* get_external_context;
  void* set_external_context;
};

// The part of a registration that every version has.
constexpr size_t kRegistrationHead =
    offsetof(TfLiteRegistration, registration_external);

// A struct's bool or enumeration as a number, which must not be read as what it is
// before it is known to be in range.
template <typename Number, typename Struct>
Number number_at(const Struct& value, size_t offset) {
  Number number;
  std::memcpy(&number, reinterpret_cast<const char*>(&value) + offset, sizeof number);
  return number;
}

template <typename Struct>
bool is_bool(const Struct& value, size_t offset) {
  return number_at<unsigned char>(value, offset) <= 1;
}

template <typename Function>
const void* address(Function* function) {
  return reinterpret_cast<const void*>(function);
}

class LayoutCheck {
 public:
  LayoutCheck(TfLiteContext* context, std::string* why) : host_(context), why_(why) {}

  bool run() {
    if (!memory_.can_tell()) {
      *why_ =
          "the interpreter's memory cannot be looked at, as no pipe can be opened: "
          "close files, or raise their limit (ulimit -n)";
      return false;
    }
    if (!check_context()) return false;
    TfLiteIntArray* plan = nullptr;
    if (context_.GetExecutionPlan(host_, &plan) != kTfLiteOk) {
      return refuse("GetExecutionPlan failed");
    }
    int num_nodes;
    if (!memory_.read(plan, &num_nodes) || num_nodes < 0 || num_nodes > kMaxNodes) {
      return refuse("the execution plan has no size");
    }
    for (int i = 0; i < num_nodes; ++i) {
      int index;
      if (!read_element(plan, i, &index))
        return refuse("the execution plan ends early");
      if (index < 0 || index >= kMaxNodes) {
        return refuse("entry %d of the execution plan is %d", i, index);
      }
      if (i < kNodesToCheck && !check_node(index)) return false;
    }
    return num_nodes == 0 || any_output_ || refuse("no node has an output");
  }

 private:
  // Words of code and of data alternate in the context, so that a field more or less
  // anywhere turns one into the other.
  bool check_context() {
    ContextHead head;
    if (!memory_.read(host_, &head)) return refuse("the context cannot be read");
    context_ = head.mirrored;
    if (context_.tensors_size > kMaxTensors) {
      return refuse("the context has %zu tensors", context_.tensors_size);
    }
    const void* const functions[] = {
        address(context_.GetExecutionPlan),
        address(context_.ResizeTensor),
        address(context_.ReportError),
        address(context_.AddTensors),
        address(context_.GetNodeAndRegistration),
        address(context_.ReplaceNodeSubsetsWithDelegateKernels),
        head.get_external_context,
        head.set_external_context,
    };
    for (size_t i = 0; i < std::size(functions); ++i) {
      if (!memory_.might_be_code(functions[i])) {
        return refuse("function %zu of the context is none", i);
      }
    }
    if (!memory_.might_be_data(context_.tensors) ||
        !memory_.might_be_data(context_.impl)) {
      return refuse("the context has a function where data are expected");
    }
    // Not as a word: what pads it is whatever the memory held before.
    if (context_.recommended_num_threads < -1 ||
        context_.recommended_num_threads > kMaxThreads) {
      return refuse("the context recommends %d threads",
                    context_.recommended_num_threads);
    }
    return true;
  }

  bool check_node(int index) {
    TfLiteNode* host_node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context_.GetNodeAndRegistration(host_, index, &host_node, &registration) !=
        kTfLiteOk) {
      return refuse("GetNodeAndRegistration failed for node %d", index);
    }
    TfLiteNode node;
    if (!memory_.read(host_node, &node)) return refuse("node %d cannot be read", index);
    if (!check_registration(index, registration)) return false;
    if (!check_node_tensors(index, "inputs", node.inputs, false) ||
        !check_node_tensors(index, "outputs", node.outputs, true)) {
      return false;
    }
    if (node.custom_initial_data_size < 0 ||
        !is_null_or_readable(node.custom_initial_data)) {
      return refuse("node %d has options of %d bytes", index,
                    node.custom_initial_data_size);
    }
    any_output_ = any_output_ || node.outputs->size > 0;
    if (!is_null_or_readable(node.delegate)) {
      return refuse("the delegate of node %d cannot be read", index);
    }
    if (!is_bool(node, offsetof(TfLiteNode, might_have_side_effect))) {
      return refuse("might_have_side_effect of node %d is no bool", index);
    }
    return true;
  }

  bool check_registration(int index, const TfLiteRegistration* host_registration) {
    TfLiteRegistration found = {};
    if (!memory_.copy(host_registration, kRegistrationHead, &found)) {
      return refuse("the registration of node %d cannot be read", index);
    }
    const void* const functions[] = {address(found.init), address(found.free),
                                     address(found.prepare), address(found.invoke),
                                     address(found.profiling_string)};
    for (const void* function : functions) {
      if (function != nullptr && !memory_.might_be_code(function)) {
        return refuse("the registration of node %d has data for a function", index);
      }
    }
    if (found.builtin_code < 0 || found.builtin_code > kMaxCode) {
      return refuse("node %d is of operator %d", index, found.builtin_code);
    }
    const bool is_custom = found.builtin_code == kTfLiteBuiltinCustom;
    if ((found.custom_name != nullptr || is_custom) &&
        !memory_.is_text(found.custom_name, kMaxNameLength)) {
      return refuse("the operator of node %d has no name", index);
    }
    char name[sizeof kBinaryPrefix - 1];
    if (found.custom_name != nullptr && !is_custom &&
        memory_.read(found.custom_name, &name) &&
        std::memcmp(name, kBinaryPrefix, sizeof name) == 0) {
      return refuse("node %d has a custom name and is of operator %d", index,
                    found.builtin_code);
    }
    if (found.version < 0 || found.version > kMaxVersion) {
      return refuse("the operator of node %d is of version %d", index, found.version);
    }
    return true;
  }

  bool check_node_tensors(int node, const char* name, const TfLiteIntArray* array,
                          bool are_outputs) {
    int size;
    if (!memory_.read(array, &size) || size < 0 || size > kMaxNodeTensors) {
      return refuse("the %s of node %d have no size", name, node);
    }
    for (int i = 0; i < size; ++i) {
      int index;
      if (!read_element(array, i, &index)) {
        return refuse("the %s of node %d end early", name, node);
      }
      const bool is_absent = index == -1;
      const size_t position = static_cast<size_t>(index);
      if (!is_absent && (index < 0 || position >= context_.tensors_size)) {
        return refuse("the %s of node %d name tensor %d of %zu", name, node, index,
                      context_.tensors_size);
      }
      if (!is_absent && !check_tensor(index, are_outputs)) return false;
    }
    return true;
  }

  bool check_tensor(int index, bool is_output) {
    TfLiteTensor tensor;
    if (!memory_.read(context_.tensors + index, &tensor)) {
      return refuse("tensor %d cannot be read", index);
    }
    const int type = number_at<int>(tensor, offsetof(TfLiteTensor, type));
    const int allocation =
        number_at<int>(tensor, offsetof(TfLiteTensor, allocation_type));
    if (type < 0 || type > kMaxType) {
      return refuse("tensor %d has type %d", index, type);
    }
    const bool is_constant = allocation == kTfLiteMmapRo;
    if (allocation <= kTfLiteMemNone || allocation > kTfLiteNonCpu ||
        (is_constant && (is_output || type == kTfLiteNoType))) {
      return refuse("tensor %d has type %d and allocation type %d", index, type,
                    allocation);
    }
    if (!is_shape(tensor.dims, 0)) return refuse("tensor %d has no shape", index);
    if (tensor.dims_signature != nullptr && !is_shape(tensor.dims_signature, -1)) {
      return refuse("the signature of tensor %d is none", index);
    }
    if (!is_bool(tensor, offsetof(TfLiteTensor, data_is_stale)) ||
        !is_bool(tensor, offsetof(TfLiteTensor, is_variable))) {
      return refuse("a bool of tensor %d is none", index);
    }
    return true;
  }

  bool is_shape(const TfLiteIntArray* dims, int least) {
    int rank;
    if (!memory_.read(dims, &rank) || rank < 0 || rank > kMaxHostRank) return false;
    for (int i = 0; i < rank; ++i) {
      int extent;
      if (!read_element(dims, i, &extent) || extent < least) return false;
    }
    return true;
  }

  bool read_element(const TfLiteIntArray* array, int index, int* value) {
    return memory_.read(reinterpret_cast<const int*>(array) + 1 + index, value);
  }

  bool is_null_or_readable(const void* pointer) {
    char byte;
    return pointer == nullptr || memory_.read(pointer, &byte);
  }

  bool refuse(const char* what, ...) __attribute__((format(printf, 2, 3))) {
    char text[256];
    va_list arguments;
    va_start(arguments, what);
    std::vsnprintf(text, sizeof text, what, arguments);
    va_end(arguments);
    *why_ = std::string(
                "the model is damaged, or this LiteRT lays its structs out in another "
                "way than versions 2.14 to 2.3, which this delegate was built for (") +
            text + "): convert the model again, or use one of those versions";
    return false;
  }

  HostMemory memory_;
  TfLiteContext* host_;
  TfLiteContext context_ = {};
  bool any_output_ = false;
  std::string* why_;
};

}  // namespace

bool layout_is_as_expected(TfLiteContext* context, std::string* why) {
  const int errno_before = errno;  // the host's: no pointer of its own fails here
  const bool is_expected = LayoutCheck(context, why).run();
  errno = errno_before;
  return is_expected;
}

}  // namespace r2b
