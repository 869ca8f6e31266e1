// Floats to bytes, from a tensor that is there or from the windows of a pool.

#include "convolution.h"
#include "pool_windows.h"
#include "step.h"

namespace r2b {

namespace {

void quantize(const Kernels& kernels, const Quantization& how, const float* values,
              int64_t count, uint8_t* bytes) {
  kernels.quantize_row({values, count, how.scale, how.shift, how.lowest, how.highest,
                        how.nan_is_highest, bytes});
}

class Quantizing : public MapStep {
 public:
  Quantizing(const Kernels& kernels, const Quantization& how, const Value* source,
             Value* bytes)
      : MapStep("quantization", source, bytes), kernels_(kernels), how_(how) {}

  void run(int begin, int end, char*) const override {
    const int64_t count = int64_t{source_.row_pixels()} * source_.channels();
    for (int row = begin; row < end; row++) {
      quantize(kernels_, how_, source_.row<float>(row), count,
               output_->row<uint8_t>(row));
    }
  }

 private:
  const Kernels& kernels_;
  Quantization how_;
};

class PooledQuantizing : public MapStep {
 public:
  PooledQuantizing(const Kernels& kernels, const Quantization& how,
                   const PoolWindows& windows, const Value* source, Value* bytes)
      : MapStep("average pool + quantization", source, bytes),
        kernels_(kernels),
        how_(how),
        windows_(windows) {}

  int units() const override { return output_->rows(); }

  Size scratch_bytes() const override {
    return Size(windows_.width()) * source_.channels() * sizeof(float) +
           Size(windows_.most_rows()) * sizeof(const float*);
  }

  void run(int begin, int end, char* scratch) const override {
    auto** lines = reinterpret_cast<const float**>(scratch);
    auto* values = reinterpret_cast<float*>(lines + windows_.most_rows());
    const int64_t count = int64_t{windows_.width()} * source_.channels();
    for (int row = begin; row < end; row++) {
      const int image = row / windows_.height(), y = row % windows_.height();
      const auto line_of = [&](int source_row) {
        return source_.row<float>(image * source_.height() + source_row);
      };
      windows_.run(y, line_of, lines, values);
      quantize(kernels_, how_, values, count, output_->row<uint8_t>(row));
    }
  }

 private:
  const Kernels& kernels_;
  Quantization how_;
  PoolWindows windows_;
};

}  // namespace

std::unique_ptr<Step> make_quantization(const Kernels& kernels, const Operator* pool,
                                        const Value* source, const Quantization& how,
                                        Value* bytes, std::string* why) {
  if (pool == nullptr) return std::make_unique<Quantizing>(kernels, how, source, bytes);
  Axis vertical, horizontal;
  if (!make_axes(*pool, *source, nullptr, &vertical, &horizontal, why)) return nullptr;
  const PoolWindows windows(kernels, false, vertical, horizontal, source->channels());
  return std::make_unique<PooledQuantizing>(kernels, how, windows, source, bytes);
}

}  // namespace r2b
