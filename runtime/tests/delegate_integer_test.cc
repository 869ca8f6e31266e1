// Integer layers over pictures in a host, against plain loops, by every set of kernels,
// fused and not, with one thread and two; a picture's memory ends where it ends.
#include <vector>

#include "check.h"
#include "guarded.h"
#include "life.h"
#include "reference.h"

using namespace r2b_test;

namespace {

constexpr int kConvolution = 3, kMultiply = 18, kAdd = 0, kSubtract = 41, kCast = 53;

std::vector<float> whole(Random* random, size_t count, int lowest, int highest) {
  std::vector<float> values(count);
  for (float& each : values)
    each = static_cast<float>(random->between(lowest, highest));
  return values;
}

IntegerConvolution some_convolution(Random* random) {
  IntegerConvolution op;
  op.in = {random->between(1, 2), random->between(1, 12), random->between(1, 40),
           random->between(1, 5)};
  op.channels_out = random->between(1, 100);
  op.kernel = random->between(1, 7);
  op.stride = random->between(1, 3);
  op.same = random->between(0, 2) > 0;
  if (!op.same) {  // so that the window fits
    op.in.height += op.kernel;
    op.in.width += op.kernel;
  }
  const size_t channels = static_cast<size_t>(op.channels_out);
  const int weights = op.kernel * op.kernel * op.in.channels;
  op.filter = whole(random, channels * static_cast<size_t>(weights), -63, 63);
  op.zeros = whole(random, static_cast<size_t>(op.in.channels), 0, 255);
  for (size_t c = 0; c < channels; ++c) {
    op.factor.push_back(random->uniform());
    op.addend.push_back(random->uniform());
  }
  return op;
}

Dims dims_of(const Image& image) {
  return {image.batch, image.height, image.width, image.channels};
}

// The file's operators; the result, to which LceQuantize is added.
int add_layer(Host* host, const IntegerConvolution& op, int picture) {
  const auto add = [&](int code, std::vector<int> inputs, const Image& image,
                       std::vector<int> params) {
    const int result = host->add_tensor(kTfLiteFloat32, dims_of(image));
    host->add_builtin(code, inputs, {result}, params.data(),
                      params.size() * sizeof(int));
    return result;
  };
  const auto constant = [&](const Dims& dims, const std::vector<float>& values) {
    return host->add_constant(kTfLiteFloat32, dims, values);
  };
  const Image out = op.out();
  const Dims one_each = {op.channels_out};
  int x = add(kCast, {picture}, op.in, {0, 0});
  x = add(kSubtract, {x, constant({op.in.channels}, op.zeros)}, op.in, {0, 0});
  const int filter =
      constant({op.channels_out, op.kernel, op.kernel, op.in.channels}, op.filter);
  const int bias = constant(one_each, std::vector<float>(op.factor.size(), 0.0f));
  x = add(kConvolution, {x, filter, bias}, out,
          {op.same ? 1 : 2, op.stride, op.stride, 0, 1, 1});
  x = add(kMultiply, {x, constant(one_each, op.factor)}, out, {0, 0});
  return add(kAdd, {x, constant(one_each, op.addend)}, out, {0, 0});
}

void check_layer(const Settings& settings, uint64_t seed) {
  Random random(seed);
  const IntegerConvolution op = some_convolution(&random);
  std::vector<uint8_t> pixels(static_cast<size_t>(op.in.pixels()) *
                              static_cast<size_t>(op.in.channels));
  for (uint8_t& each : pixels) each = static_cast<uint8_t>(random.bits());
  Life life(settings);
  const int picture = life.host.add_tensor(kTfLiteUInt8, dims_of(op.in));
  const int result = add_layer(&life.host, op, picture);
  Image words = op.out();
  words.channels = (words.channels + 31) / 32;
  const int signs = life.host.add_tensor(kTfLiteInt32, dims_of(words));
  life.host.add_custom("LceQuantize", Bytes(), {result}, {signs});
  if (!CHECK(life.start({picture}, {result, signs}))) return;
  life.fill(picture, pixels);
  CHECK(life.invoke());
  CHECK_EQUAL(life.host.num_claimed(), 6);
  const std::vector<float> expected = integer_convolution(op, pixels);
  Signs negative;
  for (float value : expected) negative.push_back(value < 0);
  CHECK(life.result<int32_t>(signs) == pack(negative, op.channels_out));
  if (!CHECK(life.result<float>(result) == expected)) {
    std::printf("seed %llu, %s\n", static_cast<unsigned long long>(seed),
                settings.text().c_str());
  }
  char text[4096];
  r2b_delegate_explanation(life.delegate.get(), text, sizeof text);
  const bool is_integer = std::string(text).find("integer conv") != std::string::npos;
  CHECK_EQUAL(is_integer, settings.fuse);
}

}  // namespace

TEST(integer_layers_give_the_bits_of_plain_loops) {
  for (const Settings& settings : all_settings()) {
    for (uint64_t seed = 1; seed <= 40; ++seed) check_layer(settings, seed);
  }
}

TEST_MAIN
