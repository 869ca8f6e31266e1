// Shapes of tensors and the geometry of windows (convolutions and pools), with every
// product checked: numbers come from files that nobody vouches for.
#ifndef R2B_SHAPES_H_
#define R2B_SHAPES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "litert_abi.h"
#include "sizes.h"

namespace r2b {

constexpr int kMaxRank = 6;

struct Shape {
  int rank = 0;
  int32_t dims[kMaxRank] = {};

  // False where the rank is above kMaxRank, or an extent is negative.
  bool read(const TfLiteIntArray* array);
  // Lets heights and widths of which `signature` says that they are open (-1) be some
  // usual one: a file has 1 for them.
  void open(const TfLiteIntArray* signature);
  // Number of elements; -1 where it is 2^31 or more, or would be without the dimensions
  // that are 0: their other dimensions are no larger than those of tensors.
  int64_t elements() const;
  int32_t last() const { return rank == 0 ? 1 : dims[rank - 1]; }
  // All dimensions but the last, multiplied.
  int64_t pixels() const { return last() == 0 ? 0 : elements() / last(); }
  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }
  // For example "[1, 8, 8, 16]".
  std::string text() const;
};

Shape make_shape(int32_t batch, int32_t height, int32_t width, int32_t channels);

enum class Padding { kSame, kValid };

// A sliding window along one dimension.
struct Axis {
  int in = 0, kernel = 0, stride = 0, dilation = 0;
  int out = 0;
  int before = 0, after = 0;  // padding that the patches touch

  // The taps of output position `o` that lie inside are first_tap(o) <= tap < end_tap(o).
  int first_tap(int o) const;
  int end_tap(int o) const;
  // The most of them that lie inside of the input.
  int most_taps() const { return kernel < in ? kernel : in; }
  // From the first tap to the last, both included.
  int reach() const { return (kernel - 1) * dilation + 1; }
  // The input with its padding.
  int padded() const { return before + in + after; }
};

// Fills `axis` as TensorFlow lays windows; false, with a reason, where none fits.
bool make_axis(int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
               Padding padding, Axis* axis, std::string* why);

// ceil(channels / 32): words of a packed pixel.
inline int32_t packed_words(int32_t channels) {
  return static_cast<int32_t>((static_cast<int64_t>(channels) + 31) / 32);
}

// Bytes of one element, 0 for types that are not used here.
size_t element_bytes(TfLiteType type);

// printf into a string.
std::string format(const char* text, ...) __attribute__((format(printf, 1, 2)));

}  // namespace r2b

#endif  // R2B_SHAPES_H_
