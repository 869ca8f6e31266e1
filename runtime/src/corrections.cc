#include "corrections.h"

#include <cstddef>
#include <map>
#include <utility>

namespace r2b {

namespace {

using Taps = std::pair<int, int>;  // first inside, one past the last inside

// Numbers the different ranges of inside taps along an axis.
std::vector<Taps> classify(const Axis& axis, std::vector<int>* class_of) {
  std::map<Taps, int> known;
  std::vector<Taps> classes;
  for (int o = 0; o < axis.out; o++) {
    const Taps taps(axis.first_tap(o), axis.end_tap(o));
    const auto found = known.emplace(taps, static_cast<int>(classes.size()));
    if (found.second) classes.push_back(taps);
    class_of->push_back(found.first->second);
  }
  return classes;
}

}  // namespace

Corrections::Corrections(const Axis& vertical, const Axis& horizontal,
                         const std::vector<int32_t>& tap_sums,
                         const std::vector<float>& factors) {
  const std::vector<Taps> rows = classify(vertical, &row_class_);
  std::vector<int> column_class;
  const std::vector<Taps> columns = classify(horizontal, &column_class);
  entries_.resize(rows.size() * columns.size());

  const int height = vertical.kernel, width = horizontal.kernel;
  const size_t taps = static_cast<size_t>(height) * width;
  // Per channel: area[y][x] = sum over taps above y and left of x.
  std::vector<int32_t> area(static_cast<size_t>(height + 1) * (width + 1));
  for (size_t c = 0; c < factors.size(); c++) {
    const int32_t* sums = tap_sums.data() + c * taps;
    const auto at_corner = [&](int y, int x) -> int32_t& {
      return area[static_cast<size_t>(y) * (width + 1) + x];
    };
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        at_corner(y + 1, x + 1) = sums[y * width + x] + at_corner(y, x + 1) +
                                  at_corner(y + 1, x) - at_corner(y, x);
      }
    }
    for (size_t i = 0; i < entries_.size(); i++) {
      const Taps v = rows[i / columns.size()], h = columns[i % columns.size()];
      if (v == Taps(0, height) && h == Taps(0, width)) continue;
      const int32_t inside = at_corner(v.second, h.second) -
                             at_corner(v.first, h.second) -
                             at_corner(v.second, h.first) + at_corner(v.first, h.first);
      const int32_t outside = at_corner(height, width) - inside;
      entries_[i].push_back(factors[c] * static_cast<float>(outside));
    }
  }
  for (size_t row = 0; row < rows.size(); row++) {
    rows_.emplace_back();
    for (const int column : column_class) {
      const size_t i = row * columns.size() + static_cast<size_t>(column);
      rows_.back().push_back(entries_[i].empty() ? nullptr : entries_[i].data());
    }
  }
}

Size Corrections::bytes(const Axis& vertical, const Axis& horizontal, int channels) {
  std::vector<int> unused;
  const Size rows = static_cast<int64_t>(classify(vertical, &unused).size());
  const Size columns = static_cast<int64_t>(classify(horizontal, &unused).size());
  return rows * columns * channels * int64_t{sizeof(float)} +
         rows * horizontal.out * int64_t{sizeof(const float*)};
}

Corrections::Corrections(const WithConstantMap& map, int height, int width,
                         int channels)
    : map_(map.values), width_(width), channels_(channels) {
  if (map.how != WithConstantMap::kDifference) return;
  entries_.emplace_back(map_, map_ + ptrdiff_t{height} * width * channels);
  for (float& value : entries_[0]) value = -value;
  map_ = entries_[0].data();
}

const float* const* Corrections::at(int y, const Span& span,
                                    const float** memory) const {
  if (map_ != nullptr) {
    const float* pixel = map_ + (ptrdiff_t{y} * width_ + span.first_pixel) * channels_ +
                         span.first_channel;
    for (int x = 0; x < span.num_pixels; x++, pixel += channels_) memory[x] = pixel;
    return memory;
  }
  const int row_class = row_class_[static_cast<size_t>(y)];
  const float* const* row =
      rows_[static_cast<size_t>(row_class)].data() + span.first_pixel;
  if (span.first_channel == 0) return row;
  for (int x = 0; x < span.num_pixels; x++) {
    memory[x] = row[x] == nullptr ? nullptr : row[x] + span.first_channel;
  }
  return memory;
}

}  // namespace r2b
