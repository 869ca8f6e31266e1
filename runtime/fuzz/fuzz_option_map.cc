// The option reader on any bytes: no access beyond the buffer, and answers that agree
// with each other.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "option_map.h"

namespace {

const char* const kKeys[] = {"",
                             "a",
                             "channels_in",
                             "dilation_height_factor",
                             "dilation_width_factor",
                             "filter_height",
                             "filter_width",
                             "fused_activation_function",
                             "pad_values",
                             "padding",
                             "stride_height",
                             "stride_width"};

void expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // At every alignment, on memory of exactly this size.
  const size_t shift = size % 8;
  std::unique_ptr<uint8_t[]> memory(new uint8_t[size + shift]);
  if (size > 0) std::memcpy(memory.get() + shift, data, size);
  r2b::OptionMap map;
  const bool ok = map.parse(memory.get() + shift, size);
  expect(ok || map.num_entries() == 0);
  size_t num_found = 0;
  for (const char* key : kKeys) {
    constexpr int64_t kUntouched = 0x5a5a5a5a5a5a5a5a;
    int64_t value = kUntouched, again = 0;
    const bool is_int = map.get_int(key, &value);
    expect(is_int ? map.has(key) : value == kUntouched);
    expect(is_int == map.get_int(key, &again) && (!is_int || value == again));
    num_found += map.has(key);
  }
  expect(ok || num_found == 0);
  return 0;
}
