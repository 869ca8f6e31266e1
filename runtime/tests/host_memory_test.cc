// Memory that cannot be read, next to some that can: told without a crash.
#include "host_memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstring>

#include "check.h"
#include "guarded.h"

using namespace r2b_test;

namespace {

bool can_read(const void* from, size_t num_bytes) {
  const r2b::HostMemory memory;
  Guarded<char> to(num_bytes);
  return memory.copy(from, num_bytes, to.data());
}

const char* at(uintptr_t address) { return reinterpret_cast<const char*>(address); }

}  // namespace

TEST(memory_ends_where_pages_without_rights_begin) {
  constexpr size_t kSize = 5000;  // of two pages
  for (auto side : {Guarded<char>::kBehind, Guarded<char>::kBefore}) {
    Guarded<char> guarded(kSize, side);
    const bool behind = side == Guarded<char>::kBehind;
    CHECK(can_read(guarded.data(), kSize));
    CHECK(can_read(guarded.data(), 1) && can_read(guarded.data() + kSize - 1, 1));
    CHECK(can_read(guarded.data(), kSize + 1) != behind);
    CHECK(can_read(guarded.data() + kSize, 1) != behind);
    CHECK(can_read(guarded.data() - 1, 2) == behind);
    // The page that cannot be read lies in the middle.
    const char* const before = guarded.data() - (behind ? 0 : 2 * 4096);
    CHECK(!can_read(before, 6 * 4096));
  }
}

TEST(memory_is_read_with_the_rights_it_has) {
  char* const page = static_cast<char*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (int rights : {PROT_READ, PROT_NONE, PROT_READ | PROT_WRITE}) {
    CHECK_EQUAL(mprotect(page, 4096, rights), 0);
    CHECK(can_read(page + 100, 8) == (rights != PROT_NONE));
  }
  munmap(page, 4096);
  CHECK(!can_read(page, 1));
}

TEST(memory_that_no_program_has_is_told) {
  CHECK(!can_read(nullptr, 1) && !can_read(at(8), 8));
  CHECK(!can_read(at(UINTPTR_MAX - 7), 8) && !can_read(at(UINTPTR_MAX - 3), 8));
  CHECK(!can_read(at(uintptr_t{1} << 63), 8));
}

TEST(memory_is_copied) {
  const r2b::HostMemory memory;
  double number = 0;
  const double pi = 3.141592653589793;
  CHECK(memory.read(&pi, &number) && number == pi);
}

// As under valgrind, whose heap can be executed.
TEST(memory_that_is_written_and_executed_might_be_either) {
  char* const page = static_cast<char*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(!r2b::HostMemory().might_be_code(page) &&
        r2b::HostMemory().might_be_data(page));
  if (mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0) {
    const r2b::HostMemory memory;
    CHECK(memory.might_be_code(page) && memory.might_be_data(page));
  }
  CHECK_EQUAL(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
  const r2b::HostMemory memory;
  CHECK(memory.might_be_code(page) && !memory.might_be_data(page));
  munmap(page, 4096);
}

TEST(texts_end_before_memory_does) {
  const r2b::HostMemory memory;
  Guarded<char> text(6);
  std::memcpy(text.data(), "LceXY", 6);
  CHECK(memory.is_text(text.data(), 6) && !memory.is_text(text.data(), 5));
  text[5] = 'Z';
  CHECK(!memory.is_text(text.data(), 100));
}

// Without a descriptor left, nothing is told of any memory.
TEST(memory_cannot_be_told_without_descriptors) {
  rlimit before;
  CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
  const int number = 7;
  {
    const r2b::HostMemory memory;
    CHECK(!memory.can_tell() && !memory.is_text("text", 8));
  }
  CHECK(!can_read(&number, sizeof number));
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK(can_read(&number, sizeof number));
}

TEST_MAIN
