// The delegate's whole life on models made of any bytes: no access that is not allowed,
// an error wherever something fails, constants left alone, and the same bits from every
// set of kernels, fused or not, with one thread or two.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "graph_maker.h"
#include "life.h"
#include "numbers.h"

namespace r2b_fuzz {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

enum Flags {
  kFuse = 1,
  kTwice = 2,  // compare with another set of kernels, fused the other way
  kTwoThreads = 4,
  kOnlyBinary = 8,
  kKernelsShift = 4,
};

void expect(bool condition, const char* text) {
  if (condition) return;
  std::fprintf(stderr, "expected: %s\n", text);
  std::abort();
}

const char* kernel_name(int choice) {
  const r2b::Kernels* const* all = r2b::available_kernels();
  int count = 0;
  while (all[count] != nullptr) ++count;
  return all[choice % count]->name;
}

// For people: with R2B_FUZZ_SHOW in the environment, what a run is made of.
bool is_shown() {
  static const bool shown = std::getenv("R2B_FUZZ_SHOW") != nullptr;
  return shown;
}

void show_tensor(const char* text, r2b_test::Host* host, int index) {
  std::fprintf(stderr, "%s%d", text, index);
  if (index < 0) return;
  const TfLiteTensor& tensor = host->tensor(index);
  std::fprintf(stderr, ":%s%d[",
               tensor.allocation_type == kTfLiteMmapRo ? "const" : "t",
               static_cast<int>(tensor.type));
  for (int extent : host->dims(index)) std::fprintf(stderr, "%d ", extent);
  std::fprintf(stderr, "]");
}

void show_model(r2b_test::Host* host) {
  for (size_t i = 0; i < host->num_nodes(); ++i) {
    const int index = static_cast<int>(i);
    const TfLiteRegistration& registration = host->registration(index);
    const TfLiteNode& node = host->node(index);
    std::fprintf(stderr, "%s %d",
                 registration.custom_name ? registration.custom_name : "",
                 registration.builtin_code);
    for (int j = 0; j < node.inputs->size; ++j) {
      show_tensor(" ", host, node.inputs->data[j]);
    }
    for (int j = 0; j < node.outputs->size; ++j) {
      show_tensor(" -> ", host, node.outputs->data[j]);
    }
    std::fprintf(stderr, "\n");
  }
}

// One interpreter, from the model to the last invocation.
class Life {
 public:
  Life(const uint8_t* data, size_t size, bool is_second)
      : source_(data, size), header_(source_.take_struct<Header>()) {
    const int choice =
        is_second ? header_.profile >> 1 : header_.flags >> kKernelsShift;
    const bool fuse = ((header_.flags & kFuse) != 0) != is_second;
    // Seldom, as threads cost more than the work they share.
    const bool two_threads = (header_.flags & kTwoThreads) != 0 && is_second;
    delegate_ = r2b_test::delegate_with(
        {{"kernel", kernel_name(choice)},
         {"fuse", fuse ? "1" : "0"},
         {"claim", header_.flags & kOnlyBinary ? "binary" : "all"},
         {"profile", header_.profile & 1 ? "1" : "0"}});
    host_ =
        std::make_unique<r2b_test::Host>(two_threads && header_.spare % 8 == 7 ? 2 : 1);
    host_->set_memory_limit(kMaxBytes);
  }

  void run() {
    GraphMaker maker(host_.get(), header_, source_);
    const int input = maker.make();
    inputs_ = maker.inputs();
    outputs_ = maker.outputs();
    keep_constants();
    if (is_shown()) show_model(host_.get());
    if (note("apply", host_->apply(delegate_.get()))) {
      run_once();
      if (is_alive_ && header_.resize > 0) {
        resize(input);
        run_once();
      }
    }
    expect(constants_are_kept(), "constants as they were");
    const std::string texts =
        told(r2b_delegate_explanation) + told(r2b_delegate_profile);
    if (is_shown()) {
      std::fprintf(stderr, "%s\n%s%s", story_.c_str(), host_->errors().c_str(),
                   texts.c_str());
    }
  }

  // What went wrong at which step, and all outputs' bits.
  const std::string& story() const { return story_; }
  const std::vector<std::vector<uint8_t>>& results() const { return results_; }

 private:
  std::string told(size_t (*tell)(TfLiteDelegate*, char*, size_t)) {
    std::vector<char> text(tell(delegate_.get(), nullptr, 0) + 1);
    tell(delegate_.get(), text.data(), text.size());
    return text.data();
  }

  bool note(const char* step, TfLiteStatus status) {
    story_ += std::string(step) + (status == kTfLiteOk ? " " : " failed ");
    if (status == kTfLiteOk) return true;
    expect(!host_->errors().empty(), "an error that says what is wrong");
    return is_alive_ = false;
  }

  void run_once() {
    if (!is_alive_ || !note("allocate", host_->allocate())) return;
    if (is_shown()) std::fputs(told(r2b_delegate_explanation).c_str(), stderr);
    for (int tensor : inputs_) fill(tensor);
    for (int i = 0; i < 2; ++i) {
      if (!note("invoke", host_->invoke())) return;
    }
    for (int tensor : outputs_) keep_result(tensor);
  }

  void resize(int input) {
    r2b_test::Dims dims = host_->dims(input);
    if (dims.empty()) return;
    const size_t at = (header_.resize >> 4) % dims.size();
    dims[at] = 1 + header_.resize_extent % 9;
    note("resize", host_->resize_input(input, dims));
  }

  void fill(int index) {
    const TfLiteTensor& tensor = host_->tensor(index);
    if (tensor.data == nullptr) return;
    if (tensor.type == kTfLiteFloat32) {
      for (size_t i = 0; i < tensor.bytes / 4; ++i) {
        static_cast<float*>(tensor.data)[i] = some_float(header_.input_values, i);
      }
      return;
    }
    for (size_t i = 0; i < tensor.bytes; ++i) {
      const uint32_t word = some_word(header_.input_values, i);
      static_cast<uint8_t*>(tensor.data)[i] =
          static_cast<uint8_t>(tensor.type == kTfLiteBool ? word & 1 : word);
    }
  }

  void keep_result(int index) {
    const TfLiteTensor& tensor = host_->tensor(index);
    if (tensor.data == nullptr) return;
    const auto* data = static_cast<const uint8_t*>(tensor.data);
    std::vector<uint8_t> bytes(data, data + tensor.bytes);
    if (tensor.type == kTfLiteFloat32) make_equal(&bytes);
    if (is_shown()) {
      show_tensor("result ", host_.get(), index);
      for (size_t i = 0; i < bytes.size() && i < 400; ++i) {
        std::fprintf(stderr, "%s%02x", i % 4 == 0 ? " " : "", bytes[i]);
      }
      std::fprintf(stderr, "\n");
    }
    results_.push_back(std::move(bytes));
  }

  // Which NaN comes of several is the processor's choice, a denormal that nothing is
  // computed with may stay one or be zero, and of zeros of both signs a pool before a
  // limit takes one, a pool behind it the other.
  static void make_equal(std::vector<uint8_t>* bytes) {
    for (size_t at = 0; at + 4 <= bytes->size(); at += 4) {
      float value;
      std::memcpy(&value, bytes->data() + at, 4);
      if (std::isnan(value)) std::memset(bytes->data() + at, 0xff, 4);
      if (value == 0 || std::fpclassify(value) == FP_SUBNORMAL) {
        std::memset(bytes->data() + at, 0, 4);
      }
    }
  }

  void keep_constants() {
    for (size_t i = 0; i < host_->context()->tensors_size; ++i) {
      const TfLiteTensor& tensor = host_->tensor(static_cast<int>(i));
      const bool is_constant =
          tensor.allocation_type == kTfLiteMmapRo && tensor.data != nullptr;
      const auto* data = static_cast<const uint8_t*>(tensor.data);
      constants_.emplace_back(data, is_constant ? data + tensor.bytes : data);
    }
  }

  bool constants_are_kept() {
    for (size_t i = 0; i < constants_.size(); ++i) {
      const void* data = host_->tensor(static_cast<int>(i)).data;
      if (!constants_[i].empty() &&
          std::memcmp(constants_[i].data(), data, constants_[i].size()) != 0) {
        return false;
      }
    }
    return true;
  }

  Source source_;
  Header header_;
  r2b_test::Delegate delegate_;  // outlives the host
  std::unique_ptr<r2b_test::Host> host_;
  bool is_alive_ = true;
  std::vector<int> inputs_, outputs_;
  std::vector<std::vector<uint8_t>> constants_, results_;
  std::string story_;
};

}  // namespace
}  // namespace r2b_fuzz

// Where memory is short, the delegate has to say so.
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1:max_allocation_size_mb=256";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using r2b_fuzz::Life;
  if (size < sizeof(r2b_fuzz::Header)) return 0;
  Life life(data, size, false);
  life.run();
  if ((data[0] & r2b_fuzz::kTwice) == 0) return 0;
  Life other(data, size, true);
  other.run();
  r2b_fuzz::expect(life.story() == other.story(), "the same story told twice");
  r2b_fuzz::expect(life.results() == other.results(), "the same bits from both");
  return 0;
}
