#include "check.h"

#include <atomic>
#include <cstdio>
#include <cstring>

namespace r2b_test {
namespace {

struct Test {
  const char* name;
  void (*run)();
};

constexpr int kMaxTests = 500;
Test tests[kMaxTests];
int num_tests = 0;
std::atomic<int> num_checks{0};
std::atomic<int> num_failures{0};

bool is_wanted(const char* name, int argc, char** argv) {
  if (argc < 2) return true;
  for (int i = 1; i < argc; ++i) {
    if (std::strstr(name, argv[i]) != nullptr) return true;
  }
  return false;
}

}  // namespace

Registrar::Registrar(const char* name, void (*run)()) {
  if (num_tests < kMaxTests) tests[num_tests] = {name, run};
  ++num_tests;
}

bool check(bool ok, const char* file, int line, const std::string& text) {
  ++num_checks;
  if (!ok) {
    ++num_failures;
    std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, text.c_str());
  }
  return ok;
}

int run_tests(int argc, char** argv) {
  if (num_tests > kMaxTests) {
    std::fprintf(stderr, "%d tests, expected at most %d: raise kMaxTests\n", num_tests,
                 kMaxTests);
    return 1;
  }
  int num_run = 0;
  for (int i = 0; i < num_tests; ++i) {
    if (!is_wanted(tests[i].name, argc, argv)) continue;
    const int failures_before = num_failures;
    tests[i].run();
    ++num_run;
    if (num_failures != failures_before) std::printf("FAILED %s\n", tests[i].name);
  }
  std::printf("%d tests, %d checks, %d failed\n", num_run, num_checks.load(),
              num_failures.load());
  return num_failures == 0 && num_run > 0 ? 0 : 1;
}

}  // namespace r2b_test
