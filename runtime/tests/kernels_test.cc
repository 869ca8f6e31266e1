// The convolutions of every table that this CPU runs, against plain loops written here
// from the contract.
#include "kernel_cases.h"

using namespace r2b;
using namespace r2b_test;

namespace {

// The runs of a patch, in any order and overlapping, and the source they need.
struct PatchShape {
  int num_pixels, pixel_step, num_runs, run_length;
  std::vector<ptrdiff_t> offsets;
  size_t source_size;
  ptrdiff_t source_start;  // offsets may be negative

  PatchShape(Random& random, int pixels, int step, int runs, int length)
      : num_pixels(pixels), pixel_step(step), num_runs(runs), run_length(length) {
    const int spread = random.between(0, 2 * length * runs);
    ptrdiff_t lowest = 0, highest = 0;
    for (int r = 0; r < runs; ++r) {
      offsets.push_back(random.between(-spread, spread));
      lowest = r == 0 || offsets[r] < lowest ? offsets[r] : lowest;
      highest = r == 0 || offsets[r] > highest ? offsets[r] : highest;
    }
    source_start = -lowest;
    source_size = size_t(ptrdiff_t{pixels - 1} * step + highest - lowest + length);
  }

  int size() const { return num_runs * run_length; }

  template <typename Element>
  Patches<Element> patches(const Guarded<Element>& source) const {
    return {source.data() + source_start, pixel_step, offsets.data(), num_runs,
            run_length};
  }

  std::string text(int channels, int stride) const {
    return describe({{"channels", channels},
                     {"pixels", num_pixels},
                     {"pixel_step", pixel_step},
                     {"runs", num_runs},
                     {"run_length", run_length},
                     {"stride", stride}});
  }
};

template <typename Element>
Element patch_value(const Patches<Element>& patches, int pixel, int k) {
  const int r = k / patches.run_length, i = k % patches.run_length;
  return patches.source[pixel * patches.pixel_step + patches.run_offsets[r] + i];
}

int count_bits(uint32_t word) {
  int bits = 0;
  for (; word != 0; word &= word - 1) ++bits;
  return bits;
}

enum class Words { kRandom, kAllDiffer };

void test_binary_conv(const Kernels& kernels, uint64_t seed, int channels, int pixels,
                      int runs, int length, Words kind = Words::kRandom) {
  Random random(seed);
  const PatchShape shape(random, pixels, random.between(0, 2 * length), runs, length);
  const Side side =
      random.between(0, 1) ? Guarded<float>::kBehind : Guarded<float>::kBefore;
  Guarded<uint32_t> source(shape.source_size, Guarded<uint32_t>::Side(side));
  for (size_t i = 0; i < source.size(); ++i) {
    source[i] = kind == Words::kRandom ? random.bits() : 0;
  }
  Guarded<uint32_t> filter(size_t(channels) * shape.size());
  for (size_t i = 0; i < filter.size(); ++i) {
    filter[i] = kind == Words::kRandom ? random.bits() : ~0u;
  }
  Guarded<uint8_t> packed(kernels.binary_filter_bytes(channels, shape.size()),
                          Guarded<uint8_t>::kBehind, 64);
  kernels.pack_binary_filter(filter.data(), channels, shape.size(), packed.data());

  const int block = kernels.binary_channel_block;
  const int rounded = (channels + block - 1) / block * block;
  const int stride = rounded + random.between(0, 3);
  Guarded<int32_t> counts(size_t(pixels - 1) * stride + rounded);
  std::vector<int32_t> expected = copy_of(counts);
  const BinaryConvRow row = {shape.patches(source), packed.data(), pixels, channels,
                             counts.data(),         stride};
  set_case(kernels, "binary_conv_row", seed, shape.text(channels, stride));
  kernels.binary_conv_row(row);
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < rounded; ++c) {
      const size_t at = size_t(p) * stride + c;
      expected[at] = c < channels ? 0 : counts[at];
      for (int k = 0; c < channels && k < shape.size(); ++k) {
        const uint32_t word = patch_value(row.patches, p, k);
        expected[at] += count_bits(word ^ filter[size_t(c) * shape.size() + k]);
      }
    }
  }
  check_output("counts", counts, expected);
}

void test_real_conv(const Kernels& kernels, uint64_t seed, int channels, int pixels,
                    int runs, int length, int one_special_in) {
  Random random(seed);
  const PatchShape shape(random, pixels, random.between(0, 2 * length), runs, length);
  const Side side = Side(random.between(0, 1));
  Guarded<float> source(shape.source_size, side);
  fill(source, random, one_special_in);
  Guarded<float> filter(size_t(channels) * shape.size());
  fill(filter, random, one_special_in);
  Guarded<float> bias(channels);
  fill(bias, random, one_special_in);
  const bool has_bias = random.between(0, 3) != 0;
  Guarded<uint8_t> packed(kernels.real_filter_bytes(channels, shape.size()),
                          Guarded<uint8_t>::kBehind, 64);
  kernels.pack_real_filter(filter.data(), has_bias ? bias.data() : nullptr, channels,
                           shape.size(), packed.data());

  const int stride = channels + random.between(0, 3);
  Guarded<float> output(size_t(pixels - 1) * stride + channels);
  std::vector<float> expected = copy_of(output);
  const RealConvRow row = {shape.patches(source), packed.data(), pixels, channels,
                           output.data(),         stride};
  set_case(kernels, "real_conv_row", seed, shape.text(channels, stride));
  kernels.real_conv_row(row);
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < channels; ++c) {
      float sum = has_bias ? bias[c] : 0.0f;
      for (int k = 0; k < shape.size(); ++k) {
        sum = std::fma(patch_value(row.patches, p, k),
                       filter[size_t(c) * shape.size() + k], sum);
      }
      expected[size_t(p) * stride + c] = sum;
    }
  }
  check_output("output", output, expected);
}

void test_binary_convs(const Kernels& kernels) {
  for (const int channels : channel_counts()) {
    for (int pixels = 1; pixels <= 15; pixels += pixels < 9 ? 1 : 5) {
      const int length = 1 + (channels + pixels) % 7;
      test_binary_conv(kernels, next_seed(), channels, pixels, 3, length);
    }
  }
  for (int runs = 1; runs <= 9; ++runs) {
    for (const int length : {1, 2, 3, 4, 5, 7, 10, 15, 16, 31, 48}) {
      for (const Words kind : {Words::kRandom, Words::kAllDiffer}) {
        test_binary_conv(kernels, next_seed(), 80, 7, runs, length, kind);
      }
    }
  }
  // More than 16-bit counts hold.
  test_binary_conv(kernels, next_seed(), 17, 2, 9, 250, Words::kAllDiffer);
  for (const int pixels : {28, 56, 57}) {
    test_binary_conv(kernels, next_seed(), 64, pixels, 3, 6);
  }
}

// Sums in the middle between two floats, and so close to it that a double cannot tell:
// (1 + m 2^-23) (1 - m 2^-23) 2^-24 is half of the last place of 1, less 2^-70 m m.
void test_real_conv_between_floats(const Kernels& kernels) {
  Random random(next_seed());
  const int pixels = 29, channels = 75;
  const auto near_to = [&](float value) {
    const float sign = random.between(0, 1) ? 1.0f : -1.0f;
    return sign * value * (1.0f + float(random.between(-3, 3)) * 0x1p-23f);
  };
  Guarded<float> source(pixels), filter(channels), bias(channels);
  for (int p = 0; p < pixels; ++p) source[p] = near_to(0x1p-12f);
  for (int c = 0; c < channels; ++c) {
    filter[c] = near_to(0x1p-12f);
    bias[c] = near_to(1.0f);
  }
  Guarded<uint8_t> packed(kernels.real_filter_bytes(channels, 1),
                          Guarded<uint8_t>::kBehind, 64);
  kernels.pack_real_filter(filter.data(), bias.data(), channels, 1, packed.data());
  Guarded<float> output(size_t(pixels) * channels);
  const ptrdiff_t offset = 0;
  set_case(kernels, "real_conv_row", 0, "sums between floats");
  kernels.real_conv_row({{source.data(), 1, &offset, 1, 1},
                         packed.data(),
                         pixels,
                         channels,
                         output.data(),
                         channels});
  std::vector<float> expected;
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < channels; ++c) {
      expected.push_back(std::fma(source[p], filter[c], bias[c]));
    }
  }
  check_output("output", output, expected);
}

void test_real_convs(const Kernels& kernels) {
  for (int round = 0; round < 20; ++round) test_real_conv_between_floats(kernels);
  for (const int channels : channel_counts()) {
    for (int pixels = 1; pixels <= 15; pixels += pixels < 9 ? 1 : 5) {
      const int length = 1 + (channels + pixels) % 5;
      test_real_conv(kernels, next_seed(), channels, pixels, 3, length, 0);
      test_real_conv(kernels, next_seed(), channels, pixels, 2, length, 40);
    }
  }
  for (int runs = 1; runs <= 9; ++runs) {
    for (const int length : {1, 2, 3, 4, 21, 64}) {
      test_real_conv(kernels, next_seed(), 70, 8, runs, length, 0);
      test_real_conv(kernels, next_seed(), 33, 7, runs, length, 1000);
    }
  }
  test_real_conv(kernels, next_seed(), 64, 112, 7, 21, 0);
}

}  // namespace

TEST(binary_conv_row_counts_differing_bits) { for_each_table(test_binary_convs); }

TEST(real_conv_row_fuses_in_order) { for_each_table(test_real_convs); }

TEST(tables_are_found_by_name) {
  const Kernels* const* tables = available_kernels();
  int last = 0;
  for (; tables[last] != nullptr; ++last) {
    std::printf("table %s\n", tables[last]->name);
    CHECK(find_kernels(tables[last]->name) == tables[last]);
  }
  CHECK(last > 0 && std::string(tables[last - 1]->name) == "portable");
  CHECK(find_kernels("abacus") == nullptr);
  CHECK(find_kernels("") == nullptr);
}

TEST_MAIN
