#include "reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace r2b_test {
namespace {

struct Axis {
  int out, before;
};

Axis slide(int in, int kernel, int stride, int dilation, bool same) {
  const int reach = (kernel - 1) * dilation + 1;
  if (!same) return {(in - reach) / stride + 1, 0};
  const int out = (in + stride - 1) / stride;
  return {out, std::max(0, (out - 1) * stride + reach - in) / 2};
}

Axis vertical(const BinaryConvolution& op) {
  return slide(op.in.height, op.kernel_height, op.stride_height, op.dilation_height,
               op.same);
}

Axis horizontal(const BinaryConvolution& op) {
  return slide(op.in.width, op.kernel_width, op.stride_width, op.dilation_width,
               op.same);
}

// Of one output value: how many bits differ inside and, if the padding is +1, outside;
// the sum of the filter over the taps outside, and how many bits these have.
struct Counts {
  int inside = 0, outside = 0, sum_outside = 0, bits_outside = 0;
};

Counts count(const BinaryConvolution& op, const Signs& input, int n, int y, int x,
             int channel) {
  const int group_in = op.in.channels / op.groups;
  const int group = channel / (op.channels_out / op.groups);
  Counts counts;
  for (int i = 0; i < op.kernel_height; ++i) {
    for (int j = 0; j < op.kernel_width; ++j) {
      const int row =
          y * op.stride_height - vertical(op).before + i * op.dilation_height;
      const int column =
          x * op.stride_width - horizontal(op).before + j * op.dilation_width;
      const bool is_inside =
          row >= 0 && row < op.in.height && column >= 0 && column < op.in.width;
      for (int c = 0; c < group_in; ++c) {
        const int weight = op.filter[static_cast<size_t>(
            ((channel * op.kernel_height + i) * op.kernel_width + j) * group_in + c)];
        if (is_inside) {
          counts.inside +=
              weight !=
              input[static_cast<size_t>(
                  ((n * op.in.height + row) * op.in.width + column) * op.in.channels +
                  group * group_in + c)];
        } else {
          counts.outside += weight;
          counts.sum_outside += 1 - 2 * weight;
          ++counts.bits_outside;
        }
      }
    }
  }
  return counts;
}

int bits(const BinaryConvolution& op) {
  return op.kernel_height * op.kernel_width * (op.in.channels / op.groups);
}

// Of 2 * count.
void clamp_limits(const BinaryConvolution& op, int32_t* lowest, int32_t* highest) {
  const int k = bits(op);
  const int low[] = {-k, 0, -1, 0}, high[] = {k, k, 1, 6};
  *lowest = std::numeric_limits<int32_t>::min();
  *highest = std::numeric_limits<int32_t>::max();
  if (op.activation == 0) return;
  *lowest = k - std::min(high[op.activation], k);
  *highest = k - std::max(low[op.activation], -k);
}

template <typename Visit>
void for_each_output(const BinaryConvolution& op, Visit visit) {
  const Image out = op.out();
  for (int n = 0; n < out.batch; ++n) {
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        for (int c = 0; c < out.channels; ++c) visit(n, y, x, c);
      }
    }
  }
}

// A zero of the padding differs in half of its bits.
int count_with_zeros(const BinaryConvolution& op, const Counts& counts) {
  return counts.inside + (op.pad_with_ones ? counts.outside : counts.bits_outside / 2);
}

}  // namespace

Image BinaryConvolution::out() const {
  return {in.batch, vertical(*this).out, horizontal(*this).out, channels_out};
}

Options BinaryConvolution::options() const {
  return {{"channels_in", in.channels},
          {"dilation_height_factor", dilation_height},
          {"dilation_width_factor", dilation_width},
          {"fused_activation_function", activation},
          {"pad_values", pad_with_ones ? 1 : 0},
          {"padding", same ? 0 : 1},
          {"stride_height", stride_height},
          {"stride_width", stride_width}};
}

Image IntegerConvolution::out() const {
  return {in.batch, slide(in.height, kernel, stride, 1, same).out,
          slide(in.width, kernel, stride, 1, same).out, channels_out};
}

namespace {

// The sum of a patch's products, outside of the picture none.
int64_t sum_of_patch(const IntegerConvolution& op, const std::vector<uint8_t>& picture,
                     int n, int y, int x, int channel) {
  const auto before = [&op](int in) {
    return slide(in, op.kernel, op.stride, 1, op.same).before;
  };
  const int top = y * op.stride - before(op.in.height);
  const int left = x * op.stride - before(op.in.width);
  int64_t sum = 0;
  for (int i = 0; i < op.kernel; ++i) {
    for (int j = 0; j < op.kernel; ++j) {
      const int row = top + i, column = left + j;
      if (row < 0 || row >= op.in.height) continue;
      if (column < 0 || column >= op.in.width) continue;
      for (int c = 0; c < op.in.channels; ++c) {
        const size_t pixel = static_cast<size_t>(
            ((n * op.in.height + row) * op.in.width + column) * op.in.channels + c);
        const size_t weight = static_cast<size_t>(
            ((channel * op.kernel + i) * op.kernel + j) * op.in.channels + c);
        sum += (int64_t{picture[pixel]} -
                static_cast<int64_t>(op.zeros[static_cast<size_t>(c)])) *
               static_cast<int64_t>(op.filter[weight]);
      }
    }
  }
  return sum;
}

}  // namespace

std::vector<float> integer_convolution(const IntegerConvolution& op,
                                       const std::vector<uint8_t>& picture) {
  std::vector<float> result;
  const Image out = op.out();
  for (int pixel = 0; pixel < out.pixels(); ++pixel) {
    const int x = pixel % out.width, row = pixel / out.width;
    for (int c = 0; c < out.channels; ++c) {
      const int64_t sum =
          sum_of_patch(op, picture, row / out.height, row % out.height, x, c);
      const float product = static_cast<float>(sum) * op.factor[static_cast<size_t>(c)];
      result.push_back(product + op.addend[static_cast<size_t>(c)]);
    }
  }
  return result;
}

std::vector<int32_t> pack(const Signs& signs, int channels) {
  const size_t words = static_cast<size_t>((channels + 31) / 32);
  const size_t pixels = signs.size() / static_cast<size_t>(channels);
  std::vector<int32_t> packed(pixels * words, 0);
  for (size_t i = 0; i < signs.size(); ++i) {
    const size_t pixel = i / static_cast<size_t>(channels);
    const size_t channel = i % static_cast<size_t>(channels);
    const uint32_t bit = static_cast<uint32_t>(signs[i]) << (channel % 32);
    int32_t& word = packed[pixel * words + channel / 32];
    word = static_cast<int32_t>(static_cast<uint32_t>(word) | bit);
  }
  return packed;
}

std::vector<float> float_convolution(const BinaryConvolution& op, const Signs& input) {
  std::vector<float> result;
  int32_t lowest, highest;
  clamp_limits(op, &lowest, &highest);
  const bool corrects = op.same && !op.pad_with_ones && op.activation == 0;
  for_each_output(op, [&](int n, int y, int x, int c) {
    const size_t at = static_cast<size_t>(c);
    const double factor = op.multiplier[at];
    const float multiplier = static_cast<float>(-factor);
    const float bias =
        static_cast<float>(static_cast<double>(op.bias[at]) + bits(op) * factor);
    const Counts counts = count(op, input, n, y, x, c);
    const int differing =
        corrects ? counts.inside + counts.outside : count_with_zeros(op, counts);
    const float clamped =
        static_cast<float>(std::min(std::max(2 * differing, lowest), highest));
    const float product = clamped * multiplier;
    float value = product + bias;
    if (corrects && counts.bits_outside > 0) {
      const float negative = -1.0f * op.multiplier[at];
      const float correction = negative * static_cast<float>(counts.sum_outside);
      value += correction;
    }
    result.push_back(value);
  });
  return result;
}

std::vector<int8_t> int8_convolution(const BinaryConvolution& op, const Signs& input,
                                     float scale, int zero_point) {
  std::vector<int8_t> result;
  int32_t lowest, highest;
  clamp_limits(op, &lowest, &highest);
  for_each_output(op, [&](int n, int y, int x, int c) {
    const size_t at = static_cast<size_t>(c);
    const double factor = op.multiplier[at], step = scale;
    const float multiplier = static_cast<float>(-factor / step);
    const float bias = static_cast<float>(
        (static_cast<double>(op.bias[at]) + bits(op) * factor) / step + zero_point);
    const int differing = count_with_zeros(op, count(op, input, n, y, x, c));
    const float clamped =
        static_cast<float>(std::min(std::max(2 * differing, lowest), highest));
    const float product = clamped * multiplier;
    const float value = std::round(product + bias);
    result.push_back(static_cast<int8_t>(std::min(std::max(value, -128.0f), 127.0f)));
  });
  return result;
}

Signs packed_convolution(const BinaryConvolution& op, const Signs& input) {
  Signs result;
  for_each_output(op, [&](int n, int y, int x, int c) {
    const int differing = count_with_zeros(op, count(op, input, n, y, x, c));
    result.push_back(differing > op.thresholds[static_cast<size_t>(c)]);
  });
  return result;
}

}  // namespace r2b_test
