#include "finish.h"

#include <cstring>

namespace r2b {

bool Finish::changes_values() const {
  return gate != nullptr || !gate_constant.empty() || !slope.empty() || has_limits ||
         skip != nullptr || !skip_constant.empty();
}

void Finish::run(const Kernels& kernels, FinishRow row, int index, int rows_an_image,
                 int first, int count) const {
  row.num_channels = count;
  if (gate != nullptr) {
    const int image = index / rows_an_image;
    row.gate = gate->row<float>(gate->rows() == 1 ? 0 : image) + first;
  } else if (!gate_constant.empty()) {
    row.gate = gate_constant.data() + first;
  }
  if (!slope.empty()) row.slope = slope.data() + first;
  row.has_limits = has_limits;
  row.lowest = lowest;
  row.highest = highest;
  if (skip != nullptr) {
    row.skip = skip->row<float>(index) + first;
    row.skip_stride = skip->channels();
  } else if (!skip_constant.empty()) {
    row.skip = skip_constant.data() + first;
    row.skip_stride = 0;
  }
  if (output != nullptr) {
    row.output = output->row<float>(index) + first;
    row.output_stride = output->channels();
  }
  if (!scale.empty()) row.scale = scale.data() + first;
  if (!shift.empty()) row.shift = shift.data() + first;
  if (packed != nullptr) {
    row.packed = packed->row<uint32_t>(index) + first / 32;
    row.packed_stride = packed->channels();
  }
  if (sums != nullptr) {
    row.sums = sums->row<float>(index) + first;
    std::memset(row.sums, 0, static_cast<size_t>(count) * sizeof(float));
  }
  kernels.finish_row(row);
}

void Finish::declare(Step* step) const {
  const auto name = [step](const char* what) { step->title += what; };
  if (gate != nullptr) step->reads.push_back(gate);
  if (gate != nullptr || !gate_constant.empty()) name(" + factor");
  if (!slope.empty()) name(" + PReLU");
  if (has_limits) name(" + ReLU");
  if (skip != nullptr) step->reads.push_back(skip);
  if (skip != nullptr) name(" + skip");
  if (!skip_constant.empty()) name(" + addend");
  if (output != nullptr) {
    step->writes.push_back(output);
    step->overwrites = skip;
  }
  if (!scale.empty() || !shift.empty()) name(" + BatchNorm");
  if (packed != nullptr) {
    step->writes.push_back(packed);
    name(" + sign");
  }
  if (sums != nullptr) {
    step->writes.push_back(sums);
    name(" + channel sums");
  }
}

}  // namespace r2b
