// Rows of a real-valued convolution, one after another, with the padding put around
// just the lines of the input that are looked at.
#ifndef R2B_REAL_ROWS_H_
#define R2B_REAL_ROWS_H_

#include <memory>

#include "convolution.h"
#include "graph.h"
#include "held_lines.h"
#include "kernels/kernels.h"

namespace r2b {

class RealRows {
 public:
  using Lines = HeldLines::Lines;

  RealRows(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
           const Value& source, const Axis& vertical, const Axis& horizontal);

  int num_rows() const { return source_.shape.dims[0] * vertical_.out; }
  int rows_an_image() const { return vertical_.out; }
  int width() const { return horizontal_.out; }
  const PackedFilter& filter() const { return *filter_; }

  Size lines_bytes() const;
  // No lines yet, in `memory` of `lines_bytes`.
  Lines begin(char* memory) const;

  // Patches of an output row.
  Patches<float> patches(int row, Lines* lines) const;
  // `count` pixels of a row from `first` on, one chunk of their channels:
  // [count][output_stride].
  void convolve(const Patches<float>& patches, int first, int count,
                const PackedFilter::Chunk& chunk, float* output,
                ptrdiff_t output_stride) const;

 private:
  Size held_bytes() const;
  void copy_line(int image, int line, float* to) const;

  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  Axis vertical_, horizontal_;
  bool needs_padding_;
  ptrdiff_t pitch_;  // floats from a line to the next
  HeldLines held_;
  PatchLayout layout_;
};

}  // namespace r2b

#endif  // R2B_REAL_ROWS_H_
