// What follows the sums of a convolution, as loops over vectors.
#ifndef R2B_KERNELS_FINISH_LOOPS_H_
#define R2B_KERNELS_FINISH_LOOPS_H_

#include "vector_loops.h"

namespace r2b {
namespace {

// The channels of a packed word, from `c` on: what does not change from pixel to pixel
// stays in registers, and so do the sums. (`row` is a copy: what is stored cannot change
// it, so neither need the compiler read it again.)
template <typename Simd, bool kFromCounts, typename Vectors>
class FinishedWord {
 public:
  static constexpr int kCount = Vectors::kCount;
  using Floats = typename Simd::Floats;

  R2B_INLINE FinishedWord(const FinishRow& row, int c, const Vectors& vectors)
      : row_(row),
        c_(c),
        vectors_(vectors),
        lowest_(Simd::splat(row.has_limits ? row.lowest : 0.0f)),
        highest_(Simd::splat(row.has_limits ? row.highest : 0.0f)),
        clamp_(Simd::clamp(kFromCounts ? row.clamp_min : 0,
                           kFromCounts ? row.clamp_max : 0)) {
    load_or_zeros(kFromCounts ? row.multiplier : nullptr, multiplier_);
    load_or_zeros(kFromCounts ? row.bias : nullptr, bias_);
    load_or_zeros(row.gate, gate_);
    load_or_zeros(row.addend, addend_);
    load_or_zeros(row.slope, slope_);
    load_or_zeros(row.scale, scale_);
    load_or_zeros(row.shift, shift_);
    load_or_zeros(row.sums, sums_);
  }

  // Finishes a pixel: its values, then what is stored of them and their signs.
  R2B_INLINE void finish(ptrdiff_t p) {
    Floats y[kCount];
    if constexpr (kFromCounts) {
      start_from_counts(p, y);
    } else {
      const float* values = row_.values + p * row_.values_stride + c_;
      for_each([&](int v) { y[v] = vectors_.load(values, v); });
    }
    rescale_and_add(p, y);
    if (row_.output != nullptr) {
      float* output = row_.output + p * row_.output_stride + c_;
      for_each([&](int v) { vectors_.store(output, v, y[v]); });
    }
    sum_and_pack(p, y);
  }

  R2B_INLINE void store_sums() const {
    if (row_.sums == nullptr) return;
    for_each([&](int v) { vectors_.store(row_.sums + c_, v, sums_[v]); });
  }

 private:
  template <typename Step>
  R2B_INLINE static void for_each(const Step& step) {
#pragma GCC unroll 8
    for (int v = 0; v < kCount; ++v) step(v);
  }

  R2B_INLINE void load_or_zeros(const float* from, Floats* to) const {
    for_each([&](int v) {
      to[v] = from == nullptr ? Simd::splat(0.0f) : vectors_.load(from + c_, v);
    });
  }

  R2B_INLINE void start_from_counts(ptrdiff_t p, Floats* y) const {
    const int32_t* counts = row_.counts + p * row_.counts_stride + c_;
    for_each([&](int v) {
      y[v] = Simd::multiply(vectors_.from_counts(counts, v, clamp_), multiplier_[v]);
      y[v] = Simd::add(y[v], bias_[v]);
    });
    if (row_.corrections == nullptr || row_.corrections[p] == nullptr) return;
    const float* correction = row_.corrections[p] + c_;
    for_each([&](int v) { y[v] = Simd::add(y[v], vectors_.load(correction, v)); });
  }

  R2B_INLINE void rescale_and_add(ptrdiff_t p, Floats* y) const {
    if (row_.gate != nullptr) {
      for_each([&](int v) { y[v] = Simd::multiply(y[v], gate_[v]); });
    }
    if (row_.addend != nullptr) {
      for_each([&](int v) { y[v] = Simd::add(y[v], addend_[v]); });
    }
    if (row_.slope != nullptr) {
      for_each([&](int v) { y[v] = Simd::scale_negative(y[v], slope_[v]); });
    }
    if (row_.has_limits && !row_.limits_follow_skip) limit(y);
    if (row_.skip != nullptr) {
      const float* skip = row_.skip + p * row_.skip_stride + c_;
      for_each([&](int v) { y[v] = Simd::add(y[v], vectors_.load(skip, v)); });
    }
    if (row_.has_limits && row_.limits_follow_skip) limit(y);
  }

  R2B_INLINE void limit(Floats* y) const {
    for_each(
        [&](int v) { y[v] = Simd::smaller(Simd::larger(y[v], lowest_), highest_); });
  }

  R2B_INLINE void sum_and_pack(ptrdiff_t p, Floats* y) {
    if (row_.scale != nullptr) {
      for_each([&](int v) { y[v] = Simd::multiply(y[v], scale_[v]); });
    }
    if (row_.shift != nullptr) {
      for_each([&](int v) { y[v] = Simd::add(y[v], shift_[v]); });
    }
    for_each([&](int v) { sums_[v] = Simd::add(sums_[v], y[v]); });
    uint32_t bits = 0;
    for_each([&](int v) { bits |= Simd::negative_bits(y[v]) << (v * Simd::kLanes); });
    if (row_.packed != nullptr) {
      row_.packed[p * row_.packed_stride + c_ / 32] = bits & vectors_.used_bits();
    }
  }

  const FinishRow row_;
  const int c_;
  const Vectors vectors_;
  Floats multiplier_[kCount], bias_[kCount], gate_[kCount], addend_[kCount];
  Floats slope_[kCount], scale_[kCount], shift_[kCount], sums_[kCount];
  const Floats lowest_, highest_;
  const typename Simd::Clamp clamp_;
};

template <typename Simd, bool kFromCounts, typename Vectors>
void finish_vectors(const FinishRow& row, int c, const Vectors& vectors) {
  FinishedWord<Simd, kFromCounts, Vectors> word(row, c, vectors);
  for (ptrdiff_t p = 0; p < row.num_pixels; ++p) word.finish(p);
  word.store_sums();
}

template <typename Simd>
void finish_row(const FinishRow& row) {
  for_each_vectors<Simd, 32 / Simd::kLanes>(
      row.num_channels, [&](int c, const auto& vectors) {
        if (row.counts != nullptr) {
          finish_vectors<Simd, true>(row, c, vectors);
        } else {
          finish_vectors<Simd, false>(row, c, vectors);
        }
      });
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_FINISH_LOOPS_H_
