// Steps that go over real-valued rows: passes, pools, means, frames.

#include <cstring>

#include "simple_steps.h"

namespace r2b {

namespace {

class Pass : public Step {
 public:
  Pass(const Kernels& kernels, const Value& source, const Finish& finish)
      : kernels_(kernels), source_(source), finish_(finish) {}

  int units() const override { return source_.rows(); }

  void run(int begin, int end, char*) const override {
    for (int row = begin; row < end; row++) {
      FinishRow work = {};
      work.values = source_.row<float>(row);
      work.values_stride = source_.channels();
      const Span span = {row, 0, source_.row_pixels(), 0, source_.channels()};
      finish_.run(kernels_, work, span, source_.height());
    }
  }

 private:
  const Kernels& kernels_;
  const Value& source_;
  Finish finish_;
};

class Pool : public Step {
 public:
  Pool(const Kernels& kernels, bool is_max, const Value& source, const Axis& vertical,
       const Axis& horizontal, const Finish& finish)
      : kernels_(kernels),
        is_max_(is_max),
        source_(source),
        vertical_(vertical),
        horizontal_(horizontal),
        finish_(finish) {}

  int units() const override { return source_.shape.dims[0] * vertical_.out; }

  Size scratch_bytes() const override {
    return Size(horizontal_.out) * source_.channels() * sizeof(float) +
           Size(taps()) * sizeof(const float*);
  }

  void run(int begin, int end, char* scratch) const override {
    auto** pixels = reinterpret_cast<const float**>(scratch);
    auto* values = reinterpret_cast<float*>(pixels + taps());
    for (int row = begin; row < end; row++) {
      for (int x = 0; x < horizontal_.out; x++) {
        pool(row, x, pixels, values + static_cast<ptrdiff_t>(x) * source_.channels());
      }
      FinishRow work = {};
      work.values = values;
      work.values_stride = source_.channels();
      const Span span = {row, 0, horizontal_.out, 0, source_.channels()};
      finish_.run(kernels_, work, span, vertical_.out);
    }
  }

 private:
  // No more than the input has pixels.
  int taps() const { return vertical_.most_taps() * horizontal_.most_taps(); }

  void pool(int row, int x, const float** pixels, float* output) const {
    const int image = row / vertical_.out, y = row % vertical_.out;
    const int first = horizontal_.first_tap(x), end = horizontal_.end_tap(x);
    const int left = x * horizontal_.stride - horizontal_.before;
    int count = 0;
    for (int v = vertical_.first_tap(y); v < vertical_.end_tap(y); v++) {
      const int source_row =
          image * source_.height() + y * vertical_.stride - vertical_.before + v;
      const float* line = source_.row<float>(source_row);
      for (int h = first; h < end; h++) {
        pixels[count++] = line + static_cast<ptrdiff_t>(left + h) * source_.channels();
      }
    }
    const PoolWindow window = {pixels, count, source_.channels(), output};
    if (is_max_) {
      kernels_.max_window(window);
    } else {
      kernels_.mean_window(window, 1.0f / static_cast<float>(count));
    }
  }

  const Kernels& kernels_;
  bool is_max_;
  const Value& source_;
  Axis vertical_, horizontal_;
  Finish finish_;
};

class Mean : public Step {
 public:
  Mean(const Value& sums, const Value& source, Value* output)
      : sums_(sums), source_(source), output_(output) {}

  int units() const override { return source_.shape.dims[0]; }

  // Rows are added in order, whichever thread summed them.
  void run(int begin, int end, char*) const override {
    const int channels = source_.channels(), height = source_.height();
    const float count =
        static_cast<float>(height) * static_cast<float>(source_.row_pixels());
    for (int image = begin; image < end; image++) {
      float* mean = reinterpret_cast<float*>(output_->data) +
                    static_cast<ptrdiff_t>(image) * channels;
      std::memset(mean, 0, static_cast<size_t>(channels) * sizeof(float));
      for (int y = 0; y < height; y++) {
        const float* row = sums_.row<float>(image * height + y);
        for (int c = 0; c < channels; c++) mean[c] += row[c];
      }
      for (int c = 0; c < channels; c++) mean[c] /= count;
    }
  }

 private:
  const Value& sums_;
  const Value& source_;
  Value* output_;
};

class Framing : public Step {
 public:
  Framing(const Value& source, Value* framed) : source_(source), framed_(framed) {}

  int units() const override { return source_.rows(); }

  void run(int begin, int end, char*) const override {
    const size_t bytes = static_cast<size_t>(source_.row_pixels()) *
                         static_cast<size_t>(source_.channels()) * 4;
    for (int row = begin; row < end; row++) {
      std::memcpy(framed_->row<uint32_t>(row), source_.row<uint32_t>(row), bytes);
    }
  }

 private:
  const Value& source_;
  Value* framed_;
};

}  // namespace

std::unique_ptr<Step> make_pass(const Kernels& kernels, const Value* source,
                                const Finish& finish) {
  auto step = std::make_unique<Pass>(kernels, *source, finish);
  step->title = "pass";
  step->add_read(source, finish.output != nullptr ? Access::kElementwise
                                                  : Access::kAnywhere);
  finish.declare(step.get());
  return step;
}

std::unique_ptr<Step> make_pool(const Kernels& kernels, const Operator& op,
                                const Value* source, const Finish& finish,
                                std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(op, *source, nullptr, &vertical, &horizontal, why)) return nullptr;
  const bool is_max = op.kind == OperatorKind::kMaxPool;
  auto step = std::make_unique<Pool>(kernels, is_max, *source, vertical, horizontal,
                                     finish);
  step->title = is_max ? "max pool" : "average pool";
  step->add_read(source);
  finish.declare(step.get());
  return step;
}

std::unique_ptr<Step> make_mean(const Value* sums, const Value* source, Value* output) {
  auto step = std::make_unique<Mean>(*sums, *source, output);
  step->title = "mean of channel sums";
  step->add_read(sums);
  step->writes.push_back(output);
  return step;
}

std::unique_ptr<Step> make_framing(const Value* source, Value* framed) {
  auto step = std::make_unique<Framing>(*source, framed);
  step->title = "padding";
  step->add_read(source);
  step->writes.push_back(framed);
  return step;
}

}  // namespace r2b
