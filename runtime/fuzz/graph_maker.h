// Makes a small model of any bytes: a chain of operators that mostly fit together, with
// something broken here and there. The same bytes make the same model.
#ifndef R2B_FUZZ_GRAPH_MAKER_H_
#define R2B_FUZZ_GRAPH_MAKER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "host.h"

namespace r2b_fuzz {

// Bytes from the front; zeros when they have run out.
class Source {
 public:
  Source(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t take() { return at_ < size_ ? data_[at_++] : 0; }
  size_t left() const { return size_ - at_; }
  // The next bytes as a struct of bytes.
  template <typename Struct>
  Struct take_struct() {
    Struct taken;
    for (size_t i = 0; i < sizeof taken; ++i)
      reinterpret_cast<uint8_t*>(&taken)[i] = take();
    return taken;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// The first 16 bytes: what is done with the model, and its input.
struct Header {
  uint8_t flags, num_operators, input_type, rank;
  uint8_t extents[6];
  uint8_t resize, resize_extent, input_values, profile, outputs, spare;
};

// 20 bytes for each operator.
struct Record {
  uint8_t kind, input, operand, channels;
  uint8_t kernel_height, kernel_width, stride_height, stride_width;
  uint8_t dilation_height, dilation_width, window, output_type;
  uint8_t values, quantization, fault, fault_place;
  uint8_t fault_value, option_width, shift, spare;
};

class GraphMaker {
 public:
  GraphMaker(r2b_test::Host* host, const Header& header, Source source)
      : host_(*host), header_(header), source_(source) {}
  // Adds everything to the host; returns the model's first input.
  int make();

  const std::vector<int>& inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }

 private:
  using Dims = r2b_test::Dims;
  struct Window {
    int kernel_height, kernel_width;
    int64_t stride_height, stride_width, dilation_height, dilation_width;
    bool same;
    int activation;
  };

  void add_operator(const Record& record);
  void add_binary(const Record& record, int input, bool packs);
  void add_binary_convolution(const Record& record, int input);
  void add_binary_pool(const Record& record, int input);
  // CONV_2D and FULLY_CONNECTED.
  void add_weighted(const Record& record, int input, bool is_dense);
  void add_mean(const Record& record, int input);
  void add_unpacking(const Record& record);
  void quantize_channels(const Record& record, int packed);
  void add_elementwise(const Record& record, int input, int code);
  // graph_integers.cc: CAST, FLOOR, MAXIMUM, MINIMUM; whole layers of them.
  void add_whole(const Record& record, int input);
  void add_integer_layer(const Record& record, int input);
  int add_integer_input(const Record& record, int input);
  int integer_weights(const Record& record, const Dims& shape);
  int whole_floats(const Dims& dims, const Record& record, int most);
  int number_constant(float value);
  // An operator with one float result, which is returned.
  int step(const Record& record, int code, std::vector<int> inputs, const Dims& dims);

  int pick(uint8_t selector) const;
  int operand(const Record& record, int input);
  int floats(const Dims& dims, uint8_t values);
  int words(const Dims& dims, uint8_t values);
  int output(const Record& record, TfLiteType type, const Dims& dims);
  Window window(const Record& record) const;
  Dims slid(const Dims& from, const Window& window, int channels) const;
  int real_channels(int packed) const;
  void set_real_channels(int packed, int channels);
  // Operators with what `record.fault` breaks.
  void custom(const Record& record, const char* name, r2b_test::Options options,
              std::vector<int> inputs, int output);
  void builtin(const Record& record, int code, std::vector<int> inputs, int output,
               std::vector<int> params);
  void break_tensors(const Record& record, std::vector<int>* inputs,
                     std::vector<int>* outputs);
  void break_tensor(const Record& record, int tensor);
  void break_options(const Record& record, r2b_test::Options* options);
  r2b_test::Bytes break_bytes(const Record& record, r2b_test::Bytes bytes);
  void find_ends();

  r2b_test::Host& host_;
  Header header_;
  Source source_;
  std::vector<int> pool_;         // tensors that operators can read
  std::vector<int> channels_of_;  // of packed tensors, by tensor
  std::vector<int> inputs_, outputs_;
};

// LiteRT's numbers of two operators whose parameters include bools.
constexpr int kDenseCode = 9;
constexpr int kMeanCode = 40;

}  // namespace r2b_fuzz

#endif  // R2B_FUZZ_GRAPH_MAKER_H_
