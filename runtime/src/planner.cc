#include "planner.h"

#include <algorithm>

#include "corrections.h"
#include "simple_steps.h"

namespace r2b {

namespace {

// True where a larger value never becomes a smaller one. (A slope of zero makes NaN of
// an infinity, so it does not count.)
bool is_rising(const Finish& finish, int channels) {
  return finish.gate_constant == nullptr && finish.addend == nullptr &&
         finish.skip_constant == nullptr &&
         (finish.slope == nullptr ||
          std::all_of(finish.slope, finish.slope + channels,
                      [](float slope) { return slope > 0; }));
}

// What zeros around a map need is added by position already, and in a rounding of its own.
bool takes_map(const Operator& head, const Graph& graph) {
  return head.kind == OperatorKind::kBinaryConvolution &&
         graph.output(head).type == kTfLiteFloat32 &&
         (head.padding != Padding::kSame || head.pad_with_ones);
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
  reserve_integer_layers();
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

void Planner::reserve_integer_layers() {
  for (const auto& [head, layer] : integer_layers_) {
    for (size_t index : layer.operators) chains_.set_done(index);
    if (const auto pool = pool_before(layer)) chains_.set_done(*pool);
  }
}

std::optional<size_t> Planner::pool_before(const IntegerLayer& layer) const {
  const Value& source = *layer.source;
  if (!layer.is_quantized || source.outside() ||
      chains_.consumers(source).size() != 1) {
    return std::nullopt;
  }
  for (size_t i = 0; i < graph_.operators.size(); i++) {
    if (&graph_.output(op(i)) != &source) continue;
    const bool fits = op(i).kind == OperatorKind::kAveragePool &&
                      op(i).activation == Activation::kNone && !graph_.is_mean(op(i));
    return fits ? std::optional<size_t>(i) : std::nullopt;
  }
  return std::nullopt;
}

Value* Planner::add_bytes(const Operator& head, const IntegerLayer& layer,
                          std::string* why) {
  const Shape& shape = graph_.input(head, 0).shape;
  if (layer.source->shape != shape) {
    *why = format(
        "its input of shape %s is made of one of shape %s, which it was not "
        "when its filter was packed",
        shape.text().c_str(), layer.source->shape.text().c_str());
    return nullptr;
  }
  if (!layer.is_quantized) return layer.source;
  const auto pool = pool_before(layer);
  const Value* from = pool ? &graph_.input(op(*pool), 0) : layer.source;
  Value* bytes = graph_.add_value(kTfLiteUInt8, shape);
  auto step = make_quantization(kernels_, pool ? &op(*pool) : nullptr, from,
                                layer.quantization, bytes, why);
  if (step == nullptr) return nullptr;
  std::vector<size_t> operators = layer.operators;
  if (pool) operators.insert(operators.begin(), *pool);
  add(layer.operators.back(), std::move(step), operators);
  return bytes;
}

Chain Planner::chain_after(size_t index, Head* head) {
  const Operator& first = head->op;
  Chain chain;
  chain.current = &graph_.output(first);
  chain.last = index;
  chain.operators.push_back(index);
  // LceBconv2d clamps before it scales: its activation is no step of the chain.
  if (first.kind != OperatorKind::kBinaryConvolution &&
      first.activation != Activation::kNone) {
    chain.finish.has_limits = true;
    chain.stage = Chain::kLimits;
    activation_limits(first.activation, &chain.finish.lowest, &chain.finish.highest);
  } else if (head->layer != nullptr) {
    head->affine.factor = chains_.take_constant(&chain, OperatorKind::kMultiply);
    head->affine.addend = chains_.take_constant(&chain, OperatorKind::kAdd);
  } else if (takes_map(first, graph_)) {
    head->map = chains_.take_map(&chain);
  }
  if (chain.current->type == kTfLiteFloat32) {
    if (first.kind == OperatorKind::kDense) {
      chain.finish.output = chain.current;
    } else {
      chains_.extend(&chain);
    }
  }
  return chain;
}

bool Planner::add_head(size_t index, std::string* why) {
  const auto found = integer_layers_.find(index);
  Head head = {op(index), &graph_.input(op(index), 0),
               found == integer_layers_.end() ? nullptr : &found->second, Affine(),
               WithConstantMap()};
  if (head.layer != nullptr) {
    head.source = add_bytes(head.op, *head.layer, why);
    if (head.source == nullptr) return false;
  }
  Chain chain = chain_after(index, &head);
  if (head.layer != nullptr && !head.layer->is_quantized) {
    chain.operators.insert(chain.operators.begin(), head.layer->operators.begin(),
                           head.layer->operators.end());
  }
  if (head.op.kind == OperatorKind::kConvolution) {
    if (add_pooled(head, chain, why)) return true;
    if (!why->empty()) return false;
  }
  std::unique_ptr<Step> step = make_step(head, chain, why);
  if (step == nullptr) return false;
  emit(chain, std::move(step));
  return true;
}

std::unique_ptr<Step> Planner::make_step(const Head& head, const Chain& chain,
                                         std::string* why) {
  const OperatorKind kind = head.op.kind;
  if (kind == OperatorKind::kMaxPool || kind == OperatorKind::kAveragePool) {
    return make_pool(kernels_, head.op, head.source, chain.finish, why);
  }
  const auto& filter = filters_.at(&head.op);
  if (head.layer != nullptr) {
    return make_integer_convolution(kernels_, graph_, head.op, *head.layer, filter,
                                    head.source, head.affine, chain.finish, why);
  }
  if (kind != OperatorKind::kBinaryConvolution) {
    return make_real_convolution(kernels_, graph_, head.op, filter, head.source,
                                 chain.finish, why);
  }
  Axis vertical, horizontal;
  if (!make_axes(head.op, *head.source, &graph_.input(head.op, 1), &vertical,
                 &horizontal, why)) {
    return nullptr;
  }
  if (!fits_with_tables(head, vertical, horizontal)) {
    *why =
        "its tables and those before it, of what padding adds and of each channel's "
        "numbers, take many times the memory of what an operator gives";
    return nullptr;
  }
  Value* source =
      framed(head.source, PatchLayout::frame(vertical, horizontal), chain.last);
  return make_binary_convolution(kernels_, graph_, head.op, filter, source, head.map,
                                 chain.finish, why);
}

// Counts what a binary convolution adds to its positions, and what it multiplies and
// compares its channels with, of all of them together: a filter, and the constants that
// this is made of, may be many operators'.
bool Planner::fits_with_tables(const Head& head, const Axis& vertical,
                               const Axis& horizontal) {
  const int channels = graph_.input(head.op, 1).shape.dims[0];
  const Size map = Size(vertical.out) * horizontal.out * channels * 4;
  constexpr int64_t kNumbers = 3;  // multiplier, bias, threshold
  tables_ = tables_ + Size(channels) * kNumbers * int64_t{sizeof(float)};
  if (head.op.padding == Padding::kSame && !head.op.pad_with_ones) {
    tables_ = tables_ + Corrections::bytes(vertical, horizontal, channels);
  } else if (head.map.how == WithConstantMap::kDifference) {
    tables_ = tables_ + map;
  }
  largest_ = std::max(largest_, map);
  return can_be_padded(tables_, largest_);
}

bool Planner::add_pooled(const Head& head, const Chain& chain, std::string* why) {
  const Finish& between = chain.finish;
  const std::vector<size_t>& readers = chains_.consumers(*chain.current);
  if (!chains_.fuses() || chain.current->to_outside || readers.size() != 1 ||
      chains_.is_done(readers[0]) || between.gate != nullptr ||
      between.skip != nullptr || between.packed != nullptr || between.sums != nullptr) {
    return false;
  }
  const Operator& pool = op(readers[0]);
  if ((pool.kind != OperatorKind::kMaxPool &&
       pool.kind != OperatorKind::kAveragePool) ||
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
  if (pool.kind == OperatorKind::kMaxPool &&
      is_rising(between, chain.current->channels())) {
    // The largest of them, then the rest: the same (but for a zero's sign, where it is
    // the limit or a product too small for a float), and fewer values to do it for.
    pooled.stage = chain.stage;
    pooled.finish.slope = between.slope;
    pooled.finish.has_limits = between.has_limits;
    pooled.finish.lowest = between.lowest;
    pooled.finish.highest = between.highest;
    inner = Finish();
  }
  chains_.extend(&pooled);
  const auto& filter = filters_.at(&head.op);
  auto step = head.layer != nullptr
                  ? make_pooled_integer_convolution(
                        kernels_, graph_, head.op, *head.layer, filter, head.source,
                        head.affine, inner, pool, pooled.finish, why)
                  : make_pooled_convolution(kernels_, graph_, head.op, filter, inner,
                                            pool, pooled.finish, why);
  if (step == nullptr) return false;
  emit(pooled, std::move(step));
  return true;
}

// MUL, ADD, SUB, PRELU, RELU, LceQuantize and MEAN over a tensor that is there already.
bool Planner::add_elementwise(size_t index) {
  const Operator& first = op(index);
  const bool either_way =
      first.kind == OperatorKind::kMultiply || first.kind == OperatorKind::kAdd;
  const bool is_second = either_way && graph_.input(first, 0).constant != nullptr;
  Value* source = &graph_.input(first, is_second ? 1 : 0);
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
    case OperatorKind::kMaximum:
    case OperatorKind::kMinimum:
      step = make_broadcast(alone, source, &graph_.input(alone, 1), output);
      break;
    case OperatorKind::kLogistic:
      step = make_logistic(kernels_, source, output);
      break;
    case OperatorKind::kFloor:
      step = make_floor(source, output);
      break;
    case OperatorKind::kCast:
      step = make_cast(source, output);
      break;
    case OperatorKind::kSoftmax:
      step = make_softmax(source, output, alone.beta);
      break;
    default:
      *why = "a fault of the delegate's own: no step of it runs this operator";
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
