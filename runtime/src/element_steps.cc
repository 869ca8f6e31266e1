// Elementwise operators that no kernel is needed for: small tensors, odd shapes.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "simple_steps.h"

namespace r2b {

namespace {

// e^x in double, the same bits on every machine: libraries differ in the last ones.
// x = k ln 2 + r, |r| <= ln 2 / 2, and the series of e^r to r^11, whose rest is below
// 1e-14 and so far below what is left of it in float32.
inline double exponential(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  // ln 2 in two parts: k times the first is exact.
  constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
  constexpr double kSeries[] = {
      1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
      1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2,     1.0,        1.0};
  // Beyond this float32 has infinity and zero anyway. NaN takes neither branch.
  if (x > 700.0) x = 700.0;
  if (x < -700.0) x = -700.0;
  // Adding 1.5 * 2^52 rounds to a whole number, which then is in the low bits.
  constexpr double kRound = 0x1.8p52;
  const double shifted = x * kLog2E + kRound;
  const double k = shifted - kRound;
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = 0.0;
  for (double term : kSeries) sum = sum * r + term;
  uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return sum * power;
}

float logistic(float x) {
  return static_cast<float>(1.0 / (1.0 + exponential(-static_cast<double>(x))));
}

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

using Logistic = Elementwise<float, logistic>;
using Floor = Elementwise<float, floor_of>;
using Cast = Elementwise<uint8_t, as_float>;

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
      const auto power = [&](int i) { return exponential((x[i] - largest) * beta_); };
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

std::unique_ptr<Step> make_logistic(const Value* source, Value* output) {
  return std::make_unique<Logistic>("logistic", source, output);
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
