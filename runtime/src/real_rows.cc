#include "real_rows.h"

#include <cstring>

namespace r2b {

RealRows::RealRows(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
                   const Value& source, const Axis& vertical, const Axis& horizontal)
    : kernels_(kernels),
      filter_(std::move(filter)),
      source_(source),
      vertical_(vertical),
      horizontal_(horizontal) {
  needs_padding_ = vertical.before > 0 || vertical.after > 0 || horizontal.before > 0 ||
                   horizontal.after > 0;
  pitch_ = source.row_pitch();
  if (needs_padding_) {
    pitch_ = static_cast<ptrdiff_t>(horizontal.padded()) * source.channels();
  }
  held_ = HeldLines(vertical, static_cast<int64_t>(pitch_) * sizeof(float));
  layout_ =
      PatchLayout(source.channels(), pitch_, vertical, horizontal, source.channels());
}

Size RealRows::lines_bytes() const {
  return held_bytes() + layout_.offsets_bytes().rounded_up(64);
}

RealRows::Lines RealRows::begin(char* memory) const {
  Lines lines;
  lines.memory = memory;
  lines.offsets = reinterpret_cast<ptrdiff_t*>(memory + held_bytes().count());
  layout_.write_offsets(lines.offsets);
  return lines;
}

Size RealRows::held_bytes() const {
  return needs_padding_ ? held_.bytes().rounded_up(64) : Size(0);
}

void RealRows::copy_line(int image, int line, float* to) const {
  const int y = line - vertical_.before;
  if (y < 0 || y >= vertical_.in) {
    std::memset(to, 0, static_cast<size_t>(pitch_) * sizeof(float));
    return;
  }
  const size_t channels = static_cast<size_t>(source_.channels());
  const size_t before = static_cast<size_t>(horizontal_.before) * channels;
  const size_t inside = static_cast<size_t>(horizontal_.in) * channels;
  const size_t after = static_cast<size_t>(horizontal_.after) * channels;
  std::memset(to, 0, before * sizeof(float));
  std::memcpy(to + before, source_.row<float>(image * source_.height() + y),
              inside * sizeof(float));
  std::memset(to + before + inside, 0, after * sizeof(float));
}

Patches<float> RealRows::patches(int row, Lines* lines) const {
  const int image = row / vertical_.out, y = row % vertical_.out;
  if (!needs_padding_) {
    return layout_.at(source_.row<float>(image * source_.height()),
                      static_cast<ptrdiff_t>(y) * vertical_.stride * pitch_,
                      lines->offsets);
  }
  const auto write = [&](int line, char* to) {
    copy_line(image, line, reinterpret_cast<float*>(to));
  };
  const char* first = held_.hold(image, y * vertical_.stride, lines, write);
  return layout_.at(reinterpret_cast<const float*>(first), 0, lines->offsets);
}

void RealRows::convolve(const Patches<float>& patches, int first, int count,
                        const PackedFilter::Chunk& chunk, float* output,
                        ptrdiff_t output_stride) const {
  convolve_pixels(kernels_, patches.from(first), count, chunk, output, output_stride);
}

}  // namespace r2b
