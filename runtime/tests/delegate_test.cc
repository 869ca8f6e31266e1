// The delegate in a host: binary convolutions against plain loops, by every set of
// kernels, fused and not, with one thread and two; other shapes; partitions; many
// interpreters. Every operator of LCE's alone: tests/runtime/test_operators.py.
#include <cmath>
#include <thread>
#include <vector>

#include "check.h"
#include "graph.h"
#include "guarded.h"
#include "life.h"
#include "reference.h"
#include "system_threads.h"

using namespace r2b_test;

namespace {

std::vector<float> some_floats(Random* random, size_t count) {
  std::vector<float> floats(count);
  for (float& each : floats) each = random->uniform();
  return floats;
}

Signs some_signs(Random* random, size_t count) {
  Signs signs(count);
  for (uint8_t& each : signs) each = random->bits() & 1;
  return signs;
}

size_t count_of(const Image& image) {
  return static_cast<size_t>(image.pixels()) * static_cast<size_t>(image.channels);
}

Dims dims_of(const Image& image) {
  return {image.batch, image.height, image.width, image.channels};
}

Dims packed_dims(const Image& image) {
  return {image.batch, image.height, image.width, (image.channels + 31) / 32};
}

BinaryConvolution some_convolution(Random* random) {
  BinaryConvolution op;
  op.in = {random->between(1, 3), random->between(1, 9), random->between(1, 9),
           random->between(1, 70)};
  op.channels_out = random->between(1, 40);
  op.kernel_height = random->between(1, 3);
  op.kernel_width = random->between(1, 3);
  op.stride_height = random->between(1, 2);
  op.stride_width = random->between(1, 3);
  op.dilation_height = random->between(1, 2);
  op.dilation_width = random->between(1, 2);
  op.same = random->between(0, 2) > 0;
  op.pad_with_ones = random->between(0, 1);
  op.activation = random->between(0, 3);
  if (random->between(0, 3) == 0) {
    op.groups = random->between(2, 3);
    op.in.channels = 32 * op.groups * random->between(1, 2);
    op.channels_out = op.groups * random->between(1, 12);
  }
  if (!op.same) {  // so that the window fits
    op.in.height += (op.kernel_height - 1) * op.dilation_height;
    op.in.width += (op.kernel_width - 1) * op.dilation_width;
  }
  return op;
}

// Filter and vectors; an even number of channels where zeros count as half.
void fill(Random* random, bool counts_halves, BinaryConvolution* op) {
  if (counts_halves && op->same && !op->pad_with_ones) {
    op->in.channels += op->in.channels % 2;
  }
  const size_t channels = static_cast<size_t>(op->channels_out);
  op->filter = some_signs(
      random, channels * static_cast<size_t>(op->kernel_height * op->kernel_width *
                                             (op->in.channels / op->groups)));
  op->multiplier = some_floats(random, channels);
  op->bias = some_floats(random, channels);
  const int bits = op->kernel_height * op->kernel_width * op->in.channels / op->groups;
  for (size_t c = 0; c < channels; ++c) {
    op->thresholds.push_back(random->between(-1, bits + 1));
  }
}

enum class Output { kFloat, kInt8, kPacked };
constexpr float kScale = 0.37f;
constexpr int kZeroPoint = -7;

// Packed words -> LceBconv2d; returns the output's tensor.
int add_convolution(Host* host, const BinaryConvolution& op, Output output, int input) {
  const int channels = op.channels_out;
  const Image out = op.out();
  const int group_channels = op.in.channels / op.groups;
  const int filter = host->add_constant(
      kTfLiteInt32,
      {channels, op.kernel_height, op.kernel_width, (group_channels + 31) / 32},
      pack(op.filter, group_channels));
  const auto vector = [&](TfLiteType type, const auto& values) {
    return (type == kTfLiteInt32) == (output == Output::kPacked)
               ? host->add_constant(type, {channels}, values)
               : -1;
  };
  const int multiplier = vector(kTfLiteFloat32, op.multiplier);
  const int bias = vector(kTfLiteFloat32, op.bias);
  const int thresholds = vector(kTfLiteInt32, op.thresholds);
  const int result =
      output == Output::kFloat ? host->add_tensor(kTfLiteFloat32, dims_of(out))
      : output == Output::kInt8
          ? host->add_quantized(kTfLiteInt8, dims_of(out), kScale, kZeroPoint)
          : host->add_tensor(kTfLiteInt32, packed_dims(out));
  host->add_custom("LceBconv2d", option_bytes(op.options()),
                   {input, filter, multiplier, bias, thresholds}, {result});
  return result;
}

bool is_right(Life* life, const BinaryConvolution& op, Output output, int tensor,
              const Signs& input) {
  if (output == Output::kFloat) {
    return life->result<float>(tensor) == float_convolution(op, input);
  }
  if (output == Output::kInt8) {
    return life->result<int8_t>(tensor) ==
           int8_convolution(op, input, kScale, kZeroPoint);
  }
  return life->result<int32_t>(tensor) ==
         pack(packed_convolution(op, input), op.channels_out);
}

// Runs it, then again on another number of images of another size.
void check_convolution(const Settings& settings, Output output, uint64_t seed) {
  Random random(seed);
  BinaryConvolution op = some_convolution(&random);
  fill(&random, output != Output::kFloat || op.activation != 0, &op);
  Life life(settings);
  const int input = life.host.add_tensor(kTfLiteInt32, packed_dims(op.in));
  const int result = add_convolution(&life.host, op, output, input);
  bool ok = life.start({input}, {result});
  for (int round = 0; round < 2 && ok; ++round) {
    const Signs signs = some_signs(&random, count_of(op.in));
    life.fill(input, pack(signs, op.in.channels));
    ok = life.invoke();
    if (!ok) break;
    const Image out = op.out();
    CHECK(life.host.dims(result) ==
          (output == Output::kPacked ? packed_dims(out) : dims_of(out)));
    CHECK(is_right(&life, op, output, result, signs));
    op.in.batch = random.between(1, 4);
    op.in.height += random.between(0, 3);
    op.in.width += random.between(0, 3);
    ok = life.host.resize_input(input, packed_dims(op.in)) == kTfLiteOk &&
         life.host.allocate() == kTfLiteOk;
  }
  if (!CHECK(ok)) {
    std::fprintf(stderr, "%s, seed %llu: %s", settings.text().c_str(),
                 static_cast<unsigned long long>(seed), life.host.errors().c_str());
  }
}

}  // namespace

TEST(convolutions_give_the_bits_of_plain_loops) {
  for (const Settings& settings : all_settings()) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      for (Output output : {Output::kFloat, Output::kInt8, Output::kPacked}) {
        check_convolution(settings, output, seed);
      }
    }
  }
}

TEST(constants_may_lie_at_any_address) {
  for (const Settings& settings : all_settings()) {
    for (Output output : {Output::kFloat, Output::kInt8, Output::kPacked}) {
      Random random(7);
      BinaryConvolution op = some_convolution(&random);
      fill(&random, output != Output::kFloat, &op);
      const Signs signs = some_signs(&random, count_of(op.in));
      Life life(settings);
      const int input = life.host.add_constant(kTfLiteInt32, packed_dims(op.in),
                                               pack(signs, op.in.channels));
      const int result = add_convolution(&life.host, op, output, input);
      for (int i = 0; i < result; i++) life.host.misalign_constant(i, 1 + i % 3);
      if (CHECK(life.start({}, {result})) && CHECK(life.invoke())) {
        CHECK(is_right(&life, op, output, result, signs));
      }
    }
  }
}

TEST(quantize_takes_signs_and_dequantize_gives_them_back) {
  for (const Settings& settings : all_settings()) {
    for (int channels : {1, 31, 32, 33, 70}) {
      Life life(settings);
      const Dims dims = {2, 3, channels}, packed = {2, 3, (channels + 31) / 32};
      const int x = life.host.add_tensor(kTfLiteFloat32, dims);
      const int words = life.host.add_tensor(kTfLiteInt32, packed);
      const int y = life.host.add_tensor(kTfLiteFloat32, dims);
      const int int8 = life.host.add_quantized(kTfLiteInt8, dims, 0.3f, 5);
      life.host.add_custom("LceQuantize", {}, {x}, {words});
      life.host.add_custom("LceDequantize", {}, {words}, {y});
      life.host.add_custom("LceDequantize", {}, {words}, {int8});
      if (!CHECK(life.start({x}, {words, y, int8}))) continue;
      Random random(static_cast<uint64_t>(channels));
      std::vector<float> values =
          some_floats(&random, static_cast<size_t>(6 * channels));
      values[0] = -0.0f;
      values[1] = NAN;
      values[2] = -INFINITY;
      life.fill(x, values);
      CHECK(life.invoke());
      Signs signs;
      for (float value : values) signs.push_back(value < 0);
      CHECK(life.result<int32_t>(words) == pack(signs, channels));
      std::vector<float> floats;
      std::vector<int8_t> bytes;
      for (uint8_t sign : signs) {
        floats.push_back(sign ? -1.0f : 1.0f);
        bytes.push_back(static_cast<int8_t>(sign ? 5 - 3 : 5 + 3));  // 1 / 0.3
      }
      CHECK(life.result<float>(y) == floats);
      CHECK(life.result<int8_t>(int8) == bytes);
    }
  }
}

namespace {

constexpr int kMul = 18, kAdd = 0, kPrelu = 54;
constexpr int kChannels = 40;

// A half block of Real-to-Binary: MUL, ADD, LceQuantize, LceBconv2d, MUL, ADD, PRELU,
// ADD, with ReActNet's shift before its PReLU.
struct HalfBlock {
  explicit HalfBlock(const Settings& settings, int copy_code = -1) : life(settings) {
    Random random(7);
    op.in = {1, 6, 5, kChannels};
    op.channels_out = kChannels;
    op.kernel_height = op.kernel_width = 3;
    op.same = true;
    fill(&random, false, &op);
    scale = some_floats(&random, kChannels);
    shift = some_floats(&random, kChannels);
    gate = some_floats(&random, kChannels);
    moved = some_floats(&random, kChannels);
    slope = some_floats(&random, kChannels);

    Host& host = life.host;
    const Dims dims = dims_of(op.in);
    const auto vector = [&](const std::vector<float>& values) {
      return host.add_constant(kTfLiteFloat32, {kChannels}, values);
    };
    const auto add = [&](int code, int x, int other, bool has_params = true) {
      const int params[2] = {0, 0};
      const int y = host.add_tensor(kTfLiteFloat32, dims);
      host.add_builtin(code, {x, other}, {y}, params, has_params ? sizeof params : 0);
      return y;
    };
    input = host.add_tensor(kTfLiteFloat32, dims);
    const int normal = add(kAdd, add(kMul, input, vector(scale)), vector(shift));
    int packed = host.add_tensor(kTfLiteInt32, packed_dims(op.in));
    host.add_custom("LceQuantize", {}, {normal}, {packed});
    if (copy_code >= 0) {  // something foreign in the middle
      const int copy = host.add_tensor(kTfLiteInt32, packed_dims(op.in));
      host.add_builtin(copy_code, {packed}, {copy});
      packed = copy;
    }
    const int y = add_convolution(&host, op, Output::kFloat, packed);
    const int rectified =
        add(kPrelu, add(kAdd, add(kMul, y, vector(gate)), vector(moved)),
            host.add_constant(kTfLiteFloat32, {1, 1, kChannels}, slope), false);
    output = add(kAdd, rectified, input);
    host.set_inputs({input});
    host.set_outputs({output});
  }

  void resize(int batch, int height, int width) {
    op.in = {batch, height, width, kChannels};
    CHECK(life.host.resize_input(input, dims_of(op.in)) == kTfLiteOk);
    CHECK(life.host.allocate() == kTfLiteOk);
  }

  // Every step in a rounding of its own.
  std::vector<float> expected(const std::vector<float>& x) const {
    Signs signs;
    for (size_t i = 0; i < x.size(); ++i) {
      const float product = x[i] * scale[i % kChannels];
      signs.push_back(product + shift[i % kChannels] < 0);
    }
    std::vector<float> y = float_convolution(op, signs);
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] *= gate[i % kChannels];
      y[i] += moved[i % kChannels];
      if (y[i] < 0) y[i] *= slope[i % kChannels];
      y[i] += x[i];
    }
    return y;
  }

  void check_run(uint64_t seed) {
    Random random(seed);
    const std::vector<float> x = some_floats(&random, count_of(op.in));
    life.fill(input, x);
    if (CHECK(life.invoke())) CHECK(life.result<float>(output) == expected(x));
  }

  Life life;
  BinaryConvolution op;
  std::vector<float> scale, shift, gate, moved, slope;
  int input, output;
};

}  // namespace

TEST(half_blocks_give_the_same_bits_fused_or_not) {
  for (const Settings& settings : all_settings()) {
    HalfBlock block(settings);
    if (!CHECK(block.life.start())) continue;
    CHECK_EQUAL(block.life.host.num_partitions(), 1);
    CHECK_EQUAL(block.life.host.num_claimed(), 8);
    block.check_run(1);
    block.check_run(2);
    block.resize(3, 4, 9);
    block.check_run(3);
    block.resize(1, 1, 1);
    block.check_run(4);
  }
}

TEST(foreign_operators_in_the_middle_make_two_partitions) {
  for (int code : {kCopyCode, kDynamicCopyCode}) {
    for (const Settings& settings : all_settings()) {
      HalfBlock block(settings, code);
      if (!CHECK(block.life.start())) continue;
      CHECK_EQUAL(block.life.host.num_partitions(), 2);
      block.check_run(1);
      block.resize(2, 3, 4);
      block.check_run(2);
    }
  }
}

// A helper each would be eight.
TEST(partitions_and_interpreters_of_a_delegate_share_its_threads) {
  Settings settings;
  settings.num_threads = 3;
  const int before = num_system_threads();
  const Delegate shared = make_delegate(settings);
  HalfBlock first(settings, kCopyCode), second(settings, kCopyCode);
  for (HalfBlock* block : {&first, &second}) {
    if (!CHECK(block->life.host.apply(shared.get()) == kTfLiteOk)) return;
    CHECK(block->life.host.allocate() == kTfLiteOk);
    CHECK_EQUAL(block->life.host.num_partitions(), 2);
    block->check_run(1);
  }
  CHECK_EQUAL(num_system_threads(), before + 2);
}

TEST(interpreters_in_threads_do_not_disturb_each_other) {
  const Delegate shared = make_delegate(Settings());
  std::vector<std::thread> threads;
  for (const Settings& settings : all_settings()) {
    threads.emplace_back([&shared, settings] {
      for (uint64_t round = 0; round < 3; ++round) {
        // The first and the last with a delegate that all threads share.
        HalfBlock block(settings);
        const bool ok = round == 1 ? block.life.apply()
                                   : block.life.host.apply(shared.get()) == kTfLiteOk;
        if (!CHECK(ok && block.life.host.allocate() == kTfLiteOk)) return;
        for (uint64_t seed = 0; seed < 5; ++seed) block.check_run(seed);
        block.resize(2, 5, 3);
        block.check_run(round);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(an_interpreter_may_end_in_any_state) {
  HalfBlock never_applied{Settings()};
  HalfBlock applied{Settings()};
  CHECK(applied.life.apply());
  HalfBlock prepared{Settings()};
  CHECK(prepared.life.start());
}

// As Python's garbage collector ends them, where both are in one cycle.
TEST(a_delegate_may_end_before_its_interpreters) {
  Delegate shared = make_delegate(Settings());
  HalfBlock first{Settings()}, second{Settings()};
  for (HalfBlock* block : {&first, &second}) {
    CHECK(block->life.host.apply(shared.get()) == kTfLiteOk);
    CHECK(block->life.host.allocate() == kTfLiteOk);
    block->check_run(1);
  }
  shared.reset();
  for (HalfBlock* block : {&first, &second}) {
    block->check_run(2);
    block->resize(2, 3, 4);
    block->check_run(3);
  }
}

TEST_MAIN

// LiteRT 2.3 keeps a zero point for each channel, 1.4 and 2.1 one where all are alike.
TEST(constants_of_8_bits_have_one_zero_point_or_one_for_each_scale) {
  const std::vector<int8_t> bytes = {1, 2, 3, -4, -5, -128};
  const std::vector<float> scales = {0.5f, 0.25f, 2.0f};
  for (const std::vector<int>& zeros :
       {std::vector<int>{3}, {0}, {3, 3, 3}, {3, 0, -7}, {}, {3, 3}, {3, 3, 3, 3}}) {
    Host host;
    const int index = host.add_constant(kTfLiteInt8, {1, 1, 2, 3}, bytes.data(), 6);
    host.set_channel_quantization(index, scales, zeros, 3);
    r2b::Value packed;
    packed.type = kTfLiteInt8;
    packed.shape = r2b::make_shape(1, 1, 2, 3);
    packed.constant = host.tensor(index).data;
    std::vector<float> floats(bytes.size());
    const bool read = r2b::unpack_constant(host.tensor(index), packed, floats.data());
    CHECK_EQUAL(read, zeros.size() == 1 || zeros.size() == 3);
    if (!read) continue;
    for (size_t i = 0; i < bytes.size(); i++) {
      const int zero = zeros[zeros.size() == 1 ? 0 : i % 3];
      CHECK_EQUAL(floats[i], scales[i % 3] * static_cast<float>(bytes[i] - zero));
    }
  }
}
