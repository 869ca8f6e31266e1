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
    const Shape& shape = output_->shape;
    const int channels = output_->channels();
    for (int pixel = begin; pixel < end; pixel++) {
      int64_t rest = pixel, at_a = 0, at_b = 0;
      for (int i = shape.rank - 2; i >= 0; i--) {
        at_a += rest % shape.dims[i] * steps_a_[i];
        at_b += rest % shape.dims[i] * steps_b_[i];
        rest /= shape.dims[i];
      }
      const float* a = data(source_) + at_a;
      const float* b = data(other_) + at_b;
      float* y = reinterpret_cast<float*>(output_->data) +
                 static_cast<ptrdiff_t>(pixel) * channels;
      const int last = shape.rank > 0 ? shape.rank - 1 : 0;
      for (int c = 0; c < channels; c++) {
        y[c] = limited(combined(a[c * steps_a_[last]], b[c * steps_b_[last]]));
      }
    }
  }

 private:
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

  float combined(float a, float b) const {
    switch (kind_) {
      case OperatorKind::kMultiply:
        return a * b;
      case OperatorKind::kAdd:
        return a + b;
      case OperatorKind::kSubtract:
        return a - b;
      case OperatorKind::kMaximum:
        return a > b ? a : b;  // the second where one is NaN
      default:
        return a < b ? a : b;
    }
  }

  float limited(float value) const {
    const float above = value < lowest_ ? lowest_ : value;
    return highest_ < above ? highest_ : above;
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
