// Operators that follow each other and can be done in the same pass over memory.
#ifndef R2B_CHAINS_H_
#define R2B_CHAINS_H_

#include <map>
#include <tuple>
#include <vector>

#include "corrections.h"
#include "finish.h"
#include "graph.h"

namespace r2b {

// A head (a convolution, a pool, a tensor) and the operators after it.
struct Chain {
  // The places of FinishRow in their order: what comes later cannot be done before.
  enum Stage { kStart, kFactor, kAddend, kSlope, kLimits, kSkip, kLastLimits };

  Value* current = nullptr;  // what the chain has computed so far
  int stage = kStart;
  size_t last = 0;  // the last operator whose inputs must be there
  Finish finish;
  std::vector<size_t> operators;
  const Operator* mean = nullptr;  // what takes the channel sums
};

class Chains {
 public:
  // Without `fuse` no chain grows.
  Chains(Graph* graph, bool fuse);

  // Takes all that follows and fits; then sets where the values go.
  void extend(Chain* chain);
  // Takes a MUL or ADD of a constant for all channels or for each, which nothing but the
  // chain reads; null where there is none.
  const float* take_constant(Chain* chain, OperatorKind kind);
  // Takes an ADD or SUB of a constant for each position that nothing but the chain reads.
  WithConstantMap take_map(Chain* chain);
  // Takes one more operator, where its place in FinishRow allows it.
  bool absorb(Chain* chain, size_t index);
  // Takes the LceQuantize and the MEAN of `value`; false where there is neither.
  bool take_signs_of(Chain* chain, const Value& value);
  // Memory for the channel sums of each row of `value`.
  Value* add_sums(const Value& value);

  const std::vector<size_t>& consumers(const Value& value) const;
  bool fuses() const { return fuse_; }
  bool is_done(size_t index) const { return done_[index]; }
  void set_done(size_t index) { done_[index] = true; }

 private:
  enum class Sign { kKept, kTurned };

  // A constant as a number for each channel, what is one number repeated; null where it
  // is neither, and where those that were made take too much memory.
  const float* for_each_channel(const Value& value, int channels,
                                Sign sign = Sign::kKept);
  // The next operator's place, where it is the only reader; null where there is none.
  const size_t* only_reader(const Chain& chain) const;
  void take(Chain* chain, size_t index);
  // Limits, where there are none so far; false where there are.
  bool limit(Chain* chain, Activation activation) const;
  bool absorb_factor(Chain* chain, const Operator& op, const Value& other);
  bool absorb_addend(Chain* chain, const Operator& op, const Value& other);
  // What the chain's values are for in the end: signs and channel sums.
  void absorb_signs(Chain* chain);
  bool absorb_batch_norm(Chain* chain);
  const Operator& op(size_t index) const { return graph_.operators[index]; }

  Graph& graph_;
  const bool fuse_;
  std::map<const Value*, std::vector<size_t>> consumers_;
  // What `for_each_channel` has made.
  std::map<std::tuple<const Value*, int, Sign>, const float*> made_constants_;
  Size made_bytes_ = 0;
  std::vector<bool> done_;
};

}  // namespace r2b

#endif  // R2B_CHAINS_H_
