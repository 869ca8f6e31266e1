// Convolutions: binary, real-valued, and what both share.
#ifndef R2B_CONVOLUTION_H_
#define R2B_CONVOLUTION_H_

#include <memory>
#include <vector>

#include "corrections.h"
#include "finish.h"
#include "graph.h"
#include "integer_layers.h"
#include "kernels/kernels.h"
#include "memory.h"
#include "step.h"

namespace r2b {

// Output channels are worked on in chunks: a chunk of a row fits the first-level cache.
constexpr int kChunkChannels = 64;

// Where a convolution finds its patches, in memory with the padding around it.
class PatchLayout {
 public:
  PatchLayout() = default;
  // Patches over `group_channels` of the `channels` of each pixel; `pitch` elements from
  // a line to the next.
  PatchLayout(int channels, ptrdiff_t pitch, const Axis& vertical,
              const Axis& horizontal, int group_channels);
  // The frame that the patches over a tensor touch.
  static Frame frame(const Axis& vertical, const Axis& horizontal);

  // Where the runs of a patch begin, for memory of a thread's own: a filter may have
  // many taps, and a program many convolutions by it.
  Size offsets_bytes() const { return Size(num_runs()) * sizeof(ptrdiff_t); }
  void write_offsets(ptrdiff_t* to) const;
  // Patches from the one on that begins at `memory` + `start`, by those offsets.
  template <typename Element>
  Patches<Element> at(const Element* memory, ptrdiff_t start,
                      const ptrdiff_t* offsets) const {
    return {memory + start, pixel_step_, offsets, num_runs(), run_length_};
  }

 private:
  int num_runs() const { return lines_ * runs_a_line_; }

  ptrdiff_t pixel_step_ = 0, run_step_ = 0, line_step_ = 0;
  int run_length_ = 0, runs_a_line_ = 0, lines_ = 0;
};

// True for windows of one pixel, each pixel once.
inline bool is_pixelwise(const Axis& vertical, const Axis& horizontal) {
  const auto is_single = [](const Axis& axis) {
    return axis.kernel == 1 && axis.stride == 1 && axis.before == 0 && axis.after == 0;
  };
  return is_single(vertical) && is_single(horizontal);
}

// Of CONV_2D and FULLY_CONNECTED.
inline int64_t real_macs_of(const Graph& graph, const Operator& op) {
  return graph.output(op).shape.pixels() * graph.input(op, 1).shape.elements();
}

// Filters in the order that a kernel wants, one chunk of output channels after another.
struct PackedFilter {
  struct Chunk {
    int first_channel, num_channels, group;
    const void* data;
  };
  std::vector<Chunk> chunks;
};

// `map` comes before all the rest; there is none where the padding is zeros.
std::unique_ptr<Step> make_binary_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& op,
    std::shared_ptr<const PackedFilter> filter, Value* source,
    const WithConstantMap& map, const Finish& finish, std::string* why);

// CONV_2D and FULLY_CONNECTED.
std::unique_ptr<Step> make_real_convolution(const Kernels& kernels, const Graph& graph,
                                            const Operator& op,
                                            std::shared_ptr<const PackedFilter> filter,
                                            Value* source, const Finish& finish,
                                            std::string* why);

// A CONV_2D and the pool over it, without the map between them in memory.
std::unique_ptr<Step> make_pooled_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& convolution,
    std::shared_ptr<const PackedFilter> filter, const Finish& between,
    const Operator& pool, const Finish& finish, std::string* why);

// What an integer layer's sums are multiplied by and what is added; null: left out.
struct Affine {
  const float* factor = nullptr;
  const float* addend = nullptr;
};

// One chunk of the channels of `count` pixels: [count][output_stride].
inline void convolve_pixels(const Kernels& kernels, const Patches<float>& patches,
                            int count, const PackedFilter::Chunk& chunk, float* output,
                            ptrdiff_t output_stride) {
  RealConvRow work = {};
  work.patches = patches;
  work.filter = chunk.data;
  work.num_pixels = count;
  work.num_channels = chunk.num_channels;
  work.output = output;
  work.output_stride = output_stride;
  kernels.real_conv_row(work);
}

// The same of bytes.
inline void convolve_pixels(const Kernels& kernels, const Patches<uint8_t>& patches,
                            int count, const PackedFilter::Chunk& chunk,
                            const Affine& affine, float* output,
                            ptrdiff_t output_stride) {
  IntegerConvRow work = {};
  work.patches = patches;
  work.filter = chunk.data;
  work.num_pixels = count;
  work.num_channels = chunk.num_channels;
  if (affine.factor != nullptr) work.multiplier = affine.factor + chunk.first_channel;
  if (affine.addend != nullptr) work.addend = affine.addend + chunk.first_channel;
  work.output = output;
  work.output_stride = output_stride;
  kernels.integer_conv_row(work);
}

// The convolution of bytes: `source` holds them.
std::unique_ptr<Step> make_integer_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& op,
    const IntegerLayer& layer, std::shared_ptr<const PackedFilter> filter,
    Value* source, const Affine& affine, const Finish& finish, std::string* why);
std::unique_ptr<Step> make_pooled_integer_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& convolution,
    const IntegerLayer& layer, std::shared_ptr<const PackedFilter> filter,
    Value* source, const Affine& affine, const Finish& between, const Operator& pool,
    const Finish& finish, std::string* why);

// Floats to bytes, a pool before that or none.
std::unique_ptr<Step> make_quantization(const Kernels& kernels, const Operator* pool,
                                        const Value* source, const Quantization& how,
                                        Value* bytes, std::string* why);

// Packs the constant filter of a convolution into memory of `pool`, which has to outlive
// it; null, with a reason, where it cannot.
std::shared_ptr<const PackedFilter> pack_filter(const Kernels& kernels,
                                                const Graph& graph, const Operator& op,
                                                MemoryPool* pool, std::string* why);

std::shared_ptr<const PackedFilter> pack_integer_filter(
    const Kernels& kernels, const Graph& graph, const Operator& op,
    const IntegerLayer& layer, MemoryPool* pool, std::string* why);

}  // namespace r2b

#endif  // R2B_CONVOLUTION_H_
