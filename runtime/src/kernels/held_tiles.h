// Vectors that a loop holds in registers.
//
// They are members and not arrays, and what works on them is inlined at once: gcc looks
// for what can be in registers before it unrolls loops and before it inlines most
// functions, and would leave an array in memory, to be loaded and stored in each round.
//
// `Of` is a type with a Vector in it: gcc takes no vector for a template's argument.
#ifndef R2B_KERNELS_HELD_TILES_H_
#define R2B_KERNELS_HELD_TILES_H_

#include "kernels.h"

namespace r2b {
namespace {

template <typename Of, int kSize>
struct Held {
  static constexpr int kCount = kSize;
  typename Of::Vector first;
  Held<Of, kSize - 1> rest;
};
template <typename Of>
struct Held<Of, 1> {
  static constexpr int kCount = 1;
  typename Of::Vector first;
};

// Rows of as many vectors each.
template <typename Of, int kSize, int kRows>
struct HeldRows {
  static constexpr int kCount = kRows;
  Held<Of, kSize> first;
  HeldRows<Of, kSize, kRows - 1> rest;
};
template <typename Of, int kSize>
struct HeldRows<Of, kSize, 1> {
  static constexpr int kCount = 1;
  Held<Of, kSize> first;
};

// Calls f(element, its place) for each vector, or for each row of them.
template <typename All, typename Function>
R2B_INLINE void for_each(All& all, const Function& f, int place = 0) {
  f(all.first, place);
  if constexpr (All::kCount > 1) for_each(all.rest, f, place + 1);
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_HELD_TILES_H_
