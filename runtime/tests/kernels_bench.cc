// The kernels on the layers of a 224x224 Real-to-Binary ResNet-18, a row of pixels at a
// time as the delegate calls them.
//
//   kernels_bench [part of a table's name]   how fast they are; pin it to a core
//   kernels_bench TABLE GROUP TIMES          runs a group of layers (or "all") so often
//
// The second is for an emulator that counts instructions: two runs that differ in TIMES
// differ by what the layers take, without what surrounds them. A core of AMD's Zen 4
// can do 16 real-valued multiply-accumulates a cycle, and 256 on bits with AVX2, 512
// with AVX-512.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "convolution.h"
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
double best_seconds(const std::function<void()>& body) {
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

// 64-byte aligned, filled with small numbers.
template <typename Element>
class Array {
 public:
  explicit Array(size_t size)
      : data_(static_cast<Element*>(
            std::aligned_alloc(64, (size * sizeof(Element) + 63) / 64 * 64))) {
    uint32_t state = 1;
    for (size_t i = 0; i < size; ++i) {
      state = state * 1664525u + 1013904223u;
      data_[i] = fill(state, Element());
    }
  }
  ~Array() { std::free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  Element* data() const { return data_; }

 private:
  static float fill(uint32_t bits, float) { return float(int32_t(bits)) * 0x1p-32f; }
  static uint32_t fill(uint32_t bits, uint32_t) { return bits ^ bits >> 15; }
  static int32_t fill(uint32_t bits, int32_t) { return int32_t(bits >> 22); }
  static uint8_t fill(uint32_t bits, uint8_t) { return uint8_t(bits >> 24); }

  Element* data_;
};

// Something to run once: what it is, how much it does, and how often it is in the
// network.
struct Job {
  std::string group, name;
  int times;
  double macs, bytes;  // one of them is 0
  std::function<void()> run;
};

// A convolution with a square kernel, its output square too.
struct Layer {
  const char* group;
  int kernel, stride, size, inputs, outputs, times;

  int framed() const { return (size - 1) * stride + kernel; }
  int weights(int pixel) const { return kernel * kernel * pixel; }
};

// The source of a layer with so many elements a pixel; patches of any row of output.
template <typename Element>
struct Source {
  Source(const Layer& layer, int pixel)
      : array(size_t(layer.framed()) * layer.framed() * pixel),
        row_step(ptrdiff_t{layer.stride} * layer.framed() * pixel) {
    for (int y = 0; y < layer.kernel; ++y) {
      offsets.push_back(ptrdiff_t{y} * layer.framed() * pixel);
    }
    first = {array.data(), ptrdiff_t{layer.stride} * pixel, offsets.data(),
             layer.kernel, layer.kernel * pixel};
  }
  Patches<Element> row(int y) const {
    Patches<Element> patches = first;
    patches.source += y * row_step;
    return patches;
  }
  Array<Element> array;
  ptrdiff_t row_step;
  std::vector<ptrdiff_t> offsets;
  Patches<Element> first;
};

Job convolution_job(const char* what, const Layer& layer, std::function<void()> run) {
  char name[64];
  std::snprintf(name, sizeof name, "%-6s %dx%dx%d->%d %dx%d stride %d", what,
                layer.size, layer.size, layer.inputs, layer.outputs, layer.kernel,
                layer.kernel, layer.stride);
  const double macs =
      double(layer.size) * layer.size * layer.weights(layer.inputs) * layer.outputs;
  return {layer.group, name, layer.times, macs, 0, std::move(run)};
}

Job binary_job(const Kernels& kernels, const Layer& layer) {
  const int words = (layer.inputs + 31) / 32, weights = layer.weights(words);
  const auto source = std::make_shared<Source<uint32_t>>(layer, words);
  // As networks do: the kernels' tiles are others for more channels at once.
  const int channels = std::min(layer.outputs, kChunkChannels);
  const int chunks = (layer.outputs + channels - 1) / channels;
  const size_t bytes = kernels.binary_filter_bytes(channels, weights);
  const auto packed = std::make_shared<Array<uint8_t>>(bytes * size_t(chunks));
  const auto counts =
      std::make_shared<Array<int32_t>>(size_t(layer.size) * kChunkChannels);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    kernels.pack_binary_filter(Array<uint32_t>(size_t(channels) * weights).data(),
                               channels, weights, packed->data() + bytes * chunk);
  }
  return convolution_job("binary", layer, [=, &kernels] {
    for (int y = 0; y < layer.size; ++y) {
      for (int chunk = 0; chunk < chunks; ++chunk) {
        kernels.binary_conv_row({source->row(y), packed->data() + bytes * chunk,
                                 layer.size, channels, counts->data(), kChunkChannels});
      }
    }
  });
}

Job real_job(const Kernels& kernels, const Layer& layer) {
  const int weights = layer.weights(layer.inputs);
  const auto source = std::make_shared<Source<float>>(layer, layer.inputs);
  const auto packed = std::make_shared<Array<uint8_t>>(
      kernels.real_filter_bytes(layer.outputs, weights));
  const auto output =
      std::make_shared<Array<float>>(size_t(layer.size) * layer.outputs);
  kernels.pack_real_filter(Array<float>(size_t(layer.outputs) * weights).data(),
                           Array<float>(size_t(layer.outputs)).data(), layer.outputs,
                           weights, packed->data());
  return convolution_job("real", layer, [=, &kernels] {
    for (int y = 0; y < layer.size; ++y) {
      kernels.real_conv_row({source->row(y), packed->data(), layer.size, layer.outputs,
                             output->data(), layer.outputs});
    }
  });
}

Job integer_job(const Kernels& kernels, const Layer& layer) {
  const int line = layer.weights(layer.inputs) / layer.kernel;
  // The source has some lines more: kernels read past the end of the last patch.
  Layer longer = layer;
  longer.size++;
  const auto source = std::make_shared<Source<uint8_t>>(longer, layer.inputs);
  const auto packed = std::make_shared<Array<uint8_t>>(
      kernels.integer_filter_bytes(layer.outputs, layer.kernel, line));
  const auto output =
      std::make_shared<Array<float>>(size_t(layer.size) * layer.outputs);
  const size_t num_weights = size_t(layer.outputs) * layer.kernel * line;
  const Array<uint8_t> bytes(2 * num_weights);
  std::vector<int8_t> filter;  // small weights more often than large ones, as trained
  for (size_t i = 0; i < num_weights; ++i) {
    filter.push_back(int8_t(bytes.data()[2 * i] / 4 - bytes.data()[2 * i + 1] / 4));
  }
  kernels.pack_integer_filter(filter.data(),
                              Array<int32_t>(size_t(layer.outputs)).data(),
                              layer.outputs, layer.kernel, line, packed->data());
  const auto vectors = std::make_shared<Array<float>>(size_t(layer.outputs));
  return convolution_job("int", layer, [=, &kernels] {
    for (int y = 0; y < layer.size; ++y) {
      kernels.integer_conv_row({source->row(y), packed->data(), layer.size,
                                layer.outputs, vectors->data(), vectors->data(),
                                output->data(), layer.outputs});
    }
  });
}

Job bytes_job(const char* group, int size, int channels, int times, double bytes,
              std::function<void()> run) {
  char name[64];
  std::snprintf(name, sizeof name, "%-13s %dx%dx%d", group, size, size, channels);
  return {group, name, times, 0, bytes * size * size * channels, std::move(run)};
}

enum Finish { kPack, kHalfBlock, kPadded };

// The end of a half block, all steps on but limits, with corrections where the map is
// padded; or only the packing and the means of a real-valued input.
Job finish_job(const Kernels& kernels, Finish finish, int size, int channels) {
  const size_t row_values = size_t(size) * channels;
  const auto counts = std::make_shared<Array<int32_t>>(row_values);
  const auto vectors = std::make_shared<Array<float>>(8 * size_t(channels));
  const auto skip = std::make_shared<Array<float>>(row_values * size);
  const auto output = std::make_shared<Array<float>>(row_values * size);
  const auto packed = std::make_shared<Array<uint32_t>>(row_values * size / 32 + 1);
  const auto vector = [&](int i) { return vectors->data() + i * channels; };
  std::vector<const float*> everywhere(row_values / channels, vector(7));
  std::vector<const float*> ends(everywhere.size());
  ends.front() = ends.back() = vector(7);
  FinishRow row = {};
  row.num_pixels = size;
  row.num_channels = channels;
  row.counts_stride = row.values_stride = row.skip_stride = row.output_stride =
      channels;
  row.packed_stride = channels / 32;
  row.scale = vector(0);
  row.shift = vector(1);
  row.sums = vector(2);
  if (finish != kPack) {
    row.counts = counts->data();
    row.clamp_min = INT32_MIN;
    row.clamp_max = INT32_MAX;
    row.multiplier = vector(3);
    row.bias = vector(4);
    row.gate = vector(5);
    row.slope = vector(6);
  }
  const char* const names[] = {"pack", "finish", "finish_padded"};
  return bytes_job(names[finish], size, channels, 4, finish == kPack ? 4.125 : 12.125,
                   // `row` points into both.
                   [=, held = std::make_pair(counts, vectors), &kernels]() mutable {
                     for (int y = 0; y < size; ++y) {
                       if (finish == kPack) {
                         row.values = skip->data() + y * row_values;
                       } else {
                         row.skip = skip->data() + y * row_values;
                         row.output = output->data() + y * row_values;
                       }
                       if (finish == kPadded) {
                         const bool is_end = y == 0 || y == size - 1;
                         row.corrections = is_end ? everywhere.data() : ends.data();
                       }
                       row.packed = packed->data() + y * row_values / 32;
                       kernels.finish_row(row);
                     }
                   });
}

// A square window with a stride of two.
Job pool_job(const Kernels& kernels, bool is_max, int side, int size, int channels) {
  const int input = 2 * size + 1, taps = side * side;
  const auto values = std::make_shared<Array<float>>(size_t(input) * input * channels);
  const auto output = std::make_shared<Array<float>>(size_t(size) * size * channels);
  return bytes_job("pool", size, channels, 1, 4.0 * (taps + 1), [=, &kernels] {
    for (int y = 0; y < size; ++y) {
      const float* lines[3];
      for (int l = 0; l < side; ++l) {
        lines[l] = values->data() + (ptrdiff_t{2} * y + l) * input * channels;
      }
      const PoolRow row = {lines,
                           side,
                           side,
                           size,
                           ptrdiff_t{2} * channels,
                           channels,
                           output->data() + ptrdiff_t{y} * size * channels};
      is_max ? kernels.max_pool_row(row) : kernels.mean_pool_row(row, 0.25f);
    }
  });
}

constexpr Layer kBinaryLayers[] = {
    {"binary56", 3, 1, 56, 64, 64, 4},   {"binary28", 3, 2, 28, 64, 128, 1},
    {"binary28", 3, 1, 28, 128, 128, 3}, {"binary14", 3, 2, 14, 128, 256, 1},
    {"binary14", 3, 1, 14, 256, 256, 3}, {"binary7", 3, 2, 7, 256, 512, 1},
    {"binary7", 3, 1, 7, 512, 512, 3},   {"narrow", 3, 1, 32, 16, 16, 0},
    {"narrow", 3, 1, 32, 32, 32, 0},
};
constexpr Layer kRealLayers[] = {
    {"stem", 7, 2, 112, 3, 64, 1},   {"down", 1, 1, 28, 64, 128, 1},
    {"down", 1, 1, 14, 128, 256, 1}, {"down", 1, 1, 7, 256, 512, 1},
    {"narrow", 3, 1, 32, 3, 16, 0},  {"dense", 1, 1, 1, 512, 1000, 0},
};

constexpr Layer kIntegerLayers[] = {
    {"istem", 7, 2, 112, 3, 64, 1},    {"idown", 1, 1, 28, 64, 128, 1},
    {"idown", 1, 1, 14, 128, 256, 1},  {"idown", 1, 1, 7, 256, 512, 1},
    {"idense", 1, 1, 1, 512, 1000, 1},
};

std::vector<Job> all_jobs(const Kernels& kernels) {
  std::vector<Job> jobs;
  for (const Layer& layer : kBinaryLayers) jobs.push_back(binary_job(kernels, layer));
  for (const Layer& layer : kRealLayers) jobs.push_back(real_job(kernels, layer));
  for (const Layer& layer : kIntegerLayers) jobs.push_back(integer_job(kernels, layer));
  for (Finish finish : {kPack, kHalfBlock, kPadded}) {
    for (int size = 56, channels = 64; size >= 7; size /= 2, channels *= 2) {
      jobs.push_back(finish_job(kernels, finish, size, channels));
    }
  }
  jobs.push_back(pool_job(kernels, true, 3, 56, 64));
  for (int size = 28, channels = 64; size >= 7; size /= 2, channels *= 2) {
    jobs.push_back(pool_job(kernels, false, 2, size, channels));
  }
  return jobs;
}

void time_table(const Kernels& kernels, double clock) {
  std::printf("%s\n", kernels.name);
  for (const Job& job : all_jobs(kernels)) {
    const double seconds = best_seconds(job.run);
    std::printf("  %-36s x %d %8.3f ms ", job.name.c_str(), job.times, seconds * 1e3);
    if (job.macs > 0) {
      std::printf("%8.1f GMAC/s  %6.1f MAC a cycle\n", job.macs / seconds * 1e-9,
                  job.macs / seconds / clock);
    } else {
      std::printf("%8.1f GB/s\n", job.bytes / seconds * 1e-9);
    }
  }
}

// False where there is no such group.
bool run_group(const Kernels& kernels, const std::string& group, int times) {
  bool found = false;
  for (const Job& job : all_jobs(kernels)) {
    if (group != "all" && group != job.group) continue;
    found = true;
    for (int i = 0; i < times * job.times; ++i) job.run();
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4) {
    const Kernels* kernels = find_kernels(argv[1]);
    if (kernels != nullptr && run_group(*kernels, argv[2], std::atoi(argv[3])))
      return 0;
  }
  if (argc > 2) {
    std::fprintf(stderr, "%s: a table of this CPU, a group that %s names, TIMES\n",
                 argv[0], __FILE__);
    return 2;
  }
  const double clock = cycles_per_second();
  std::printf("%.2f GHz\n", clock * 1e-9);
  for (const Kernels* const* table = available_kernels(); *table != nullptr; ++table) {
    if (argc > 1 && std::strstr((*table)->name, argv[1]) == nullptr) continue;
    time_table(**table, clock);
  }
  return 0;
}
