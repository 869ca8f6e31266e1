// What a program does and how long it took, for any thread to read while it runs.
#ifndef R2B_REPORT_H_
#define R2B_REPORT_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "step.h"

namespace r2b {

class Report {
 public:
  // Describes other steps from here on.
  void describe(const std::vector<std::unique_ptr<Step>>& steps, int num_threads);
  // Keeps what each step took in a run; of the last `kKeptRuns` runs.
  void add_run(const std::vector<float>& microseconds);

  // "avx2 kernels, 2 thread(s):", then a line for each step: what it does, and the nodes
  // that it stands for.
  std::string explanation(const char* kernels) const;
  // A line for each step that has run, fields between tabs: nodes, title, median
  // microseconds, binary and real multiply-accumulates, bytes read and written.
  std::string profile() const;

 private:
  static constexpr size_t kKeptRuns = 1024;
  struct Line {
    std::string nodes, title;
    int64_t binary_macs, real_macs, bytes;
    std::vector<float> microseconds;  // a ring
  };

  mutable std::mutex mutex_;  // of all that follows
  std::vector<Line> lines_;
  int num_threads_ = 1;
  size_t num_runs_ = 0;
};

}  // namespace r2b

#endif  // R2B_REPORT_H_
