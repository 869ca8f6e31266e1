// A stand-in for LiteRT's interpreter: tensors, nodes and a delegate's whole life, on
// memory of which every block is exactly as long as it has to be, so that sanitizers
// see what a real arena hides. As unkind as LiteRT may be: nodes move when the delegate
// is applied, tensors inside a partition have no memory, constants are aligned to 4
// bytes, and what a kernel must not call fails.
#ifndef R2B_TESTS_HOST_H_
#define R2B_TESTS_HOST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "litert_abi.h"
#include "option_bytes.h"

namespace r2b_test {

using Dims = std::vector<int>;

// Operators of the host's own that no delegate claims.
constexpr int kCopyCode = 1000;         // output = input
constexpr int kDynamicCopyCode = 1001;  // the same; the shape is known when it has run

class Host {
 public:
  explicit Host(int num_threads = 1);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // The model. Each returns the index of what it adds.
  int add_tensor(TfLiteType type, const Dims& dims);
  int add_quantized(TfLiteType type, const Dims& dims, float scale, int zero_point);
  int add_constant(TfLiteType type, const Dims& dims, const void* data, size_t bytes);
  template <typename T>
  int add_constant(TfLiteType type, const Dims& dims, const std::vector<T>& values) {
    return add_constant(type, dims, values.data(), values.size() * sizeof(T));
  }
  int add_custom(const char* name, const Bytes& options, const std::vector<int>& inputs,
                 const std::vector<int>& outputs);
  int add_builtin(int code, const std::vector<int>& inputs,
                  const std::vector<int>& outputs, const void* params = nullptr,
                  size_t bytes = 0);
  void set_quantization(int tensor, float scale, int zero_point);
  // One scale and zero point for each index along `axis`.
  void set_channel_quantization(int tensor, const std::vector<float>& scales,
                                const std::vector<int>& zero_points, int axis);
  void set_inputs(const std::vector<int>& tensors) { inputs_ = tensors; }
  void set_outputs(const std::vector<int>& tensors) { outputs_ = tensors; }

  // An interpreter's life, in this order. After a failure the host can only end.
  TfLiteStatus apply(TfLiteDelegate* delegate);
  TfLiteStatus resize_input(int tensor, const Dims& dims);
  TfLiteStatus allocate();
  TfLiteStatus invoke();

  template <typename T>
  T* data(int tensor) {
    return static_cast<T*>(tensors_[static_cast<size_t>(tensor)].data);
  }
  Dims dims(int tensor) const;
  int64_t num_elements(int tensor) const;
  // Everything that was reported, a line each.
  const std::string& errors() const { return errors_; }
  int num_partitions() const { return num_partitions_; }
  // How many nodes of the model the delegate has taken.
  int num_claimed() const { return num_claimed_; }
  // Bytes that all tensors together may take; beyond, allocation fails.
  void set_memory_limit(size_t bytes) { memory_limit_ = bytes; }

  // For those who want to break things, before the delegate is applied.
  void make_variable(int constant);
  // Inputs get no memory: for shapes that no memory holds.
  void forget_inputs() { inputs_.clear(); }
  void shorten_constant(int constant, size_t bytes);
  void misalign_constant(int constant, size_t bytes);
  // Has the bytes that the tensors' types and shapes ask for counted again.
  void count_bytes();
  TfLiteContext* context() { return &context_; }
  TfLiteTensor& tensor(int index) { return tensors_[static_cast<size_t>(index)]; }
  TfLiteNode& node(int index) { return nodes_[static_cast<size_t>(index)]->node; }
  TfLiteRegistration& registration(int index) {
    return nodes_[static_cast<size_t>(index)]->registration;
  }
  size_t num_nodes() const { return nodes_.size(); }

 private:
  struct Node {
    TfLiteNode node = {};
    TfLiteRegistration registration = {};
    bool is_delegate = false;
    ~Node();
  };
  // A run of nodes that are all claimed, or all not.
  struct Subset {
    bool claimed;
    std::vector<int> nodes;
  };

  static Host* of(TfLiteContext* context) { return static_cast<Host*>(context->impl); }
  static TfLiteStatus get_execution_plan(TfLiteContext*, TfLiteIntArray**);
  static TfLiteStatus resize_tensor(TfLiteContext*, TfLiteTensor*, TfLiteIntArray*);
  static void report_error(TfLiteContext*, const char*, ...);
  static TfLiteStatus add_tensors(TfLiteContext*, int, int*);
  static TfLiteStatus get_node(TfLiteContext*, int, TfLiteNode**, TfLiteRegistration**);
  static TfLiteStatus replace_nodes(TfLiteContext*, TfLiteRegistration,
                                    const TfLiteIntArray*, TfLiteDelegate*);
  void allow_graph_functions(bool allow);

  int add_node(const std::vector<int>& inputs, const std::vector<int>& outputs);
  std::vector<Subset> partition(const std::vector<bool>& is_claimed) const;
  void add_delegate_node(const Subset& subset, const TfLiteRegistration& registration,
                         TfLiteDelegate* delegate);
  std::vector<int> read_from_outside(const Subset& subset) const;
  std::vector<int> read_by_others(const Subset& subset) const;
  void move_nodes();
  void move_tensors();

  TfLiteStatus prepare_from(size_t position);
  static bool is_copy(const Node& node);
  TfLiteStatus prepare(Node* node);
  TfLiteStatus run(Node* node);
  bool has_dynamic_output(const Node& node) const;
  TfLiteStatus give_memory(int tensor);
  TfLiteStatus give_memory_to(const TfLiteIntArray* tensors);
  size_t memory_used() const;
  void set_constant(TfLiteTensor* tensor, const void* data, size_t bytes, size_t shift);
  void forget_memory(TfLiteTensor* tensor);
  static void forget_quantization(TfLiteTensor* tensor);

  // What the context points to, beyond the mirrored part, in LiteRT's order.
  struct Context : TfLiteContext {
    void* (*get_external)(TfLiteContext*, int);
    void (*set_external)(TfLiteContext*, int, void*);
  };
  Context context_ = {};
  TfLiteTensor* tensors_ = nullptr;  // context_.tensors_size of them
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<int> plan_;
  TfLiteIntArray* plan_array_ = nullptr;
  std::vector<int> inputs_, outputs_;
  size_t next_to_prepare_ = 0;
  size_t memory_limit_ = size_t{1} << 30;
  std::string errors_;
  int num_partitions_ = 0, num_claimed_ = 0;
};

// Memory that LiteRT's interface hands over: freed with `free`.
TfLiteIntArray* make_int_array(const std::vector<int>& values);

}  // namespace r2b_test

#endif  // R2B_TESTS_HOST_H_
