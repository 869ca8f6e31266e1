// Threads that work on the rows of one step together.
#ifndef R2B_THREADS_H_
#define R2B_THREADS_H_

#include <atomic>

namespace r2b {

// One for each delegate: all its partitions and interpreters share it. Nobody waits for
// a thread that has not begun: where the cores are busy with other programs, those that
// do run take all of the work. Safe to call from several threads, and in a forked child,
// which gets threads of its own.
class Threads {
 public:
  // The most that work together, whatever is wanted.
  static constexpr int kMost = 64;

  Threads() = default;
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  // How many of `wanted` threads, the caller among them, can work together: no more than
  // kMost, and fewer where the system starts no more.
  int reserve(int wanted);

  struct Piece {
    int begin, end;
    int thread;  // 0 <= thread < num_threads; no two calls at a time have the same one
    bool goes_on;  // the thread's last piece of this round ended at `begin`
  };

  // Calls work(context, piece) for pieces that together are [0, count), each index once,
  // and returns when all calls have. The caller does everything alone while another
  // caller has the threads.
  using Work = void (*)(void* context, const Piece& piece);
  void run(int num_threads, int count, Work work, void* context);

 private:
  class Team;
  Team& team();

  std::atomic<Team*> team_{nullptr};
};

}  // namespace r2b

#endif  // R2B_THREADS_H_
