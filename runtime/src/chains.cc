#include "chains.h"

#include <algorithm>
#include <cmath>

namespace r2b {

namespace {

// A factor computed for each channel of all images, or of each of them.
bool is_gate(const Value& value, const Value& gated) {
  const int channels = gated.channels();
  if (value.constant != nullptr || value.shape.rank < 1 || gated.shape.rank != 4 ||
      value.shape.last() != channels) {
    return false;
  }
  return value.shape.elements() == channels ||
         value.shape == make_shape(gated.shape.dims[0], 1, 1, channels);
}

}  // namespace

Chains::Chains(Graph* graph, bool fuse)
    : graph_(*graph), fuse_(fuse), done_(graph->operators.size(), false) {
  for (size_t i = 0; i < graph_.operators.size(); i++) {
    for (size_t j = 0; j < op(i).inputs.size(); j++) {
      if (graph_.has_input(op(i), j)) {
        consumers_[&graph_.input(op(i), j)].push_back(i);
      }
    }
  }
}

const float* Chains::for_each_channel(const Value& value, int channels, Sign sign) {
  const int64_t count = value.shape.elements();
  if (value.constant == nullptr || value.type != kTfLiteFloat32) return nullptr;
  const bool is_vector =
      value.shape.rank >= 1 && value.shape.last() == channels && count == channels;
  if (is_vector && sign == Sign::kKept) return value.floats();
  // The sign of NaN would turn as well.
  const float* end = value.floats() + count;
  if ((!is_vector && count != 1) || channels < 1 ||
      (sign == Sign::kTurned &&
       std::any_of(value.floats(), end, [](float x) { return std::isnan(x); }))) {
    return nullptr;
  }
  const float*& known = made_constants_[{&value, channels, sign}];
  if (known != nullptr) return known;
  // A file of a few bytes may have many, for many channels.
  const Size bytes = Size(channels) * int64_t{sizeof(float)};
  if (!can_be_padded(made_bytes_ + bytes, bytes)) return nullptr;
  Memory memory = allocate(bytes);
  if (memory == nullptr) return nullptr;
  made_bytes_ = made_bytes_ + bytes;
  auto* floats = reinterpret_cast<float*>(memory.get());
  for (int c = 0; c < channels; c++) {
    const float x = value.floats()[is_vector ? c : 0];
    floats[c] = sign == Sign::kTurned ? -x : x;
  }
  Shape shape;
  shape.rank = 1;
  shape.dims[0] = channels;
  Value* made = graph_.add_value(kTfLiteFloat32, shape);
  made->own = std::move(memory);
  made->constant = floats;
  return known = floats;
}

const std::vector<size_t>& Chains::consumers(const Value& value) const {
  static const std::vector<size_t> kNone;
  const auto found = consumers_.find(&value);
  return found == consumers_.end() ? kNone : found->second;
}

Value* Chains::add_sums(const Value& value) {
  Shape shape;
  shape.rank = 2;
  shape.dims[0] = value.rows();
  shape.dims[1] = value.channels();
  return graph_.add_value(kTfLiteFloat32, shape);
}

bool Chains::absorb_factor(Chain* chain, const Operator& factor, const Value& other) {
  if (chain->stage >= Chain::kFactor || factor.activation != Activation::kNone)
    return false;
  if (const float* constant = for_each_channel(other, chain->current->channels())) {
    chain->finish.gate_constant = constant;
  } else if (is_gate(other, *chain->current)) {
    chain->finish.gate = &other;
  } else {
    return false;
  }
  chain->stage = Chain::kFactor;
  return true;
}

bool Chains::absorb_addend(Chain* chain, const Operator& addend, const Value& other) {
  const bool is_difference = addend.kind == OperatorKind::kSubtract;
  const bool is_limited = addend.activation != Activation::kNone;
  if (chain->stage >= Chain::kSkip || (is_limited && chain->finish.has_limits)) {
    return false;
  }
  const float* constant = for_each_channel(other, chain->current->channels(),
                                           is_difference ? Sign::kTurned : Sign::kKept);
  const bool is_early = constant != nullptr && chain->stage < Chain::kAddend;
  if (is_early) {
    chain->finish.addend = constant;
  } else if (constant != nullptr) {
    chain->finish.skip_constant = constant;
  } else if (!is_difference && other.shape == chain->current->shape &&
             other.type == kTfLiteFloat32) {
    chain->finish.skip = &other;
  } else {
    return false;
  }
  chain->stage = is_early ? Chain::kAddend : Chain::kSkip;
  return !is_limited || limit(chain, addend.activation);
}

bool Chains::limit(Chain* chain, Activation activation) const {
  if (chain->finish.has_limits || chain->stage >= Chain::kLastLimits) return false;
  chain->finish.has_limits = true;
  chain->finish.limits_follow_skip = chain->stage == Chain::kSkip;
  chain->stage = chain->finish.limits_follow_skip ? Chain::kLastLimits : Chain::kLimits;
  activation_limits(activation, &chain->finish.lowest, &chain->finish.highest);
  return true;
}

bool Chains::absorb(Chain* chain, size_t index) {
  const Operator& next = op(index);
  bool taken = false;
  const bool is_difference = next.kind == OperatorKind::kSubtract;
  if (next.kind == OperatorKind::kMultiply || next.kind == OperatorKind::kAdd ||
      is_difference) {
    const bool is_first = &graph_.input(next, 0) == chain->current;
    const Value& other = graph_.input(next, is_first ? 1 : 0);
    if (&other == chain->current || (is_difference && !is_first) ||
        graph_.output(next).shape != chain->current->shape) {
      return false;
    }
    taken = next.kind == OperatorKind::kMultiply ? absorb_factor(chain, next, other)
                                                 : absorb_addend(chain, next, other);
  } else if (next.kind == OperatorKind::kPrelu && chain->stage < Chain::kSlope) {
    chain->finish.slope = graph_.input(next, 1).floats();
    chain->stage = Chain::kSlope;
    taken = true;
  } else if (next.kind == OperatorKind::kLimits) {
    taken = limit(chain, next.activation);
  }
  if (taken) take(chain, index);
  return taken;
}

void Chains::take(Chain* chain, size_t index) {
  done_[index] = true;
  chain->operators.push_back(index);
  chain->last = index;
  chain->current = &graph_.output(op(index));
}

const size_t* Chains::only_reader(const Chain& chain) const {
  if (!fuse_ || chain.current->to_outside) return nullptr;
  const std::vector<size_t>& next = consumers(*chain.current);
  return next.size() == 1 && !done_[next[0]] ? next.data() : nullptr;
}

const float* Chains::take_constant(Chain* chain, OperatorKind kind) {
  const size_t* index = only_reader(*chain);
  if (index == nullptr) return nullptr;
  const Operator& next = op(*index);
  if (next.kind != kind || next.activation != Activation::kNone ||
      graph_.output(next).shape != chain->current->shape) {
    return nullptr;
  }
  const bool is_first = &graph_.input(next, 0) == chain->current;
  const Value& other = graph_.input(next, is_first ? 1 : 0);
  const float* constant = for_each_channel(other, chain->current->channels());
  if (constant != nullptr) take(chain, *index);
  return constant;
}

WithConstantMap Chains::take_map(Chain* chain) {
  const size_t* index = only_reader(*chain);
  if (index == nullptr) return {};
  const Operator& next = op(*index);
  const bool is_difference = next.kind == OperatorKind::kSubtract;
  if (next.kind != OperatorKind::kAdd && !is_difference) return {};
  const bool is_first = &graph_.input(next, 0) == chain->current;
  const Value& other = graph_.input(next, is_first ? 1 : 0);
  Shape one_image = chain->current->shape;
  one_image.dims[0] = 1;
  if (next.activation != Activation::kNone || other.constant == nullptr ||
      other.type != kTfLiteFloat32 || other.shape != one_image) {
    return {};
  }
  WithConstantMap map = {other.floats(), WithConstantMap::kSum};
  if (is_difference) {
    map.how = is_first ? WithConstantMap::kDifference : WithConstantMap::kFromConstant;
  }
  // What is taken off is added with its sign turned. The sign of NaN would turn as well;
  // and -0 - x is -0 for an x of 0, but what x is the sum of, turned, is 0 again.
  const auto shows_a_turn = [](float x) {
    return std::isnan(x) || (x == 0 && std::signbit(x));
  };
  if (is_difference &&
      std::any_of(map.values, map.values + other.shape.elements(), shows_a_turn)) {
    return {};
  }
  take(chain, *index);
  return map;
}

void Chains::extend(Chain* chain) {
  for (const size_t* next = only_reader(*chain); next != nullptr;) {
    next = absorb(chain, *next) ? only_reader(*chain) : nullptr;
  }
  if (fuse_) absorb_signs(chain);
  // A reader that is done belongs to this chain, or to another one that still reads it.
  const std::vector<size_t>& mine = chain->operators;
  const std::vector<size_t>& readers = consumers(*chain->current);
  const bool wanted = chain->current->to_outside ||
                      std::any_of(readers.begin(), readers.end(), [&mine](size_t i) {
                        return std::find(mine.begin(), mine.end(), i) == mine.end();
                      });
  const bool useless = chain->finish.packed == nullptr && chain->finish.sums == nullptr;
  if (wanted || useless) chain->finish.output = chain->current;
}

void Chains::absorb_signs(Chain* chain) {
  if (!absorb_batch_norm(chain)) take_signs_of(chain, *chain->current);
}

// [MUL by] and ADD of a constant, seen by nothing but LceQuantize and MEAN.
bool Chains::absorb_batch_norm(Chain* chain) {
  const int channels = chain->current->channels();
  for (size_t index : consumers(*chain->current)) {
    std::vector<size_t> taken = {index};
    const float *scale = nullptr, *shift = nullptr;
    const Operator* next = &op(index);
    const Value* before = chain->current;
    const auto constant_of = [&](const Operator& each) {
      const size_t place = &graph_.input(each, 0) == before ? 1 : 0;
      return for_each_channel(graph_.input(each, place), channels);
    };
    if (done_[index] || next->activation != Activation::kNone) continue;
    if (next->kind == OperatorKind::kMultiply && !graph_.output(*next).to_outside &&
        consumers(graph_.output(*next)).size() == 1 &&
        (scale = constant_of(*next)) != nullptr) {
      before = &graph_.output(*next);
      taken.push_back(consumers(*before)[0]);
      next = &op(taken.back());
    }
    if (next->kind != OperatorKind::kAdd || next->activation != Activation::kNone ||
        (shift = constant_of(*next)) == nullptr) {
      continue;
    }
    const Value& shifted = graph_.output(*next);
    const std::vector<size_t>& users = consumers(shifted);
    const auto is_mean = [this](size_t i) { return graph_.is_mean(op(i)); };
    const bool only_signs =
        !shifted.to_outside && shifted.shape == chain->current->shape &&
        std::all_of(users.begin(), users.end(), [&](size_t i) {
          return op(i).kind == OperatorKind::kQuantize || is_mean(i);
        });
    if (!only_signs || users.size() > 2 || users.empty() ||
        (users.size() == 2 && is_mean(users[0]) == is_mean(users[1]))) {
      continue;
    }
    chain->finish.scale = scale;
    chain->finish.shift = shift;
    for (size_t i : taken) done_[i] = true;
    chain->operators.insert(chain->operators.end(), taken.begin(), taken.end());
    return take_signs_of(chain, shifted);
  }
  return false;
}

bool Chains::take_signs_of(Chain* chain, const Value& value) {
  for (size_t index : consumers(value)) {
    const Operator& next = op(index);
    if (done_[index]) continue;
    if (next.kind == OperatorKind::kQuantize && chain->finish.packed == nullptr) {
      chain->finish.packed = &graph_.output(next);
    } else if (graph_.is_mean(next) && chain->mean == nullptr) {
      chain->mean = &next;
      chain->finish.sums = add_sums(value);
    } else {
      continue;
    }
    done_[index] = true;
    chain->operators.push_back(index);
  }
  return chain->finish.packed != nullptr || chain->mean != nullptr;
}

}  // namespace r2b
