#include "integer_layers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace r2b {

namespace {

constexpr float kExact = 0x1p24f;  // floats below are exact where they are whole
constexpr int kByteRange = 255;

bool is_whole(float value) {
  return std::fabs(value) < kExact && std::floor(value) == value;
}

// What is known of numbers after the operators from a FLOOR on.
struct Limits {
  float lowest = -std::numeric_limits<float>::infinity();
  float highest = std::numeric_limits<float>::infinity();
  // What NaN is by now: itself at first.
  float nan = std::numeric_limits<float>::quiet_NaN();

  // LiteRT's MAXIMUM and MINIMUM give the second operand where one is NaN.
  void raise(float to, bool replaces_nan) {
    lowest = std::max(lowest, to);
    highest = std::max(highest, to);
    nan = std::isnan(nan) ? (replaces_nan ? to : nan) : std::max(nan, to);
  }
  void lower(float to, bool replaces_nan) {
    lowest = std::min(lowest, to);
    highest = std::min(highest, to);
    nan = std::isnan(nan) ? (replaces_nan ? to : nan) : std::min(nan, to);
  }
  bool fit_a_byte() const {
    return is_whole(lowest) && is_whole(highest) && lowest <= highest &&
           highest - lowest <= kByteRange && (nan == lowest || nan == highest);
  }
};

class Finder {
 public:
  Finder(const Graph& graph, int weight_limit)
      : graph_(graph), weight_limit_(static_cast<float>(weight_limit)) {
    for (size_t i = 0; i < graph.operators.size(); i++) {
      const Operator& each = graph.operators[i];
      maker_[&graph.output(each)] = i;
      for (size_t j = 0; j < each.inputs.size(); j++) {
        if (graph.has_input(each, j)) num_readers_[&graph.input(each, j)]++;
      }
    }
  }

  std::optional<IntegerLayer> find(const Operator& head) {
    if (head.kind != OperatorKind::kConvolution && head.kind != OperatorKind::kDense) {
      return std::nullopt;
    }
    if (head.dilation_height != 1 || head.dilation_width != 1) return std::nullopt;
    IntegerLayer layer;
    if (!read_picture(head, &layer) && !read_quantization(head, &layer)) {
      return std::nullopt;
    }
    if (!is_exact(head, layer)) return std::nullopt;
    std::sort(layer.operators.begin(), layer.operators.end());
    return layer;
  }

 private:
  // The operator that makes a value which only one operator reads; null where there is
  // none, and where it does more than its own work.
  const Operator* maker_of(const Value& value) const {
    const auto found = maker_.find(&value);
    if (found == maker_.end() || value.outside() || num_readers_.at(&value) != 1) {
      return nullptr;
    }
    const Operator& op = graph_.operators[found->second];
    return op.activation == Activation::kNone || op.kind == OperatorKind::kLimits
               ? &op
               : nullptr;
  }

  // The constant of an operator of two inputs, one for each channel or for all of them,
  // and the other input; null where there is none or the shape changes.
  const Value* constant_of(const Operator& op, const Value** other) const {
    const int place = graph_.input(op, 1).constant != nullptr ? 1 : 0;
    const Value& constant = graph_.input(op, static_cast<size_t>(place));
    *other = &graph_.input(op, static_cast<size_t>(1 - place));
    const bool fits = constant.constant != nullptr && (*other)->constant == nullptr &&
                      graph_.output(op).shape == (*other)->shape &&
                      (constant.shape.elements() == 1 ||
                       constant.shape.elements() == constant.shape.last());
    return fits ? &constant : nullptr;
  }

  const float* number_of(const Operator& op, const Value** other) const {
    const Value* constant = constant_of(op, other);
    return constant != nullptr && constant->shape.elements() == 1 ? constant->floats()
                                                                  : nullptr;
  }

  void take(const Operator& op, IntegerLayer* layer) const {
    layer->operators.push_back(maker_.at(&graph_.output(op)));
  }

  bool read_picture(const Operator& head, IntegerLayer* layer) const {
    layer->operators.clear();
    layer->lowest = {0};
    const Operator* op = maker_of(graph_.input(head, 0));
    if (op != nullptr &&
        (op->kind == OperatorKind::kSubtract || op->kind == OperatorKind::kAdd)) {
      const Value* other = nullptr;
      const Value* addend = constant_of(*op, &other);
      const bool negates = op->kind == OperatorKind::kSubtract;
      if (addend == nullptr || (negates && addend == &graph_.input(*op, 0)))
        return false;
      layer->lowest.clear();
      for (int64_t i = 0; i < addend->shape.elements(); i++) {
        const float value = addend->floats()[i];
        if (!is_whole(value)) return false;
        layer->lowest.push_back(static_cast<int32_t>(negates ? -value : value));
      }
      if (layer->lowest.empty()) return false;  // a picture without channels
      take(*op, layer);
      op = maker_of(*other);
    }
    if (op == nullptr || op->kind != OperatorKind::kCast) return false;
    take(*op, layer);
    layer->source = &graph_.input(*op, 0);
    return layer->source->constant == nullptr;
  }

  // What an operator that limits numbers limits; null for others.
  const Value* limited_by(const Operator& op) const {
    if (op.kind == OperatorKind::kLimits) return &graph_.input(op, 0);
    if (op.kind != OperatorKind::kMaximum && op.kind != OperatorKind::kMinimum) {
      return nullptr;
    }
    const Value* other = nullptr;
    const float* limit = number_of(op, &other);
    // One that is NaN limits nothing: all become NaN, or none does.
    return limit != nullptr && !std::isnan(*limit) ? other : nullptr;
  }

  // The FLOOR before the operators that limit the layer's input, or null.
  const Operator* read_limits(const Operator& head, IntegerLayer* layer,
                              Limits* limits) const {
    std::vector<const Operator*> found;
    for (const Value* value = &graph_.input(head, 0); value != nullptr;) {
      const Operator* op = maker_of(*value);
      if (op == nullptr) return nullptr;
      take(*op, layer);
      if (op->kind == OperatorKind::kFloor) {
        for (auto each = found.rbegin(); each != found.rend(); ++each) {
          apply(**each, limits);
        }
        return op;
      }
      found.push_back(op);
      value = limited_by(*op);
    }
    return nullptr;
  }

  void apply(const Operator& op, Limits* limits) const {
    if (op.kind == OperatorKind::kLimits) {
      float lowest, highest;
      activation_limits(op.activation, &lowest, &highest);
      limits->raise(lowest, false);
      limits->lower(highest, false);
      return;
    }
    const Value* other = nullptr;
    const float limit = *number_of(op, &other);
    const bool is_second = other == &graph_.input(op, 0);
    if (op.kind == OperatorKind::kMaximum) {
      limits->raise(limit, is_second);
    } else {
      limits->lower(limit, is_second);
    }
  }

  bool read_quantization(const Operator& head, IntegerLayer* layer) const {
    layer->operators.clear();
    Limits limits;
    const Operator* floor = read_limits(head, layer, &limits);
    if (floor == nullptr || !limits.fit_a_byte()) return false;
    const Value *sum = nullptr, *product = nullptr;
    const Operator* add = maker_of(graph_.input(*floor, 0));
    if (add == nullptr || add->kind != OperatorKind::kAdd) return false;
    const float* shift = number_of(*add, &sum);
    const Operator* multiply = shift != nullptr ? maker_of(*sum) : nullptr;
    if (multiply == nullptr || multiply->kind != OperatorKind::kMultiply) return false;
    const float* scale = number_of(*multiply, &product);
    if (scale == nullptr) return false;
    take(*add, layer);
    take(*multiply, layer);
    layer->source = const_cast<Value*>(product);
    layer->is_quantized = true;
    layer->quantization = {*scale, *shift, limits.lowest, limits.highest,
                           limits.nan == limits.highest};
    layer->lowest = {static_cast<int32_t>(limits.lowest)};
    return true;
  }

  bool is_exact(const Operator& head, const IntegerLayer& layer) const {
    // A zero of the padding has to be a byte as well.
    const bool is_padded =
        head.kind == OperatorKind::kConvolution && head.padding == Padding::kSame;
    for (int32_t lowest : layer.lowest) {
      if (is_padded && (lowest > 0 || lowest < -kByteRange)) return false;
    }
    const Value& filter = graph_.input(head, 1);
    const int64_t channels = filter.shape.dims[0];
    const int64_t weights = filter.shape.elements() / channels;
    if (weights % static_cast<int64_t>(layer.lowest.size()) != 0) return false;
    for (int64_t c = 0; c < channels; c++) {
      const float* bias =
          graph_.has_input(head, 2) ? &graph_.input(head, 2).floats()[c] : nullptr;
      if (!is_exact(layer, filter.floats() + c * weights, weights, bias)) return false;
    }
    return true;
  }

  // Whether the sums of an output channel are, in any order.
  bool is_exact(const IntegerLayer& layer, const float* weights, int64_t count,
                const float* bias) const {
    double bound = 0;
    if (bias != nullptr) {
      // With -0 a sum may be -0.
      if (!is_whole(*bias) || (*bias == 0 && std::signbit(*bias))) return false;
      bound = std::fabs(*bias);
    }
    const Quantization& how = layer.quantization;
    const double range = layer.is_quantized ? how.highest - how.lowest : kByteRange;
    for (int64_t k = 0; k < count; k++) {
      if (!is_whole(weights[k]) || std::fabs(weights[k]) > weight_limit_) return false;
      const double lowest = layer.lowest[static_cast<size_t>(k) % layer.lowest.size()];
      // Two at least: kernels that take 128 from each byte add 128 times the weights to
      // the bias, in 32 bits.
      const double largest =
          std::max({2.0, std::fabs(lowest), std::fabs(lowest + range)});
      bound += largest * static_cast<double>(std::fabs(weights[k]));
    }
    return bound < static_cast<double>(kExact);
  }

  const Graph& graph_;
  const float weight_limit_;
  std::map<const Value*, size_t> maker_;
  std::map<const Value*, int> num_readers_;
};

}  // namespace

IntegerLayers find_integer_layers(const Graph& graph, int weight_limit) {
  IntegerLayers layers;
  Finder finder(graph, weight_limit);
  for (size_t i = 0; i < graph.operators.size(); i++) {
    if (auto layer = finder.find(graph.operators[i])) layers.emplace(i, *layer);
  }
  return layers;
}

}  // namespace r2b
