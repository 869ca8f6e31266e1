// From operators to steps: which operators share one pass over memory.
#ifndef R2B_PLANNER_H_
#define R2B_PLANNER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chains.h"
#include "convolution.h"
#include "graph.h"
#include "integer_layers.h"
#include "kernels/kernels.h"
#include "sizes.h"
#include "step.h"

namespace r2b {

// Packed filters, by the operator's place in the graph.
using Filters = std::map<const Operator*, std::shared_ptr<const PackedFilter>>;

class Planner {
 public:
  Planner(const Kernels& kernels, Graph* graph, const Filters& filters,
          const IntegerLayers& integer_layers, bool fuse)
      : kernels_(kernels),
        graph_(*graph),
        filters_(filters),
        integer_layers_(integer_layers),
        chains_(graph, fuse) {}

  // Steps in the order in which they run; false, with a reason, where one cannot be.
  bool plan(std::vector<std::unique_ptr<Step>>* steps, std::string* why);

 private:
  // A convolution, pool or dense layer; `layer` is null where it is no integer one.
  struct Head {
    const Operator& op;
    Value* source;
    const IntegerLayer* layer;
    Affine affine;
    WithConstantMap map;  // of a binary convolution
  };

  void find_frames();
  bool add_operator(size_t index, std::string* why);
  bool add_head(size_t index, std::string* why);
  // The operators before integer layers are theirs.
  void reserve_integer_layers();
  // The place of the AVERAGE_POOL_2D that nothing but the quantization of `layer` reads.
  std::optional<size_t> pool_before(const IntegerLayer& layer) const;
  // The bytes that an integer layer reads; null, with a reason, where there are none.
  Value* add_bytes(const Operator& head, const IntegerLayer& layer, std::string* why);
  // What takes the operators after a head into its own pass.
  Chain chain_after(size_t index, Head* head);
  std::unique_ptr<Step> make_step(const Head& head, const Chain& chain,
                                  std::string* why);
  // False where the tables of all binary convolutions take many times the memory of what
  // one of them gives.
  bool fits_with_tables(const Head& head, const Axis& vertical, const Axis& horizontal);
  // A convolution whose only reader is a pool: both in one pass.
  bool add_pooled(const Head& head, const Chain& chain, std::string* why);
  bool add_elementwise(size_t index);
  bool add_alone(size_t index, std::string* why);

  void emit(const Chain& chain, std::unique_ptr<Step> step);
  void add(size_t order, std::unique_ptr<Step> step,
           const std::vector<size_t>& operators);
  // `source` with the frame that a convolution over it touches.
  Value* framed(Value* source, const Frame& frame, size_t order);

  const Operator& op(size_t index) const { return graph_.operators[index]; }

  const Kernels& kernels_;
  Graph& graph_;
  const Filters& filters_;
  const IntegerLayers& integer_layers_;
  Chains chains_;
  Size tables_ = 0, largest_ = 0;  // bytes, see fits_with_tables
  std::vector<std::pair<size_t, std::unique_ptr<Step>>> steps_;
};

}  // namespace r2b

#endif  // R2B_PLANNER_H_
