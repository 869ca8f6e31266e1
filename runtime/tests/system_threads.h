// How many threads this process has.
#ifndef R2B_TESTS_SYSTEM_THREADS_H_
#define R2B_TESTS_SYSTEM_THREADS_H_

#include <cstdio>

namespace r2b_test {

inline int num_system_threads() {
  FILE* status = std::fopen("/proc/self/status", "re");
  if (status == nullptr) return -1;
  int count = -1;
  char line[256];
  while (std::fgets(line, sizeof line, status) != nullptr) {
    if (std::sscanf(line, "Threads: %d", &count) == 1) break;
  }
  std::fclose(status);
  return count;
}

}  // namespace r2b_test

#endif  // R2B_TESTS_SYSTEM_THREADS_H_
