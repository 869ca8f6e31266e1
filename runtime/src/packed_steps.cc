// LCE's operators on packed values other than convolutions.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "simple_steps.h"

namespace r2b {

namespace {

constexpr int kBits = 32;

// LceQuantize of int8 or bool.
class Packing : public MapStep {
 public:
  using MapStep::MapStep;

  void run(int begin, int end, char*) const override {
    const int channels = source_.channels();
    for (int row = begin; row < end; row++) {
      const auto* from = source_.row<int8_t>(row);
      uint32_t* to = output_->row<uint32_t>(row);
      for (int x = 0; x < source_.row_pixels(); x++) {
        for (int first = 0; first < channels; first += kBits) {
          *to++ = pack(from + first, std::min(kBits, channels - first));
        }
        from += channels;
      }
    }
  }

 private:
  uint32_t pack(const int8_t* from, int count) const {
    uint32_t word = 0;
    for (int i = 0; i < count; i++) {
      // A bool is one byte: false is negative.
      const bool negative =
          source_.type == kTfLiteBool ? from[i] == 0 : from[i] < source_.zero_point;
      word |= static_cast<uint32_t>(negative) << i;
    }
    return word;
  }
};

class Unpacking : public MapStep {
 public:
  Unpacking(const Value* source, Value* output) : MapStep("unpacking", source, output) {
    if (output->type != kTfLiteInt8) return;
    const float one = std::min(std::round(1.0f / output->scale), 1000.0f);
    const int32_t zero = std::clamp(output->zero_point, -1000, 1000);
    positive_ = static_cast<int8_t>(std::min(127, zero + static_cast<int32_t>(one)));
    negative_ = static_cast<int8_t>(std::max(-128, zero - static_cast<int32_t>(one)));
  }

  void run(int begin, int end, char*) const override {
    for (int row = begin; row < end; row++) {
      if (output_->type == kTfLiteFloat32) {
        unpack<float>(row, 1.0f, -1.0f);
      } else {
        unpack<int8_t>(row, positive_, negative_);
      }
    }
  }

 private:
  template <typename Element>
  void unpack(int row, Element positive, Element negative) const {
    const uint32_t* from = source_.row<uint32_t>(row);
    Element* to = output_->row<Element>(row);
    for (int x = 0; x < source_.row_pixels(); x++) {
      for (int c = 0; c < output_->channels(); c++) {
        *to++ = (from[c / kBits] >> (c % kBits)) & 1 ? negative : positive;
      }
      from += source_.channels();
    }
  }

  int8_t positive_ = 1, negative_ = 0;  // of bool
};

// The largest of signs is negative where all are: the AND of their words.
class BinaryMaxPool : public MapStep {
 public:
  BinaryMaxPool(const Value* source, Value* output, const Axis& vertical,
                const Axis& horizontal)
      : MapStep("binary max pool", source, output),
        vertical_(vertical),
        horizontal_(horizontal) {}

  int units() const override { return output_->rows(); }

  void run(int begin, int end, char*) const override {
    const int words = source_.channels();
    for (int row = begin; row < end; row++) {
      uint32_t* to = output_->row<uint32_t>(row);
      for (int x = 0; x < horizontal_.out; x++) pool(row, x, to + x * words);
    }
  }

 private:
  void pool(int row, int x, uint32_t* to) const {
    const int words = source_.channels();
    const int image = row / vertical_.out, y = row % vertical_.out;
    const int left = x * horizontal_.stride - horizontal_.before;
    const int first_row =
        image * source_.height() + y * vertical_.stride - vertical_.before;
    std::fill(to, to + words, ~uint32_t{0});
    for (int v = vertical_.first_tap(y); v < vertical_.end_tap(y); v++) {
      const uint32_t* line = source_.row<uint32_t>(first_row + v);
      for (int h = horizontal_.first_tap(x); h < horizontal_.end_tap(x); h++) {
        const uint32_t* from = line + static_cast<ptrdiff_t>(left + h) * words;
        for (int w = 0; w < words; w++) to[w] &= from[w];
      }
    }
  }

  Axis vertical_, horizontal_;
};

}  // namespace

std::unique_ptr<Step> make_packing(const Value* source, Value* output) {
  return std::make_unique<Packing>("sign", source, output);
}

std::unique_ptr<Step> make_unpacking(const Value* source, Value* output) {
  return std::make_unique<Unpacking>(source, output);
}

std::unique_ptr<Step> make_binary_max_pool(const Operator& op, const Value* source,
                                           Value* output, std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(op, *source, nullptr, &vertical, &horizontal, why)) return nullptr;
  return std::make_unique<BinaryMaxPool>(source, output, vertical, horizontal);
}

}  // namespace r2b
