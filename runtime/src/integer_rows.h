// Rows of a convolution of bytes, one after another: the lines that are looked at are
// copied, with bytes around them that stand for zeros.
#ifndef R2B_INTEGER_ROWS_H_
#define R2B_INTEGER_ROWS_H_

#include <memory>
#include <vector>

#include "convolution.h"
#include "graph.h"
#include "held_lines.h"
#include "kernels/kernels.h"

namespace r2b {

class IntegerRows {
 public:
  using Lines = HeldLines::Lines;

  IntegerRows(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
              const Value& source, const IntegerLayer& layer, const Axis& vertical,
              const Axis& horizontal, const Affine& affine);

  // What these do is said in real_rows.h.
  int num_rows() const { return source_.shape.dims[0] * vertical_.out; }
  int rows_an_image() const { return vertical_.out; }
  int width() const { return horizontal_.out; }
  const PackedFilter& filter() const { return *filter_; }
  Size lines_bytes() const;
  Lines begin(char* memory) const;
  Patches<uint8_t> patches(int row, Lines* lines) const;
  void convolve(const Patches<uint8_t>& patches, int first, int count,
                const PackedFilter::Chunk& chunk, float* output,
                ptrdiff_t output_stride) const;

 private:
  Size held_bytes() const { return (held_.bytes() + kBytesBehind).rounded_up(64); }
  // `pixels` pixels of zeros.
  void write_zeros(int pixels, char* to) const;
  void copy_line(int image, int line, char* to) const;

  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  Axis vertical_, horizontal_;
  Affine affine_;
  std::vector<uint8_t> zero_;  // a pixel of zeros
  HeldLines held_;
  PatchLayout layout_;
};

}  // namespace r2b

#endif  // R2B_INTEGER_ROWS_H_
