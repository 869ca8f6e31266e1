// A convolution and the pool over it. The map between them would be the largest of the
// network (a stem's): it is kept to the few rows that a pool looks at.
#ifndef R2B_POOLED_CONVOLUTION_H_
#define R2B_POOLED_CONVOLUTION_H_

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "convolution.h"
#include "pool_windows.h"

namespace r2b {

// `Rows` are those of the convolution: RealRows or IntegerRows.
template <typename Rows>
class PooledConvolution : public Step {
 public:
  PooledConvolution(Rows rows, const Kernels& kernels, const Finish& between,
                    const PoolWindows& windows, int channels, const Finish& finish)
      : rows_(std::move(rows)),
        kernels_(kernels),
        between_(between),
        windows_(windows),
        finish_(finish),
        channels_(channels),
        held_(windows.most_rows()),
        images_(rows_.num_rows() / rows_.rows_an_image()) {}

  int units() const override { return images_ * windows_.height(); }

  Size scratch_bytes() const override {
    const Size ring = Size(whole_lines(rows_.width())) * held_;
    return (ring + whole_lines(windows_.width())) * sizeof(float) +
           rows_.lines_bytes() + Size(windows_.most_rows()) * sizeof(float*) +
           Size(kWorkBytes);
  }

  void run(int begin, int end, char* scratch) const override {
    Work* work = new (scratch) Work;
    work->ring = reinterpret_cast<float*>(scratch + kWorkBytes);
    work->pooled = work->ring + whole_lines(rows_.width()) * held_;
    char* lines = reinterpret_cast<char*>(work->pooled + whole_lines(windows_.width()));
    work->lines = rows_.begin(lines);
    work->pool_lines =
        reinterpret_cast<const float**>(lines + rows_.lines_bytes().count());
    go_on(begin, end, scratch);
  }

  // Windows overlap: the first finds rows of the convolution that the last one needed.
  void go_on(int begin, int end, char* scratch) const override {
    Work& work = *std::launder(reinterpret_cast<Work*>(scratch));
    for (int unit = begin; unit < end; unit++) {
      const int image = unit / windows_.height(), y = unit % windows_.height();
      compute_rows(image, windows_.first_row(y), windows_.end_row(y), &work);
      const auto line_of = [&](int row) { return ring_row(work, row); };
      windows_.run(y, line_of, work.pool_lines, work.pooled);
      FinishRow done = {};
      done.values = work.pooled;
      done.values_stride = channels_;
      finish_.run(kernels_, done, {unit, 0, windows_.width(), 0, channels_},
                  windows_.height());
    }
  }

 private:
  // What a thread goes on from, at the start of its scratch memory.
  struct Work {
    const float** pool_lines;  // rows of the convolution that a window looks at
    float* ring;               // rows of the convolution; row r at r % held_
    float* pooled;             // one row
    typename Rows::Lines lines;
    int image = -1, end = 0;  // rows below `end` were computed
  };
  // In whole cache lines.
  static constexpr int64_t kWorkBytes = (sizeof(Work) + 63) / 64 * 64;

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
      const auto patches = rows_.patches(row, &work->lines);
      float* output = ring_row(*work, work->end);
      const int segment = between_.changes_values() ? kSegmentPixels : rows_.width();
      for (const PackedFilter::Chunk& chunk : rows_.filter().chunks) {
        for (int x = 0; x < rows_.width(); x += segment) {
          const int count = std::min(segment, rows_.width() - x);
          float* values =
              output + static_cast<ptrdiff_t>(x) * channels_ + chunk.first_channel;
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

  Rows rows_;
  const Kernels& kernels_;
  Finish between_;
  PoolWindows windows_;
  Finish finish_;
  int channels_, held_, images_;
};

// The step of `rows` and a pool, up to what it reads; `title` is the convolution's.
template <typename Rows>
std::unique_ptr<Step> make_pooled_step(Rows rows, const std::string& title,
                                       const Kernels& kernels, const Graph& graph,
                                       const Operator& convolution,
                                       const Finish& between, const Operator& pool,
                                       const Finish& finish, std::string* why) {
  Axis vertical, horizontal;
  if (!make_axes(pool, graph.input(pool, 0), nullptr, &vertical, &horizontal, why)) {
    return nullptr;
  }
  const bool is_max = pool.kind == OperatorKind::kMaxPool;
  const int channels = graph.output(convolution).channels();
  auto step = std::make_unique<PooledConvolution<Rows>>(
      std::move(rows), kernels, between,
      PoolWindows(kernels, is_max, vertical, horizontal, channels), channels, finish);
  step->title = title;
  between.declare(step.get());
  step->title += is_max ? " + max pool" : " + average pool";
  finish.declare(step.get());
  step->real_macs = real_macs_of(graph, convolution);
  return step;
}

}  // namespace r2b

#endif  // R2B_POOLED_CONVOLUTION_H_
