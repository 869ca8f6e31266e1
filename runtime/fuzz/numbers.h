// Numbers of bytes: mostly small ones, and now and then one that nobody expects.
#ifndef R2B_FUZZ_NUMBERS_H_
#define R2B_FUZZ_NUMBERS_H_

#include <cstddef>
#include <cstdint>

#include "host.h"

namespace r2b_fuzz {

// From 1 to `modulus`, or an extreme.
int64_t number(uint8_t byte, int64_t modulus);
// The same as an int.
int extent(uint8_t byte, int modulus);

// Shapes that constants can have: as many elements as fit into little memory.
bool is_small(const r2b_test::Dims& dims);
size_t count_of(const r2b_test::Dims& dims);

// Floats of all kinds: small numbers, and with some seeds NaN, infinities, denormals.
float some_float(uint8_t seed, size_t i);
uint32_t some_word(uint8_t seed, size_t i);

}  // namespace r2b_fuzz

#endif  // R2B_FUZZ_NUMBERS_H_
