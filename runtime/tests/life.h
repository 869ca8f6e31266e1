// A model in a host with a delegate: what every test of the delegate needs.
#ifndef R2B_TESTS_LIFE_H_
#define R2B_TESTS_LIFE_H_

#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "host.h"
#include "kernels/kernels.h"
#include "r2b_delegate.h"

namespace r2b_test {

struct Settings {
  std::string kernel = "portable";
  bool fuse = true;
  int num_threads = 1;

  std::string text() const {
    return kernel + (fuse ? ", fused, " : ", not fused, ") +
           std::to_string(num_threads) + " thread(s)";
  }
};

// Every set of kernels that this CPU has, fused and not, with one thread and with two.
inline std::vector<Settings> all_settings() {
  std::vector<Settings> all;
  for (auto* each = r2b::available_kernels(); *each != nullptr; ++each) {
    for (bool fuse : {true, false}) {
      for (int num_threads : {1, 2}) all.push_back({(*each)->name, fuse, num_threads});
    }
  }
  return all;
}

struct DeleteDelegate {
  void operator()(TfLiteDelegate* delegate) const {
    tflite_plugin_destroy_delegate(delegate);
  }
};
using Delegate = std::unique_ptr<TfLiteDelegate, DeleteDelegate>;

inline Delegate delegate_with(
    const std::vector<std::pair<std::string, std::string>>& options,
    void (*report)(const char*) = nullptr) {
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : options) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  return Delegate(tflite_plugin_create_delegate(keys.data(), values.data(),
                                                options.size(), report));
}

inline Delegate make_delegate(const Settings& settings) {
  return delegate_with(
      {{"kernel", settings.kernel}, {"fuse", settings.fuse ? "1" : "0"}});
}

struct Life {
  explicit Life(const Settings& settings = Settings())
      : delegate(make_delegate(settings)), host(settings.num_threads) {}

  bool apply() { return host.apply(delegate.get()) == kTfLiteOk; }
  bool start() { return apply() && host.allocate() == kTfLiteOk; }
  bool start(const std::vector<int>& inputs, const std::vector<int>& outputs) {
    host.set_inputs(inputs);
    host.set_outputs(outputs);
    return start();
  }
  bool invoke() { return host.invoke() == kTfLiteOk; }

  template <typename T>
  void fill(int tensor, const std::vector<T>& values) {
    const size_t count = static_cast<size_t>(host.num_elements(tensor));
    if (!CHECK_EQUAL(count, values.size())) return;
    std::copy(values.begin(), values.end(), host.data<T>(tensor));
  }
  template <typename T>
  std::vector<T> result(int tensor) {
    const T* data = host.data<T>(tensor);
    return std::vector<T>(data, data + host.num_elements(tensor));
  }

  Delegate delegate;  // outlives the host
  Host host;
};

}  // namespace r2b_test

#endif  // R2B_TESTS_LIFE_H_
