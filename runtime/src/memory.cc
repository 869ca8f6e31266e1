#include "memory.h"

#include <sys/mman.h>

#include <algorithm>

namespace r2b {

namespace {

// A hundred times what networks for boards need: a mistake in a file, not a network.
constexpr int64_t kMaxBytes = int64_t{1} << 32;
constexpr int64_t kAlignment = 64;
// Weights are read from end to end at every inference: with small pages, looking up
// where they are takes as long as reading them.
constexpr int64_t kLargePage = int64_t{1} << 21;
constexpr int64_t kFirstBlock = 1 << 14;

}  // namespace

Memory allocate(Size bytes) {
  if (!bytes.fits(kMaxBytes)) return Memory();
  const int64_t unit = bytes < kLargePage ? kAlignment : kLargePage;
  const int64_t rounded = std::max(bytes, Size(1)).rounded_up(unit).count();
  // Not std::aligned_alloc, which Android has only since API 28.
  void* start = nullptr;
  if (posix_memalign(&start, static_cast<size_t>(unit), static_cast<size_t>(rounded)) !=
      0) {
    return Memory();
  }
  Memory memory(static_cast<char*>(start));
#ifdef MADV_HUGEPAGE
  // A wish: nothing is lost where the system does not grant it.
  if (unit == kLargePage) {
    (void)madvise(memory.get(), static_cast<size_t>(rounded), MADV_HUGEPAGE);
  }
#endif
  return memory;
}

char* MemoryPool::take(Size size) {
  if (!size.fits(kMaxBytes)) return nullptr;
  const int64_t bytes = size.rounded_up(kAlignment).count();
  if (blocks_.empty() || used_ + bytes > block_bytes_) {
    // Each block is twice the one before, so that small networks stay small.
    block_bytes_ = std::min(std::max(2 * block_bytes_, kFirstBlock), 4 * kLargePage);
    block_bytes_ = std::max(block_bytes_, bytes);
    used_ = 0;
    blocks_.push_back(allocate(block_bytes_));
    if (blocks_.back() == nullptr) {
      blocks_.pop_back();
      block_bytes_ = 0;
      return nullptr;
    }
  }
  used_ += bytes;
  bytes_ = bytes_ + bytes;
  return blocks_.back().get() + used_ - bytes;
}

}  // namespace r2b
