#include "planner.h"

#include <algorithm>

#include "simple_steps.h"

namespace r2b {

namespace {

// The places of FinishRow in their order.
enum Stage { kFactor = 1, kSlope, kLimit, kSkip };

bool one_for_each_channel(const Value& value, int channels) {
  return value.constant != nullptr && value.type == kTfLiteFloat32 &&
         value.shape.rank >= 1 && value.shape.last() == channels &&
         value.shape.elements() == channels;
}

// A factor computed for each channel of each image, or of all of them.
bool is_gate(const Value& value, const Value& gated) {
  return value.constant == nullptr && value.shape.rank == 4 && gated.shape.rank == 4 &&
         value.shape.dims[1] == 1 && value.shape.dims[2] == 1 &&
         value.shape.dims[3] == gated.shape.dims[3] &&
         (value.shape.dims[0] == 1 || value.shape.dims[0] == gated.shape.dims[0]);
}

bool is_empty(const Frame& frame) {
  return frame.top == 0 && frame.bottom == 0 && frame.left == 0 && frame.right == 0;
}

}  // namespace

const std::vector<size_t>& Planner::consumers(const Value& value) const {
  static const std::vector<size_t> kNone;
  const auto found = consumers_.find(&value);
  return found == consumers_.end() ? kNone : found->second;
}

void Planner::find_consumers() {
  for (size_t i = 0; i < graph_.operators.size(); i++) {
    for (size_t j = 0; j < op(i).inputs.size(); j++) {
      if (graph_.has_input(op(i), j)) {
        consumers_[&graph_.input(op(i), j)].push_back(i);
      }
    }
  }
}

// Packed values are written with the frame that the convolutions over them need.
void Planner::find_frames() {
  std::string unused;
  for (const Operator& each : graph_.operators) {
    if (each.kind != OperatorKind::kBinaryConvolution) continue;
    Value& source = graph_.input(each, 0);
    if (source.outside() || source.constant != nullptr) continue;
    Axis vertical, horizontal;
    if (!make_axes(each, source, &graph_.input(each, 1), &vertical, &horizontal,
                   &unused)) {
      continue;
    }
    const Frame needed = PatchLayout::frame(vertical, horizontal);
    source.frame.top = std::max(source.frame.top, needed.top);
    source.frame.bottom = std::max(source.frame.bottom, needed.bottom);
    source.frame.left = std::max(source.frame.left, needed.left);
    source.frame.right = std::max(source.frame.right, needed.right);
  }
}

bool Planner::plan(std::vector<std::unique_ptr<Step>>* steps, std::string* why) {
  for (auto& value : graph_.values) value->frame = Frame();
  find_consumers();
  find_frames();
  done_.assign(graph_.operators.size(), false);
  for (size_t i = 0; i < graph_.operators.size(); i++) {
    if (done_[i]) continue;
    if (!add_operator(i, why)) {
      *why = format("%s (node %d): %s", op(i).name, op(i).node, why->c_str());
      return false;
    }
  }
  std::stable_sort(steps_.begin(), steps_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& step : steps_) steps->push_back(std::move(step.second));
  return true;
}

bool Planner::add_operator(size_t index, std::string* why) {
  switch (op(index).kind) {
    case OperatorKind::kUnpackConstant:
      done_[index] = true;  // done when the graph was read
      return true;
    case OperatorKind::kBinaryConvolution:
    case OperatorKind::kConvolution:
    case OperatorKind::kDense:
    case OperatorKind::kMaxPool:
    case OperatorKind::kAveragePool:
      return add_head(index, why);
    default:
      return add_elementwise(index) || add_alone(index, why);
  }
}

Value* Planner::framed(Value* source, const Frame& frame, size_t order) {
  const bool fits = source->frame.top >= frame.top &&
                    source->frame.bottom >= frame.bottom &&
                    source->frame.left >= frame.left &&
                    source->frame.right >= frame.right;
  if (fits || is_empty(frame)) return source;
  Value* copy = graph_.add_value(source->type, source->shape);
  copy->frame = frame;
  add(order, make_framing(source, copy), {});
  return copy;
}

bool Planner::add_head(size_t index, std::string* why) {
  const Operator& head = op(index);
  Value* source = &graph_.input(head, 0);
  Value* output = &graph_.output(head);
  Chain chain;
  chain.current = output;
  chain.last = index;
  chain.operators.push_back(index);
  // LceBconv2d clamps before it scales: its activation is no step of the chain.
  const bool is_binary_head = head.kind == OperatorKind::kBinaryConvolution;
  if (!is_binary_head && head.activation != Activation::kNone) {
    chain.finish.has_limits = true;
    chain.stage = kLimit;
    activation_limits(head.activation, &chain.finish.lowest, &chain.finish.highest);
  }
  if (output->type == kTfLiteFloat32) {
    if (head.kind == OperatorKind::kDense) {
      chain.finish.output = output;
    } else {
      extend(&chain);
    }
  }
  if (head.kind == OperatorKind::kConvolution && add_pooled(head, chain, why)) {
    return true;
  }
  std::unique_ptr<Step> step;
  if (head.kind == OperatorKind::kMaxPool || head.kind == OperatorKind::kAveragePool) {
    step = make_pool(kernels_, head, source, chain.finish, why);
  } else {
    Axis vertical, horizontal;
    if (head.kind != OperatorKind::kDense) {
      if (!make_axes(head, *source, &graph_.input(head, 1), &vertical, &horizontal,
                     why)) {
        return false;
      }
      if (is_binary_head) {
        source = framed(source, PatchLayout::frame(vertical, horizontal), chain.last);
      }
    }
    const auto make = is_binary_head ? make_binary_convolution : make_real_convolution;
    step = make(kernels_, graph_, head, filters_.at(&head), source, chain.finish, why);
  }
  if (step == nullptr) return false;
  emit(chain, std::move(step));
  return true;
}

bool Planner::add_pooled(const Operator& head, const Chain& chain, std::string* why) {
  const Finish& between = chain.finish;
  const std::vector<size_t>& readers = consumers(*chain.current);
  if (!fuse_ || chain.current->to_outside || readers.size() != 1 || done_[readers[0]] ||
      between.gate != nullptr || between.skip != nullptr || between.packed != nullptr ||
      between.sums != nullptr) {
    return false;
  }
  const Operator& pool = op(readers[0]);
  if ((pool.kind != OperatorKind::kMaxPool && pool.kind != OperatorKind::kAveragePool) ||
      pool.activation != Activation::kNone) {
    return false;
  }
  Chain pooled;
  pooled.current = &graph_.output(pool);
  pooled.last = readers[0];
  pooled.operators = chain.operators;
  pooled.operators.push_back(readers[0]);
  extend(&pooled);
  Finish inner = between;
  inner.output = nullptr;
  auto step = make_pooled_convolution(kernels_, graph_, head, filters_.at(&head), inner,
                                      pool, pooled.finish, why);
  if (step == nullptr) return false;
  emit(pooled, std::move(step));
  return true;
}

// MUL, ADD, PRELU, RELU, LceQuantize and MEAN over a tensor that is there already.
bool Planner::add_elementwise(size_t index) {
  const Operator& first = op(index);
  Value* source = &graph_.input(first, 0);
  if (source->type != kTfLiteFloat32) return false;
  Chain chain;
  chain.current = source;
  chain.last = index;
  if (absorb(&chain, index)) {
    extend(&chain);
  } else if (first.kind == OperatorKind::kQuantize || first.kind == OperatorKind::kMean) {
    if (fuse_) take_signs_of(&chain, *source);
    if (!done_[index]) {
      done_[index] = true;
      chain.operators.push_back(index);
      if (first.kind == OperatorKind::kQuantize) {
        chain.finish.packed = &graph_.output(first);
      } else {
        chain.mean = &first;
      }
    }
  } else {
    return false;
  }
  if (chain.mean != nullptr && chain.finish.sums == nullptr) {
    Shape shape;
    shape.rank = 2;
    shape.dims[0] = source->rows();
    shape.dims[1] = source->channels();
    chain.finish.sums = graph_.add_value(kTfLiteFloat32, shape);
  }
  emit(chain, make_pass(kernels_, source, chain.finish));
  return true;
}

bool Planner::add_alone(size_t index, std::string* why) {
  const Operator& alone = op(index);
  const Value* source = &graph_.input(alone, 0);
  Value* output = &graph_.output(alone);
  std::unique_ptr<Step> step;
  switch (alone.kind) {
    case OperatorKind::kQuantize:
      step = make_packing(source, output);
      break;
    case OperatorKind::kDequantize:
      step = make_unpacking(source, output);
      break;
    case OperatorKind::kBinaryMaxPool:
      step = make_binary_max_pool(alone, source, output, why);
      break;
    case OperatorKind::kMultiply:
    case OperatorKind::kAdd:
    case OperatorKind::kSubtract:
      step = make_broadcast(alone, source, &graph_.input(alone, 1), output);
      break;
    case OperatorKind::kLogistic:
      step = make_logistic(source, output);
      break;
    case OperatorKind::kSoftmax:
      step = make_softmax(source, output, alone.beta);
      break;
    default:
      *why = "its input is a constant";
  }
  if (step == nullptr) return false;
  done_[index] = true;
  add(index, std::move(step), {index});
  return true;
}

bool Planner::absorb_factor(Chain* chain, const Operator& factor, const Value& other) {
  if (chain->stage >= kFactor || factor.activation != Activation::kNone) return false;
  if (one_for_each_channel(other, chain->current->channels())) {
    chain->finish.gate_constant = copy_floats(other);
  } else if (is_gate(other, *chain->current)) {
    chain->finish.gate = &other;
  } else {
    return false;
  }
  chain->stage = kFactor;
  return true;
}

bool Planner::absorb_addend(Chain* chain, const Operator& addend, const Value& other) {
  if (chain->stage >= kSkip || addend.activation != Activation::kNone) return false;
  if (one_for_each_channel(other, chain->current->channels())) {
    chain->finish.skip_constant = copy_floats(other);
  } else if (other.shape == chain->current->shape && other.type == kTfLiteFloat32) {
    chain->finish.skip = &other;
  } else {
    return false;
  }
  chain->stage = kSkip;
  return true;
}

bool Planner::absorb(Chain* chain, size_t index) {
  const Operator& next = op(index);
  bool taken = false;
  if (next.kind == OperatorKind::kMultiply || next.kind == OperatorKind::kAdd) {
    const bool is_first = &graph_.input(next, 0) == chain->current;
    const Value& other = graph_.input(next, is_first ? 1 : 0);
    if (&other == chain->current || graph_.output(next).shape != chain->current->shape) {
      return false;
    }
    taken = next.kind == OperatorKind::kMultiply ? absorb_factor(chain, next, other)
                                                 : absorb_addend(chain, next, other);
  } else if (next.kind == OperatorKind::kPrelu && chain->stage < kSlope) {
    chain->finish.slope = copy_floats(graph_.input(next, 1));
    chain->stage = kSlope;
    taken = true;
  } else if (next.kind == OperatorKind::kLimits && chain->stage < kLimit) {
    chain->finish.has_limits = true;
    activation_limits(next.activation, &chain->finish.lowest, &chain->finish.highest);
    chain->stage = kLimit;
    taken = true;
  }
  if (!taken) return false;
  done_[index] = true;
  chain->operators.push_back(index);
  chain->last = index;
  chain->current = &graph_.output(next);
  return true;
}

void Planner::extend(Chain* chain) {
  while (fuse_ && !chain->current->to_outside) {
    const std::vector<size_t>& next = consumers(*chain->current);
    if (next.size() != 1 || done_[next[0]] || !absorb(chain, next[0])) break;
  }
  if (fuse_) absorb_signs(chain);
  const std::vector<size_t>& rest = consumers(*chain->current);
  const bool wanted = chain->current->to_outside ||
                      std::any_of(rest.begin(), rest.end(),
                                  [this](size_t i) { return !done_[i]; });
  const bool useless = chain->finish.packed == nullptr && chain->finish.sums == nullptr;
  if (wanted || useless) chain->finish.output = chain->current;
}

void Planner::absorb_signs(Chain* chain) {
  if (!absorb_batch_norm(chain)) take_signs_of(chain, *chain->current);
}

// [MUL by] and ADD of a constant, seen by nothing but LceQuantize and MEAN.
bool Planner::absorb_batch_norm(Chain* chain) {
  const int channels = chain->current->channels();
  for (size_t index : consumers(*chain->current)) {
    std::vector<size_t> taken = {index};
    std::vector<float> scale;
    const Operator* next = &op(index);
    const Value* before = chain->current;
    const auto constant_of = [&](const Operator& each) {
      return &graph_.input(each, &graph_.input(each, 0) == before ? 1 : 0);
    };
    if (done_[index] || next->activation != Activation::kNone) continue;
    if (next->kind == OperatorKind::kMultiply &&
        one_for_each_channel(*constant_of(*next), channels) &&
        !graph_.output(*next).to_outside &&
        consumers(graph_.output(*next)).size() == 1) {
      scale = copy_floats(*constant_of(*next));
      before = &graph_.output(*next);
      taken.push_back(consumers(*before)[0]);
      next = &op(taken.back());
    }
    if (next->kind != OperatorKind::kAdd || next->activation != Activation::kNone ||
        !one_for_each_channel(*constant_of(*next), channels)) {
      continue;
    }
    const Value& shifted = graph_.output(*next);
    const std::vector<size_t>& users = consumers(shifted);
    const bool only_signs =
        !shifted.to_outside && shifted.shape == chain->current->shape &&
        std::all_of(users.begin(), users.end(), [this](size_t i) {
          return op(i).kind == OperatorKind::kQuantize ||
                 op(i).kind == OperatorKind::kMean;
        });
    if (!only_signs || users.size() > 2 || users.empty() ||
        (users.size() == 2 && op(users[0]).kind == op(users[1]).kind)) {
      continue;
    }
    chain->finish.scale = scale;
    chain->finish.shift = copy_floats(*constant_of(*next));
    for (size_t i : taken) done_[i] = true;
    chain->operators.insert(chain->operators.end(), taken.begin(), taken.end());
    return take_signs_of(chain, shifted);
  }
  return false;
}

bool Planner::take_signs_of(Chain* chain, const Value& value) {
  for (size_t index : consumers(value)) {
    const Operator& next = op(index);
    if (done_[index]) continue;
    if (next.kind == OperatorKind::kQuantize && chain->finish.packed == nullptr) {
      chain->finish.packed = &graph_.output(next);
    } else if (next.kind == OperatorKind::kMean && chain->mean == nullptr) {
      chain->mean = &next;
      Shape shape;
      shape.rank = 2;
      shape.dims[0] = value.rows();
      shape.dims[1] = value.channels();
      chain->finish.sums = graph_.add_value(kTfLiteFloat32, shape);
    } else {
      continue;
    }
    done_[index] = true;
    chain->operators.push_back(index);
  }
  return chain->finish.packed != nullptr || chain->mean != nullptr;
}

void Planner::emit(const Chain& chain, std::unique_ptr<Step> step) {
  for (size_t index : chain.operators) done_[index] = true;
  add(chain.last, std::move(step), chain.operators);
  if (chain.mean != nullptr) {
    add(chain.last,
        make_mean(chain.finish.sums, &graph_.input(*chain.mean, 0),
                  &graph_.output(*chain.mean)),
        {});
  }
}

void Planner::add(size_t order, std::unique_ptr<Step> step,
                  const std::vector<size_t>& operators) {
  for (size_t index : operators) step->nodes.push_back(op(index).node);
  steps_.emplace_back(order, std::move(step));
}

}  // namespace r2b
