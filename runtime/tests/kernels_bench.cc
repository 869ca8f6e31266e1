// Speed of every table of kernels on the layers of a 224x224 Real-to-Binary ResNet-18,
// a row of pixels at a time as the delegate calls them. Pin it to a core.
//
//   kernels_bench [part of a table's name]
//
// A core of AMD's Zen 4 can do 16 real-valued multiply-accumulates a cycle, and 256 on
// bits with AVX2, 512 with AVX-512.
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/kernels.h"

using namespace r2b;

namespace {

// Of this thread, so that what else the core has to do does not count.
double seconds_now() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// The fastest of many short runs.
template <typename Body>
double best_seconds(const Body& body) {
  constexpr double kLeastSeconds = 0.0005, kAllSeconds = 0.15;
  body();
  int repeats = 1;
  double start = seconds_now();
  for (; seconds_now() - start < kLeastSeconds; repeats *= 2) {
    start = seconds_now();
    for (int i = 0; i < repeats; ++i) body();
  }
  double best = 1e9;
  for (double all = 0; all < kAllSeconds;) {
    start = seconds_now();
    for (int i = 0; i < repeats; ++i) body();
    const double seconds = seconds_now() - start;
    all += seconds;
    if (seconds / repeats < best) best = seconds / repeats;
  }
  return best;
}

// Additions that wait for each other, through a register: one a cycle.
double cycles_per_second() {
  constexpr int kRounds = 1 << 16;
  const double seconds = best_seconds([] {
    uintptr_t value = 0;
    for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 16
      for (int k = 0; k < 16; ++k) {
        value += 3;
        __asm__ volatile("" : "+r"(value));
      }
    }
  });
  return 16.0 * kRounds / seconds;
}

std::string per_cycle(double macs, double seconds, double clock) {
  char text[32];
  std::snprintf(text, sizeof(text), "%6.1f MAC a cycle", macs / seconds / clock);
  return text;
}

// 64-byte aligned, filled with small numbers.
template <typename Element>
class Array {
 public:
  explicit Array(size_t size) : storage_(size + 64 / sizeof(Element)) {
    const size_t at = reinterpret_cast<uintptr_t>(storage_.data()) % 64;
    data_ = storage_.data() + (at == 0 ? 0 : (64 - at) / sizeof(Element));
    uint32_t state = 1;
    for (size_t i = 0; i < size; ++i) {
      state = state * 1664525u + 1013904223u;
      data_[i] = fill(state, Element());
    }
  }
  Element* data() { return data_; }

 private:
  static float fill(uint32_t bits, float) { return float(int32_t(bits)) * 0x1p-32f; }
  static uint32_t fill(uint32_t bits, uint32_t) { return bits ^ bits >> 15; }
  static int32_t fill(uint32_t bits, int32_t) { return int32_t(bits >> 22); }
  static uint8_t fill(uint32_t bits, uint8_t) { return uint8_t(bits >> 24); }

  std::vector<Element> storage_;
  Element* data_;
};

// A convolution with a square kernel, its output square too.
struct Layer {
  const char* name;
  int kernel, stride, output_size, inputs, outputs;
  int times;  // in the network

  int framed_size() const { return (output_size - 1) * stride + kernel; }
  double macs() const {
    return double(output_size) * output_size * kernel * kernel * inputs * outputs;
  }
};

// Patches of the first row, of pixels with so many elements.
template <typename Element>
Patches<Element> patches_of(const Layer& layer, const Element* source, int elements,
                            std::vector<ptrdiff_t>* offsets) {
  for (int y = 0; y < layer.kernel; ++y) {
    offsets->push_back(ptrdiff_t{y} * layer.framed_size() * elements);
  }
  return {source, ptrdiff_t{layer.stride} * elements, offsets->data(), layer.kernel,
          layer.kernel * elements};
}

void print_layer(const char* what, const Layer& layer, double seconds,
                 const std::string& rate) {
  std::printf("  %-6s %-28s %8.3f ms %8.1f GMAC/s  %s\n", what, layer.name,
              seconds * 1e3, layer.macs() / seconds * 1e-9, rate.c_str());
}

double time_binary(const Kernels& kernels, const Layer& layer, double clock) {
  const int words = (layer.inputs + 31) / 32;
  const int size = layer.framed_size(), row_step = layer.stride * size * words;
  const int filter_words = layer.kernel * layer.kernel * words;
  Array<uint32_t> source(size_t(size) * size * words);
  Array<uint32_t> filter(size_t(layer.outputs) * filter_words);
  Array<uint8_t> packed(kernels.binary_filter_bytes(layer.outputs, filter_words));
  kernels.pack_binary_filter(filter.data(), layer.outputs, filter_words, packed.data());
  const int block = kernels.binary_channel_block;
  const int stride = (layer.outputs + block - 1) / block * block;
  Array<int32_t> counts(size_t(layer.output_size) * stride);
  std::vector<ptrdiff_t> offsets;
  BinaryConvRow row = {patches_of<uint32_t>(layer, source.data(), words, &offsets),
                       packed.data(),
                       layer.output_size,
                       layer.outputs,
                       counts.data(),
                       stride};
  const double seconds = best_seconds([&] {
    for (int y = 0; y < layer.output_size; ++y) {
      row.patches.source = source.data() + ptrdiff_t{y} * row_step;
      kernels.binary_conv_row(row);
    }
  });
  print_layer("binary", layer, seconds, per_cycle(layer.macs(), seconds, clock));
  return seconds;
}

double time_real(const Kernels& kernels, const Layer& layer, double clock) {
  const int size = layer.framed_size(), row_step = layer.stride * size * layer.inputs;
  const int weights = layer.kernel * layer.kernel * layer.inputs;
  Array<float> source(size_t(size) * size * layer.inputs);
  Array<float> filter(size_t(layer.outputs) * weights), bias(layer.outputs);
  Array<uint8_t> packed(kernels.real_filter_bytes(layer.outputs, weights));
  kernels.pack_real_filter(filter.data(), bias.data(), layer.outputs, weights,
                           packed.data());
  Array<float> output(size_t(layer.output_size) * layer.outputs);
  std::vector<ptrdiff_t> offsets;
  RealConvRow row = {patches_of<float>(layer, source.data(), layer.inputs, &offsets),
                     packed.data(),
                     layer.output_size,
                     layer.outputs,
                     output.data(),
                     layer.outputs};
  const double seconds = best_seconds([&] {
    for (int y = 0; y < layer.output_size; ++y) {
      row.patches.source = source.data() + ptrdiff_t{y} * row_step;
      kernels.real_conv_row(row);
    }
  });
  print_layer("real", layer, seconds, per_cycle(layer.macs(), seconds, clock));
  return seconds;
}

void print_bytes(const char* what, int size, int channels, double bytes,
                 double seconds) {
  const double values = double(size) * size * channels;
  std::printf("  %-12s %3dx%dx%-14d %8.3f ms %8.1f GB/s  %.2f Gvalues/s\n", what, size,
              size, channels, seconds * 1e3, bytes / seconds * 1e-9,
              values / seconds * 1e-9);
}

// A half block's end, all steps on but limits and corrections, which its network lacks.
double time_finish(const Kernels& kernels, int size, int channels) {
  const size_t row_values = size_t(size) * channels;
  Array<int32_t> counts(row_values);
  Array<float> vectors(7 * size_t(channels)), skip(row_values * size),
      output(row_values * size);
  Array<uint32_t> packed(row_values * size / 32 + 1);
  FinishRow row = {};
  row.num_pixels = size;
  row.num_channels = channels;
  row.counts = counts.data();
  row.counts_stride = row.skip_stride = row.output_stride = channels;
  row.packed_stride = channels / 32;
  row.clamp_min = INT32_MIN;
  row.clamp_max = INT32_MAX;
  row.multiplier = vectors.data();
  row.bias = vectors.data() + channels;
  row.gate = vectors.data() + 2 * channels;
  row.slope = vectors.data() + 3 * channels;
  row.shift = vectors.data() + 4 * channels;
  row.scale = vectors.data() + 5 * channels;
  row.sums = vectors.data() + 6 * channels;
  const double seconds = best_seconds([&] {
    for (int y = 0; y < size; ++y) {
      row.skip = skip.data() + y * row_values;
      row.output = output.data() + y * row_values;
      row.packed = packed.data() + y * row_values / 32;
      kernels.finish_row(row);
    }
  });
  print_bytes("finish", size, channels, 12.125 * row_values * size, seconds);
  return seconds;
}

// Only the packing and the means of a real-valued input.
void time_pack(const Kernels& kernels, int size, int channels) {
  const size_t row_values = size_t(size) * channels;
  Array<float> values(row_values * size), vectors(3 * size_t(channels));
  Array<uint32_t> packed(row_values / 32 + 1);
  FinishRow row = {};
  row.num_pixels = size;
  row.num_channels = channels;
  row.values_stride = channels;
  row.packed_stride = channels / 32;
  row.packed = packed.data();
  row.shift = vectors.data();
  row.scale = vectors.data() + channels;
  row.sums = vectors.data() + 2 * channels;
  const double seconds = best_seconds([&] {
    for (int y = 0; y < size; ++y) {
      row.values = values.data() + y * row_values;
      kernels.finish_row(row);
    }
  });
  print_bytes("pack", size, channels, 4.125 * row_values * size, seconds);
}

void time_max(const Kernels& kernels, int size, int channels) {
  const int input = 2 * size + 1;
  Array<float> values(size_t(input) * input * channels);
  Array<float> output(size_t(size) * size * channels);
  const double seconds = best_seconds([&] {
    for (int y = 0; y < size; ++y) {
      for (int x = 0; x < size; ++x) {
        const float* pixels[9];
        for (int i = 0; i < 9; ++i) {
          const ptrdiff_t pixel = ptrdiff_t{2 * y + i / 3} * input + 2 * x + i % 3;
          pixels[i] = values.data() + pixel * channels;
        }
        const ptrdiff_t pixel = ptrdiff_t{y} * size + x;
        kernels.max_window({pixels, 9, channels, output.data() + pixel * channels});
      }
    }
  });
  print_bytes("max 3x3", size, channels, 40.0 * size * size * channels, seconds);
}

constexpr Layer kBinaryLayers[] = {
    {"56x56x64->64 3x3", 3, 1, 56, 64, 64, 4},
    {"28x28x64->128 3x3 stride 2", 3, 2, 28, 64, 128, 1},
    {"28x28x128->128 3x3", 3, 1, 28, 128, 128, 3},
    {"14x14x128->256 3x3 stride 2", 3, 2, 14, 128, 256, 1},
    {"14x14x256->256 3x3", 3, 1, 14, 256, 256, 3},
    {"7x7x256->512 3x3 stride 2", 3, 2, 7, 256, 512, 1},
    {"7x7x512->512 3x3", 3, 1, 7, 512, 512, 3},
};
constexpr Layer kRealLayers[] = {
    {"112x112x3->64 7x7 stride 2", 7, 2, 112, 3, 64, 1},
    {"28x28x64->128 1x1", 1, 1, 28, 64, 128, 1},
    {"14x14x128->256 1x1", 1, 1, 14, 128, 256, 1},
    {"7x7x256->512 1x1", 1, 1, 7, 256, 512, 1},
};
// Not of that network: narrow ones, and a dense layer.
constexpr Layer kOtherBinaryLayers[] = {
    {"32x32x16->16 3x3", 3, 1, 32, 16, 16, 0},
    {"32x32x32->32 3x3", 3, 1, 32, 32, 32, 0},
};
constexpr Layer kOtherRealLayers[] = {
    {"32x32x3->16 3x3", 3, 1, 32, 3, 16, 0},
    {"dense 512->1000", 1, 1, 1, 512, 1000, 0},
};

void time_table(const Kernels& kernels, double clock) {
  std::printf("%s\n", kernels.name);
  double binary = 0, real = 0, finish = 0, binary_macs = 0, real_macs = 0;
  for (const Layer& layer : kBinaryLayers) {
    binary += layer.times * time_binary(kernels, layer, clock);
    binary_macs += layer.times * layer.macs();
  }
  for (const Layer& layer : kRealLayers) {
    real += layer.times * time_real(kernels, layer, clock);
    real_macs += layer.times * layer.macs();
  }
  for (int size = 56, channels = 64; size >= 7; size /= 2, channels *= 2) {
    finish += 4 * time_finish(kernels, size, channels);
  }
  std::printf("  of the network: binary %.3f ms %s\n", binary * 1e3,
              per_cycle(binary_macs, binary, clock).c_str());
  std::printf("                  real   %.3f ms %s\n", real * 1e3,
              per_cycle(real_macs, real, clock).c_str());
  std::printf("                  finish %.3f ms\n", finish * 1e3);
  for (const Layer& layer : kOtherBinaryLayers) time_binary(kernels, layer, clock);
  for (const Layer& layer : kOtherRealLayers) time_real(kernels, layer, clock);
  time_pack(kernels, 56, 64);
  time_max(kernels, 56, 64);
}

}  // namespace

int main(int argc, char** argv) {
  const double clock = cycles_per_second();
  std::printf("%.2f GHz\n", clock * 1e-9);
  for (const Kernels* const* table = available_kernels(); *table != nullptr; ++table) {
    if (argc > 1 && std::strstr((*table)->name, argv[1]) == nullptr) continue;
    time_table(**table, clock);
  }
  return 0;
}
