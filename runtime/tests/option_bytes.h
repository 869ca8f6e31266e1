// Writes the option maps that tests give to operators: FlexBuffer maps of integers.
#ifndef R2B_TESTS_OPTION_BYTES_H_
#define R2B_TESTS_OPTION_BYTES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace r2b_test {

using Bytes = std::vector<uint8_t>;
using Options = std::vector<std::pair<std::string, int64_t>>;

inline void append_number(Bytes* bytes, uint64_t number, size_t width) {
  for (size_t i = 0; i < width; ++i) {
    bytes->push_back(static_cast<uint8_t>(i < 8 ? number >> (8 * i) : 0));
  }
}

// Keys in the order given (FlexBuffers sorts them); every slot `width` bytes wide.
inline Bytes option_bytes(const Options& options, size_t width = 4) {
  Bytes bytes;
  std::vector<size_t> keys;
  for (const auto& option : options) {
    keys.push_back(bytes.size());
    bytes.insert(bytes.end(), option.first.begin(), option.first.end());
    bytes.push_back(0);
  }
  while (bytes.size() % width != 0) bytes.push_back(0);
  append_number(&bytes, options.size(), width);
  const size_t keys_start = bytes.size();
  for (size_t key : keys) append_number(&bytes, bytes.size() - key, width);
  append_number(&bytes, bytes.size() - keys_start, width);
  append_number(&bytes, width, width);
  append_number(&bytes, options.size(), width);
  const size_t values_start = bytes.size();
  for (const auto& option : options) {
    append_number(&bytes, static_cast<uint64_t>(option.second), width);
  }
  const uint8_t log2_width = width == 8 ? 3 : width == 4 ? 2 : width == 2 ? 1 : 0;
  const uint8_t int_type = 1 << 2, map_type = 9 << 2;
  for (size_t i = 0; i < options.size(); ++i) bytes.push_back(int_type | log2_width);
  append_number(&bytes, bytes.size() - values_start, width);
  bytes.push_back(map_type | log2_width);
  bytes.push_back(static_cast<uint8_t>(width));
  return bytes;
}

// Bytes of hexadecimal text.
inline Bytes from_hex(const std::string& text) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const auto digit = [&](size_t at) {
      return text[at] <= '9' ? text[at] - '0' : text[at] - 'a' + 10;
    };
    bytes.push_back(static_cast<uint8_t>(16 * digit(i) + digit(i + 1)));
  }
  return bytes;
}

}  // namespace r2b_test

#endif  // R2B_TESTS_OPTION_BYTES_H_
