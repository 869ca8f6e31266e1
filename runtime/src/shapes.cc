#include "shapes.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace r2b {

namespace {
constexpr int64_t kMaxElements = INT32_MAX;
// Strides and dilations beyond this have no use, and products with them stay in 64 bits.
constexpr int64_t kMaxStep = 1 << 20;
}  // namespace

bool Shape::read(const TfLiteIntArray* array) {
  if (array == nullptr || array->size < 0 || array->size > kMaxRank) return false;
  rank = array->size;
  for (int i = 0; i < rank; i++) {
    dims[i] = array->data[i];
    if (dims[i] < 0) return false;
  }
  return true;
}

void Shape::open(const TfLiteIntArray* signature) {
  // Of a map [N, H, W, C]. Larger than any window, and no map of that size is too large.
  constexpr int32_t kUsualSide = 256;
  if (rank != 4 || signature == nullptr || signature->size != rank) return;
  for (int i = 1; i < 3; i++) {
    if (signature->data[i] == -1) dims[i] = kUsualSide;
  }
}

int64_t Shape::elements() const {
  Size count = 1;
  bool is_empty = false;
  for (int i = 0; i < rank; i++) {
    is_empty = is_empty || dims[i] == 0;
    count = count * (dims[i] == 0 ? 1 : dims[i]);
  }
  if (!count.fits(kMaxElements)) return -1;
  return is_empty ? 0 : count.count();
}

bool Shape::operator==(const Shape& other) const {
  return rank == other.rank && std::equal(dims, dims + rank, other.dims);
}

std::string Shape::text() const {
  std::string text = "[";
  for (int i = 0; i < rank; i++) {
    if (i > 0) text += ", ";
    text += std::to_string(dims[i]);
  }
  return text + "]";
}

Shape make_shape(int32_t batch, int32_t height, int32_t width, int32_t channels) {
  Shape shape;
  shape.rank = 4;
  shape.dims[0] = batch;
  shape.dims[1] = height;
  shape.dims[2] = width;
  shape.dims[3] = channels;
  return shape;
}

int Axis::first_tap(int o) const {
  const int64_t start = static_cast<int64_t>(o) * stride - before;
  if (start >= 0) return 0;
  return static_cast<int>(
      std::min<int64_t>(kernel, (-start + dilation - 1) / dilation));
}

int Axis::end_tap(int o) const {
  const int64_t start = static_cast<int64_t>(o) * stride - before;
  const int64_t room = in - start;  // taps at start + tap * dilation < in
  if (room >= reach()) return kernel;
  if (room <= 0) return first_tap(o);
  const int64_t end = (room + dilation - 1) / dilation;
  return static_cast<int>(
      std::max<int64_t>(first_tap(o), std::min<int64_t>(kernel, end)));
}

bool make_axis(int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
               Padding padding, Axis* axis, std::string* why) {
  if (stride < 1 || dilation < 1 || stride > kMaxStep || dilation > kMaxStep) {
    *why = format("stride %lld and dilation %lld are not between 1 and %lld",
                  static_cast<long long>(stride), static_cast<long long>(dilation),
                  static_cast<long long>(kMaxStep));
    return false;
  }
  if (kernel < 1 || in < 1 || kernel > kMaxElements || in > kMaxElements) {
    *why = format("a window of %lld does not fit an input of %lld",
                  static_cast<long long>(kernel), static_cast<long long>(in));
    return false;
  }
  const int64_t reach = (kernel - 1) * dilation + 1;
  const int64_t out = padding == Padding::kSame ? (in + stride - 1) / stride
                                                : (in + stride - reach) / stride;
  if (out < 1) {
    *why = format("a window that reaches over %lld does not fit an input of %lld",
                  static_cast<long long>(reach), static_cast<long long>(in));
    return false;
  }
  const int64_t touched = (out - 1) * stride + reach - in;
  const int64_t total = std::max<int64_t>(0, touched);
  const int64_t before = padding == Padding::kSame ? total / 2 : 0;
  const int64_t after = std::max<int64_t>(0, touched - before);
  if (before + in + after > kMaxElements) {
    *why = format("padding %lld to %lld is too much", static_cast<long long>(in),
                  static_cast<long long>(before + in + after));
    return false;
  }
  axis->in = static_cast<int>(in);
  axis->kernel = static_cast<int>(kernel);
  axis->stride = static_cast<int>(stride);
  axis->dilation = static_cast<int>(dilation);
  axis->out = static_cast<int>(out);
  axis->before = static_cast<int>(before);
  axis->after = static_cast<int>(after);
  return true;
}

size_t element_bytes(TfLiteType type) {
  switch (type) {
    case kTfLiteFloat32:
    case kTfLiteInt32:
      return 4;
    case kTfLiteFloat16:
      return 2;
    case kTfLiteInt8:
    case kTfLiteUInt8:
    case kTfLiteBool:
      return 1;
    default:
      return 0;
  }
}

std::string format(const char* text, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, text);
  std::vsnprintf(buffer, sizeof buffer, text, arguments);
  va_end(arguments);
  return buffer;
}

}  // namespace r2b
