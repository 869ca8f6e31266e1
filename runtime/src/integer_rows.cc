#include "integer_rows.h"

#include <cstring>

namespace r2b {

IntegerRows::IntegerRows(const Kernels& kernels,
                         std::shared_ptr<const PackedFilter> filter,
                         const Value& source, const IntegerLayer& layer,
                         const Axis& vertical, const Axis& horizontal,
                         const Affine& affine)
    : kernels_(kernels),
      filter_(std::move(filter)),
      source_(source),
      vertical_(vertical),
      horizontal_(horizontal),
      affine_(affine) {
  const int channels = source.channels();
  for (int c = 0; c < channels; c++) {
    zero_.push_back(static_cast<uint8_t>(-layer.lowest_of(c)));
  }
  const ptrdiff_t pitch = static_cast<ptrdiff_t>(horizontal.padded()) * channels;
  held_ = HeldLines(vertical, pitch);
  layout_ = PatchLayout(channels, pitch, vertical, horizontal, channels);
}

Size IntegerRows::lines_bytes() const {
  return held_bytes() + layout_.offsets_bytes().rounded_up(64);
}

IntegerRows::Lines IntegerRows::begin(char* memory) const {
  Lines lines;
  lines.memory = memory;
  lines.offsets = reinterpret_cast<ptrdiff_t*>(memory + held_bytes().count());
  layout_.write_offsets(lines.offsets);
  return lines;
}

void IntegerRows::write_zeros(int pixels, char* to) const {
  for (int x = 0; x < pixels; x++, to += zero_.size()) {
    std::memcpy(to, zero_.data(), zero_.size());
  }
}

void IntegerRows::copy_line(int image, int line, char* to) const {
  const int y = line - vertical_.before;
  if (y < 0 || y >= vertical_.in) return write_zeros(horizontal_.padded(), to);
  write_zeros(horizontal_.before, to);
  to += static_cast<size_t>(horizontal_.before) * zero_.size();
  const size_t inside = static_cast<size_t>(horizontal_.in) * zero_.size();
  std::memcpy(to, source_.row<uint8_t>(image * source_.height() + y), inside);
  write_zeros(horizontal_.after, to + inside);
}

Patches<uint8_t> IntegerRows::patches(int row, Lines* lines) const {
  const int image = row / vertical_.out, y = row % vertical_.out;
  const char* first =
      held_.hold(image, y * vertical_.stride, lines,
                 [&](int line, char* to) { copy_line(image, line, to); });
  return layout_.at(reinterpret_cast<const uint8_t*>(first), 0, lines->offsets);
}

void IntegerRows::convolve(const Patches<uint8_t>& patches, int first, int count,
                           const PackedFilter::Chunk& chunk, float* output,
                           ptrdiff_t output_stride) const {
  convolve_pixels(kernels_, patches.from(first), count, chunk, affine_, output,
                  output_stride);
}

}  // namespace r2b
