// Vectors of eight floats, for files that are compiled for AVX2.
#ifndef R2B_KERNELS_AVX2_SIMD_H_
#define R2B_KERNELS_AVX2_SIMD_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace r2b {
namespace {

// What `vector_loops.h` and `integer_loops.h` ask for, but for products of bytes.
struct Avx2Simd {
  using Floats = __m256;
  using Integers = __m256i;
  using Mask = __m256i;
  struct Clamp {
    __m256i low, high;
  };
  static constexpr int kLanes = 8;
  static constexpr int kRealVectors = 4;
  static constexpr int kRealSums = 12;
  static constexpr int kIntegerVectors = 2;

  static Mask mask(int count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes);
  }
  static Clamp clamp(int32_t low, int32_t high) {
    return {_mm256_set1_epi32(low), _mm256_set1_epi32(high)};
  }
  static Floats splat(float value) { return _mm256_set1_ps(value); }
  static Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static Floats load(const float* from, Mask mask) {
    return _mm256_maskload_ps(from, mask);
  }
  static void store(float* to, Floats values) { _mm256_storeu_ps(to, values); }
  static void store(float* to, Floats values, Mask mask) {
    _mm256_maskstore_ps(to, mask, values);
  }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  // Of two zeros, and where one is NaN, these instructions give the second operand.
  static Floats larger(Floats a, Floats b) { return _mm256_max_ps(b, a); }
  static Floats smaller(Floats a, Floats b) { return _mm256_min_ps(b, a); }
  static Floats negative(Floats y) {
    return _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_LT_OQ);
  }
  static Floats scale_negative(Floats y, Floats slope) {
    return _mm256_blendv_ps(y, _mm256_mul_ps(y, slope), negative(y));
  }
  static uint32_t negative_bits(Floats y) {
    return uint32_t(_mm256_movemask_ps(negative(y)));
  }
  static Floats from_counts(__m256i counts, Clamp clamp) {
    const __m256i twice = _mm256_add_epi32(counts, counts);
    return _mm256_cvtepi32_ps(
        _mm256_min_epi32(_mm256_max_epi32(twice, clamp.low), clamp.high));
  }
  static Floats from_counts(const int32_t* from, Clamp clamp) {
    return from_counts(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                       clamp);
  }
  static Floats from_counts(const int32_t* from, Mask mask, Clamp clamp) {
    return from_counts(_mm256_maskload_epi32(from, mask), clamp);
  }
  static Integers load_integers(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
  static Integers repeat(const uint8_t* bytes) {
    int32_t four;
    std::memcpy(&four, bytes, sizeof(four));
    return _mm256_set1_epi32(four);
  }
  static Floats to_floats(Integers sums) { return _mm256_cvtepi32_ps(sums); }
  static void store_bytes(uint8_t* to, Floats y, int32_t low) {
    const __m256i whole = _mm256_cvttps_epi32(_mm256_floor_ps(y));
    const __m256i bytes = _mm256_sub_epi32(whole, _mm256_set1_epi32(low));
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(bytes),
                                            _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(halves, halves));
  }
};

// What `nibble_counts.h` asks for.
struct Avx2Bytes {
  using Vector = __m256i;
  static constexpr int kParts = 1;
  static constexpr int kVectorsOfGroup = 8;

  static Vector zero() { return _mm256_setzero_si256(); }
  static Vector load(const uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static Vector repeat(const uint8_t* from) { return load(from); }
  static Vector add(Vector a, Vector b) { return _mm256_add_epi8(a, b); }
  static Vector look_up(Vector table, Vector places) {
    return _mm256_shuffle_epi8(table, places);
  }
  static __m256i part(Vector vector, int) { return vector; }
  static void keep(Vector& vector) { __asm__("" : "+x"(vector)); }
  static constexpr int pixels_of_tile(int vectors) {
    return vectors == 1 ? 6 : vectors == 3 ? 3 : vectors <= 4 ? 8 / vectors : 1;
  }
};

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_AVX2_SIMD_H_
