#include "claiming.h"

#include <algorithm>
#include <set>

#include "operators.h"

namespace r2b {

namespace {

const TfLiteNode* find_node(TfLiteContext* context, int index) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  const TfLiteStatus status =
      context->GetNodeAndRegistration(context, index, &node, &registration);
  return status == kTfLiteOk ? node : nullptr;
}

// Where in the plan each tensor is written last, and how often.
class Writers {
 public:
  Writers(TfLiteContext* context, const TfLiteIntArray& plan)
      : tensors_(context->tensors),
        last_(context->tensors_size, kNever),
        count_(context->tensors_size, 0) {
    for (int i = 0; i < plan.size; i++) {
      const TfLiteNode* node = find_node(context, plan.data[i]);
      for (int j = 0; node != nullptr && node->outputs && j < node->outputs->size;
           j++) {
        const int tensor = node->outputs->data[j];
        if (tensor < 0 || static_cast<size_t>(tensor) >= last_.size()) continue;
        last_[static_cast<size_t>(tensor)] = i;
        count_[static_cast<size_t>(tensor)]++;
      }
    }
  }

  // False where the operator at `place` in the plan reads what comes later, writes what
  // another writes too, or where what it reads or writes is a constant that is written:
  // its memory is the file's.
  bool in_order(const Operator& op, int place, std::string* why) const {
    for (int tensor : op.inputs) {
      if (tensor >= 0 && is_written_constant(tensor)) {
        *why = format("it reads constant tensor %d, which an operator writes", tensor);
        return false;
      }
      if (tensor >= 0 && last_[static_cast<size_t>(tensor)] != kNever &&
          last_[static_cast<size_t>(tensor)] >= place) {
        *why = format("it reads tensor %d, which is written later", tensor);
        return false;
      }
    }
    if (is_written_constant(op.output)) {
      *why = format("its output, tensor %d, is a constant", op.output);
      return false;
    }
    if (count_[static_cast<size_t>(op.output)] == 1) return true;
    *why = format("tensor %d is written by %d operators", op.output,
                  count_[static_cast<size_t>(op.output)]);
    return false;
  }

 private:
  bool is_written_constant(int tensor) const {
    return last_[static_cast<size_t>(tensor)] != kNever &&
           tensors_[tensor].allocation_type == kTfLiteMmapRo;
  }

  static constexpr int kNever = -1;
  const TfLiteTensor* tensors_;
  std::vector<int> last_, count_;
};

// Checks a node's tensors as the model has them now.
bool check_tensors(const TfLiteContext& context, const Operator& op,
                   const ConstantSources& sources, std::string* why) {
  std::vector<Value> values(op.inputs.size());
  std::vector<const Value*> inputs(op.inputs.size(), nullptr);
  for (size_t i = 0; i < op.inputs.size(); i++) {
    if (op.inputs[i] < 0) continue;
    if (!read_value(context, op.inputs[i], &values[i], why)) return false;
    // What DEQUANTIZE makes of a constant is one as well.
    if (sources.count(op.inputs[i]) != 0) values[i].constant = &values[i];
    inputs[i] = &values[i];
  }
  Value output;
  Shape shape;
  return read_value(context, op.output, &output, why) &&
         infer_output(op, inputs, output, &shape, why);
}

}  // namespace

bool find_our_nodes(TfLiteContext* context, const TfLiteIntArray& plan,
                    bool only_binary, Claim* claim, std::string* why) {
  const Writers writers(context, plan);
  std::set<int> unpackings;
  bool any_binary = false;
  for (int i = 0; i < plan.size; i++) {
    Operator op;
    std::string reason;
    Reading reading = read_operator(context, plan.data[i], &op, &reason);
    const bool binary = reading != Reading::kForeign && is_binary(op.kind);
    if (reading == Reading::kRead &&
        (!writers.in_order(op, i, &reason) ||
         !check_tensors(*context, op, claim->sources, &reason))) {
      reading = binary ? Reading::kBroken : Reading::kForeign;
    }
    if (reading == Reading::kBroken) {
      *why = format("%s (node %d): %s", op.name, plan.data[i], reason.c_str());
      return false;
    }
    if (reading == Reading::kForeign) continue;
    any_binary = any_binary || binary;
    if (op.kind == OperatorKind::kUnpackConstant) {
      claim->sources[op.output] = op.inputs[0];
      unpackings.insert(op.node);
    }
    if (binary || !only_binary) claim->nodes.push_back(op.node);
  }
  // Without a binary operator LiteRT's own kernels do as well.
  if (!any_binary) claim->nodes.clear();
  // With nodes of others between ours there are several partitions, and LiteRT makes
  // unpackings a part of the first: it would copy them at every run for the others.
  std::vector<int>& nodes = claim->nodes;
  if (static_cast<int>(nodes.size()) != plan.size) {
    const auto is_unpacking = [&](int node) { return unpackings.count(node) != 0; };
    nodes.erase(std::remove_if(nodes.begin(), nodes.end(), is_unpacking), nodes.end());
  }
  return true;
}

}  // namespace r2b
