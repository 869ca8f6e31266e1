// The lines of a padded map that a convolution looks at, in memory of a thread's own.
#ifndef R2B_HELD_LINES_H_
#define R2B_HELD_LINES_H_

#include <algorithm>
#include <cstring>

#include "shapes.h"
#include "sizes.h"

namespace r2b {

class HeldLines {
 public:
  // Lines that a thread holds; they are counted in the padded image. Rows that follow
  // each other find most of theirs there already.
  struct Lines {
    char* memory = nullptr;
    int image = -1;
    int first = 0, end = 0;
    ptrdiff_t* offsets = nullptr;  // of the runs of a patch
  };

  HeldLines() = default;
  // `pitch` bytes from a line to the next.
  HeldLines(const Axis& vertical, int64_t pitch)
      : reach_(vertical.reach()), pitch_(pitch) {
    // The last row needs no lines after its own.
    most_lines_ =
        reach_ + static_cast<int64_t>(std::min(kSpareStrides, vertical.out - 1)) *
                     vertical.stride;
  }

  Size bytes() const { return Size(most_lines_) * pitch_; }

  // Where line `first` is, with the others of a window behind it; write(line, to) writes
  // those that are not held yet.
  template <typename Write>
  const char* hold(int image, int first, Lines* lines, const Write& write) const {
    const int end = first + reach_;
    if (lines->image != image || first < lines->first || first > lines->end) {
      lines->image = image;
      lines->first = lines->end = first;
    }
    if (end - lines->first > most_lines_) {
      std::memmove(lines->memory, lines->memory + (first - lines->first) * pitch_,
                   static_cast<size_t>((lines->end - first) * pitch_));
      lines->first = first;
    }
    for (; lines->end < end; lines->end++) {
      write(lines->end, lines->memory + (lines->end - lines->first) * pitch_);
    }
    return lines->memory + (first - lines->first) * pitch_;
  }

 private:
  // Lines are moved up when the memory is full: with so many strides to spare, seldom.
  static constexpr int kSpareStrides = 12;

  int reach_ = 0;
  int64_t pitch_ = 0, most_lines_ = 0;
};

}  // namespace r2b

#endif  // R2B_HELD_LINES_H_
