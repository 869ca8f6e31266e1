// Kernels for AVX-512 without VPOPCNTDQ: Intel's servers from 2017 to 2020.
#include "avx512_simd.h"
#include "nibble_counts.h"
#include "tables.h"

namespace r2b {
namespace {

struct Avx512Bytes {
  using Vector = __m512i;
  static constexpr int kParts = 2;
  static constexpr int kVectorsOfGroup = 4;

  static Vector zero() { return _mm512_setzero_si512(); }
  static Vector load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static Vector repeat(const uint8_t* from) {
    return _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Vector add(Vector a, Vector b) { return _mm512_add_epi8(a, b); }
  static Vector look_up(Vector table, Vector places) {
    return _mm512_shuffle_epi8(table, places);
  }
  static __m256i part(Vector vector, int index) {
    return index == 0 ? _mm512_castsi512_si256(vector)
                      : _mm512_extracti64x4_epi64(vector, 1);
  }
  static void keep(Vector& vector) { __asm__("" : "+v"(vector)); }
  static constexpr int pixels_of_tile(int vectors) {
    return vectors == 1 ? 8 : vectors == 2 ? 8 : vectors == 3 ? 6 : 5;
  }
};

struct Avx512bwSimd : Avx512Simd {
  static constexpr bool kStretches = true;
  static constexpr int kWeightLimit = kStretchWeightLimit;
  static constexpr int kIntegerSums = 12;

  static Integers add_pairs(Integers sums, Integers bytes, Integers weights) {
    return _mm512_add_epi16(sums, _mm512_maddubs_epi16(bytes, weights));
  }
  static Integers add_halves(Integers sums, Integers halves) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(halves, _mm512_set1_epi16(1)));
  }
};

}  // namespace

constexpr Kernels avx512bw_kernels =
    make_nibble_kernels<Avx512Bytes, Avx512bwSimd>("avx512bw");

}  // namespace r2b
