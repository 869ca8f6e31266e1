// Convolutions and dense layers whose inputs and weights are whole numbers of 8 bits, as
// can be proved of the file: sums of such numbers below 2^24 are exact in floats, so they
// may be computed in integers.
#ifndef R2B_INTEGER_LAYERS_H_
#define R2B_INTEGER_LAYERS_H_

#include <map>
#include <vector>

#include "graph.h"

namespace r2b {

// min(max(floor(x * scale + shift), lowest), highest); what NaN becomes is one of both.
struct Quantization {
  float scale = 1, shift = 0;
  float lowest = 0, highest = 0;
  bool nan_is_highest = false;
};

struct IntegerLayer {
  // uint8, or float32 that has to be quantized first.
  Value* source = nullptr;
  bool is_quantized = false;
  Quantization quantization;
  // The operators from `source` to the layer, which are done with it.
  std::vector<size_t> operators;
  // Numbers of an input channel are lowest + byte; one for each channel, or for all.
  std::vector<int32_t> lowest;

  int32_t lowest_of(int channel) const {
    return lowest[static_cast<size_t>(channel) % lowest.size()];
  }
};

// By the operator's place in the graph.
using IntegerLayers = std::map<size_t, IntegerLayer>;

// The layers with weights up to `weight_limit`, of which there are two patterns:
//   CAST of uint8, then SUB or ADD of whole constants, or neither;
//   MUL, ADD of a number, FLOOR, then MAXIMUM, MINIMUM or RELU.
// Nothing else reads what is between.
IntegerLayers find_integer_layers(const Graph& graph, int weight_limit);

}  // namespace r2b

#endif  // R2B_INTEGER_LAYERS_H_
