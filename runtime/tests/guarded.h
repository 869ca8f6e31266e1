// Memory for tests of kernels: arrays with an unreadable page right behind (or before)
// them, and outputs that notice what was written where nothing should be.
#ifndef R2B_TESTS_GUARDED_H_
#define R2B_TESTS_GUARDED_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace r2b_test {

// An array that ends where its pages end (or starts where they start): the next
// element, on this side, cannot be read.
template <typename Element>
class Guarded {
 public:
  enum Side { kBehind, kBefore };

  explicit Guarded(size_t size, Side side = kBehind, size_t alignment = sizeof(Element))
      : size_(size) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    const size_t bytes = size * sizeof(Element);
    const size_t usable = (bytes + page - 1) / page * page;
    mapped_bytes_ = usable + 2 * page;
    mapped_ = static_cast<char*>(
        mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (mapped_ == MAP_FAILED ||
        (usable > 0 && mprotect(mapped_ + page, usable, PROT_READ | PROT_WRITE) != 0)) {
      std::perror("no memory for a test");
      std::abort();
    }
    const size_t offset =
        side == kBefore ? 0 : (usable - bytes) / alignment * alignment;
    data_ = reinterpret_cast<Element*>(mapped_ + page + offset);
    if (usable > 0) std::memset(mapped_ + page, 0xa5, usable);
  }
  ~Guarded() { munmap(mapped_, mapped_bytes_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  Element* data() { return data_; }
  const Element* data() const { return data_; }
  size_t size() const { return size_; }
  Element& operator[](size_t i) { return data_[i]; }
  const Element& operator[](size_t i) const { return data_[i]; }

 private:
  size_t size_;
  size_t mapped_bytes_;
  char* mapped_;
  Element* data_;
};

// The same numbers on every machine (SplitMix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint32_t bits() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return uint32_t(z >> 32);
  }
  int between(int low, int high) {  // both included
    return low + int(bits() % uint32_t(high - low + 1));
  }
  float uniform() { return float(int32_t(bits()) >> 8) * 0x1p-22f; }  // -2 .. 2

 private:
  uint64_t state_;
};

}  // namespace r2b_test

#endif  // R2B_TESTS_GUARDED_H_
