#include "planner.h"

#include <algorithm>

#include "simple_steps.h"

namespace r2b {

namespace {

// True where a larger value never becomes a smaller one. (A slope of zero makes NaN of
// an infinity, so it does not count.)
bool is_rising(const Finish& finish, int channels) {
  return finish.gate_constant == nullptr && finish.skip_constant == nullptr &&
         (finish.slope == nullptr ||
          std::all_of(finish.slope, finish.slope + channels,
                      [](float slope) { return slope > 0; }));
}

}  // namespace

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
    Frame frame = source.frame;
    frame.top = std::max(frame.top, needed.top);
    frame.bottom = std::max(frame.bottom, needed.bottom);
    frame.left = std::max(frame.left, needed.left);
    frame.right = std::max(frame.right, needed.right);
    // Where one reaches far up and another far aside, one of them gets a copy.
    if (can_be_padded(source.shape, Size(frame.top) + vertical.in + frame.bottom,
                      Size(frame.left) + horizontal.in + frame.right)) {
      source.frame = frame;
    }
  }
}

bool Planner::plan(std::vector<std::unique_ptr<Step>>* steps, std::string* why) {
  for (auto& value : graph_.values) value->frame = Frame();
  find_frames();
  for (size_t i = 0; i < graph_.operators.size(); i++) {
    if (chains_.is_done(i)) continue;
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
  if (graph_.is_mean(op(index))) return add_elementwise(index) || add_alone(index, why);
  switch (op(index).kind) {
    case OperatorKind::kUnpackConstant:
      chains_.set_done(index);  // done when the graph was read
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
  if (source->frame.holds(frame)) return source;
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
    chain.stage = Chain::kLimits;
    activation_limits(head.activation, &chain.finish.lowest, &chain.finish.highest);
  }
  if (output->type == kTfLiteFloat32) {
    if (head.kind == OperatorKind::kDense) {
      chain.finish.output = output;
    } else {
      chains_.extend(&chain);
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
  const std::vector<size_t>& readers = chains_.consumers(*chain.current);
  if (!chains_.fuses() || chain.current->to_outside || readers.size() != 1 || chains_.is_done(readers[0]) ||
      between.gate != nullptr || between.skip != nullptr || between.packed != nullptr ||
      between.sums != nullptr) {
    return false;
  }
  const Operator& pool = op(readers[0]);
  if ((pool.kind != OperatorKind::kMaxPool && pool.kind != OperatorKind::kAveragePool) ||
      pool.activation != Activation::kNone || graph_.is_mean(pool)) {
    return false;
  }
  Chain pooled;
  pooled.current = &graph_.output(pool);
  pooled.last = readers[0];
  pooled.operators = chain.operators;
  pooled.operators.push_back(readers[0]);
  Finish inner = between;
  inner.output = nullptr;
  if (pool.kind == OperatorKind::kMaxPool && is_rising(between, chain.current->channels())) {
    // The largest of them, then the rest: the same bits, and fewer values to do it for.
    pooled.stage = chain.stage;
    pooled.finish.slope = between.slope;
    pooled.finish.has_limits = between.has_limits;
    pooled.finish.lowest = between.lowest;
    pooled.finish.highest = between.highest;
    inner = Finish();
  }
  chains_.extend(&pooled);
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
  if (chains_.absorb(&chain, index)) {
    chains_.extend(&chain);
  } else if (first.kind == OperatorKind::kQuantize || graph_.is_mean(first)) {
    if (chains_.fuses()) chains_.take_signs_of(&chain, *source);
    if (!chains_.is_done(index)) {
      chains_.set_done(index);
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
    chain.finish.sums = chains_.add_sums(*source);
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
  chains_.set_done(index);
  add(index, std::move(step), {index});
  return true;
}

void Planner::emit(const Chain& chain, std::unique_ptr<Step> step) {
  for (size_t index : chain.operators) chains_.set_done(index);
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
