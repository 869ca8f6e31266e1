// Convolutions of bytes, and what makes bytes, of every table that this CPU runs, against
// plain loops written here from the contract.
#include "kernel_cases.h"

using namespace r2b;
using namespace r2b_test;

namespace {

enum class Weights {
  kRandom,
  kLargest,
  kLargestNegative,
  kAlternating,
  kSparse,      // one in nine
  kOneChannel,  // large in one channel of five, small in the others
  kSteps,       // ones whose sums come to what registers hold, and one more
};
enum class Pixels { kRandom, kDark, kBright };

struct IntegerCase {
  int channels, pixels, runs, run_length;
  int limit;  // of weights
  Weights weights = Weights::kRandom;
  Pixels brightness = Pixels::kRandom;
};

uint8_t some_pixel(Random& random, Pixels brightness) {
  if (brightness == Pixels::kRandom) return uint8_t(random.bits());
  return brightness == Pixels::kDark ? 0 : 255;
}

// Weight `place` of a channel.
int8_t some_weight(Random& random, const IntegerCase& shape, int channel, int place) {
  const int limit = shape.limit;
  switch (shape.weights) {
    case Weights::kLargest:
      return int8_t(limit);
    case Weights::kLargestNegative:
      return int8_t(-limit);
    case Weights::kAlternating:
      return int8_t(place / 2 % 2 == 0 ? limit : -limit);
    case Weights::kSparse:
      return int8_t(random.between(1, 9) == 1 ? random.between(-limit, limit) : 0);
    case Weights::kOneChannel: {
      const int most = channel % 5 == 0 ? limit : 3;
      return int8_t(random.between(-most, most));
    }
    case Weights::kSteps: {
      const int sizes[] = {1, 2, 31, 32, 63, limit, limit / 2 + 1};
      const int size = sizes[random.between(0, 6)];
      return int8_t(channel % 2 == 0 ? -size : random.between(0, 1) ? size : -size);
    }
    default:
      return int8_t(random.between(-limit, limit));
  }
}

// Runs that lie anywhere, with what may be read behind the last, and no more.
struct Runs {
  std::vector<ptrdiff_t> offsets;
  size_t size = 0;

  Runs(Random& random, const IntegerCase& shape, int step) {
    for (int r = 0; r < shape.runs; ++r) {
      offsets.push_back(random.between(0, 2 * shape.run_length * shape.runs));
      const size_t end = size_t(offsets.back()) + size_t(shape.pixels - 1) * step +
                         shape.run_length + kBytesBehind;
      size = end > size ? end : size;
    }
  }
};

// The sum over a pixel's patch, in a plain loop.
int32_t sum_of_products(const Patches<uint8_t>& patches, ptrdiff_t pixel,
                        const int8_t* weights) {
  int32_t sum = 0;
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint8_t* x =
        patches.source + pixel * patches.pixel_step + patches.run_offsets[r];
    for (int i = 0; i < patches.run_length; ++i) sum += x[i] * *weights++;
  }
  return sum;
}

void test_integer_conv(const Kernels& kernels, uint64_t seed,
                       const IntegerCase& shape) {
  Random random(seed);
  const int weights = shape.runs * shape.run_length;
  const int step = random.between(0, 2 * shape.run_length);
  const Runs runs(random, shape, step);
  Guarded<uint8_t> source(runs.size, Guarded<uint8_t>::Side(random.between(0, 1)));
  for (size_t i = 0; i < source.size(); ++i) {
    source[i] = some_pixel(random, shape.brightness);
  }
  Guarded<int8_t> filter(size_t(shape.channels) * weights);
  for (size_t i = 0; i < filter.size(); ++i) {
    filter[i] = some_weight(random, shape, int(i) / weights, int(i) % weights);
  }
  Guarded<int32_t> bias(shape.channels);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = random.between(-100000, 100000);
  Guarded<uint8_t> packed(
      kernels.integer_filter_bytes(shape.channels, shape.runs, shape.run_length),
      Guarded<uint8_t>::kBehind, 64);
  kernels.pack_integer_filter(filter.data(), bias.data(), shape.channels, shape.runs,
                              shape.run_length, packed.data());
  Guarded<float> multiplier(shape.channels), addend(shape.channels);
  fill(multiplier, random, 0);
  fill(addend, random, 0);

  const int stride = shape.channels + random.between(0, 3);
  Guarded<float> output(size_t(shape.pixels - 1) * stride + shape.channels);
  std::vector<float> expected = copy_of(output);
  IntegerConvRow row = {};
  row.patches = {source.data(), step, runs.offsets.data(), shape.runs,
                 shape.run_length};
  row.filter = packed.data();
  row.num_pixels = shape.pixels;
  row.num_channels = shape.channels;
  row.multiplier = random.between(0, 3) ? multiplier.data() : nullptr;
  row.addend = random.between(0, 3) ? addend.data() : nullptr;
  row.output = output.data();
  row.output_stride = stride;
  set_case(kernels, "integer_conv_row", seed,
           describe({{"channels", shape.channels},
                     {"pixels", shape.pixels},
                     {"pixel_step", step},
                     {"runs", shape.runs},
                     {"run_length", shape.run_length},
                     {"limit", shape.limit},
                     {"weights", int(shape.weights)},
                     {"brightness", int(shape.brightness)}}));
  kernels.integer_conv_row(row);
  for (int p = 0; p < shape.pixels; ++p) {
    for (int c = 0; c < shape.channels; ++c) {
      const int8_t* weights_of_channel = filter.data() + ptrdiff_t{c} * weights;
      float y = float(bias[c] + sum_of_products(row.patches, p, weights_of_channel));
      if (row.multiplier != nullptr) y = y * multiplier[c];
      if (row.addend != nullptr) y = y + addend[c];
      expected[size_t(p) * stride + c] = y;
    }
  }
  check_output("output", output, expected);
}

constexpr Weights kAllWeights[] = {
    Weights::kRandom,      Weights::kLargest, Weights::kLargestNegative,
    Weights::kAlternating, Weights::kSparse,  Weights::kOneChannel,
    Weights::kSteps};

void test_integer_convs(const Kernels& kernels) {
  const int limit = kernels.integer_weight_limit;
  check(limit == 63 || limit == 127, __FILE__, __LINE__, "limit of weights");
  const auto test = [&](const IntegerCase& shape) {
    test_integer_conv(kernels, next_seed(), shape);
  };
  for (const int channels : channel_counts()) {
    for (int pixels = 1; pixels <= 15; pixels += pixels < 9 ? 1 : 5) {
      test({channels, pixels, 3, 1 + (channels + pixels) % 7, limit});
    }
  }
  for (int pixels = 1; pixels <= 40; ++pixels) {
    for (const int channels : {3, 10, 64, 100}) test({channels, pixels, 3, 9, limit});
  }
  for (int runs = 1; runs <= 9; ++runs) {
    for (const int length : {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 21, 31, 33, 64}) {
      for (const Weights weights : kAllWeights) {
        test({35, 7, runs, length, limit, weights});
        test({11, 5, runs, length, limit, weights, Pixels::kBright});
        test({11, 5, runs, length, limit, weights, Pixels::kDark});
      }
    }
  }
  // Four of 63, as many of 64: the last sum that 16 bits hold, and one more.
  for (int smaller_limit = 1; smaller_limit <= limit; ++smaller_limit) {
    for (const Weights weights : {Weights::kLargest, Weights::kLargestNegative}) {
      test({9, 3, 1, 130, smaller_limit, weights, Pixels::kBright});
      test({9, 3, 1, 130, smaller_limit, weights, Pixels::kDark});
    }
  }
  // A stem's, a downsampling's, a classifier's; the longest that 7 bits may have.
  for (const Weights weights : kAllWeights) {
    test({64, 28, 7, 21, 63, weights});
    test({64, 28, 1, 256, 63, weights});
    test({1000, 1, 1, 512, 63, weights});
    test({9, 5, 1, 1044, 63, weights});
    test({9, 5, 1, 1044, 0, weights});
    test({9, 5, 2, 259, limit, weights});
  }
}

float quantized(const QuantizedRow& row, float value) {
  const float product = value * row.scale;
  const float y = std::floor(product + row.shift);
  if (std::isnan(y)) return row.nan_is_highest ? row.highest : row.lowest;
  return y < row.lowest ? row.lowest : y > row.highest ? row.highest : y;
}

void test_quantizing(const Kernels& kernels, uint64_t seed, int count, float lowest,
                     float highest, int one_special_in) {
  Random random(seed);
  Guarded<float> values(size_t(count), Side(random.between(0, 1)));
  fill(values, random, one_special_in);
  const float scale = float(1 << random.between(0, 8)) * 0.7f;
  constexpr float kShifts[] = {0.5f, 0.0f, 0.25f, 1.0f, -3.75f, 96.3f};
  const float shift = kShifts[random.between(0, 5)];
  for (size_t i = 0; i < values.size(); ++i) {
    // Where the whole number changes, and what lies beside that.
    if (random.between(0, 3) != 0) continue;
    const float step = (float(random.between(-260, 260)) - shift) / scale;
    const float to = random.between(0, 1) ? FloatLimits::max() : FloatLimits::lowest();
    values[i] = random.between(0, 2) ? step : std::nextafter(step, to);
  }
  Guarded<uint8_t> bytes(static_cast<size_t>(count));
  std::vector<uint8_t> expected = copy_of(bytes);
  const QuantizedRow row = {
      values.data(), count, scale, shift, lowest, highest, random.between(0, 1) == 1,
      bytes.data()};
  set_case(kernels, "quantize_row", seed,
           describe({{"values", count},
                     {"lowest", long(lowest)},
                     {"highest", long(highest)},
                     {"special", one_special_in}}));
  kernels.quantize_row(row);
  for (int i = 0; i < count; ++i) {
    expected[size_t(i)] = uint8_t(quantized(row, values[size_t(i)]) - lowest);
  }
  check_output("bytes", bytes, expected);
}

void test_quantizings(const Kernels& kernels) {
  for (const int one_special_in : {0, 8}) {
    for (int count = 1; count <= 70; ++count) {
      test_quantizing(kernels, next_seed(), count, -127.0f, 127.0f, one_special_in);
      test_quantizing(kernels, next_seed(), count, 0.0f, 255.0f, one_special_in);
      test_quantizing(kernels, next_seed(), count, -1.0f, 0.0f, one_special_in);
      test_quantizing(kernels, next_seed(), count, -5e6f, -4999800.0f, one_special_in);
    }
    for (const int count : {512, 1000, 3584}) {
      test_quantizing(kernels, next_seed(), count, -127.0f, 127.0f, one_special_in);
    }
  }
}

}  // namespace

TEST(integer_conv_row_is_exact) { for_each_table(test_integer_convs); }

TEST(quantize_row_rounds_down) { for_each_table(test_quantizings); }

TEST_MAIN
