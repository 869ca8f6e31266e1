// A partition of a model, ready to run.
#ifndef R2B_PROGRAM_H_
#define R2B_PROGRAM_H_

#include <memory>
#include <string>
#include <vector>

#include "convolution.h"
#include "graph.h"
#include "kernels/kernels.h"
#include "memory.h"
#include "planner.h"
#include "report.h"
#include "step.h"
#include "threads.h"

namespace r2b {

class Program {
 public:
  // `threads` are shared, and outlive the program.
  Program(const Kernels& kernels, Threads* threads, bool fuse, bool profile)
      : kernels_(kernels), threads_(threads), fuse_(fuse), profile_(profile) {}

  // Reads the partition; once.
  bool read(TfLiteContext* context, const TfLiteDelegateParams& params,
            const ConstantSources& sources, std::string* why);
  // Shapes, steps and memory for the inputs' present shapes; sizes LiteRT's outputs. The
  // first that succeeds packs the filters.
  bool prepare(TfLiteContext* context, std::string* why);
  bool run(TfLiteContext* context, std::string* why);

  // Its steps, once it is prepared; with `profile` their times too.
  const Report& report() const { return report_; }

 private:
  bool pack_filters(std::string* why);
  void forget_unpacked_filters();
  bool resize_outputs(TfLiteContext* context, std::string* why);
  bool bind(TfLiteContext* context, std::string* why);

  const Kernels& kernels_;
  Threads* const threads_;
  const bool fuse_;
  const bool profile_;
  Graph graph_;
  size_t num_read_values_ = 0;  // the planner adds more
  bool is_packed_ = false;
  MemoryPool filter_memory_;
  Filters filters_;
  IntegerLayers integer_layers_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Memory> memory_;
  Memory scratch_;
  size_t scratch_bytes_ = 0;  // of each thread
  int num_threads_ = 1;
  Report report_;
};

}  // namespace r2b

#endif  // R2B_PROGRAM_H_
