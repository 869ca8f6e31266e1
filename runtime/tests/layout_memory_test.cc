// Which steps read what, and whether it is there.
#include "layout_memory.h"

#include "check.h"

using namespace r2b;
using namespace r2b_test;

namespace {

class Nothing : public Step {
 public:
  int units() const override { return 0; }
  void run(int, int, char*) const override {}
};

using Steps = std::vector<std::unique_ptr<Step>>;

Step* add(Steps* steps, const Value& source, Value* output) {
  steps->push_back(std::make_unique<Nothing>());
  steps->back()->add_read(&source);
  steps->back()->writes.push_back(output);
  return steps->back().get();
}

}  // namespace

TEST(what_a_step_reads_is_there_before_it) {
  const float number = 1;
  Value constant, input, first, second;
  constant.constant = &number;
  input.from_outside = true;
  second.to_outside = true;
  Steps steps;
  add(&steps, constant, &first);
  add(&steps, input, &first);
  add(&steps, first, &second);
  add(&steps, second, &first);
  CHECK(reader_of_nothing(steps) == nullptr);
}

TEST(a_step_that_reads_what_comes_later_or_never_is_found) {
  Value input, later, never, output;
  input.from_outside = true;
  output.to_outside = true;
  Steps steps;
  add(&steps, input, &output);
  const Step* reader = add(&steps, later, &output);
  add(&steps, input, &later);
  CHECK(reader_of_nothing(steps) == reader);
  Steps others;
  add(&others, input, &later);
  reader = add(&others, never, &output);
  CHECK(reader_of_nothing(others) == reader);
  // What goes outside has to be written before it is read.
  Steps last;
  reader = add(&last, output, &later);
  CHECK(reader_of_nothing(last) == reader);
}

TEST_MAIN
