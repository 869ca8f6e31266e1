#include "report.h"

#include <algorithm>

namespace r2b {

namespace {

std::string node_list(const Step& step) {
  std::string nodes;
  for (int node : step.nodes)
    nodes += (nodes.empty() ? "" : " ") + std::to_string(node);
  return nodes;
}

float median(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void Report::describe(const std::vector<std::unique_ptr<Step>>& steps,
                      int num_threads) {
  const std::lock_guard<std::mutex> lock(mutex_);
  lines_.clear();
  num_threads_ = num_threads;
  num_runs_ = 0;
  for (const auto& step : steps) {
    int64_t bytes = 0;
    for (const Read& read : step->reads) bytes += read.value->bytes();
    for (const Value* value : step->writes) bytes += value->bytes();
    lines_.push_back(
        {node_list(*step), step->title, step->binary_macs, step->real_macs, bytes, {}});
  }
}

void Report::add_run(const std::vector<float>& microseconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < lines_.size(); i++) {
    std::vector<float>& kept = lines_[i].microseconds;
    if (kept.size() < kKeptRuns) {
      kept.push_back(microseconds[i]);
    } else {
      kept[num_runs_ % kKeptRuns] = microseconds[i];
    }
  }
  num_runs_++;
}

std::string Report::explanation(const char* kernels) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string text = format("%s kernels, %d thread(s):\n", kernels, num_threads_);
  for (const Line& line : lines_) {
    text += "  " + line.title;
    if (!line.nodes.empty()) text += "  [" + line.nodes + "]";
    text += "\n";
  }
  return text;
}

std::string Report::profile() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  for (const Line& line : lines_) {
    if (line.microseconds.empty()) continue;
    text += line.nodes + "\t" + line.title +
            format("\t%.3f\t%lld\t%lld\t%lld\n",
                   static_cast<double>(median(line.microseconds)),
                   static_cast<long long>(line.binary_macs),
                   static_cast<long long>(line.real_macs),
                   static_cast<long long>(line.bytes));
  }
  return text;
}

}  // namespace r2b
