#include "convolution.h"

#include <algorithm>
#include <cstring>

namespace r2b {

PatchLayout::PatchLayout(int channels, ptrdiff_t pitch, const Axis& vertical,
                         const Axis& horizontal, int group_channels) {
  pixel_step_ = static_cast<ptrdiff_t>(horizontal.stride) * channels;
  // Neighbouring taps are one run where they are neighbours in memory.
  const bool adjacent = horizontal.dilation == 1 && group_channels == channels;
  run_length_ = adjacent ? channels * horizontal.kernel : group_channels;
  runs_a_line_ = adjacent ? 1 : horizontal.kernel;
  run_step_ = static_cast<ptrdiff_t>(horizontal.dilation) * channels;
  lines_ = vertical.kernel;
  line_step_ = static_cast<ptrdiff_t>(vertical.dilation) * pitch;
}

void PatchLayout::write_offsets(ptrdiff_t* to) const {
  for (int y = 0; y < lines_; y++) {
    for (int x = 0; x < runs_a_line_; x++) *to++ = y * line_step_ + x * run_step_;
  }
}

Frame PatchLayout::frame(const Axis& vertical, const Axis& horizontal) {
  Frame frame;
  frame.top = vertical.before;
  frame.bottom = vertical.after;
  frame.left = horizontal.before;
  frame.right = horizontal.after;
  return frame;
}

void PackedFilter::divide(int num_channels, int groups) {
  const int in_group = num_channels / groups;
  for (int group = 0; group < groups; group++) {
    for (int first = 0; first < in_group; first += kChunkChannels) {
      chunks_.push_back({group * in_group + first,
                         std::min(kChunkChannels, in_group - first), group, nullptr});
    }
  }
}

bool PackedFilter::pack_binary(const Kernels& kernels, const uint32_t* filter,
                               int num_channels, int values, int groups,
                               MemoryPool* pool) {
  divide(num_channels, groups);
  for (Chunk& chunk : chunks_) {
    char* to = pool->take(
        static_cast<int64_t>(kernels.binary_filter_bytes(chunk.num_channels, values)));
    if (to == nullptr) return false;
    kernels.pack_binary_filter(
        filter + static_cast<ptrdiff_t>(chunk.first_channel) * values,
        chunk.num_channels, values, to);
    chunk.data = to;
  }
  return true;
}

bool PackedFilter::pack_real(const Kernels& kernels, const float* filter,
                             const float* bias, int num_channels, int values,
                             MemoryPool* pool) {
  divide(num_channels, 1);
  for (Chunk& chunk : chunks_) {
    char* to = pool->take(
        static_cast<int64_t>(kernels.real_filter_bytes(chunk.num_channels, values)));
    if (to == nullptr) return false;
    kernels.pack_real_filter(
        filter + static_cast<ptrdiff_t>(chunk.first_channel) * values,
        bias == nullptr ? nullptr : bias + chunk.first_channel, chunk.num_channels,
        values, to);
    chunk.data = to;
  }
  return true;
}

std::shared_ptr<const PackedFilter> pack_filter(const Kernels& kernels,
                                                const Graph& graph, const Operator& op,
                                                MemoryPool* pool, std::string* why) {
  const Value& filter = graph.input(op, 1);
  const int channels = filter.shape.dims[0];
  const int values = static_cast<int>(filter.shape.elements() / channels);
  auto packed = std::make_shared<PackedFilter>();
  bool done = false;
  if (op.kind == OperatorKind::kBinaryConvolution) {
    // Copied first: constants in a file are aligned to nothing in particular.
    std::vector<uint32_t> words(static_cast<size_t>(channels) * values);
    std::memcpy(words.data(), filter.constant, words.size() * sizeof(uint32_t));
    const int groups =
        packed_words(static_cast<int32_t>(op.channels_in)) / filter.shape.dims[3];
    done = packed->pack_binary(kernels, words.data(), channels, values, groups, pool);
  } else {
    const std::vector<float> weights = copy_floats(filter);
    const std::vector<float> bias =
        graph.has_input(op, 2) ? copy_floats(graph.input(op, 2)) : std::vector<float>();
    done = packed->pack_real(kernels, weights.data(),
                             bias.empty() ? nullptr : bias.data(), channels, values,
                             pool);
  }
  if (done) return packed;
  *why = format("%s (node %d): no memory for its filter", op.name, op.node);
  return nullptr;
}

}  // namespace r2b
