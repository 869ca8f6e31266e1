// The threads that share a step's rows: every row once, whatever the system does.
#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "check.h"
#include "system_threads.h"

using r2b::Threads;
using namespace r2b_test;

namespace {

void sleep_for(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

// How often each row was worked on, and by whom.
struct Rows {
  explicit Rows(int count) : times(static_cast<size_t>(count)) {
    for (auto& end : ends) end = -1;
  }

  void run(Threads* threads, int num_threads) {
    threads->run(num_threads, static_cast<int>(times.size()), work, this);
  }
  static void work(void* context, const Threads::Piece& piece) {
    auto& rows = *static_cast<Rows*>(context);
    const int thread = piece.thread;
    // A thread goes on right behind where it was.
    const bool follows = rows.ends[thread].exchange(piece.end) == piece.begin;
    rows.is_wrong_about_order = rows.is_wrong_about_order || piece.goes_on != follows;
    rows.num_going_on += piece.goes_on;
    if (rows.is_at_work[thread].fetch_add(1) != 0) rows.is_doubled = true;
    for (int row = piece.begin; row < piece.end; ++row) {
      rows.times[static_cast<size_t>(row)].fetch_add(1);
      if (rows.meanwhile != nullptr) rows.meanwhile(&rows, thread);
    }
    rows.is_at_work[thread].fetch_sub(1);
  }
  bool are_done_once() const {
    for (const auto& each : times) {
      if (each != 1) return false;
    }
    return !is_doubled && !is_wrong_about_order;
  }

  std::vector<std::atomic<int>> times;
  std::atomic<int> is_at_work[Threads::kMost] = {};
  std::atomic<int> ends[Threads::kMost];
  std::atomic<bool> is_doubled{false}, is_wrong_about_order{false};
  std::atomic<int> num_going_on{0};
  void (*meanwhile)(Rows*, int thread) = nullptr;
  std::atomic<int> done_by_others{0};
};

// Runs a body in a forked child: whether it came to its end within ten seconds.
bool ends_in_child(bool (*body)(Threads*), Threads* threads) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    _exit(body(threads) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool works_with_two(Threads* threads) {
  Rows rows(50);
  // The caller waits in its first row for the helper.
  rows.meanwhile = [](Rows* all, int thread) {
    if (thread != 0) all->done_by_others.fetch_add(1);
    while (all->done_by_others.load() == 0) sleep_for(1);
  };
  rows.run(threads, 2);
  return rows.are_done_once() && rows.done_by_others > 0;
}

}  // namespace

TEST(every_row_is_done_once) {
  Threads threads;
  for (int num_threads : {1, 2, 3, 7, Threads::kMost, 1000}) {
    threads.reserve(num_threads);
    for (int count : {0, 1, 2, 3, 7, 8, 9, 64, 1000}) {
      Rows rows(count);
      rows.run(&threads, num_threads);
      CHECK(rows.are_done_once());
    }
  }
}

// A fault in a helper is for the host's handler, an alarm for the host's threads.
TEST(helpers_leave_signals_to_the_host_but_for_their_own_faults) {
  static std::atomic<int> num_wrong{0};
  Threads threads;
  threads.reserve(2);
  Rows rows(50);
  rows.meanwhile = [](Rows* all, int thread) {
    if (thread != 0) {
      sigset_t blocked;
      pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
      for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        num_wrong += sigismember(&blocked, own) != 0;
      }
      for (int other : {SIGALRM, SIGTERM, SIGINT, SIGPROF}) {
        num_wrong += sigismember(&blocked, other) != 1;
      }
      all->done_by_others.fetch_add(1);
    }
    while (all->done_by_others.load() == 0) sleep_for(1);
  };
  rows.run(&threads, 2);
  CHECK(rows.done_by_others > 0);
  CHECK_EQUAL(num_wrong.load(), 0);
}

TEST(rounds_follow_each_other_without_mixing) {
  Threads threads;
  threads.reserve(3);
  for (int round = 0; round < 20000; ++round) {
    Rows rows(1 + round % 13);
    rows.run(&threads, 2 + round % 2);
    if (!CHECK(rows.are_done_once())) return;
  }
}

TEST(threads_wake_up_after_a_rest) {
  Threads threads;
  threads.reserve(2);
  for (int round = 0; round < 20; ++round) {
    sleep_for(2);
    CHECK(works_with_two(&threads));
  }
}

long voluntary_switches() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

TEST(a_round_wakes_those_alone_that_it_has_use_for) {
  constexpr int kThreads = 32, kRounds = 100;
  Threads threads;
  if (threads.reserve(kThreads) < kThreads) return;  // the system has no more
  Rows(kThreads).run(&threads, kThreads);
  sleep_for(20);
  const long before = voluntary_switches();
  for (int round = 0; round < kRounds; ++round) {
    Rows rows(8);
    rows.run(&threads, 2);
    CHECK(rows.are_done_once());
    sleep_for(1);  // until the other one sleeps again
  }
  // Its waking, its sleeping, this thread's two waits, and as many by chance; all
  // helpers would make thirty each.
  CHECK(voluntary_switches() - before < 8 * kRounds);
}

// A helper that is kept from its rows, as by another program on its core, keeps only the
// piece that it has begun: here for as long as any of the others is left.
TEST(rows_of_a_late_thread_are_taken_by_others) {
  constexpr int kRows = 80, kMostInAPiece = 10;
  Threads threads;
  threads.reserve(2);
  Rows rows(kRows);
  rows.meanwhile = [](Rows* all, int thread) {
    if (thread == 0) {
      while (all->done_by_others == 0) sleep_for(1);
    } else if (all->done_by_others.fetch_add(1) == 0) {
      const auto is_left = [](const std::atomic<int>& times) { return times == 0; };
      for (int waits = 0; waits < 10000; ++waits, sleep_for(1)) {
        if (std::count_if(all->times.begin(), all->times.end(), is_left) <
            kMostInAPiece) {
          return;
        }
      }
      CHECK(!"the other thread leaves rows alone that nobody has begun");
    }
  };
  rows.run(&threads, 2);
  CHECK(rows.are_done_once());
}

TEST(nobody_waits_for_a_thread_that_has_not_begun) {
  Threads threads;
  threads.reserve(2);
  // Holds the helper: it is in the round of another caller until that ends.
  static std::atomic<bool> may_end{false};
  Rows held(2);
  held.meanwhile = [](Rows*, int) {
    while (!may_end) sleep_for(1);
  };
  std::thread other([&] { held.run(&threads, 2); });
  while (held.times[0] == 0 && held.times[1] == 0) sleep_for(1);
  Rows rows(10);
  rows.run(&threads, 2);  // would wait for ever
  CHECK(rows.are_done_once());
  may_end = true;
  other.join();
  CHECK(held.are_done_once());
}

TEST(callers_in_several_threads_share_them) {
  Threads threads;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&threads, i] {
      for (int round = 0; round < 200; ++round) {
        threads.reserve(1 + (round + i) % 4);
        Rows rows(20);
        rows.run(&threads, 1 + (round + i) % 4);
        CHECK(rows.are_done_once());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(no_more_threads_than_the_limit_are_started) {
  const int before = num_system_threads();
  Threads threads;
  CHECK_EQUAL(threads.reserve(10000), Threads::kMost);
  CHECK_EQUAL(threads.reserve(2), 2);
  CHECK_EQUAL(threads.reserve(-1), 1);
  CHECK_EQUAL(num_system_threads(), before + Threads::kMost - 1);
}

TEST(one_thread_starts_none) {
  const int before = num_system_threads();
  Threads threads;
  CHECK_EQUAL(threads.reserve(1), 1);
  Rows rows(10);
  rows.run(&threads, 1);
  CHECK(rows.are_done_once());
  CHECK_EQUAL(num_system_threads(), before);
}

TEST(where_the_system_starts_no_thread_there_is_one) {
  // Nothing has room for such a stack.
  pthread_attr_t usual, huge;
  pthread_getattr_default_np(&usual);
  pthread_attr_init(&huge);
  CHECK_EQUAL(pthread_attr_setstacksize(&huge, size_t{1} << 50), 0);
  CHECK_EQUAL(pthread_setattr_default_np(&huge), 0);
  {
    Threads threads;
    CHECK_EQUAL(threads.reserve(4), 1);
    Rows rows(10);
    rows.run(&threads, 4);
    CHECK(rows.are_done_once());
    pthread_setattr_default_np(&usual);
    CHECK_EQUAL(threads.reserve(4), 4);
  }
  pthread_setattr_default_np(&usual);
}

TEST(a_forked_child_has_threads_of_its_own) {
  Threads threads;
  threads.reserve(2);
  CHECK(works_with_two(&threads));
  CHECK(ends_in_child(works_with_two, &threads));
  // While the parent's threads are at work, locks and all. They take no memory meanwhile:
  // the sanitizers' allocator does not survive that.
  std::atomic<bool> may_end{false};
  Rows rows(5);
  std::thread other([&] {
    while (!may_end) rows.run(&threads, 2);
  });
  for (int round = 0; round < 20; ++round) {
    CHECK(ends_in_child(works_with_two, &threads));
  }
  may_end = true;
  other.join();
  CHECK(works_with_two(&threads));
}

TEST(a_forked_child_can_end_what_its_parent_began) {
  auto* threads = new Threads;
  threads->reserve(4);
  CHECK(ends_in_child([](Threads* inherited) { return delete inherited, true; },
                      threads));
  CHECK(works_with_two(threads));
  delete threads;
}

TEST(signals_do_not_reach_the_helpers) {
  Threads threads;
  threads.reserve(2);
  static std::atomic<int> num_blocked{0};
  num_blocked = 0;
  Rows rows(2);
  rows.meanwhile = [](Rows* all, int thread) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    if (thread != 0) num_blocked.fetch_add(sigismember(&blocked, SIGINT));
    if (thread != 0) all->done_by_others.fetch_add(1);
    while (all->done_by_others.load() == 0) sleep_for(1);
  };
  rows.run(&threads, 2);
  CHECK(num_blocked > 0);
}

TEST_MAIN
