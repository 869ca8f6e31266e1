#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace r2b {

namespace {

// Steps follow each other within microseconds, and waking up takes some: so long a
// thread looks for what it waits for before it sleeps. Not longer: on a core that has
// other work, looking only delays that.
constexpr auto kPatience = std::chrono::microseconds(50);

// A thread's own rows come in so many pieces, of which others may take what it has not
// begun.
constexpr int kPieces = 4;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether `holds` does within kPatience.
template <typename Condition>
bool holds_soon(const Condition& holds) {
  constexpr int kLooksBetweenClocks = 32;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < kLooksBetweenClocks; i++) {
      if (holds()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// A round of work, whether threads may join it, and how many are at it beside the
// caller: one word, so that nobody joins a round that is over.
class Gate {
 public:
  struct State {
    uint64_t word;
    uint32_t round() const { return static_cast<uint32_t>(word >> 32); }
    int num_threads() const { return static_cast<int>(word >> 24 & 0xff); }
    bool is_open() const { return (word & kOpen) != 0; }
    int num_inside() const { return static_cast<int>(word & 0xffff); }
    bool is_new_to(int thread, uint32_t last_round) const {
      return is_open() && round() != last_round && thread < num_threads();
    }
  };

  State look() const { return {word_.load()}; }
  void open(int num_threads) {
    const uint64_t round = look().round() + uint64_t{1};
    word_.store(round << 32 | static_cast<uint64_t>(num_threads) << 24 | kOpen);
  }
  void close() { word_.fetch_and(~kOpen); }
  // Joins the round that was seen, unless something has changed.
  bool enter(State seen) {
    return word_.compare_exchange_strong(seen.word, seen.word + 1);
  }
  State leave() { return {word_.fetch_sub(1) - 1}; }

 private:
  static constexpr uint64_t kOpen = 1 << 16;
  std::atomic<uint64_t> word_{0};
};

}  // namespace

// The threads of one process.
class Threads::Team {
 public:
  Team() : process_(getpid()) {}
  ~Team();

  bool is_of_this_process() const { return process_ == getpid(); }
  int reserve(int wanted);
  void run(int num_threads, int count, Work work, void* context);

 private:
  struct Helper {
    Team* team;
    int thread;
    pthread_t id;
    std::condition_variable opened;  // a round that it may join, or the end
  };
  // The rows that a thread begins with. Each in a cache line of its own.
  struct Share {
    std::atomic<int64_t> next;
    int64_t end, piece;
    char padding[40];
  };

  int start(int num_threads);
  bool start_helper(Helper* helper);
  static void* serve(void* helper);
  bool join_round(int thread, uint32_t* last_round);
  void deal(int num_threads, int count);
  void work_as(int thread);
  void leave_round();
  void wait_for_helpers();

  const pid_t process_;
  std::mutex turn_;  // of who uses the team or makes it larger
  Helper helpers_[kMost - 1];
  int num_helpers_ = 0;

  Gate gate_;
  std::atomic<bool> stop_{false};
  // What is worked on. Changes only while nobody is inside the gate.
  Share shares_[kMost];
  int num_threads_ = 0;
  Work work_ = nullptr;
  void* context_ = nullptr;

  // Who sleeps: those that wait look at the gate once more when they have said so.
  std::mutex sleep_;
  std::condition_variable left_;
  std::atomic<int> num_sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
};

Threads::Team::~Team() {
  {
    std::lock_guard<std::mutex> lock(sleep_);
    stop_.store(true);
  }
  for (int i = 0; i < num_helpers_; i++) helpers_[i].opened.notify_one();
  for (int i = 0; i < num_helpers_; i++) pthread_join(helpers_[i].id, nullptr);
}

int Threads::Team::reserve(int wanted) {
  std::lock_guard<std::mutex> turn(turn_);
  return start(wanted);
}

// Returns how many there are with the caller.
int Threads::Team::start(int num_threads) {
  while (num_helpers_ + 1 < num_threads) {
    helpers_[num_helpers_].team = this;
    helpers_[num_helpers_].thread = num_helpers_ + 1;
    if (!start_helper(&helpers_[num_helpers_])) break;
    num_helpers_++;
  }
  return std::min(num_threads, num_helpers_ + 1);
}

bool Threads::Team::start_helper(Helper* helper) {
  // Signals are for the program's own threads, but for those of a thread's own faults,
  // which end the program without its handler where they are blocked.
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
    sigdelset(&blocked, own);
  }
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  const bool started = pthread_create(&helper->id, nullptr, serve, helper) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void Threads::Team::run(int num_threads, int count, Work work, void* context) {
  std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
  if (turn.owns_lock()) num_threads = start(std::min(num_threads, count));
  if (!turn.owns_lock() || num_threads == 1) return work(context, {0, count, 0, false});
  work_ = work;
  context_ = context;
  deal(num_threads, count);
  gate_.open(num_threads);
  if (num_sleeping_.load() > 0) {
    // Whoever sleeps has let go of the lock, whoever is about to has not looked yet.
    {
      std::lock_guard<std::mutex> lock(sleep_);
    }
    // Those that this round has no use for sleep on.
    for (int i = 0; i < num_threads - 1; i++) helpers_[i].opened.notify_one();
  }
  work_as(0);
  gate_.close();
  wait_for_helpers();
}

void Threads::Team::deal(int num_threads, int count) {
  num_threads_ = num_threads;
  for (int64_t thread = 0; thread < num_threads; thread++) {
    Share& share = shares_[thread];
    const int64_t begin = count * thread / num_threads;
    share.end = count * (thread + 1) / num_threads;
    share.piece = (share.end - begin + kPieces - 1) / kPieces;
    share.next.store(begin, std::memory_order_relaxed);
  }
}

// Its own share first, whose rows it has likely worked on in the step before; then what
// is left of others'.
void Threads::Team::work_as(int thread) {
  int64_t last = -1;
  for (int i = 0; i < num_threads_; i++) {
    Share& share = shares_[(thread + i) % num_threads_];
    for (;;) {
      const int64_t begin =
          share.next.fetch_add(share.piece, std::memory_order_relaxed);
      if (begin >= share.end) break;
      const int64_t end = std::min(begin + share.piece, share.end);
      work_(context_,
            {static_cast<int>(begin), static_cast<int>(end), thread, begin == last});
      last = end;
    }
  }
}

void Threads::Team::wait_for_helpers() {
  const auto all_left = [this] { return gate_.look().num_inside() == 0; };
  if (holds_soon(all_left)) return;
  std::unique_lock<std::mutex> lock(sleep_);
  caller_sleeps_.store(true);
  left_.wait(lock, all_left);
  caller_sleeps_.store(false);
}

void* Threads::Team::serve(void* helper) {
  const int thread = static_cast<Helper*>(helper)->thread;
  Team& team = *static_cast<Helper*>(helper)->team;
  uint32_t last_round = 0;
  while (team.join_round(thread, &last_round)) {
    team.work_as(thread);
    team.leave_round();
  }
  return nullptr;
}

// Waits for a round and enters it; false when there will be none.
bool Threads::Team::join_round(int thread, uint32_t* last_round) {
  const auto has_news = [&] {
    return gate_.look().is_new_to(thread, *last_round) || stop_.load();
  };
  for (;;) {
    if (!holds_soon(has_news)) {
      std::unique_lock<std::mutex> lock(sleep_);
      num_sleeping_.fetch_add(1);
      helpers_[thread - 1].opened.wait(lock, has_news);
      num_sleeping_.fetch_sub(1);
    }
    if (stop_.load()) return false;
    const Gate::State seen = gate_.look();
    if (seen.is_new_to(thread, *last_round) && gate_.enter(seen)) {
      *last_round = seen.round();
      return true;
    }
  }
}

void Threads::Team::leave_round() {
  if (gate_.leave().num_inside() > 0 || !caller_sleeps_.load()) return;
  {
    std::lock_guard<std::mutex> lock(sleep_);
  }
  left_.notify_one();
}

// A child has the parent's memory, but none of its threads, and locks as they were: its
// copy of the parent's team is of no use, not even to be taken apart.
Threads::Team& Threads::team() {
  Team* team = team_.load();
  if (team != nullptr && team->is_of_this_process()) return *team;
  auto* fresh = new Team;
  if (team_.compare_exchange_strong(team, fresh)) return *fresh;
  delete fresh;
  return *team;
}

Threads::~Threads() {
  Team* team = team_.load();
  if (team != nullptr && team->is_of_this_process()) delete team;
}

int Threads::reserve(int wanted) {
  wanted = std::clamp(wanted, 1, kMost);
  return wanted == 1 ? 1 : team().reserve(wanted);
}

void Threads::run(int num_threads, int count, Work work, void* context) {
  if (count <= 0) return;
  if (num_threads <= 1 || count == 1) return work(context, {0, count, 0, false});
  team().run(std::min(num_threads, kMost), count, work, context);
}

}  // namespace r2b
