#include "threads.h"

#include <chrono>

namespace r2b {

namespace {

// Steps follow each other within microseconds: a helper looks for the next one so long
// before it sleeps, because waking up costs as much as a step.
constexpr auto kPatience = std::chrono::microseconds(200);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Threads::Threads(int num_threads) {
  size_ = num_threads < 1 ? 1 : num_threads;
  for (int thread = 1; thread < size_; thread++) {
    helpers_.emplace_back([this, thread] { serve(thread); });
  }
}

Threads::~Threads() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
    round_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Threads::share(int thread) {
  const long long count = count_;
  const int begin = static_cast<int>(count * thread / size_);
  const int end = static_cast<int>(count * (thread + 1) / size_);
  if (begin < end) work_(context_, begin, end, thread);
}

void Threads::run(int count, Work work, void* context) {
  if (size_ == 1 || count <= 1) {
    if (count > 0) work(context, 0, count, 0);
    return;
  }
  count_ = count;
  work_ = work;
  context_ = context;
  pending_.store(size_ - 1, std::memory_order_relaxed);
  {
    // Under the lock, so that no helper goes to sleep between its look and the change.
    std::lock_guard<std::mutex> lock(mutex_);
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  share(0);
  int looks = 0;
  while (pending_.load(std::memory_order_acquire) != 0) {
    pause();
    // With fewer cores than threads the helper may need this one.
    if (++looks % 2048 == 0) std::this_thread::yield();
  }
}

void Threads::serve(int thread) {
  unsigned seen = 0;
  for (;;) {
    const auto patience_ends = std::chrono::steady_clock::now() + kPatience;
    int looks = 0;
    while (round_.load(std::memory_order_acquire) == seen) {
      pause();
      if (++looks % 64 == 0 && std::chrono::steady_clock::now() > patience_ends) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this, seen] { return round_.load() != seen; });
      }
    }
    seen = round_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    share(thread);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace r2b
