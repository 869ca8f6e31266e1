// Convolutions: binary, real-valued, and what both share.
#ifndef R2B_CONVOLUTION_H_
#define R2B_CONVOLUTION_H_

#include <cstdlib>
#include <memory>
#include <vector>

#include "finish.h"
#include "graph.h"
#include "kernels/kernels.h"
#include "step.h"

namespace r2b {

// Output channels are worked on in chunks: a chunk of a row fits the first-level cache.
constexpr int kChunkChannels = 64;

// Memory at 64-byte addresses; null where there is none left.
struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<char, FreeMemory>;
Memory allocate(int64_t bytes);

// Where a convolution finds its patches in a value with a frame around it.
class PatchLayout {
 public:
  PatchLayout() = default;
  // Patches over `channels` of the value's channels, from `first_channel` of a group on.
  PatchLayout(const Value& source, const Axis& vertical, const Axis& horizontal,
              int channels);
  // The frame that these patches touch.
  static Frame frame(const Axis& vertical, const Axis& horizontal);

  template <typename Element>
  Patches<Element> row(const Value& source, int output_row, int first_channel) const {
    const int image = output_row / vertical_.out, y = output_row % vertical_.out;
    const Element* first = source.row<Element>(image * source.height());
    const ptrdiff_t start =
        (static_cast<ptrdiff_t>(y) * vertical_.stride - vertical_.before) *
            source.row_pitch() -
        static_cast<ptrdiff_t>(horizontal_.before) * source.channels();
    return {first + start + first_channel, pixel_step_, offsets_.data(),
            static_cast<int>(offsets_.size()), run_length_};
  }

 private:
  Axis vertical_, horizontal_;
  ptrdiff_t pixel_step_ = 0;
  std::vector<ptrdiff_t> offsets_;
  int run_length_ = 0;
};

// Filters in the order that a kernel wants, one chunk of output channels after another.
class PackedFilter {
 public:
  struct Chunk {
    int first_channel, num_channels, group;
    const void* data;
  };
  // filter: [num_channels][values]; false where memory is short.
  bool pack_binary(const Kernels& kernels, const uint32_t* filter, int num_channels,
                   int values, int groups);
  bool pack_real(const Kernels& kernels, const float* filter, const float* bias,
                 int num_channels, int values);
  const std::vector<Chunk>& chunks() const { return chunks_; }

 private:
  bool divide(int num_channels, int groups);

  std::vector<Chunk> chunks_;
  std::vector<Memory> memory_;
};

std::unique_ptr<Step> make_binary_convolution(const Kernels& kernels, const Graph& graph,
                                              const Operator& op,
                                              std::shared_ptr<const PackedFilter> filter,
                                              Value* source, const Finish& finish,
                                              std::string* why);

// CONV_2D and FULLY_CONNECTED.
std::unique_ptr<Step> make_real_convolution(const Kernels& kernels, const Graph& graph,
                                            const Operator& op,
                                            std::shared_ptr<const PackedFilter> filter,
                                            Value* source, const Finish& finish,
                                            std::string* why);

// Packs the constant filter of a convolution; null, with a reason, where it cannot.
std::shared_ptr<const PackedFilter> pack_filter(const Kernels& kernels,
                                                const Graph& graph, const Operator& op,
                                                std::string* why);

}  // namespace r2b

#endif  // R2B_CONVOLUTION_H_
