// The delegate as LiteRT sees it: its options, and the life of its kernels.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "claiming.h"
#include "host_layout.h"
#include "kernels/kernels.h"
#include "litert_abi.h"
#include "program.h"
#include "r2b_delegate.h"
#include "threads.h"

#ifndef R2B_VERSION
#define R2B_VERSION "0"
#endif

namespace r2b {

namespace {

struct Options {
  const Kernels* kernels = nullptr;
  bool fuse = true;
  bool only_binary = false;
  bool profile = false;
};

// What a delegate and its kernels share. Python's garbage collector may end the delegate
// before the interpreters that it was given to: whoever ends last takes this along.
struct Shared {
  Options options;
  Threads threads;   // of all kernels
  std::mutex mutex;  // of what follows: interpreters may live in several threads
  std::vector<struct Kernel*> kernels;
};

// A partition of one interpreter, and why it cannot run, if it cannot.
struct Kernel {
  std::shared_ptr<Shared> shared;
  Program program;
  std::string broken;
};

// The delegate's own side of TfLiteDelegate.
struct Delegate {
  TfLiteDelegate base = {};
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
};

void report(TfLiteContext* context, const std::string& why) {
  context->ReportError(context, "r2b_delegate: %s.", why.c_str());
}

// ---- options

bool parse_switch(const std::string& key, const std::string& value, bool* result,
                  std::string* why) {
  if (value != "0" && value != "1") {
    *why = format("option %s is '%s': give 0 or 1", key.c_str(), value.c_str());
    return false;
  }
  *result = value == "1";
  return true;
}

bool choose_kernels(const std::string& name, const char* from, Options* options,
                    std::string* why) {
  options->kernels = find_kernels(name.c_str());
  if (options->kernels != nullptr) return true;
  std::string known;
  for (const Kernels* const* each = available_kernels(); *each != nullptr; each++) {
    known += (known.empty() ? "" : ", ") + std::string((*each)->name);
  }
  *why = format("%s=%s is not available: this CPU runs %s", from, name.c_str(),
                known.c_str());
  return false;
}

bool parse_option(const std::string& key, const std::string& value, Options* options,
                  std::string* why) {
  if (key == "kernel") return choose_kernels(value, "kernel", options, why);
  if (key == "fuse") return parse_switch(key, value, &options->fuse, why);
  if (key == "profile") return parse_switch(key, value, &options->profile, why);
  if (key == "claim") {
    if (value != "all" && value != "binary") {
      *why = format("option claim is '%s': give all or binary", value.c_str());
      return false;
    }
    options->only_binary = value == "binary";
    return true;
  }
  *why = format("there is no option '%s': give kernel, fuse, claim or profile",
                key.c_str());
  return false;
}

bool parse_options(const char* const* keys, const char* const* values, size_t count,
                   Options* options, std::string* why) {
  for (size_t i = 0; i < count; i++) {
    if (keys == nullptr || values == nullptr || keys[i] == nullptr ||
        values[i] == nullptr) {
      *why = "an option has no name or no value";
      return false;
    }
    if (!parse_option(keys[i], values[i], options, why)) return false;
  }
  if (options->kernels != nullptr) return true;
  const char* wanted = std::getenv("R2B_KERNEL");
  if (wanted != nullptr && *wanted != '\0') {
    return choose_kernels(wanted, "R2B_KERNEL", options, why);
  }
  options->kernels = available_kernels()[0];
  return true;
}

// ---- the kernel's life

// LiteRT makes kernels while it applies the delegate, in the same thread; what was found
// out about the model waits here for them.
thread_local const ConstantSources* applied_sources = nullptr;

void* init_kernel(TfLiteContext* context, const char* buffer, size_t) {
  const auto& params = *reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  const auto& shared = static_cast<const Delegate*>(params.delegate->data_)->shared;
  const Options& options = shared->options;
  auto kernel = std::unique_ptr<Kernel>(new Kernel{
      shared,
      Program(*options.kernels, &shared->threads, options.fuse, options.profile), ""});
  // What goes wrong here can be said in prepare only.
  if (!kernel->program.read(context, params, *applied_sources, &kernel->broken) &&
      kernel->broken.empty()) {
    kernel->broken = "the partition cannot be read";
  }
  std::lock_guard<std::mutex> lock(shared->mutex);
  shared->kernels.push_back(kernel.get());
  return kernel.release();
}

void free_kernel(TfLiteContext*, void* data) {
  auto* kernel = static_cast<Kernel*>(data);
  {
    std::lock_guard<std::mutex> lock(kernel->shared->mutex);
    auto& kernels = kernel->shared->kernels;
    kernels.erase(std::remove(kernels.begin(), kernels.end(), kernel), kernels.end());
  }
  delete kernel;
}

TfLiteStatus prepare_kernel(TfLiteContext* context, TfLiteNode* node) {
  auto& kernel = *static_cast<Kernel*>(node->user_data);
  std::string why = kernel.broken;
  if (!why.empty() || !kernel.program.prepare(context, &why)) {
    report(context, why);
    return kTfLiteError;
  }
  return kTfLiteOk;
}

TfLiteStatus invoke_kernel(TfLiteContext* context, TfLiteNode* node) {
  std::string why;
  if (static_cast<Kernel*>(node->user_data)->program.run(context, &why)) {
    return kTfLiteOk;
  }
  report(context, why);
  return kTfLiteError;
}

TfLiteStatus prepare_delegate(TfLiteContext* context, TfLiteDelegate* base) {
  std::string why;
  if (!layout_is_as_expected(context, &why)) {
    report(context, why);
    return kTfLiteError;
  }
  TfLiteIntArray* plan = nullptr;
  Claim claim;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk || plan == nullptr) {
    report(context, "LiteRT gives no execution plan");
    return kTfLiteError;
  }
  const Options& options = static_cast<const Delegate*>(base->data_)->shared->options;
  if (!find_our_nodes(context, *plan, options.only_binary, &claim, &why)) {
    report(context, why);
    return kTfLiteError;
  }
  if (claim.nodes.empty()) return kTfLiteOk;
  std::vector<int> list = {static_cast<int>(claim.nodes.size())};
  list.insert(list.end(), claim.nodes.begin(), claim.nodes.end());
  TfLiteRegistration registration = {};
  registration.init = init_kernel;
  registration.free = free_kernel;
  registration.prepare = prepare_kernel;
  registration.invoke = invoke_kernel;
  registration.custom_name = "R2bDelegate";
  registration.version = 1;
  applied_sources = &claim.sources;
  const TfLiteStatus status = context->ReplaceNodeSubsetsWithDelegateKernels(
      context, registration, reinterpret_cast<const TfLiteIntArray*>(list.data()),
      base);
  applied_sources = nullptr;
  return status;
}

// ---- what it tells

// A text of each kernel that lives; none ends meanwhile.
template <typename Text>
std::string of_all_kernels(Shared* shared, Text text_of) {
  const std::lock_guard<std::mutex> lock(shared->mutex);
  std::string text;
  for (const Kernel* kernel : shared->kernels) {
    text += text_of(kernel->program.report());
  }
  return text;
}

// As much of it as fits, ended by a zero; returns its whole length.
size_t copy_text(const std::string& from, char* text, size_t size) {
  if (text != nullptr && size > 0) {
    const size_t length = std::min(from.size(), size - 1);
    std::memcpy(text, from.data(), length);
    text[length] = '\0';
  }
  return from.size();
}

}  // namespace

}  // namespace r2b

// ---- what the library exports

extern "C" {

#define R2B_EXPORT __attribute__((visibility("default")))

R2B_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(
    const char* const* keys, const char* const* values, size_t num_options,
    void (*report_error)(const char* message)) {
  // LiteRT would let an operator of LCE fail before it asks the delegate.
  constexpr int64_t kAllowDynamicTensors = 1;
  auto delegate = std::make_unique<r2b::Delegate>();
  std::string why;
  r2b::Options* options = &delegate->shared->options;
  if (!r2b::parse_options(keys, values, num_options, options, &why)) {
    why = "r2b_delegate: " + why + ".";
    if (report_error != nullptr) {
      report_error(why.c_str());
    } else {
      std::fprintf(stderr, "%s\n", why.c_str());
    }
    return nullptr;
  }
  delegate->base.data_ = delegate.get();
  delegate->base.Prepare = r2b::prepare_delegate;
  delegate->base.flags = kAllowDynamicTensors;
  return &delegate.release()->base;
}

R2B_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  if (delegate != nullptr) delete static_cast<r2b::Delegate*>(delegate->data_);
}

R2B_EXPORT const char* r2b_delegate_version(void) { return R2B_VERSION; }

R2B_EXPORT size_t r2b_delegate_explanation(TfLiteDelegate* base, char* text,
                                           size_t size) {
  r2b::Shared* shared = static_cast<r2b::Delegate*>(base->data_)->shared.get();
  const char* kernels = shared->options.kernels->name;
  return r2b::copy_text(r2b::of_all_kernels(shared,
                                            [kernels](const r2b::Report& report) {
                                              return report.explanation(kernels);
                                            }),
                        text, size);
}

R2B_EXPORT size_t r2b_delegate_profile(TfLiteDelegate* base, char* text, size_t size) {
  r2b::Shared* shared = static_cast<r2b::Delegate*>(base->data_)->shared.get();
  return r2b::copy_text(
      r2b::of_all_kernels(shared,
                          [](const r2b::Report& report) { return report.profile(); }),
      text, size);
}

}  // extern "C"
