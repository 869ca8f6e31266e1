#include "claiming.h"

#include "graph.h"
#include "operators.h"

namespace r2b {

namespace {

struct Candidate {
  Operator op;
  bool claimed = true;
};

// Checks a node's tensors as the model has them now.
bool check_candidate(const TfLiteContext& context, const Operator& op,
                     const std::vector<bool>& unpacked, std::string* why) {
  std::vector<Value> values(op.inputs.size());
  std::vector<const Value*> inputs(op.inputs.size(), nullptr);
  for (size_t i = 0; i < op.inputs.size(); i++) {
    if (op.inputs[i] < 0) continue;
    if (!read_value(context, op.inputs[i], &values[i], why)) return false;
    // What DEQUANTIZE makes of a constant is one as well, once it is ours.
    if (unpacked[static_cast<size_t>(op.inputs[i])]) values[i].constant = &values[i];
    inputs[i] = &values[i];
  }
  Value output;
  Shape shape;
  return read_value(context, op.output, &output, why) &&
         infer_output(op, inputs, output, &shape, why);
}

// A DEQUANTIZE is ours only with all that reads it, and the other way round.
void settle_unpacking(std::vector<Candidate>* nodes, size_t num_tensors,
                      const std::vector<bool>& read_elsewhere) {
  for (bool changed = true; changed;) {
    changed = false;
    std::vector<bool> foreign = read_elsewhere;
    foreign.resize(num_tensors, false);
    std::vector<bool> lost(num_tensors, false);
    for (const Candidate& node : *nodes) {
      for (int tensor : node.op.inputs) {
        if (!node.claimed && tensor >= 0) foreign[static_cast<size_t>(tensor)] = true;
      }
      if (!node.claimed && node.op.kind == OperatorKind::kUnpackConstant) {
        lost[static_cast<size_t>(node.op.output)] = true;
      }
    }
    for (Candidate& node : *nodes) {
      if (!node.claimed) continue;
      bool keep = node.op.kind != OperatorKind::kUnpackConstant ||
                  !foreign[static_cast<size_t>(node.op.output)];
      for (size_t i = 0; i < node.op.inputs.size(); i++) {
        const int tensor = node.op.inputs[i];
        keep = keep && !(tensor >= 0 && lost[static_cast<size_t>(tensor)] &&
                         needs_constant(node.op.kind, i));
      }
      if (!keep) node.claimed = false, changed = true;
    }
  }
}

void mark(const TfLiteIntArray* tensors, std::vector<bool>* marks) {
  for (int i = 0; tensors != nullptr && i < tensors->size; i++) {
    const int tensor = tensors->data[i];
    if (tensor >= 0 && static_cast<size_t>(tensor) < marks->size()) {
      (*marks)[static_cast<size_t>(tensor)] = true;
    }
  }
}

}  // namespace

bool find_our_nodes(TfLiteContext* context, const TfLiteIntArray& plan, bool only_binary,
                    std::vector<int>* claimed, std::string* why) {
  std::vector<Candidate> nodes;
  std::vector<bool> unpacked(context->tensors_size, false);
  std::vector<bool> read_elsewhere(context->tensors_size, false);
  bool any_binary = false;
  for (int i = 0; i < plan.size; i++) {
    Candidate node;
    std::string reason;
    Reading reading = read_operator(context, plan.data[i], &node.op, &reason);
    const bool binary = reading != Reading::kForeign && is_binary(node.op.kind);
    if (reading == Reading::kRead && !binary && only_binary) {
      reading = Reading::kForeign;
    }
    if (reading == Reading::kRead &&
        !check_candidate(*context, node.op, unpacked, &reason)) {
      reading = binary ? Reading::kBroken : Reading::kForeign;
    }
    if (reading == Reading::kBroken) {
      *why = format("%s (node %d): %s", node.op.name, plan.data[i], reason.c_str());
      return false;
    }
    if (reading == Reading::kForeign) {
      TfLiteNode* foreign = nullptr;
      TfLiteRegistration* registration = nullptr;
      if (context->GetNodeAndRegistration(context, plan.data[i], &foreign,
                                          &registration) == kTfLiteOk) {
        mark(foreign->inputs, &read_elsewhere);
      }
      continue;
    }
    any_binary = any_binary || binary;
    if (node.op.kind == OperatorKind::kUnpackConstant) {
      unpacked[static_cast<size_t>(node.op.output)] = true;
    }
    nodes.push_back(node);
  }
  // Without a binary operator LiteRT's own kernels do as well.
  if (!any_binary) return true;
  settle_unpacking(&nodes, context->tensors_size, read_elsewhere);
  for (const Candidate& node : nodes) {
    if (node.claimed) claimed->push_back(node.op.node);
  }
  return true;
}

}  // namespace r2b
