#include "host_memory.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace r2b {
namespace {

// Less than any pipe holds.
constexpr size_t kChunk = 4096;
// Aligned blocks of this size never reach over the end of a page.
constexpr size_t kTextBlock = 16;

}  // namespace

HostMemory::HostMemory() {
  if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) pipe_[0] = pipe_[1] = -1;
  find_code();
}

HostMemory::~HostMemory() {
  for (int end : pipe_) {
    if (end >= 0) close(end);
  }
}

// The kernel copies: writing from an address that cannot be read fails with EFAULT. The
// bare system call, as sanitizers look at what is given to the C library's `write`.
bool HostMemory::copy(const void* from, size_t num_bytes, void* to) const {
  if (from == nullptr) return false;
  if (pipe_[0] < 0) {  // no file descriptor left to look with
    std::memcpy(to, from, num_bytes);
    return true;
  }
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
  while (num_bytes > 0) {
    const size_t chunk = std::min(num_bytes, kChunk);
    const long written = syscall(SYS_write, pipe_[1], source, chunk);
    if (written <= 0) return false;
    const size_t count = static_cast<size_t>(written);
    if (::read(pipe_[0], target, count) != written || count < chunk) return false;
    source += count;
    target += count;
    num_bytes -= count;
  }
  return true;
}

bool HostMemory::is_text(const char* text, size_t max_length) const {
  char block[kTextBlock];
  size_t seen = 0;
  while (seen < max_length) {
    const size_t to_border =
        kTextBlock - reinterpret_cast<uintptr_t>(text + seen) % kTextBlock;
    const size_t count = std::min(to_border, max_length - seen);
    if (!copy(text + seen, count, block)) return false;
    if (std::memchr(block, 0, count) != nullptr) return true;
    seen += count;
  }
  return false;
}

// /proc/self/maps has lines like "7f0000-7f1000 r-xp ...".
void HostMemory::find_code() {
  FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return;
  char line[512];
  bool at_start = true;
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    Range range;
    char rights[5] = "";
    const char* form = "%" SCNxPTR "-%" SCNxPTR " %4s";
    if (at_start && std::sscanf(line, form, &range.begin, &range.end, rights) == 3 &&
        rights[2] == 'x') {
      code_.push_back(range);
    }
    at_start = std::strchr(line, '\n') != nullptr;
  }
  std::fclose(maps);
}

bool HostMemory::is_in_code(const void* pointer) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  for (const Range& range : code_) {
    if (address >= range.begin && address < range.end) return true;
  }
  return false;
}

bool HostMemory::might_be_code(const void* pointer) const {
  return pointer != nullptr && (code_.empty() || is_in_code(pointer));
}

bool HostMemory::might_be_data(const void* pointer) const {
  return code_.empty() || !is_in_code(pointer);
}

}  // namespace r2b
