// Looks at the host's memory without trusting a single pointer: an address that cannot
// be read is an answer, not a crash.
#ifndef R2B_HOST_MEMORY_H_
#define R2B_HOST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace r2b {

class HostMemory {
 public:
  HostMemory();
  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  // Whether the system gave what it takes to find out; if not, nothing can be read.
  bool can_tell() const { return pipe_[0] >= 0; }
  // False where some of the bytes cannot be read.
  bool copy(const void* from, size_t num_bytes, void* to) const;
  template <typename T>
  bool read(const void* from, T* to) const {
    return copy(from, sizeof(T), to);
  }
  // A zero byte comes within `max_length` bytes, all of them readable.
  bool is_text(const char* text, size_t max_length) const;

  // Whether it points into a program's code; null does not. Memory that can be written
  // and executed, as of programs that translate others, might be either. Where the system
  // does not tell, `might_be_code` is always true and `might_be_data` too.
  bool might_be_code(const void* pointer) const;
  bool might_be_data(const void* pointer) const;

 private:
  struct Range {
    uintptr_t begin, end;
    bool is_writable;
  };
  void find_code();
  bool is_readable(uintptr_t address) const;
  // What holds it of what can be executed; null where nothing does.
  const Range* code_at(const void* pointer) const;

  int pipe_[2];
  std::vector<Range> code_;
};

}  // namespace r2b

#endif  // R2B_HOST_MEMORY_H_
