// What a delegate tells of itself: cut to the room there is, while interpreters begin
// and end in other threads, and of so many runs that memory does not grow.
#include "report.h"

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"
#include "life.h"

using namespace r2b_test;

namespace {

// LceQuantize -> LceDequantize.
void build(Host* host) {
  host->add_tensor(kTfLiteFloat32, {1, 4, 4, 32});
  host->add_tensor(kTfLiteInt32, {1, 4, 4, 1});
  host->add_tensor(kTfLiteFloat32, {1, 4, 4, 32});
  host->add_custom("LceQuantize", {}, {0}, {1});
  host->add_custom("LceDequantize", {}, {1}, {2});
  host->set_inputs({0});
  host->set_outputs({2});
  host->count_bytes();
}

class IdleStep : public r2b::Step {
 public:
  int units() const override { return 1; }
  void run(int, int, char*) const override {}
};

// The third field.
float median_of(const r2b::Report& report) {
  const std::string text = report.profile();
  return std::stof(text.substr(text.find('\t', text.find('\t') + 1) + 1));
}

}  // namespace

TEST(texts_are_cut_to_the_room_that_there_is) {
  Life life;
  build(&life.host);
  if (!CHECK(life.start())) return;
  const size_t length = r2b_delegate_explanation(life.delegate.get(), nullptr, 0);
  std::vector<char> whole(length + 1, 'x');
  CHECK_EQUAL(r2b_delegate_explanation(life.delegate.get(), whole.data(), whole.size()),
              length);
  CHECK_EQUAL(std::strlen(whole.data()), length);
  CHECK_SAYS(whole.data(), "portable kernels, 1 thread(s):\n  pass + sign  [0]\n");
  for (size_t size : {size_t{1}, size_t{10}, length}) {
    std::vector<char> part(length + 1, 'x');
    CHECK_EQUAL(r2b_delegate_explanation(life.delegate.get(), part.data(), size),
                length);
    CHECK_EQUAL(std::strlen(part.data()), size - 1);
    CHECK(std::memcmp(part.data(), whole.data(), size - 1) == 0);
    CHECK(part[size] == 'x');
  }
}

TEST(texts_can_be_asked_for_while_interpreters_begin_run_and_end) {
  const Delegate shared = delegate_with({{"profile", "1"}});
  std::atomic<bool> ends{false};
  std::thread asking([&] {
    std::vector<char> text(4096);
    while (!ends) {
      CHECK(r2b_delegate_explanation(shared.get(), text.data(), text.size()) <
            text.size());
      CHECK(r2b_delegate_profile(shared.get(), text.data(), text.size()) < text.size());
    }
  });
  for (int round = 0; round < 100; ++round) {
    Host host;
    build(&host);
    bool ok = host.apply(shared.get()) == kTfLiteOk;
    for (int size = 1; size < 5 && ok; ++size) {
      ok = host.resize_input(0, {1, size, size, 32}) == kTfLiteOk &&
           host.allocate() == kTfLiteOk && host.invoke() == kTfLiteOk;
    }
    CHECK(ok);
  }
  ends = true;
  asking.join();
  CHECK_EQUAL(r2b_delegate_explanation(shared.get(), nullptr, 0), size_t{0});
}

TEST(a_profile_is_of_the_last_runs_only) {
  std::vector<std::unique_ptr<r2b::Step>> steps;
  steps.push_back(std::make_unique<IdleStep>());
  r2b::Report report;
  report.describe(steps, 1);
  CHECK(report.profile().empty());
  for (int run = 0; run < 5000; ++run) report.add_run({9.0f});
  CHECK_EQUAL(median_of(report), 9.0f);
  for (int run = 0; run < 1024; ++run) report.add_run({2.0f});
  CHECK_EQUAL(median_of(report), 2.0f);
  report.describe(steps, 1);
  CHECK(report.profile().empty());
}

TEST_MAIN
