// LceBconv2d: count differing bits, then whatever follows, a row of output at a time.

#include <algorithm>
#include <cmath>

#include "convolution.h"
#include "corrections.h"

namespace r2b {

namespace {

// From counts of differing bits to values, as Larq Compute Engine rounds them.
struct OutputTransform {
  int32_t clamp_min = INT32_MIN, clamp_max = INT32_MAX;
  std::vector<float> multiplier, bias;
};

// The clamp of the fused activation, moved to 2 * count = bits - accumulator.
void set_clamp(Activation activation, int32_t bits, OutputTransform* transform) {
  if (activation == Activation::kNone) return;
  const int32_t lowest = activation == Activation::kReluN1To1 ? -1 : 0;
  int32_t highest = bits;
  if (activation == Activation::kReluN1To1) highest = 1;
  if (activation == Activation::kRelu6) highest = 6;
  transform->clamp_min = bits - std::min(highest, bits);
  transform->clamp_max = bits - std::max(lowest, -bits);
}

OutputTransform make_transform(const Graph& graph, const Operator& op, int32_t bits) {
  OutputTransform transform;
  const Value& output = graph.output(op);
  if (output.type == kTfLiteInt32) {
    // count > threshold is threshold - count < 0: -count + shift, see the sign of it.
    const size_t channels = static_cast<size_t>(graph.input(op, 4).shape.dims[0]);
    transform.multiplier.assign(channels, -0.5f);
    transform.bias.assign(channels, 0.0f);
    return transform;
  }
  set_clamp(op.activation, bits, &transform);
  const auto floats_of = [](const Value& value) {
    return std::vector<float>(value.floats(), value.floats() + value.shape.elements());
  };
  transform.multiplier = floats_of(graph.input(op, 2));
  transform.bias = floats_of(graph.input(op, 3));
  const bool is_int8 = output.type == kTfLiteInt8;
  const double scale = is_int8 ? output.scale : 1.0;
  const double zero_point = is_int8 ? output.zero_point : 0.0;
  for (size_t i = 0; i < transform.bias.size(); i++) {
    const double factor = transform.multiplier[i], addend = transform.bias[i];
    transform.multiplier[i] = static_cast<float>(-1 * factor / scale);
    transform.bias[i] =
        static_cast<float>((addend + bits * factor) / scale + zero_point);
  }
  return transform;
}

int popcount(const uint32_t* words, int count) {
  int bits = 0;
  for (int i = 0; i < count; i++) bits += __builtin_popcount(words[i]);
  return bits;
}

class BinaryConvolution : public Step {
 public:
  BinaryConvolution(const Kernels& kernels, std::shared_ptr<const PackedFilter> filter,
                    const Value& source, Value* output, const Axis& vertical,
                    const Axis& horizontal, const Finish& finish)
      : kernels_(kernels),
        filter_(std::move(filter)),
        source_(source),
        output_(output),
        vertical_(vertical),
        finish_(finish),
        width_(horizontal.out),
        rows_(source.shape.dims[0] * vertical.out) {}

  // Sets what depends on the operator; called once, before anything else.
  void prepare(const Graph& graph, const Operator& op, const Axis& horizontal,
               const WithConstantMap& map) {
    const Value& filter = graph.input(op, 1);
    channels_ = filter.shape.dims[0];
    group_words_ = filter.shape.dims[3];
    const int groups = source_.channels() / group_words_;
    const int32_t group_channels = static_cast<int32_t>(op.channels_in / groups);
    const int32_t bits = filter.shape.dims[1] * filter.shape.dims[2] * group_channels;
    transform_ = make_transform(graph, op, bits);
    patches_ = PatchLayout(source_.channels(), source_.row_pitch(), vertical_,
                           horizontal, group_words_);
    left_ = horizontal.before;
    whole_rows_ = groups > 1;
    const int block = std::max(kernels_.binary_channel_block, 1);
    stride_ = (whole_rows_ ? channels_ : kChunkChannels) + block;
    if (output_->type == kTfLiteInt32) set_thresholds(graph.input(op, 4), bits);
    const bool is_empty = output_->shape.elements() == 0;
    if (op.padding == Padding::kSame && !op.pad_with_ones && !is_empty) {
      set_padding(graph, op, horizontal, group_channels);
    } else if (map.values != nullptr && !is_empty) {
      in_float_ = true;
      if (map.how == WithConstantMap::kFromConstant) {
        for (float& each : transform_.multiplier) each = -each;
        for (float& each : transform_.bias) each = -each;
      }
      corrections_ = Corrections(map, vertical_.out, width_, channels_);
    }
    // With few rows the channels are divided as well, so that threads have enough.
    const int chunks = static_cast<int>(filter_->chunks.size());
    parts_ = whole_rows_ ? 1 : std::clamp(32 / std::max(rows_, 1), 1, chunks);
  }

  int units() const override { return rows_ * parts_; }

  Size scratch_bytes() const override {
    const Size pixel =
        Size(stride_) * (sizeof(int32_t) + sizeof(float)) + sizeof(const float*);
    return pixel * kSegmentPixels + patches_.offsets_bytes();
  }

  void run(int begin, int end, char* scratch) const override {
    Tile tile;
    tile.counts = reinterpret_cast<int32_t*>(scratch);
    tile.values = reinterpret_cast<float*>(tile.counts + kSegmentPixels * stride_);
    tile.corrections =
        reinterpret_cast<const float**>(tile.values + kSegmentPixels * stride_);
    tile.offsets = reinterpret_cast<ptrdiff_t*>(tile.corrections + kSegmentPixels);
    patches_.write_offsets(tile.offsets);
    const int num_chunks = static_cast<int>(filter_->chunks.size());
    for (int unit = begin; unit < end; unit++) {
      const int row = unit % rows_, part = unit / rows_;
      const int first = num_chunks * part / parts_,
                last = num_chunks * (part + 1) / parts_;
      if (whole_rows_) {
        convolve_groups(row, tile);
        continue;
      }
      for (int i = first; i < last; i++) {
        const PackedFilter::Chunk& chunk = filter_->chunks[static_cast<size_t>(i)];
        const Patches<uint32_t> patches = patches_of(row, chunk.group, tile);
        for (int x = 0; x < width_; x += kSegmentPixels) {
          const Span span = {row, x, std::min(kSegmentPixels, width_ - x),
                             chunk.first_channel, chunk.num_channels};
          count(patches, span, chunk, tile.counts);
          finish(span, tile);
        }
      }
    }
  }

 private:
  // A segment of a row of output on its way, in scratch memory.
  struct Tile {
    int32_t* counts;            // [pixels][stride]
    float* values;              // [pixels][stride]
    const float** corrections;  // [pixels]
    ptrdiff_t* offsets;         // of the runs of a patch
  };

  void set_thresholds(const Value& value, int32_t bits) {
    const auto* thresholds = static_cast<const int32_t*>(value.constant);
    thresholds_.clear();
    // A count lies in 0..bits: thresholds beyond say always or never, as -1 and bits do.
    for (int i = 0; i < value.shape.dims[0]; i++) {
      thresholds_.push_back(static_cast<float>(std::clamp(thresholds[i], -1, bits)));
    }
    finish_.shift = thresholds_.data();
    finish_.packed = output_;
  }

  void set_padding(const Graph& graph, const Operator& op, const Axis& horizontal,
                   int32_t group_channels) {
    const Value& filter = graph.input(op, 1);
    const uint32_t* words = filter.words();
    std::vector<int32_t> sums(
        static_cast<size_t>(filter.shape.elements() / group_words_));
    for (int32_t& sum : sums) {
      sum = group_channels - 2 * popcount(words, group_words_);
      words += group_words_;
    }
    // LCE adds to float32 results and counts in integers where it can not.
    in_float_ = output_->type == kTfLiteFloat32 && op.activation == Activation::kNone;
    std::vector<float> factors(static_cast<size_t>(channels_), 0.5f);
    if (in_float_) {
      const float* multiplier = graph.input(op, 2).floats();
      for (size_t i = 0; i < factors.size(); i++) factors[i] = -1.0f * multiplier[i];
    }
    corrections_ = Corrections(vertical_, horizontal, sums, factors);
  }

  Patches<uint32_t> patches_of(int row, int group, const Tile& tile) const {
    const int image = row / vertical_.out, y = row % vertical_.out;
    const ptrdiff_t top =
        static_cast<ptrdiff_t>(y) * vertical_.stride - vertical_.before;
    return patches_.at<uint32_t>(
        source_.row<uint32_t>(image * source_.height()),
        top * source_.row_pitch() - static_cast<ptrdiff_t>(left_) * source_.channels() +
            static_cast<ptrdiff_t>(group) * group_words_,
        tile.offsets);
  }

  void count(const Patches<uint32_t>& patches, const Span& span,
             const PackedFilter::Chunk& chunk, int32_t* counts) const {
    BinaryConvRow work = {};
    work.patches = patches;
    work.patches.source += span.first_pixel * patches.pixel_step;
    work.filter = chunk.data;
    work.num_pixels = span.num_pixels;
    work.num_channels = chunk.num_channels;
    work.counts = counts;
    work.counts_stride = stride_;
    kernels_.binary_conv_row(work);
  }

  // Groups may end inside a packed word: a segment is finished with all of them at once.
  void convolve_groups(int row, const Tile& tile) const {
    for (int x = 0; x < width_; x += kSegmentPixels) {
      const Span span = {row, x, std::min(kSegmentPixels, width_ - x), 0, channels_};
      for (const PackedFilter::Chunk& chunk : filter_->chunks) {
        count(patches_of(row, chunk.group, tile), span, chunk,
              tile.counts + chunk.first_channel);
      }
      finish(span, tile);
    }
  }

  void finish(const Span& span, const Tile& tile) const {
    FinishRow work = {};
    if (!corrections_.empty()) {
      const float* const* corrections =
          corrections_.at(span.row % vertical_.out, span, tile.corrections);
      if (in_float_) {
        work.corrections = corrections;
      } else {
        count_corrections(span, corrections, tile.counts);
      }
    }
    work.counts = tile.counts;
    work.counts_stride = stride_;
    work.clamp_min = transform_.clamp_min;
    work.clamp_max = transform_.clamp_max;
    work.multiplier = transform_.multiplier.data() + span.first_channel;
    work.bias = transform_.bias.data() + span.first_channel;
    if (output_->type == kTfLiteInt8) {
      work.num_pixels = span.num_pixels;
      work.num_channels = span.num_channels;
      work.output = tile.values;
      work.output_stride = stride_;
      kernels_.finish_row(work);
      quantize(span, tile.values);
    } else {
      finish_.run(kernels_, work, span, vertical_.out);
    }
  }

  void count_corrections(const Span& span, const float* const* corrections,
                         int32_t* counts) const {
    for (int x = 0; x < span.num_pixels; x++) {
      const float* add = corrections[x];
      for (int c = 0; add != nullptr && c < span.num_channels; c++) {
        counts[x * stride_ + c] += static_cast<int32_t>(add[c]);
      }
    }
  }

  void quantize(const Span& span, const float* values) const {
    int8_t* to = output_->row<int8_t>(span.row) +
                 static_cast<ptrdiff_t>(span.first_pixel) * channels_ +
                 span.first_channel;
    for (int x = 0; x < span.num_pixels; x++, to += channels_) {
      for (int c = 0; c < span.num_channels; c++) {
        float value = values[x * stride_ + c];
        value = value > -128.0f ? value : -128.0f;  // NaN too
        value = value < 127.0f ? value : 127.0f;
        // Halves are rounded away from zero: just less than a half is added, as the sum
        // with 0.49999997 would be rounded up to 1. Without branches or calls.
        constexpr float kHalf = 0x1.fffffep-2f;
        to[c] = static_cast<int8_t>(
            static_cast<int32_t>(value + std::copysign(kHalf, value)));
      }
    }
  }

  const Kernels& kernels_;
  std::shared_ptr<const PackedFilter> filter_;
  const Value& source_;
  Value* output_;
  Axis vertical_;
  Finish finish_;
  int width_, rows_;
  int channels_ = 0, group_words_ = 0, parts_ = 1, left_ = 0;
  ptrdiff_t stride_ = 0;
  bool whole_rows_ = false, in_float_ = false;
  OutputTransform transform_;
  std::vector<float> thresholds_;
  PatchLayout patches_;
  Corrections corrections_;
};

}  // namespace

std::unique_ptr<Step> make_binary_convolution(
    const Kernels& kernels, const Graph& graph, const Operator& op,
    std::shared_ptr<const PackedFilter> filter, Value* source,
    const WithConstantMap& map, const Finish& finish, std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(op, *source, &graph.input(op, 1), &vertical, &horizontal, why)) {
    return nullptr;
  }
  auto step = std::make_unique<BinaryConvolution>(kernels, std::move(filter), *source,
                                                  &graph.output(op), vertical,
                                                  horizontal, finish);
  step->title = "binary convolution";
  if (map.values != nullptr) step->title += " + map";
  step->add_read(source);
  finish.declare(step.get());
  if (graph.output(op).type != kTfLiteFloat32)
    step->writes.push_back(&graph.output(op));
  step->prepare(graph, op, horizontal, map);
  const Shape& filter_shape = graph.input(op, 1).shape;
  const int64_t patches =
      static_cast<int64_t>(source->shape.dims[0]) * vertical.out * horizontal.out;
  const int64_t groups = source->channels() / filter_shape.dims[3];
  step->binary_macs = patches * filter_shape.dims[0] * filter_shape.dims[1] *
                      filter_shape.dims[2] * (op.channels_in / groups);
  return step;
}

}  // namespace r2b
