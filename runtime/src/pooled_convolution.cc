// A real convolution and the pool over it. The map between them would be the largest of
// the network (a stem's): it is kept to the few rows that a pool looks at.

#include <algorithm>

#include "convolution.h"
#include "real_rows.h"

namespace r2b {

namespace {

class PooledConvolution : public Step {
 public:
  PooledConvolution(const RealRows& rows, const Kernels& kernels, const Finish& between,
                    bool is_max, const Axis& vertical, const Axis& horizontal,
                    const Finish& finish)
      : rows_(rows),
        kernels_(kernels),
        between_(between),
        is_max_(is_max),
        vertical_(vertical),
        horizontal_(horizontal),
        finish_(finish) {
    const PackedFilter::Chunk& last = rows.filter().chunks().back();
    channels_ = last.first_channel + last.num_channels;
    held_ = vertical.most_taps();
    images_ = rows.num_rows() / rows.rows_an_image();
  }

  int units() const override { return images_ * vertical_.out; }

  Size scratch_bytes() const override {
    const Size ring = Size(whole_lines(rows_.width())) * held_;
    return (ring + whole_lines(horizontal_.out)) * sizeof(float) + rows_.lines_bytes() +
           Size(held_) * horizontal_.most_taps() * sizeof(float*);
  }

  void run(int begin, int end, char* scratch) const override {
    Work work;
    work.ring = reinterpret_cast<float*>(scratch);
    work.pooled = work.ring + whole_lines(rows_.width()) * held_;
    work.lines.memory = work.pooled + whole_lines(horizontal_.out);
    work.pixels = reinterpret_cast<const float**>(
        reinterpret_cast<char*>(work.lines.memory) + rows_.lines_bytes().count());
    for (int unit = begin; unit < end; unit++) {
      const int image = unit / vertical_.out, y = unit % vertical_.out;
      const int top = y * vertical_.stride - vertical_.before;
      const int first = top + vertical_.first_tap(y);
      const int last = top + vertical_.end_tap(y);
      compute_rows(image, first, last, &work);
      for (int x = 0; x < horizontal_.out; x++) pool(first, last, x, &work);
      FinishRow done = {};
      done.values = work.pooled;
      done.values_stride = channels_;
      finish_.run(kernels_, done, {unit, 0, horizontal_.out, 0, channels_},
                  vertical_.out);
    }
  }

 private:
  struct Work {
    const float** pixels;  // of one window
    float* ring;           // rows of the convolution; row r at r % held_
    float* pooled;         // one row
    RealRows::Lines lines;
    int image = -1, end = 0;  // rows below `end` were computed
  };

  // Floats of a row, in whole cache lines, so that what follows begins with one as well.
  int64_t whole_lines(int pixels) const {
    return (Size(pixels) * channels_).rounded_up(16).count();
  }
  float* ring_row(const Work& work, int row) const {
    return work.ring + row % held_ * whole_lines(rows_.width());
  }

  void compute_rows(int image, int first, int last, Work* work) const {
    if (work->image != image || first > work->end) {
      work->image = image;
      work->end = first;
    }
    for (; work->end < last; work->end++) {
      const int row = image * rows_.rows_an_image() + work->end;
      const Patches<float> patches = rows_.patches(row, &work->lines);
      float* output = ring_row(*work, work->end);
      for (const PackedFilter::Chunk& chunk : rows_.filter().chunks()) {
        for (int x = 0; x < rows_.width(); x += kSegmentPixels) {
          const int count = std::min(kSegmentPixels, rows_.width() - x);
          float* values = output + static_cast<ptrdiff_t>(x) * channels_ +
                          chunk.first_channel;
          rows_.convolve(patches, x, count, chunk, values, channels_);
          if (between_.changes_values()) finish_between(chunk, count, values);
        }
      }
    }
  }

  void finish_between(const PackedFilter::Chunk& chunk, int num_pixels,
                      float* values) const {
    FinishRow work = {};
    work.values = values;
    work.values_stride = channels_;
    work.output = values;
    work.output_stride = channels_;
    between_.run(kernels_, work,
                 {0, 0, num_pixels, chunk.first_channel, chunk.num_channels}, 1);
  }

  void pool(int first, int last, int x, Work* work) const {
    const int first_tap = horizontal_.first_tap(x), end_tap = horizontal_.end_tap(x);
    const int left = x * horizontal_.stride - horizontal_.before;
    int count = 0;
    for (int row = first; row < last; row++) {
      const float* line = ring_row(*work, row);
      for (int h = first_tap; h < end_tap; h++) {
        work->pixels[count++] = line + static_cast<ptrdiff_t>(left + h) * channels_;
      }
    }
    const PoolWindow window = {work->pixels, count, channels_,
                               work->pooled + static_cast<ptrdiff_t>(x) * channels_};
    if (is_max_) {
      kernels_.max_window(window);
    } else {
      kernels_.mean_window(window, 1.0f / static_cast<float>(count));
    }
  }

  RealRows rows_;
  const Kernels& kernels_;
  Finish between_;
  bool is_max_;
  Axis vertical_, horizontal_;
  Finish finish_;
  int channels_ = 0, held_ = 0, images_ = 0;
};

}  // namespace

std::unique_ptr<Step> make_pooled_convolution(const Kernels& kernels, const Graph& graph,
                                              const Operator& convolution,
                                              std::shared_ptr<const PackedFilter> filter,
                                              const Finish& between,
                                              const Operator& pool, const Finish& finish,
                                              std::string* why) {
  const Value& source = graph.input(convolution, 0);
  const Value& weights = graph.input(convolution, 1);
  Axis vertical, horizontal, pool_vertical, pool_horizontal;
  if (!make_axes(convolution, source, &weights, &vertical, &horizontal, why) ||
      !make_axes(pool, graph.input(pool, 0), nullptr, &pool_vertical, &pool_horizontal,
                 why)) {
    return nullptr;
  }
  const bool is_max = pool.kind == OperatorKind::kMaxPool;
  auto step = std::make_unique<PooledConvolution>(
      RealRows(kernels, std::move(filter), source, vertical, horizontal), kernels,
      between, is_max, pool_vertical, pool_horizontal, finish);
  step->title = "real convolution";
  between.declare(step.get());
  step->title += is_max ? " + max pool" : " + average pool";
  step->add_read(&source);
  finish.declare(step.get());
  step->real_macs = graph.output(convolution).shape.pixels() * weights.shape.elements();
  return step;
}

}  // namespace r2b
