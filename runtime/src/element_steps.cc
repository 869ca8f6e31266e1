// Elementwise operators: small tensors, odd shapes.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "exponential.h"
#include "simple_steps.h"

namespace r2b {

namespace {

// Without the C library's, which differ in what a denormal is.
float floor_of(float x) {
  constexpr float kAllWhole = 0x1p23f;
  if (!(std::fabs(x) < kAllWhole)) return x;
  const float whole = static_cast<float>(static_cast<int32_t>(x));
  return std::copysign(whole > x ? whole - 1.0f : whole, x);
}

float as_float(uint8_t x) { return static_cast<float>(x); }

// What a function makes of each number by itself.
template <typename From, float (*kFunction)(From)>
class Elementwise : public MapStep {
 public:
  using MapStep::MapStep;

  void run(int begin, int end, char*) const override {
    const int count = source_.row_pixels() * source_.channels();
    for (int row = begin; row < end; row++) {
      const From* x = source_.row<From>(row);
      float* y = output_->row<float>(row);
      for (int i = 0; i < count; i++) y[i] = kFunction(x[i]);
    }
  }
};

using Floor = Elementwise<float, floor_of>;
using Cast = Elementwise<uint8_t, as_float>;

class Logistic : public MapStep {
 public:
  Logistic(const Kernels& kernels, const Value* source, Value* output)
      : MapStep("logistic", source, output), kernels_(kernels) {}

  void run(int begin, int end, char*) const override {
    const ptrdiff_t count = ptrdiff_t{source_.row_pixels()} * source_.channels();
    for (int row = begin; row < end; row++) {
      kernels_.logistic(source_.row<float>(row), count, output_->row<float>(row));
    }
  }

 private:
  const Kernels& kernels_;
};

class Softmax : public MapStep {
 public:
  Softmax(const Value* source, Value* output, float beta)
      : MapStep("softmax", source, output), beta_(beta) {}

  int units() const override { return static_cast<int>(source_.shape.pixels()); }

  void run(int begin, int end, char*) const override {
    const int channels = source_.channels();
    for (int pixel = begin; pixel < end; pixel++) {
      const ptrdiff_t start = static_cast<ptrdiff_t>(pixel) * channels;
      const float* x = reinterpret_cast<const float*>(source_.data) + start;
      float* y = reinterpret_cast<float*>(output_->data) + start;
      const double largest = *std::max_element(x, x + channels);
      const auto power = [&](int i) {
        return exponential<double, uint64_t>((x[i] - largest) * beta_);
      };
      double sum = 0;
      for (int i = 0; i < channels; i++) sum += power(i);
      for (int i = 0; i < channels; i++) y[i] = static_cast<float>(power(i) / sum);
    }
  }

 private:
  float beta_;
};

const char* title_of(OperatorKind kind) {
  switch (kind) {
    case OperatorKind::kMultiply:
      return "product";
    case OperatorKind::kAdd:
      return "sum";
    case OperatorKind::kSubtract:
      return "difference";
    case OperatorKind::kMaximum:
      return "maximum";
    default:
      return "minimum";
  }
}

// Walks two operands along a result of up to kMaxRank dimensions.
class Broadcast : public MapStep {
 public:
  Broadcast(const Operator& op, const Value* a, const Value* b, Value* output)
      : MapStep(title_of(op.kind), a, output), kind_(op.kind), other_(*b) {
    add_read(b);
    activation_limits(op.activation, &lowest_, &highest_);
    set_steps(a->shape, steps_a_);
    set_steps(b->shape, steps_b_);
  }

  int units() const override { return static_cast<int>(output_->shape.pixels()); }

  void run(int begin, int end, char*) const override {
    switch (kind_) {
      case OperatorKind::kMultiply:
        return walk(begin, end, [](float a, float b) { return a * b; });
      case OperatorKind::kAdd:
        return walk(begin, end, [](float a, float b) { return a + b; });
      case OperatorKind::kSubtract:
        return walk(begin, end, [](float a, float b) { return a - b; });
      case OperatorKind::kMaximum:  // the second where one is NaN
        return walk(begin, end, [](float a, float b) { return a > b ? a : b; });
      default:
        return walk(begin, end, [](float a, float b) { return a < b ? a : b; });
    }
  }

 private:
  template <typename Combine>
  void walk(int begin, int end, const Combine& combine) const {
    const Shape& shape = output_->shape;
    const int channels = output_->channels();
    const float *a = data(source_), *b = data(other_);
    auto* y = reinterpret_cast<float*>(output_->data);
    // Each has all of the result's numbers, or one: a run of them is like a row.
    const int64_t step_a = step_of(source_), step_b = step_of(other_);
    const ptrdiff_t first = static_cast<ptrdiff_t>(begin) * channels;
    if (step_a >= 0 && step_b >= 0) {
      const ptrdiff_t count = static_cast<ptrdiff_t>(end - begin) * channels;
      return combine_row(a + first * step_a, step_a, b + first * step_b, step_b,
                         y + first, count, combine);
    }
    const int last = shape.rank > 0 ? shape.rank - 1 : 0;
    for (int pixel = begin; pixel < end; pixel++) {
      int64_t rest = pixel, at_a = 0, at_b = 0;
      for (int i = shape.rank - 2; i >= 0; i--) {
        at_a += rest % shape.dims[i] * steps_a_[i];
        at_b += rest % shape.dims[i] * steps_b_[i];
        rest /= shape.dims[i];
      }
      combine_row(a + at_a, steps_a_[last], b + at_b, steps_b_[last],
                  y + static_cast<ptrdiff_t>(pixel) * channels, channels, combine);
    }
  }

  // The steps are 0 or 1: loops that know it are in vectors.
  template <typename Combine>
  void combine_row(const float* a, int64_t step_a, const float* b, int64_t step_b,
                   float* y, ptrdiff_t count, const Combine& combine) const {
    const auto limited = [lowest = lowest_, highest = highest_](float value) {
      const float above = value < lowest ? lowest : value;
      return highest < above ? highest : above;
    };
    if (step_a == 0) {
      for (ptrdiff_t i = 0; i < count; i++) y[i] = limited(combine(*a, b[i * step_b]));
    } else if (step_b == 0) {
      for (ptrdiff_t i = 0; i < count; i++) y[i] = limited(combine(a[i], *b));
    } else {
      for (ptrdiff_t i = 0; i < count; i++) y[i] = limited(combine(a[i], b[i]));
    }
  }

  // From a number to the next of the whole result: 1, 0 for a single one, -1 where it is
  // neither.
  int64_t step_of(const Value& value) const {
    const int64_t count = value.shape.elements();
    return count == output_->shape.elements() ? 1 : count == 1 ? 0 : -1;
  }

  static const float* data(const Value& value) {
    return value.constant != nullptr ? static_cast<const float*>(value.constant)
                                     : reinterpret_cast<const float*>(value.data);
  }

  void set_steps(const Shape& shape, int64_t* steps) const {
    const Shape& result = output_->shape;
    int64_t step = 1;
    for (int i = result.rank - 1, j = shape.rank - 1; i >= 0; i--, j--) {
      steps[i] = j < 0 || shape.dims[j] == 1 ? 0 : step;
      if (j >= 0) step *= shape.dims[j];
    }
  }

  OperatorKind kind_;
  const Value& other_;
  float lowest_ = 0, highest_ = 0;
  int64_t steps_a_[kMaxRank] = {}, steps_b_[kMaxRank] = {};
};

}  // namespace

std::unique_ptr<Step> make_broadcast(const Operator& op, const Value* a, const Value* b,
                                     Value* output) {
  return std::make_unique<Broadcast>(op, a, b, output);
}

std::unique_ptr<Step> make_logistic(const Kernels& kernels, const Value* source,
                                    Value* output) {
  return std::make_unique<Logistic>(kernels, source, output);
}

std::unique_ptr<Step> make_floor(const Value* source, Value* output) {
  return std::make_unique<Floor>("floor", source, output);
}

std::unique_ptr<Step> make_cast(const Value* source, Value* output) {
  return std::make_unique<Cast>("bytes as floats", source, output);
}

std::unique_ptr<Step> make_softmax(const Value* source, Value* output, float beta) {
  return std::make_unique<Softmax>(source, output, beta);
}

}  // namespace r2b
