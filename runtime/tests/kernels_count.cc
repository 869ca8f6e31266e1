// Runs the kernels of one table over the layers of a 224x224 Real-to-Binary ResNet-18,
// to count instructions with an emulator: two runs that differ in TIMES differ by what
// the layers take, without what surrounds them.
//
//   kernels_count TABLE LAYER TIMES     LAYER: binary56 binary28 binary14 binary7 stem
//                                       down finish finish_padded pool, or all
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/kernels.h"

using namespace r2b;

namespace {

const Kernels* kernels;

std::vector<float> some_floats(size_t size) {
  std::vector<float> values(size);
  uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = float(int32_t(state)) * 0x1p-31f;
  }
  return values;
}

std::vector<uint32_t> some_words(size_t size) {
  std::vector<uint32_t> words(size);
  uint32_t state = 1;
  for (uint32_t& word : words) word = state = state * 1664525u + 1013904223u;
  return words;
}

struct AlignedMemory {
  explicit AlignedMemory(size_t bytes)
      : data(std::aligned_alloc(64, (bytes + 63) / 64 * 64)) {}
  ~AlignedMemory() { std::free(data); }
  void* data;
};

// A square kernel on rows of `size` pixels, `step` pixels of the input apart.
template <typename Element>
struct Layer {
  Layer(int size, int in, int kernel, int step)
      : width((size - 1) * step + kernel), size(size) {
    for (int y = 0; y < kernel; y++) offsets.push_back(ptrdiff_t(y) * width * in);
    patches = {nullptr, ptrdiff_t(step) * in, offsets.data(), kernel, kernel * in};
    num_weights = kernel * kernel * in;
    source_size = size_t(width) * kernel * in;
  }
  int width, size, num_weights;
  size_t source_size;
  std::vector<ptrdiff_t> offsets;
  Patches<Element> patches;
};

void binary_layer(int size, int channels_in, int channels, int step, int times) {
  Layer<uint32_t> layer(size, channels_in / 32, 3, step);
  std::vector<uint32_t> source = some_words(layer.source_size);
  std::vector<uint32_t> filter = some_words(size_t(layer.num_weights) * channels);
  std::vector<int32_t> counts(size_t(size) * channels);
  AlignedMemory packed(kernels->binary_filter_bytes(channels, layer.num_weights));
  kernels->pack_binary_filter(filter.data(), channels, layer.num_weights, packed.data);
  layer.patches.source = source.data();
  for (int i = 0; i < times * size; i++)
    kernels->binary_conv_row(
        {layer.patches, packed.data, size, channels, counts.data(), channels});
}

// The four layers of a stage.
void binary_stage(int size, int channels, int times) {
  int first = size == 56 ? channels : channels / 2;
  binary_layer(size, first, channels, size == 56 ? 1 : 2, times);
  binary_layer(size, channels, channels, 1, 3 * times);
}

void real_layer(int size, int channels_in, int channels, int kernel, int step,
                int times) {
  Layer<float> layer(size, channels_in, kernel, step);
  std::vector<float> source = some_floats(layer.source_size);
  std::vector<float> filter = some_floats(size_t(layer.num_weights) * channels);
  std::vector<float> output(size_t(size) * channels);
  AlignedMemory packed(kernels->real_filter_bytes(channels, layer.num_weights));
  kernels->pack_real_filter(filter.data(), filter.data(), channels, layer.num_weights,
                            packed.data);
  layer.patches.source = source.data();
  for (int i = 0; i < times * size; i++)
    kernels->real_conv_row(
        {layer.patches, packed.data, size, channels, output.data(), channels});
}

// The four rows' ends of a stage; `padded`: with corrections at the border.
void finish_stage(int size, int channels, bool padded, int times) {
  size_t elements = size_t(size) * channels;
  std::vector<float> vectors = some_floats(channels), values = some_floats(elements);
  std::vector<float> sums(channels);
  std::vector<int32_t> counts(elements, 300);
  std::vector<uint32_t> packed(elements / 32);
  std::vector<const float*> ends(size), everywhere(size, vectors.data());
  ends[0] = ends[size - 1] = vectors.data();
  FinishRow row = {};
  row.num_pixels = size, row.num_channels = channels;
  row.counts = counts.data();
  row.clamp_min = 0, row.clamp_max = 2 * 9 * channels;
  row.multiplier = row.bias = row.gate = row.slope = vectors.data();
  row.scale = row.shift = vectors.data();
  row.skip = row.output = values.data();
  row.packed = packed.data(), row.sums = sums.data();
  row.counts_stride = row.skip_stride = row.output_stride = channels;
  row.packed_stride = channels / 32;
  for (int i = 0; i < 4 * times; i++) {
    for (int y = 0; y < size; y++) {
      bool border = y == 0 || y == size - 1;
      if (padded) row.corrections = border ? everywhere.data() : ends.data();
      kernels->finish_row(row);
    }
  }
}

void pool_layer(bool is_max, int size, int channels, int window, int times) {
  std::vector<float> source = some_floats(size_t(size) * channels), output(channels);
  std::vector<const float*> pixels(window);
  for (int i = 0; i < window; i++) pixels[i] = source.data() + i % size * channels;
  PoolWindow pool = {pixels.data(), window, channels, output.data()};
  for (int i = 0; i < times * size * size; i++) {
    if (is_max) kernels->max_window(pool);
    if (!is_max) kernels->mean_window(pool, 0.25f);
  }
}

bool run(const char* layer, int times) {
  bool all = !std::strcmp(layer, "all"), found = all;
  auto is = [&](const char* name) {
    bool same = !std::strcmp(layer, name);
    found |= same;
    return all || same;
  };
  if (is("binary56")) binary_stage(56, 64, times);
  if (is("binary28")) binary_stage(28, 128, times);
  if (is("binary14")) binary_stage(14, 256, times);
  if (is("binary7")) binary_stage(7, 512, times);
  if (is("stem")) real_layer(112, 3, 64, 7, 2, times);
  if (is("down")) {
    for (int i = 0; i < 3; i++) real_layer(28 >> i, 64 << i, 128 << i, 1, 1, times);
  }
  for (bool padded : {false, true}) {
    if (!is(padded ? "finish_padded" : "finish") || (all && !padded)) continue;
    for (int i = 0; i < 4; i++) finish_stage(56 >> i, 64 << i, padded, times);
  }
  if (is("pool")) {
    pool_layer(true, 56, 64, 9, times);
    for (int i = 0; i < 3; i++) pool_layer(false, 28 >> i, 64 << i, 4, times);
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4) kernels = find_kernels(argv[1]);
  if (kernels && run(argv[2], std::atoi(argv[3]))) return 0;
  std::fprintf(stderr,
               "usage: %s TABLE LAYER TIMES, a table of this CPU and a layer that the "
               "first lines of kernels_count.cc name\n",
               argv[0]);
  return 2;
}
