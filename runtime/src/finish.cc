#include "finish.h"

#include <cstring>

namespace r2b {

bool Finish::changes_values() const {
  return gate != nullptr || gate_constant != nullptr || addend != nullptr ||
         slope != nullptr || has_limits || skip != nullptr || skip_constant != nullptr;
}

bool Finish::is_by_pixel() const {
  return output != nullptr && gate == nullptr && gate_constant == nullptr &&
         addend == nullptr && skip == nullptr && skip_constant == nullptr &&
         packed == nullptr && sums == nullptr;
}

void Finish::run(const Kernels& kernels, FinishRow work, const Span& span,
                 int rows_an_image) const {
  const int first = span.first_channel;
  const auto part_of = [&](const Value& value) {
    return value.row<float>(span.row) +
           static_cast<ptrdiff_t>(span.first_pixel) * value.channels() + first;
  };
  work.num_pixels = span.num_pixels;
  work.num_channels = span.num_channels;
  if (gate != nullptr) {
    const bool is_of_images = gate->shape.rank == 4 && gate->shape.dims[0] > 1;
    work.gate = gate->row<float>(is_of_images ? span.row / rows_an_image : 0) + first;
  } else if (gate_constant != nullptr) {
    work.gate = gate_constant + first;
  }
  if (addend != nullptr) work.addend = addend + first;
  if (slope != nullptr) work.slope = slope + first;
  work.has_limits = has_limits;
  work.limits_follow_skip = limits_follow_skip;
  work.lowest = lowest;
  work.highest = highest;
  if (skip != nullptr) {
    work.skip = part_of(*skip);
    work.skip_stride = skip->channels();
  } else if (skip_constant != nullptr) {
    work.skip = skip_constant + first;
    work.skip_stride = 0;
  }
  if (output != nullptr) {
    work.output = part_of(*output);
    work.output_stride = output->channels();
  }
  if (scale != nullptr) work.scale = scale + first;
  if (shift != nullptr) work.shift = shift + first;
  if (packed != nullptr) {
    work.packed = packed->row<uint32_t>(span.row) +
                  static_cast<ptrdiff_t>(span.first_pixel) * packed->channels() +
                  first / 32;
    work.packed_stride = packed->channels();
  }
  if (sums != nullptr) {
    work.sums = sums->row<float>(span.row) + first;
    if (span.first_pixel == 0) {
      std::memset(work.sums, 0, static_cast<size_t>(span.num_channels) * sizeof(float));
    }
  }
  kernels.finish_row(work);
}

void Finish::declare(Step* step) const {
  const auto name = [step](const char* what) { step->title += what; };
  if (gate != nullptr) step->add_read(gate);
  if (gate != nullptr || gate_constant != nullptr) name(" + factor");
  if (addend != nullptr) name(" + addend");
  if (slope != nullptr) name(" + PReLU");
  if (has_limits && !limits_follow_skip) name(" + ReLU");
  if (skip != nullptr) {
    step->add_read(skip, output != nullptr ? Access::kElementwise : Access::kAnywhere);
    name(" + skip");
  }
  if (skip_constant != nullptr) name(" + addend");
  if (has_limits && limits_follow_skip) name(" + ReLU");
  if (output != nullptr) step->writes.push_back(output);
  if (scale != nullptr || shift != nullptr) name(" + BatchNorm");
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
