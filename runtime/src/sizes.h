// Sizes of memory and of tensors, made of numbers from files that nobody vouches for.
#ifndef R2B_SIZES_H_
#define R2B_SIZES_H_

#include <cstdint>

namespace r2b {

// A count of bytes or elements that never wraps: what does not fit 63 bits, or comes of
// a negative number, is too much, and so is everything made of it.
class Size {
 public:
  constexpr Size(int64_t count) : count_(count < 0 ? kTooMuch : count) {}

  friend Size operator*(Size a, Size b) {
    int64_t product;
    const bool wraps = __builtin_mul_overflow(a.count_, b.count_, &product);
    return wraps || a.count_ == kTooMuch || b.count_ == kTooMuch ? kTooMuch : product;
  }
  friend Size operator+(Size a, Size b) {
    int64_t sum;
    return __builtin_add_overflow(a.count_, b.count_, &sum) ? kTooMuch : sum;
  }
  friend bool operator<(Size a, Size b) { return a.count_ < b.count_; }

  bool fits(Size most) const { return !(most < *this) && count_ != kTooMuch; }
  // The next multiple of `unit`.
  Size rounded_up(int64_t unit) const {
    const Size more = *this + (unit - 1);
    return more.count_ == kTooMuch ? more : Size(more.count_ / unit * unit);
  }
  // Only where it `fits` something.
  int64_t count() const { return count_; }

 private:
  static constexpr int64_t kTooMuch = INT64_MAX;
  int64_t count_;
};

}  // namespace r2b

#endif  // R2B_SIZES_H_
