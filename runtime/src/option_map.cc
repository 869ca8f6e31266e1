#include "option_map.h"

#include <cstring>
#include <limits>

namespace r2b {
namespace {

// FlexBuffers' type numbers. A type byte is `type << 2 | log2(width)`.
enum FlexType {
  kInt = 1,
  kUInt = 2,
  kIndirectInt = 6,
  kIndirectUInt = 7,
  kMap = 9,
  kBool = 26,
};

int type_of(uint8_t type_byte) { return type_byte >> 2; }
size_t width_of(uint8_t type_byte) { return size_t{1} << (type_byte & 3); }

bool is_width(uint64_t width) {
  return width == 1 || width == 2 || width == 4 || width == 8;
}

}  // namespace

// The callers have checked that the place is inside the buffer.
uint64_t OptionMap::read_uint(Place place) const {
  uint64_t value = 0;
  for (size_t i = 0; i < place.width; ++i) {
    value |= static_cast<uint64_t>(data_[place.offset + i]) << (8 * i);
  }
  return value;
}

int64_t OptionMap::read_int(Place place) const {
  const uint64_t sign = uint64_t{1} << (8 * place.width - 1);
  const uint64_t value = (read_uint(place) ^ sign) - sign;
  int64_t result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

bool OptionMap::follow(Place place, size_t* target) const {
  const uint64_t distance = read_uint(place);
  if (distance > place.offset) return false;
  *target = place.offset - static_cast<size_t>(distance);
  return true;
}

bool OptionMap::parse(const void* data, size_t size) {
  *this = OptionMap();
  if (data == nullptr || size < 3 || size > kMaxBytes) return false;
  data_ = static_cast<const uint8_t*>(data);
  size_ = size;
  // The buffer ends with the root's slot, its type and the width of the slot.
  const size_t root_width = data_[size - 1];
  const bool well_formed = is_width(root_width) && size - 2 >= root_width &&
                           find_vectors({size - 2 - root_width, root_width}) &&
                           check_keys();
  if (!well_formed) *this = OptionMap();
  return well_formed;
}

// In front of a map's values: where its keys are, their width, the number of entries;
// in front of the keys: their number again.
bool OptionMap::find_vectors(Place root) {
  const uint8_t root_type = data_[size_ - 2];
  if (type_of(root_type) != kMap) return false;
  const size_t width = width_of(root_type);
  values_.width = width;
  if (!follow(root, &values_.offset) || values_.offset < 3 * width) return false;
  const uint64_t count = read_uint({values_.offset - width, width});
  if (count > kMaxEntries) return false;
  num_entries_ = static_cast<size_t>(count);
  if (size_ - values_.offset < num_entries_ * (width + 1)) return false;

  const uint64_t keys_width = read_uint({values_.offset - 2 * width, width});
  if (!is_width(keys_width)) return false;
  keys_.width = static_cast<size_t>(keys_width);
  if (!follow({values_.offset - 3 * width, width}, &keys_.offset)) return false;
  if (keys_.offset < keys_.width) return false;
  if (size_ - keys_.offset < num_entries_ * keys_.width) return false;
  return read_uint({keys_.offset - keys_.width, keys_.width}) == num_entries_;
}

bool OptionMap::check_keys() const {
  for (size_t i = 0; i < num_entries_; ++i) {
    size_t key;
    if (!follow({keys_.offset + i * keys_.width, keys_.width}, &key)) return false;
    if (std::memchr(data_ + key, 0, size_ - key) == nullptr) return false;
  }
  return true;
}

const char* OptionMap::key_at(size_t index) const {
  size_t key = 0;
  follow({keys_.offset + index * keys_.width, keys_.width}, &key);
  return reinterpret_cast<const char*>(data_ + key);
}

size_t OptionMap::find(const char* key) const {
  size_t index = 0;
  while (index < num_entries_ && std::strcmp(key_at(index), key) != 0) ++index;
  return index;
}

bool OptionMap::has(const char* key) const { return find(key) < num_entries_; }

bool OptionMap::get_int(const char* key, int64_t* value) const {
  const size_t index = find(key);
  if (index == num_entries_) return false;
  const size_t types = values_.offset + num_entries_ * values_.width;
  const uint8_t type_byte = data_[types + index];
  const int type = type_of(type_byte);
  Place place = {values_.offset + index * values_.width, values_.width};
  if (type == kIndirectInt || type == kIndirectUInt) {
    if (!follow(place, &place.offset)) return false;
    place.width = width_of(type_byte);
    if (size_ - place.offset < place.width) return false;
  }
  switch (type) {
    case kInt:
    case kIndirectInt:
      *value = read_int(place);
      return true;
    case kUInt:
    case kIndirectUInt: {
      const uint64_t number = read_uint(place);
      if (number > uint64_t{std::numeric_limits<int64_t>::max()}) return false;
      *value = static_cast<int64_t>(number);
      return true;
    }
    case kBool:
      *value = read_uint(place) != 0;
      return true;
    default:
      return false;
  }
}

}  // namespace r2b
