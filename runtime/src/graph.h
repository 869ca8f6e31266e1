// The part of a model that the delegate runs: operators in order, and their values.
#ifndef R2B_GRAPH_H_
#define R2B_GRAPH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"
#include "operators.h"
#include "shapes.h"

namespace r2b {

// Rows and columns of padding that a value is stored with.
struct Frame {
  int top = 0, bottom = 0, left = 0, right = 0;

  bool is_empty() const { return (top | bottom | left | right) == 0; }
  bool holds(const Frame& other) const {
    return top >= other.top && bottom >= other.bottom && left >= other.left &&
           right >= other.right;
  }
};

// A tensor, constant or not.
struct Value {
  int tensor = -1;  // index in LiteRT's graph; -1: the delegate's own
  TfLiteType type = kTfLiteNoType;
  Shape shape;
  float scale = 0;
  int32_t zero_point = 0;
  // Constants: their bytes, as many as the shape says. Null: computed.
  const void* constant = nullptr;
  Memory own;  // what holds `constant` where the file does not, as it is needed
  const void* packed = nullptr;  // the file's, of fewer bits, where it was unpacked
  bool from_outside = false;     // LiteRT holds it, something else writes it
  bool to_outside = false;       // LiteRT holds it, something else reads it

  // Memory, from here on set when the program is laid out.
  Frame frame;
  char* data = nullptr;

  // Of a constant, which is aligned when the graph was read.
  const float* floats() const { return static_cast<const float*>(constant); }
  const uint32_t* words() const { return static_cast<const uint32_t*>(constant); }
  bool outside() const { return from_outside || to_outside; }
  // As rows of pixels: [N, H, W, C] has N * H rows of W pixels; others one pixel a row.
  // Without elements there are no rows.
  int rows() const;
  int row_pixels() const { return shape.rank == 4 ? shape.dims[2] : 1; }
  int height() const { return shape.rank == 4 ? shape.dims[1] : 1; }
  int channels() const { return shape.last(); }
  // Bytes without the frame.
  Size plain_bytes() const {
    return Size(shape.elements()) * static_cast<int64_t>(element_bytes(type));
  }
  // Bytes with the frame; -1 where they cannot be counted.
  int64_t bytes() const;
  // Elements from a row to the one below it.
  int64_t row_pitch() const {
    return (static_cast<int64_t>(frame.left) + row_pixels() + frame.right) * channels();
  }
  // First pixel of a row inside the frame.
  template <typename Element>
  Element* row(int row) const {
    int64_t line = row;
    // Divided only where it has to be: this is asked for every few pixels.
    if (!frame.is_empty()) {
      const int64_t image = row / height();
      line += image * (static_cast<int64_t>(frame.top) + frame.bottom) + frame.top;
    }
    return reinterpret_cast<Element*>(data) + line * row_pitch() +
           static_cast<int64_t>(frame.left) * channels();
  }
};

// For each tensor that a DEQUANTIZE makes of a constant: that constant's tensor.
using ConstantSources = std::map<int, int>;

class Graph {
 public:
  // Reads the nodes of one partition (operators with value indices in place of tensors).
  bool read(TfLiteContext* context, const TfLiteIntArray* nodes,
            const TfLiteIntArray* outputs, const ConstantSources& sources,
            std::string* why);
  // Takes the shapes of what comes from outside, infers all others.
  bool infer_shapes(TfLiteContext* context, std::string* why);

  std::vector<Operator> operators;
  std::vector<std::unique_ptr<Value>> values;

  Value& input(const Operator& op, size_t i) const {
    return *values[static_cast<size_t>(op.inputs[i])];
  }
  bool has_input(const Operator& op, size_t i) const {
    return i < op.inputs.size() && op.inputs[i] >= 0;
  }
  Value& output(const Operator& op) const {
    return *values[static_cast<size_t>(op.output)];
  }
  // True for MEAN, and for an AVERAGE_POOL_2D whose only window holds the whole map.
  bool is_mean(const Operator& op) const;
  // Adds a value of the delegate's own.
  Value* add_value(TfLiteType type, const Shape& shape);

 private:
  using Indices = std::map<int, int>;  // of values, by their tensors

  // The index of a tensor's value; -1, with a reason, where it cannot be read.
  int value_of(TfLiteContext* context, int tensor, const ConstantSources& sources,
               Indices* indices, std::string* why);
};

// Describes a tensor of LiteRT's as it is loaded, with its data where it is constant.
bool read_value(const TfLiteContext& context, int tensor, Value* value,
                std::string* why);

// Checks an operator against its inputs and gives the shape of its output. `output` has
// the type, quantization and (for LceDequantize) the channels that the file names.
bool infer_output(const Operator& op, const std::vector<const Value*>& inputs,
                  const Value& output, Shape* shape, std::string* why);

// True where what takes `plain` bytes can take so many with its padding: not many times
// more.
bool can_be_padded(Size padded, Size plain);

// True where maps [N, H, W, C] of 4-byte elements can have so many lines and pixels a
// line with their padding.
bool can_be_padded(const Shape& shape, Size lines, Size pixels);

// The two axes of an operator with a window over [N, H, W, C]. Where they are a
// filter's, false as well where the padding would be much larger than the input.
bool make_axes(const Operator& op, const Value& input, const Value* filter,
               Axis* vertical, Axis* horizontal, std::string* why);

// A float16 or int8 constant as float32; false where its quantization is not readable.
bool unpack_constant(const TfLiteTensor& tensor, const Value& packed, float* floats);

}  // namespace r2b

#endif  // R2B_GRAPH_H_
