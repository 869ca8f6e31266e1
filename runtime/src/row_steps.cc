// Steps that go over real-valued rows: passes, pools, means, frames.

#include <cstring>
#include <vector>

#include "pool_windows.h"
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

// A pass over few channels with the same constants for every pixel, a picture's three
// for example: several pixels of a row are taken for one with as many more channels,
// which fill a vector.
class PictureRowPass : public Step {
 public:
  // Of the kernels' vectors the longest has 16 numbers.
  static constexpr int kFewChannels = 16, kMostChannels = 64;

  // How many pixels become one, which a row has a whole number of; 1 where this is not
  // for the pass.
  static int pixels_in_one(const Value& source, const Finish& finish) {
    const int channels = source.channels();
    const bool is_plain = finish.output != nullptr && finish.gate == nullptr &&
                          finish.skip == nullptr && finish.packed == nullptr &&
                          finish.sums == nullptr;
    if (!is_plain || channels >= kFewChannels || channels < 1) return 1;
    int count = kMostChannels / channels;
    while (source.row_pixels() % count != 0) count--;
    return count;
  }

  PictureRowPass(const Kernels& kernels, const Value& source, const Finish& finish,
                 int count)
      : kernels_(kernels), source_(source), output_(*finish.output) {
    whole_.num_channels = source.channels() * count;
    whole_.num_pixels = source.row_pixels() / count;
    whole_.values_stride = whole_.output_stride = whole_.num_channels;
    whole_.gate = repeated(finish.gate_constant, count, &gate_);
    whole_.addend = repeated(finish.addend, count, &addend_);
    whole_.slope = repeated(finish.slope, count, &slope_);
    whole_.skip = repeated(finish.skip_constant, count, &skip_);
    whole_.has_limits = finish.has_limits;
    whole_.limits_follow_skip = finish.limits_follow_skip;
    whole_.lowest = finish.lowest;
    whole_.highest = finish.highest;
  }

  int units() const override { return source_.rows(); }

  void run(int begin, int end, char*) const override {
    for (int row = begin; row < end; row++) {
      FinishRow work = whole_;
      work.values = source_.row<float>(row);
      work.output = output_.row<float>(row);
      kernels_.finish_row(work);
    }
  }

 private:
  const float* repeated(const float* constants, int count, std::vector<float>* own) {
    if (constants == nullptr) return nullptr;
    for (int i = 0; i < count; i++) {
      own->insert(own->end(), constants, constants + source_.channels());
    }
    return own->data();
  }

  const Kernels& kernels_;
  const Value& source_;
  const Value& output_;
  FinishRow whole_ = {};
  std::vector<float> gate_, addend_, slope_, skip_;
};

class Pool : public Step {
 public:
  Pool(const Kernels& kernels, const PoolWindows& windows, const Value& source,
       const Finish& finish)
      : kernels_(kernels), windows_(windows), source_(source), finish_(finish) {}

  int units() const override { return source_.shape.dims[0] * windows_.height(); }

  Size scratch_bytes() const override {
    return Size(windows_.width()) * source_.channels() * sizeof(float) +
           Size(windows_.most_rows()) * sizeof(const float*);
  }

  void run(int begin, int end, char* scratch) const override {
    auto** lines = reinterpret_cast<const float**>(scratch);
    auto* values = reinterpret_cast<float*>(lines + windows_.most_rows());
    for (int row = begin; row < end; row++) {
      const int image = row / windows_.height(), y = row % windows_.height();
      const auto line_of = [&](int source_row) {
        return source_.row<float>(image * source_.height() + source_row);
      };
      windows_.run(y, line_of, lines, values);
      FinishRow work = {};
      work.values = values;
      work.values_stride = source_.channels();
      const Span span = {row, 0, windows_.width(), 0, source_.channels()};
      finish_.run(kernels_, work, span, windows_.height());
    }
  }

 private:
  const Kernels& kernels_;
  PoolWindows windows_;
  const Value& source_;
  Finish finish_;
};

class Mean : public MapStep {
 public:
  Mean(const Value* sums, const Value* map, Value* output)
      : MapStep("mean of channel sums", sums, output), map_(*map) {}

  int units() const override { return map_.shape.dims[0]; }

  // Rows are added in order, whichever thread summed them.
  void run(int begin, int end, char*) const override {
    const int channels = map_.channels(), height = map_.height();
    const float count =
        static_cast<float>(height) * static_cast<float>(map_.row_pixels());
    for (int image = begin; image < end; image++) {
      float* mean = reinterpret_cast<float*>(output_->data) +
                    static_cast<ptrdiff_t>(image) * channels;
      std::memset(mean, 0, static_cast<size_t>(channels) * sizeof(float));
      for (int y = 0; y < height; y++) {
        const float* row = source_.row<float>(image * height + y);
        for (int c = 0; c < channels; c++) mean[c] += row[c];
      }
      for (int c = 0; c < channels; c++) mean[c] /= count;
    }
  }

 private:
  const Value& map_;
};

class Framing : public MapStep {
 public:
  using MapStep::MapStep;

  void run(int begin, int end, char*) const override {
    const size_t bytes = static_cast<size_t>(source_.row_pixels()) *
                         static_cast<size_t>(source_.channels()) * 4;
    for (int row = begin; row < end; row++) {
      std::memcpy(output_->row<uint32_t>(row), source_.row<uint32_t>(row), bytes);
    }
  }
};

}  // namespace

std::unique_ptr<Step> make_pass(const Kernels& kernels, const Value* source,
                                const Finish& finish) {
  std::unique_ptr<Step> step;
  if (const int count = PictureRowPass::pixels_in_one(*source, finish); count > 1) {
    step = std::make_unique<PictureRowPass>(kernels, *source, finish, count);
  } else {
    step = std::make_unique<Pass>(kernels, *source, finish);
  }
  step->title = "pass";
  step->add_read(source,
                 finish.output != nullptr ? Access::kElementwise : Access::kAnywhere);
  finish.declare(step.get());
  return step;
}

std::unique_ptr<Step> make_pool(const Kernels& kernels, const Operator& op,
                                const Value* source, const Finish& finish,
                                std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(op, *source, nullptr, &vertical, &horizontal, why)) return nullptr;
  const bool is_max = op.kind == OperatorKind::kMaxPool;
  const PoolWindows windows(kernels, is_max, vertical, horizontal, source->channels());
  auto step = std::make_unique<Pool>(kernels, windows, *source, finish);
  step->title = is_max ? "max pool" : "average pool";
  step->add_read(source);
  finish.declare(step.get());
  return step;
}

std::unique_ptr<Step> make_mean(const Value* sums, const Value* source, Value* output) {
  return std::make_unique<Mean>(sums, source, output);
}

std::unique_ptr<Step> make_framing(const Value* source, Value* framed) {
  return std::make_unique<Framing>("padding", source, framed);
}

}  // namespace r2b
