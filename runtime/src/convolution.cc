#include "convolution.h"

#include <algorithm>

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

namespace {

// Chunks of channels, none of them in two groups; pack(chunk, to) writes each into
// memory of bytes_of(channels). Null where there is none left.
template <typename BytesOf, typename Pack>
std::shared_ptr<const PackedFilter> pack_chunks(int num_channels, int groups,
                                                MemoryPool* pool,
                                                const BytesOf& bytes_of,
                                                const Pack& pack) {
  auto packed = std::make_shared<PackedFilter>();
  const int in_group = num_channels / groups;
  for (int group = 0; group < groups; group++) {
    for (int first = 0; first < in_group; first += kChunkChannels) {
      PackedFilter::Chunk chunk = {group * in_group + first,
                                   std::min(kChunkChannels, in_group - first), group,
                                   nullptr};
      char* to = pool->take(static_cast<int64_t>(bytes_of(chunk.num_channels)));
      if (to == nullptr) return nullptr;
      pack(chunk, to);
      chunk.data = to;
      packed->chunks.push_back(chunk);
    }
  }
  return packed;
}

}  // namespace

std::shared_ptr<const PackedFilter> pack_filter(const Kernels& kernels,
                                                const Graph& graph, const Operator& op,
                                                MemoryPool* pool, std::string* why) {
  const Value& filter = graph.input(op, 1);
  const int channels = filter.shape.dims[0];
  const int values = static_cast<int>(filter.shape.elements() / channels);
  const auto place_of = [&](const PackedFilter::Chunk& chunk) {
    return static_cast<size_t>(chunk.first_channel) * static_cast<size_t>(values);
  };
  std::shared_ptr<const PackedFilter> packed;
  if (op.kind == OperatorKind::kBinaryConvolution) {
    const int groups =
        packed_words(static_cast<int32_t>(op.channels_in)) / filter.shape.dims[3];
    packed = pack_chunks(
        channels, groups, pool,
        [&](int count) { return kernels.binary_filter_bytes(count, values); },
        [&](const PackedFilter::Chunk& chunk, char* to) {
          kernels.pack_binary_filter(filter.words() + place_of(chunk),
                                     chunk.num_channels, values, to);
        });
  } else {
    const float* bias = graph.has_input(op, 2) ? graph.input(op, 2).floats() : nullptr;
    packed = pack_chunks(
        channels, 1, pool,
        [&](int count) { return kernels.real_filter_bytes(count, values); },
        [&](const PackedFilter::Chunk& chunk, char* to) {
          kernels.pack_real_filter(
              filter.floats() + place_of(chunk),
              bias == nullptr ? nullptr : bias + chunk.first_channel,
              chunk.num_channels, values, to);
        });
  }
  if (packed == nullptr) {
    *why = format("%s (node %d): no memory for its filter", op.name, op.node);
  }
  return packed;
}

std::shared_ptr<const PackedFilter> pack_integer_filter(
    const Kernels& kernels, const Graph& graph, const Operator& op,
    const IntegerLayer& layer, MemoryPool* pool, std::string* why) {
  const Value& filter = graph.input(op, 1);
  const int channels = filter.shape.dims[0];
  const int values = static_cast<int>(filter.shape.elements() / channels);
  const int runs = op.kind == OperatorKind::kDense ? 1 : filter.shape.dims[1];
  // Of one chunk at a time: a file's largest layer would need much more.
  const Memory scratch = allocate(Size(kChunkChannels) * values);
  auto* weights = reinterpret_cast<int8_t*>(scratch.get());
  std::shared_ptr<const PackedFilter> packed;
  if (weights != nullptr) {
    packed = pack_chunks(
        channels, 1, pool,
        [&](int count) {
          return kernels.integer_filter_bytes(count, runs, values / runs);
        },
        [&](const PackedFilter::Chunk& chunk, char* to) {
          int32_t bias[kChunkChannels];
          int8_t* weight = weights;
          for (int i = 0; i < chunk.num_channels; i++) {
            const int c = chunk.first_channel + i;
            const float* from = filter.floats() + static_cast<ptrdiff_t>(c) * values;
            const float own =
                graph.has_input(op, 2) ? graph.input(op, 2).floats()[c] : 0.0f;
            int64_t whole = static_cast<int64_t>(own);
            for (int k = 0; k < values; k++, weight++) {
              *weight = static_cast<int8_t>(from[k]);
              // What the bytes are too large or too small by.
              whole += int64_t{layer.lowest_of(k)} * *weight;
            }
            bias[i] = static_cast<int32_t>(whole);
          }
          kernels.pack_integer_filter(weights, bias, chunk.num_channels, runs,
                                      values / runs, to);
        });
  }
  if (packed == nullptr) {
    *why = format("%s (node %d): no memory for its filter", op.name, op.node);
  }
  return packed;
}

}  // namespace r2b
