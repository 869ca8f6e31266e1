// Threads that work on the rows of one step together.
#ifndef R2B_THREADS_H_
#define R2B_THREADS_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace r2b {

// Splits [0, count) into one contiguous range for each thread. The caller is thread 0.
class Threads {
 public:
  explicit Threads(int num_threads);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int size() const { return size_; }

  // Calls work(context, begin, end, thread) in each thread, returns when all have ended.
  using Work = void (*)(void* context, int begin, int end, int thread);
  void run(int count, Work work, void* context);

 private:
  void serve(int thread);
  void share(int thread);

  int size_ = 1;
  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // A new round starts with round_; pending_ counts the helpers still at work in it.
  std::atomic<unsigned> round_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stop_{false};
  int count_ = 0;
  Work work_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace r2b

#endif  // R2B_THREADS_H_
