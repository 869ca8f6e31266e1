// Memory at 64-byte addresses, in large pages where it is large.
#ifndef R2B_MEMORY_H_
#define R2B_MEMORY_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "sizes.h"

namespace r2b {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<char, FreeMemory>;

// Null where there is none left, or where a size makes no sense.
Memory allocate(Size bytes);

// Many small pieces side by side: what is read one after the other lies that way.
class MemoryPool {
 public:
  // Null where there is none left; valid as long as the pool.
  char* take(Size size);
  // Of all that was taken.
  Size bytes() const { return bytes_; }

 private:
  std::vector<Memory> blocks_;
  int64_t block_bytes_ = 0, used_ = 0;  // of the last block
  Size bytes_ = 0;
};

}  // namespace r2b

#endif  // R2B_MEMORY_H_
