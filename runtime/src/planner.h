// From operators to steps: which operators share one pass over memory.
#ifndef R2B_PLANNER_H_
#define R2B_PLANNER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "convolution.h"
#include "finish.h"
#include "graph.h"
#include "kernels/kernels.h"
#include "step.h"

namespace r2b {

// Packed filters, by the operator's place in the graph.
using Filters = std::map<const Operator*, std::shared_ptr<const PackedFilter>>;

class Planner {
 public:
  Planner(const Kernels& kernels, Graph* graph, const Filters& filters, bool fuse)
      : kernels_(kernels), graph_(*graph), filters_(filters), fuse_(fuse) {}

  // Steps in the order in which they run; false, with a reason, where one cannot be.
  bool plan(std::vector<std::unique_ptr<Step>>* steps, std::string* why);

 private:
  // A head, and the operators after it that are done in the same pass.
  struct Chain {
    Value* current = nullptr;  // what the chain has computed so far
    int stage = 0;             // how far down the list of FinishRow it is
    size_t last = 0;           // the last operator whose inputs must be there
    Finish finish;
    std::vector<size_t> operators;
    const Operator* mean = nullptr;  // the MEAN that takes the channel sums
  };

  void find_consumers();
  void find_frames();
  bool add_operator(size_t index, std::string* why);
  bool add_head(size_t index, std::string* why);
  // A convolution whose only reader is a pool: both in one pass.
  bool add_pooled(const Operator& head, const Chain& chain, std::string* why);
  bool add_elementwise(size_t index);
  bool add_alone(size_t index, std::string* why);

  // Takes one more operator into the chain, where its place in FinishRow allows it.
  bool absorb(Chain* chain, size_t index);
  bool absorb_factor(Chain* chain, const Operator& op, const Value& other);
  bool absorb_addend(Chain* chain, const Operator& op, const Value& other);
  // What the chain's values are for in the end: signs and channel sums.
  void absorb_signs(Chain* chain);
  bool absorb_batch_norm(Chain* chain);
  bool take_signs_of(Chain* chain, const Value& value);
  void extend(Chain* chain);
  void emit(const Chain& chain, std::unique_ptr<Step> step);
  void add(size_t order, std::unique_ptr<Step> step, const std::vector<size_t>& operators);
  // `source` with the frame that a convolution over it touches.
  Value* framed(Value* source, const Frame& frame, size_t order);

  const std::vector<size_t>& consumers(const Value& value) const;
  const Operator& op(size_t index) const { return graph_.operators[index]; }

  const Kernels& kernels_;
  Graph& graph_;
  const Filters& filters_;
  const bool fuse_;
  std::map<const Value*, std::vector<size_t>> consumers_;
  std::vector<bool> done_;
  std::vector<std::pair<size_t, std::unique_ptr<Step>>> steps_;
};

}  // namespace r2b

#endif  // R2B_PLANNER_H_
