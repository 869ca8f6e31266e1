// Vectors of sixteen floats, for files that are compiled for AVX-512.
#ifndef R2B_KERNELS_AVX512_SIMD_H_
#define R2B_KERNELS_AVX512_SIMD_H_

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 finds its own header's "undefined" vectors to be undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace r2b {
namespace {

// What `vector_loops.h` and `integer_loops.h` ask for, but for products of bytes.
struct Avx512Simd {
  using Floats = __m512;
  using Integers = __m512i;
  using Mask = __mmask16;
  struct Clamp {
    __m512i low, high;
  };
  static constexpr int kLanes = 16;
  static constexpr int kRealVectors = 4;
  static constexpr int kRealSums = 24;
  static constexpr int kIntegerVectors = 4;

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
  static Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
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
  static Integers load_integers(const void* from) { return _mm512_loadu_si512(from); }
  static Integers repeat(const uint8_t* bytes) {
    int32_t four;
    std::memcpy(&four, bytes, sizeof(four));
    return _mm512_set1_epi32(four);
  }
  static Floats to_floats(Integers sums) { return _mm512_cvtepi32_ps(sums); }
  static void store_bytes(uint8_t* to, Floats y, int32_t low) {
    const __m512i whole =
        _mm512_cvt_roundps_epi32(y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512i bytes = _mm512_sub_epi32(whole, _mm512_set1_epi32(low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(bytes));
  }
};

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_AVX512_SIMD_H_
