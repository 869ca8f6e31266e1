// A convolution and its pool, in pieces: each row of the convolution is computed once.
#include "pooled_convolution.h"

#include <set>
#include <string>
#include <vector>

#include "check.h"

using namespace r2b;
using namespace r2b_test;

namespace {

constexpr int kImages = 2, kRows = 11, kPixels = 7, kChannels = 3;

// Rows of a made-up convolution, whose values tell where they are.
class CountedRows {
 public:
  struct Lines {
    char* memory = nullptr;
  };

  explicit CountedRows(int* num_computed) : num_computed_(num_computed) {
    filter_.chunks.push_back({0, kChannels, 0, nullptr});
  }
  int num_rows() const { return kImages * kRows; }
  int rows_an_image() const { return kRows; }
  int width() const { return kPixels; }
  const PackedFilter& filter() const { return filter_; }
  Size lines_bytes() const { return Size(64); }
  Lines begin(char* memory) const { return {memory}; }
  int patches(int row, Lines*) const {
    ++*num_computed_;
    return row;
  }
  void convolve(int row, int first, int count, const PackedFilter::Chunk&,
                float* output, ptrdiff_t stride) const {
    for (int i = 0; i < count; ++i) {
      for (int c = 0; c < kChannels; ++c) {
        const int x = first + i;
        output[i * stride + c] = static_cast<float>((row * 31 + x * 17 + c * 7) % 53);
      }
    }
  }

 private:
  int* num_computed_;
  PackedFilter filter_;
};

// Pools of 3x3 and stride 2 in these pieces; those that a step may go on with do so.
struct Pooled {
  explicit Pooled(const std::vector<int>& ends, const std::set<int>& starts_anew = {}) {
    Axis vertical, horizontal;
    std::string why;
    CHECK(make_axis(kRows, 3, 2, 1, Padding::kSame, &vertical, &why));
    CHECK(make_axis(kPixels, 3, 2, 1, Padding::kSame, &horizontal, &why));
    Value output;
    output.shape = make_shape(kImages, vertical.out, horizontal.out, kChannels);
    values.resize(static_cast<size_t>(output.shape.elements()));
    output.data = reinterpret_cast<char*>(values.data());
    Finish finish;
    finish.output = &output;
    const Kernels& kernels = **available_kernels();
    const PooledConvolution<CountedRows> step(
        CountedRows(&num_computed), kernels, Finish(),
        PoolWindows(kernels, true, vertical, horizontal, kChannels), kChannels, finish);
    const Memory scratch = allocate(step.scratch_bytes());
    int begin = 0;
    for (int end : ends) {
      const bool anew = begin == 0 || starts_anew.count(begin) > 0;
      (step.*(anew ? &Step::run : &Step::go_on))(begin, end, scratch.get());
      begin = end;
    }
    CHECK_EQUAL(begin, step.units());
  }

  int num_computed = 0;
  std::vector<float> values;
};

}  // namespace

TEST(pieces_that_go_on_compute_no_row_again) {
  const Pooled whole({12});
  CHECK_EQUAL(whole.num_computed, kImages * kRows);
  for (const std::vector<int>& ends :
       std::vector<std::vector<int>>{{1, 2, 5, 12}, {6, 7, 12}, {3, 6, 9, 12}}) {
    const Pooled pieces(ends);
    CHECK_EQUAL(pieces.num_computed, whole.num_computed);
    CHECK(pieces.values == whole.values);
  }
}

TEST(a_piece_that_starts_anew_computes_what_it_looks_at) {
  const Pooled whole({12}), anew({5, 12}, {5});
  CHECK_EQUAL(anew.num_computed, whole.num_computed + 1);
  CHECK(anew.values == whole.values);
}

TEST_MAIN
