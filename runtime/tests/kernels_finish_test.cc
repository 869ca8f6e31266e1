// What follows convolutions, and pools, of every table that this CPU runs, against
// plain loops written here from the contract.
#include <algorithm>

#include "exponential.h"
#include "kernel_cases.h"

using namespace r2b;
using namespace r2b_test;

namespace {

// Which steps of FinishRow a case has.
struct Steps {
  bool counts, gate, addend, slope, limits, output, scale, shift, packed, sums;
  bool limits_follow_skip;
  enum { kNoCorrections, kSomeCorrections, kAllCorrections } corrections;
  enum { kNoSkip, kSkip, kSkipInPlace } skip;
};

std::string describe_steps(const Steps& steps, int channels, int pixels) {
  return describe({{"channels", channels},
                   {"pixels", pixels},
                   {"counts", steps.counts},
                   {"corrections", steps.corrections},
                   {"gate", steps.gate},
                   {"addend", steps.addend},
                   {"slope", steps.slope},
                   {"limits", steps.limits},
                   {"limits_follow_skip", steps.limits_follow_skip},
                   {"skip", steps.skip},
                   {"output", steps.output},
                   {"scale", steps.scale},
                   {"shift", steps.shift},
                   {"packed", steps.packed},
                   {"sums", steps.sums}});
}

// One value of the row, up to `output`.
float finish_value(const FinishRow& row, ptrdiff_t p, int c) {
  float y;
  if (row.counts != nullptr) {
    int32_t twice = 2 * row.counts[p * row.counts_stride + c];
    if (twice < row.clamp_min) twice = row.clamp_min;
    if (twice > row.clamp_max) twice = row.clamp_max;
    y = float(twice) * row.multiplier[c];
    y = y + row.bias[c];
    if (row.corrections != nullptr && row.corrections[p] != nullptr) {
      y = y + row.corrections[p][c];
    }
  } else {
    y = row.values[p * row.values_stride + c];
  }
  if (row.gate != nullptr) y = y * row.gate[c];
  if (row.addend != nullptr) y = y + row.addend[c];
  if (row.slope != nullptr && y < 0.0f) y = y * row.slope[c];
  const auto limit = [&] {
    if (y < row.lowest) y = row.lowest;
    if (row.highest < y) y = row.highest;
  };
  if (row.has_limits && !row.limits_follow_skip) limit();
  if (row.skip != nullptr) y = y + row.skip[p * row.skip_stride + c];
  if (row.has_limits && row.limits_follow_skip) limit();
  return y;
}

void test_finish(const Kernels& kernels, uint64_t seed, const Steps& steps,
                 int channels, int pixels, int one_special_in) {
  Random random(seed);
  const int words = (channels + 31) / 32;
  const auto stride = [&](int width) { return width + random.between(0, 3); };
  const auto size = [&](int stride, int width) {
    return size_t(pixels - 1) * stride + width;
  };
  FinishRow row = {};
  row.num_pixels = pixels;
  row.num_channels = channels;
  row.counts_stride = stride(channels);
  row.values_stride = stride(channels);
  row.skip_stride = row.output_stride = stride(channels);
  row.packed_stride = stride(words);

  Guarded<int32_t> counts(size(row.counts_stride, channels));
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = random.between(0, 5000);
  Guarded<float> values(size(row.values_stride, channels), Side(random.between(0, 1)));
  fill(values, random, one_special_in);
  Guarded<float> corrections(size_t(channels) * pixels);
  fill(corrections, random, one_special_in);
  std::vector<const float*> correction_of;
  for (int p = 0; p < pixels; ++p) {
    const bool all = steps.corrections == Steps::kAllCorrections;
    const bool has = all || random.between(0, 1);
    correction_of.push_back(has ? corrections.data() + size_t(p) * channels : nullptr);
  }
  Guarded<float> multiplier(channels), bias(channels), gate(channels), addend(channels),
      slope(channels), scale(channels), shift(channels), sums(channels);
  for (Guarded<float>* vector :
       {&multiplier, &bias, &gate, &addend, &slope, &scale, &shift, &sums}) {
    fill(*vector, random, one_special_in);
  }
  // Where nothing else is done, every third channel of the first pixel becomes zero.
  for (int c = 0; c < channels; c += 3) {
    shift[c] = steps.scale ? -(values[c] * scale[c]) : -values[c];
  }
  Guarded<float> output(size(row.output_stride, channels));
  Guarded<float> other(size(row.output_stride, channels));
  fill(other, random, one_special_in);
  const bool in_place = steps.skip == Steps::kSkipInPlace;
  if (in_place) fill(output, random, one_special_in);
  Guarded<uint32_t> packed(size(row.packed_stride, words));

  if (steps.counts) {
    row.counts = counts.data();
    row.clamp_min = steps.limits ? random.between(0, 6000) : INT32_MIN;
    row.clamp_max = steps.limits ? row.clamp_min + random.between(0, 6000) : INT32_MAX;
    row.multiplier = multiplier.data();
    row.bias = bias.data();
    if (steps.corrections != Steps::kNoCorrections) {
      row.corrections = correction_of.data();
    }
  } else {
    row.values = values.data();
  }
  row.gate = steps.gate ? gate.data() : nullptr;
  row.addend = steps.addend ? addend.data() : nullptr;
  row.slope = steps.slope ? slope.data() : nullptr;
  row.has_limits = steps.limits;
  row.limits_follow_skip = steps.limits_follow_skip;
  row.lowest = steps.limits ? -random.between(0, 1) : NAN;
  row.highest = steps.limits ? float(random.between(0, 6)) : NAN;
  row.skip = in_place                     ? output.data()
             : steps.skip == Steps::kSkip ? other.data()
                                          : nullptr;
  row.output = steps.output ? output.data() : nullptr;
  row.scale = steps.scale ? scale.data() : nullptr;
  row.shift = steps.shift ? shift.data() : nullptr;
  row.packed = steps.packed ? packed.data() : nullptr;
  row.sums = steps.sums ? sums.data() : nullptr;

  std::vector<float> expected_output = copy_of(output), expected_sums = copy_of(sums);
  std::vector<uint32_t> expected_packed = copy_of(packed);
  for (int p = 0; p < pixels; ++p) {
    uint32_t* bits = expected_packed.data() + size_t(p) * row.packed_stride;
    for (int i = 0; steps.packed && i < words; ++i) bits[i] = 0;
    for (int c = 0; c < channels; ++c) {
      const float y = finish_value(row, p, c);
      if (steps.output) expected_output[size_t(p) * row.output_stride + c] = y;
      float z = steps.scale ? y * scale[c] : y;
      if (steps.shift) z = z + shift[c];
      if (steps.packed && z < 0.0f) bits[c / 32] |= uint32_t{1} << (c % 32);
      if (steps.sums) expected_sums[c] = expected_sums[c] + z;
    }
  }
  set_case(kernels, "finish_row", seed, describe_steps(steps, channels, pixels));
  kernels.finish_row(row);
  check_output("output", output, expected_output);
  check_output("packed", packed, expected_packed);
  check_output("sums", sums, expected_sums);
}

struct PoolShape {
  int lines, taps, windows;
};

void test_pool_row(const Kernels& kernels, uint64_t seed, int channels,
                   const PoolShape& shape, int one_special_in) {
  Random random(seed);
  const int step = random.between(0, 2 * channels);
  const int line = (shape.windows - 1) * step + shape.taps * channels;
  std::vector<int> places;
  for (int l = 0; l < shape.lines; ++l) places.push_back(random.between(0, line));
  const int last = *std::max_element(places.begin(), places.end());
  Guarded<float> values(size_t(last + line), Side(random.between(0, 1)));
  fill(values, random, one_special_in);
  std::vector<const float*> lines;
  for (const int place : places) lines.push_back(values.data() + place);
  const float factor = 1.0f / float(shape.lines * shape.taps);
  for (const bool is_max : {true, false}) {
    Guarded<float> output(size_t(shape.windows) * channels);
    std::vector<float> expected = copy_of(output);
    for (int i = 0; i < shape.windows * channels; ++i) {
      const ptrdiff_t first = ptrdiff_t{i / channels} * step + i % channels;
      float y = lines[0][first];
      for (int k = 1; k < shape.lines * shape.taps; ++k) {
        const float x = lines[k / shape.taps][first + k % shape.taps * channels];
        y = is_max ? (y < x ? x : y) : y + x;
      }
      expected[i] = is_max ? y : y * factor;
    }
    const PoolRow row = {lines.data(), shape.lines, shape.taps,   shape.windows,
                         step,         channels,    output.data()};
    set_case(kernels, is_max ? "max_pool_row" : "mean_pool_row", seed,
             describe({{"channels", channels},
                       {"lines", shape.lines},
                       {"taps", shape.taps},
                       {"windows", shape.windows},
                       {"step", step}}));
    if (is_max) {
      kernels.max_pool_row(row);
    } else {
      kernels.mean_pool_row(row, factor);
    }
    check_output("output", output, expected);
  }
}

// The n-th combination of steps; false where it makes no sense.
bool steps_of(unsigned n, Steps& steps) {
  const auto bit = [&n] {
    const bool set = n & 1;
    n >>= 1;
    return set;
  };
  steps.counts = bit();
  steps.gate = bit();
  steps.addend = bit();
  steps.slope = bit();
  steps.limits = bit();
  steps.output = bit();
  steps.scale = bit();
  steps.shift = bit();
  steps.packed = bit();
  steps.sums = bit();
  const unsigned corrections = n % 3, skip = n / 3;
  steps.corrections = decltype(steps.corrections)(corrections);
  steps.skip = decltype(steps.skip)(skip);
  return (steps.counts || corrections == 0) &&
         (steps.output || steps.skip != Steps::kSkipInPlace);
}

void test_finishes(const Kernels& kernels) {
  const std::vector<int> channels = channel_counts();
  Steps steps = {};
  for (unsigned n = 0; n < 1024 * 9; ++n) {
    if (!steps_of(n, steps)) continue;
    for (unsigned i = 0; i < 3; ++i) {
      steps.limits_follow_skip = (n + i) % 2 == 1;
      const int width = channels[(n * 3 + i) * 7 % channels.size()];
      test_finish(kernels, next_seed(), steps, width, 1 + int(n + i) % 5, i * 7);
    }
  }
  Steps all = {};
  steps_of(1023 + 1024 * 4, all);
  for (const int width : channels) {
    for (const bool counts : {true, false}) {
      for (const bool limits : {true, false}) {
        for (const bool addend : {true, false}) {
          all.counts = counts;
          all.limits = limits;
          all.addend = addend;
          test_finish(kernels, next_seed(), all, width, 9, 0);
          test_finish(kernels, next_seed(), all, width, 9, 10);
        }
      }
    }
  }
}

void test_pool_rows(const Kernels& kernels) {
  constexpr PoolShape kShapes[] = {{1, 1, 1}, {1, 1, 5}, {1, 3, 2}, {3, 1, 2},
                                   {2, 2, 4}, {3, 3, 3}, {7, 7, 1}};
  for (const int channels : channel_counts()) {
    for (const PoolShape& shape : kShapes) {
      test_pool_row(kernels, next_seed(), channels, shape, 0);
      test_pool_row(kernels, next_seed(), channels, shape, 8);
    }
  }
}

void test_logistic(const Kernels& kernels, uint64_t seed, int count, float scale) {
  Random random(seed);
  Guarded<float> x(size_t(count), Side(random.between(0, 1))), y(x.size());
  fill(x, random, 10);
  std::vector<float> expected;
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] *= scale;
    const double power = exponential<double, uint64_t>(-double(x[i]));
    expected.push_back(float(1.0 / (1.0 + power)));
    // The C library's is as near as a float can be, but for denormals and NaN.
    const float near = float(1.0 / (1.0 + std::exp(-double(x[i]))));
    CHECK(std::isnan(x[i]) || std::fabs(near) < FloatLimits::min() ||
          std::fabs(expected[i] - near) <= near * FloatLimits::epsilon());
  }
  set_case(kernels, "logistic", seed, describe({{"count", count}}));
  kernels.logistic(x.data(), count, y.data());
  check_output("y", y, expected);
  kernels.logistic(x.data(), count, x.data());
  check_output("in place", x, expected);
}

void test_logistics(const Kernels& kernels) {
  for (const int count : channel_counts()) {
    for (const float scale : {1.0f, 30.0f, 1000.0f}) {
      test_logistic(kernels, next_seed(), count, scale);
    }
  }
}

}  // namespace

TEST(logistic_gives_the_same_bits_in_vectors) { for_each_table(test_logistics); }

TEST(finish_row_takes_its_steps_in_order) { for_each_table(test_finishes); }

TEST(windows_are_folded_in_order) { for_each_table(test_pool_rows); }

TEST_MAIN
