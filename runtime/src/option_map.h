// Reads the options of a custom operator: a FlexBuffer whose root is a map of scalars.
//
// The bytes come from a model file and are not trusted: every offset is checked against
// the buffer before it is followed, nothing is allocated and nothing recurses. The
// buffer needs no alignment and has to outlive the map.
#ifndef R2B_OPTION_MAP_H_
#define R2B_OPTION_MAP_H_

#include <cstddef>
#include <cstdint>

namespace r2b {

class OptionMap {
 public:
  // More than this is no option map; LCE's largest has 8 entries in 171 bytes.
  static constexpr size_t kMaxBytes = 64 * 1024;
  static constexpr size_t kMaxEntries = 256;

  // False where the bytes are not a well-formed map (no bytes at all included); the map
  // is empty then. Values are looked at when they are asked for.
  bool parse(const void* data, size_t size);

  size_t num_entries() const { return num_entries_; }
  bool has(const char* key) const;

  // The value of `key`, the first where it comes twice; keys need not be sorted. False,
  // with `value` left alone, where there is none, where it is no integer or boolean,
  // does not fit, or points out of the buffer. Real numbers are not integers.
  bool get_int(const char* key, int64_t* value) const;

 private:
  // Where a value lies, and how many bytes wide it is.
  struct Place {
    size_t offset;
    size_t width;
  };

  uint64_t read_uint(Place place) const;
  int64_t read_int(Place place) const;
  // Follows the offset stored at `place`: FlexBuffers only ever point backwards.
  bool follow(Place place, size_t* target) const;
  bool find_vectors(Place root);
  bool check_keys() const;
  const char* key_at(size_t index) const;
  // The index of the first entry of this name, or num_entries().
  size_t find(const char* key) const;

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t num_entries_ = 0;
  Place keys_ = {0, 1};    // num_entries_ offsets of terminated strings
  Place values_ = {0, 1};  // num_entries_ slots, then one type byte for each
};

}  // namespace r2b

#endif  // R2B_OPTION_MAP_H_
