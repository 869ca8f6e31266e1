// From operators to steps: which operators share one pass over memory.
#ifndef R2B_PLANNER_H_
#define R2B_PLANNER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chains.h"
#include "convolution.h"
#include "graph.h"
#include "kernels/kernels.h"
#include "step.h"

namespace r2b {

// Packed filters, by the operator's place in the graph.
using Filters = std::map<const Operator*, std::shared_ptr<const PackedFilter>>;

class Planner {
 public:
  Planner(const Kernels& kernels, Graph* graph, const Filters& filters, bool fuse)
      : kernels_(kernels), graph_(*graph), filters_(filters), chains_(graph, fuse) {}

  // Steps in the order in which they run; false, with a reason, where one cannot be.
  bool plan(std::vector<std::unique_ptr<Step>>* steps, std::string* why);

 private:
  void find_frames();
  bool add_operator(size_t index, std::string* why);
  bool add_head(size_t index, std::string* why);
  // A convolution whose only reader is a pool: both in one pass.
  bool add_pooled(const Operator& head, const Chain& chain, std::string* why);
  bool add_elementwise(size_t index);
  bool add_alone(size_t index, std::string* why);

  void emit(const Chain& chain, std::unique_ptr<Step> step);
  void add(size_t order, std::unique_ptr<Step> step, const std::vector<size_t>& operators);
  // `source` with the frame that a convolution over it touches.
  Value* framed(Value* source, const Frame& frame, size_t order);

  const Operator& op(size_t index) const { return graph_.operators[index]; }

  const Kernels& kernels_;
  Graph& graph_;
  const Filters& filters_;
  Chains chains_;
  std::vector<std::pair<size_t, std::unique_ptr<Step>>> steps_;
};

}  // namespace r2b

#endif  // R2B_PLANNER_H_
