// Operators as the delegate understands them, read from LiteRT's nodes.
#ifndef R2B_OPERATORS_H_
#define R2B_OPERATORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "litert_abi.h"
#include "shapes.h"

namespace r2b {

enum class OperatorKind {
  // Larq Compute Engine's.
  kQuantize,
  kDequantize,
  kBinaryConvolution,
  kBinaryMaxPool,
  // LiteRT's own, on float32.
  kConvolution,
  kDense,
  kMaxPool,
  kAveragePool,
  kMean,
  kMultiply,
  kAdd,
  kSubtract,
  kPrelu,
  kLimits,  // RELU, RELU6, RELU_N1_TO_1
  kLogistic,
  kSoftmax,
  kFloor,
  kMaximum,
  kMinimum,
  kCast,            // of uint8
  kUnpackConstant,  // DEQUANTIZE of a float16 or int8 constant
};

enum class Activation { kNone, kRelu, kReluN1To1, kRelu6 };

// The range that an activation keeps, as floats; none: minus to plus infinity.
void activation_limits(Activation activation, float* lowest, float* highest);

struct Operator {
  OperatorKind kind = OperatorKind::kQuantize;
  int node = -1;            // index in LiteRT's graph
  const char* name = "";    // as LiteRT or LCE spells it
  std::vector<int> inputs;  // tensor indices; -1: left out
  int output = -1;

  Activation activation = Activation::kNone;
  // Windows: convolutions (the kernel's size is the filter's) and pools.
  Padding padding = Padding::kValid;
  int64_t stride_height = 1, stride_width = 1;
  int64_t dilation_height = 1, dilation_width = 1;
  int64_t window_height = 0, window_width = 0;
  bool pad_with_ones = false;
  int64_t channels_in = 0;
  bool keep_dims = false;  // MEAN; FULLY_CONNECTED's keep_num_dims
  float beta = 1;          // SOFTMAX
};

enum class Reading {
  kRead,     // `op` is filled
  kForeign,  // not ours: LiteRT runs it
  kBroken,   // an operator of LCE that nothing can run; `why` says so
};

// Reads a node. What depends on shapes is looked at later, in graph.h.
Reading read_operator(TfLiteContext* context, int node_index, Operator* op,
                      std::string* why);

// True for LCE's four.
bool is_binary(OperatorKind kind);

}  // namespace r2b

#endif  // R2B_OPERATORS_H_
