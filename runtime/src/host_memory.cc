#include "host_memory.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace r2b {
namespace {

// What can be read is decided for pages, none of which is smaller.
constexpr size_t kPage = 4096;

// A host whose structs are shorter has something else behind them: no memcpy, at which
// sanitizers look.
__attribute__((no_sanitize("address"))) void copy_bytes(const volatile char* from,
                                                        size_t num_bytes, char* to) {
  for (size_t i = 0; i < num_bytes; ++i) to[i] = from[i];
}

}  // namespace

HostMemory::HostMemory() {
  if (pipe2(pipe_, O_CLOEXEC) != 0) pipe_[0] = pipe_[1] = -1;
  find_code();
}

HostMemory::~HostMemory() {
  if (!can_tell()) return;
  close(pipe_[0]);
  close(pipe_[1]);
}

// The kernel takes a byte from there and gives it back, or fails where it cannot read.
// Not by `write`, at whose argument sanitizers look before the kernel does.
bool HostMemory::is_readable(uintptr_t address) const {
  char byte;
  return syscall(SYS_write, pipe_[1], address, size_t{1}) == 1 &&
         ::read(pipe_[0], &byte, 1) == 1;
}

bool HostMemory::copy(const void* from, size_t num_bytes, void* to) const {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(from);
  for (size_t seen = 0; seen < num_bytes;) {
    if (!is_readable(begin + seen)) return false;
    seen += kPage - (begin + seen) % kPage;
  }
  copy_bytes(static_cast<const char*>(from), num_bytes, static_cast<char*>(to));
  return true;
}

bool HostMemory::is_text(const char* text, size_t max_length) const {
  for (size_t i = 0; i < max_length; ++i) {
    char letter;
    if (!read(text + i, &letter)) return false;
    if (letter == 0) return true;
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
    Range range = {};
    char rights[5] = "";
    const char* form = "%" SCNxPTR "-%" SCNxPTR " %4s";
    if (at_start && std::sscanf(line, form, &range.begin, &range.end, rights) == 3 &&
        rights[2] == 'x') {
      range.is_writable = rights[1] == 'w';
      code_.push_back(range);
    }
    at_start = std::strchr(line, '\n') != nullptr;
  }
  std::fclose(maps);
}

const HostMemory::Range* HostMemory::code_at(const void* pointer) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  for (const Range& range : code_) {
    if (address >= range.begin && address < range.end) return &range;
  }
  return nullptr;
}

bool HostMemory::might_be_code(const void* pointer) const {
  return pointer != nullptr && (code_.empty() || code_at(pointer) != nullptr);
}

bool HostMemory::might_be_data(const void* pointer) const {
  const Range* code = code_at(pointer);
  return code == nullptr || code->is_writable;
}

}  // namespace r2b
