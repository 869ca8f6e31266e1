// One pass over memory: what a program is made of.
#ifndef R2B_STEP_H_
#define R2B_STEP_H_

#include <string>
#include <vector>

#include "graph.h"
#include "kernels/kernels.h"

namespace r2b {

class Step {
 public:
  virtual ~Step() = default;

  // Independent pieces of the step, dealt to threads; the result is the same however.
  virtual int units() const = 0;
  virtual void run(int begin, int end, char* scratch) const = 0;
  // Bytes of scratch memory that each thread needs.
  virtual size_t scratch_bytes() const { return 0; }

  std::vector<const Value*> reads;
  std::vector<Value*> writes;
  // The step may write writes[0] over this value, element by element.
  const Value* overwrites = nullptr;

  // Multiply-accumulates of one run, on bits and on floats.
  int64_t binary_macs = 0, real_macs = 0;

  std::string title;       // for people: what is done in this pass
  std::vector<int> nodes;  // the nodes of LiteRT's graph that it stands for
};

}  // namespace r2b

#endif  // R2B_STEP_H_
