// Kernels for AVX-512 with VPOPCNTDQ: a word of 16 output channels in a vector.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 finds its own header's "undefined" vectors to be undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include "tables.h"
#include "vector_loops.h"

namespace r2b {
namespace {

struct Avx512Simd {
  using Floats = __m512;
  using Mask = __mmask16;
  struct Clamp {
    __m512i low, high;
  };
  static constexpr int kLanes = 16;
  static constexpr int kRealVectors = 4;
  static constexpr int kRealSums = 24;

  static Mask mask(int count) { return Mask((1u << count) - 1); }
  static Clamp clamp(int32_t low, int32_t high) {
    return {_mm512_set1_epi32(low), _mm512_set1_epi32(high)};
  }
  static Floats splat(float value) { return _mm512_set1_ps(value); }
  static Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats load(const float* from, Mask mask) {
    return _mm512_maskz_loadu_ps(mask, from);
  }
  static void store(float* to, Floats values) { _mm512_storeu_ps(to, values); }
  static void store(float* to, Floats values, Mask mask) {
    _mm512_mask_storeu_ps(to, mask, values);
  }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats fused(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
  }
  // Of two zeros, and where one is NaN, these instructions give the second operand.
  static Floats larger(Floats a, Floats b) { return _mm512_max_ps(b, a); }
  static Floats smaller(Floats a, Floats b) { return _mm512_min_ps(b, a); }
  static Mask negative(Floats y) {
    return _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ);
  }
  static Floats scale_negative(Floats y, Floats slope) {
    return _mm512_mask_mul_ps(y, negative(y), y, slope);
  }
  static uint32_t negative_bits(Floats y) { return negative(y); }
  static Floats from_counts(__m512i counts, Clamp clamp) {
    const __m512i twice = _mm512_add_epi32(counts, counts);
    return _mm512_cvtepi32_ps(
        _mm512_min_epi32(_mm512_max_epi32(twice, clamp.low), clamp.high));
  }
  static Floats from_counts(const int32_t* from, Clamp clamp) {
    return from_counts(_mm512_loadu_si512(from), clamp);
  }
  static Floats from_counts(const int32_t* from, Mask mask, Clamp clamp) {
    return from_counts(_mm512_maskz_loadu_epi32(mask, from), clamp);
  }
};

// Packed binary filter: groups of up to kVectorsOfGroup vectors of channels, in each
// [word][channel of the group]; channels past the last are zero.
constexpr int kBlock = 16;
constexpr int kVectorsOfGroup = 4;
constexpr int kPixelsOfTile = 6;

size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * kBlock * num_words *
         sizeof(uint32_t);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint32_t* to = static_cast<uint32_t*>(packed);
  for_each_group<kVectorsOfGroup, kBlock>(num_channels, [&](int first, int vectors) {
    for (int i = 0; i < num_words; ++i) {
      for (int c = first; c < first + vectors * kBlock; ++c) {
        *to++ = c < num_channels ? filter[ptrdiff_t{c} * num_words + i] : 0;
      }
    }
  });
}

template <int kPixels, int kVectors>
void count_tile(const BinaryConvRow& row, const uint32_t* filter, int pixel,
                int channel) {
  const Patches<uint32_t>& patches = row.patches;
  const ptrdiff_t step = patches.pixel_step;
  __m512i counts[kPixels][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) counts[p][v] = _mm512_setzero_si512();
  }
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint32_t* x = patches.source + pixel * step + patches.run_offsets[r];
    for (int i = 0; i < patches.run_length; ++i, ++x) {
      __m512i weights[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        weights[v] = _mm512_loadu_si512(filter + v * kBlock);
      }
      filter += kVectors * kBlock;
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
        const __m512i word = _mm512_set1_epi32(int32_t(x[p * step]));
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const __m512i differing = _mm512_xor_si512(word, weights[v]);
          counts[p][v] = _mm512_add_epi32(counts[p][v], _mm512_popcnt_epi32(differing));
        }
      }
    }
  }
  int32_t* to = row.counts + pixel * row.counts_stride + channel;
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      _mm512_storeu_si512(to + p * row.counts_stride + v * kBlock, counts[p][v]);
    }
  }
}

void binary_conv_row(const BinaryConvRow& row) {
  const ptrdiff_t num_words = ptrdiff_t{row.patches.num_runs} * row.patches.run_length;
  const uint32_t* filter = static_cast<const uint32_t*>(row.filter);
  for_each_group<kVectorsOfGroup, kBlock>(row.num_channels, [&](int c, int vectors) {
    const uint32_t* group = filter + c * num_words;
    with_size<kVectorsOfGroup>(vectors, [&](auto kVectors) {
      for_each_tile<kPixelsOfTile>(row.num_pixels, [&](int pixel, auto kPixels) {
        count_tile<kPixels.value, kVectors.value>(row, group, pixel, c);
      });
    });
  });
}

}  // namespace

constexpr Kernels avx512_kernels = make_kernels<Avx512Simd>(
    "avx512", kBlock, binary_filter_bytes, pack_binary_filter, binary_conv_row);

}  // namespace r2b
