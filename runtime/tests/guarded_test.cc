// What the other tests rest on: nobody can read or write beside a guarded array.
#include "guarded.h"

#include <signal.h>
#include <sys/wait.h>

#include "check.h"

using namespace r2b_test;

namespace {

constexpr int kStopped = 77;

// The exit code of a child that does `work`: 0, or kStopped where memory stopped it.
template <typename Work>
int code_after(const Work& work) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, [](int) { _exit(kStopped); });
    work();
    _exit(0);
  }
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void read(const volatile float* element) { (void)*element; }
void write(volatile float* element) { *element = 1; }

void test_side(Guarded<float>::Side side, size_t size) {
  Guarded<float> array(size, side);
  float* outside =
      side == Guarded<float>::kBehind ? array.data() + size : array.data() - 1;
  CHECK_EQUAL(code_after([&] { read(outside); }), kStopped);
  CHECK_EQUAL(code_after([&] { write(outside); }), kStopped);
  if (size == 0) return;
  const auto use_ends = [&] {
    for (float* end : {array.data(), array.data() + size - 1}) read(end), write(end);
  };
  CHECK_EQUAL(code_after(use_ends), 0);
}

}  // namespace

TEST(what_is_beside_an_array_stops_its_reader) {
  // A page has 1024 floats, or a multiple of that.
  for (const size_t size : {0, 1, 7, 1023, 1024, 1025, 16384}) {
    test_side(Guarded<float>::kBehind, size);
    test_side(Guarded<float>::kBefore, size);
  }
}

TEST_MAIN
