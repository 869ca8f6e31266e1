// Sizes that never wrap, and the shapes that are made of them.
#include "sizes.h"

#include <cstdint>

#include "check.h"
#include "shapes.h"

using namespace r2b_test;
using r2b::Size;

namespace {
constexpr int64_t kMost = INT64_MAX - 1;
constexpr int64_t kHalf = int64_t{1} << 32;
}  // namespace

TEST(sizes_are_exact_as_far_as_they_go) {
  CHECK((Size(3) * 5 + 7).fits(22));
  CHECK(!(Size(3) * 5 + 7).fits(21));
  CHECK_EQUAL((Size(kHalf) * (kHalf / 4)).count(), int64_t{1} << 62);
  CHECK((Size(0) * kMost).fits(0));
  CHECK_EQUAL(Size(0).rounded_up(64).count(), 0);
  CHECK_EQUAL(Size(65).rounded_up(64).count(), 128);
  CHECK(Size(kMost).fits(kMost));
}

TEST(sizes_that_wrap_are_too_much_whatever_follows) {
  // 2^64 bytes are none in 64 bits.
  const Size wrapped = Size(kHalf) * kHalf;
  for (Size each :
       {wrapped, wrapped + 1, wrapped * 2, Size(kHalf) * (kHalf / 2), Size(kMost) + 2,
        Size(-1), Size(INT64_MIN), Size(-1) * -1, Size(-1) * 0, wrapped * 0,
        wrapped.rounded_up(64), Size(kMost).rounded_up(64)}) {
    CHECK(!each.fits(kMost));
    CHECK(!each.fits(INT64_MAX));
  }
}

TEST(shapes_without_elements_are_no_larger_than_others) {
  CHECK_EQUAL(r2b::make_shape(2, 3, 4, 5).elements(), 120);
  CHECK_EQUAL(r2b::make_shape(0, 3, 4, 5).elements(), 0);
  CHECK_EQUAL(r2b::make_shape(1, 1, 1, INT32_MAX).elements(), INT32_MAX);
  CHECK_EQUAL(r2b::make_shape(2, 1, 1, 1 << 30).elements(), -1);
  CHECK_EQUAL(r2b::make_shape(0, INT32_MAX, INT32_MAX, 8).elements(), -1);
  CHECK_EQUAL(r2b::make_shape(INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX).elements(),
              -1);
}

TEST_MAIN
