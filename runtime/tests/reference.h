// What convolutions compute, LCE's and those of whole numbers, in plain loops over one value after the other.
#ifndef R2B_TESTS_REFERENCE_H_
#define R2B_TESTS_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "option_bytes.h"

namespace r2b_test {

// Signs are kept one by one, as 1 for negative and 0 for the rest.
using Signs = std::vector<uint8_t>;

struct Image {
  int batch, height, width, channels;
  int pixels() const { return batch * height * width; }
};

struct BinaryConvolution {
  Image in;
  int channels_out = 1;
  int kernel_height = 1, kernel_width = 1;
  int stride_height = 1, stride_width = 1;
  int dilation_height = 1, dilation_width = 1;
  int groups = 1;
  bool same = false, pad_with_ones = false;
  int activation = 0;
  Signs filter;  // [channels_out][kernel_height][kernel_width][in.channels / groups]
  std::vector<float> multiplier, bias;
  std::vector<int32_t> thresholds;

  Image out() const;
  Options options() const;
};

std::vector<int32_t> pack(const Signs& signs, int channels);

std::vector<float> float_convolution(const BinaryConvolution& op, const Signs& input);
std::vector<int8_t> int8_convolution(const BinaryConvolution& op, const Signs& input,
                                     float scale, int zero_point);
Signs packed_convolution(const BinaryConvolution& op, const Signs& input);

// A convolution of a picture in bytes less `zeros`, scaled and shifted by channel.
struct IntegerConvolution {
  Image in;
  int channels_out = 1;
  int kernel = 1, stride = 1;
  bool same = false;
  std::vector<float> filter;  // whole, [channels_out][kernel][kernel][in.channels]
  std::vector<float> zeros;   // whole, [in.channels]
  std::vector<float> factor, addend;

  Image out() const;
};

std::vector<float> integer_convolution(const IntegerConvolution& op,
                                       const std::vector<uint8_t>& picture);

}  // namespace r2b_test

#endif  // R2B_TESTS_REFERENCE_H_
