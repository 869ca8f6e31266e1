// One pass over memory: what a program is made of.
#ifndef R2B_STEP_H_
#define R2B_STEP_H_

#include <string>
#include <vector>

#include "graph.h"
#include "kernels/kernels.h"

namespace r2b {

// When a step reads a value: whether it can write its first output over it.
enum class Access {
  kAnywhere,     // any element, at any time, from any thread
  kElementwise,  // each element just before the same one of writes[0] is written, never
                 // after: true for all threads and pieces, as pieces share no element
};

struct Read {
  const Value* value;
  Access access;
};

class Step {
 public:
  virtual ~Step() = default;

  // Independent pieces of the step, dealt to threads; the result is the same however.
  virtual int units() const = 0;
  virtual void run(int begin, int end, char* scratch) const = 0;
  // The same for pieces right behind those that this scratch memory was used for last.
  virtual void go_on(int begin, int end, char* scratch) const {
    run(begin, end, scratch);
  }
  // Bytes of scratch memory that each thread needs.
  virtual Size scratch_bytes() const { return 0; }

  // A value that is read in several ways is listed for each.
  std::vector<Read> reads;
  std::vector<Value*> writes;
  void add_read(const Value* value, Access access = Access::kAnywhere) {
    reads.push_back({value, access});
  }

  // Multiply-accumulates of one run, on bits and on floats.
  int64_t binary_macs = 0, real_macs = 0;

  std::string title;       // for people: what is done in this pass
  std::vector<int> nodes;  // the nodes of LiteRT's graph that it stands for
};

// From one tensor to another, a row at a time unless it says otherwise.
class MapStep : public Step {
 public:
  MapStep(const char* name, const Value* source, Value* output)
      : source_(*source), output_(output) {
    title = name;
    add_read(source);
    writes.push_back(output);
  }
  int units() const override { return source_.rows(); }

 protected:
  const Value& source_;
  Value* output_;
};

}  // namespace r2b

#endif  // R2B_STEP_H_
