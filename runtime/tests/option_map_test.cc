// The option reader: real files' bytes, every form of a number, and every way that the
// bytes can lie. Run under AddressSanitizer: buffers are exactly as long as they claim.
#include "option_map.h"

#include <cstring>
#include <memory>

#include "check.h"
#include "option_bytes.h"

using r2b::OptionMap;
using r2b_test::Bytes;
using r2b_test::from_hex;
using r2b_test::option_bytes;
using r2b_test::Options;

namespace {

// LceBconv2d's keys as converted files hold them, the map follows.
const char kConvKeys[] =
    "6368616e6e656c735f696e0064696c6174696f6e5f6865696768745f666163746f720064696c617469"
    "6f6e5f77696474685f666163746f720066757365645f61637469766174696f6e5f66756e6374696f6e"
    "007061645f76616c7565730070616464696e67007374726964655f686569676874007374726964655f"
    "776964746800";
const char kConvOf64[] =
    "088277614c3329221508010840010100010001010404040404040404102401";
const char kConvOf512[] =
    "088277614c332922150800010008000002010001000000000000000200020005050505050505051825"
    "0"
    "1";

// What FlexBuffers' Python builder writes: every type, in slots of four bytes.
const char kMixed[] =
    "666c6167006f6666006d696e757300706c7573006661720090eefeff75666172000000000000000000"
    "000000000000806e6561720000000000286bee7265616c00697265616c00000000c03f746578740001"
    "78006e6f6e65006c697374000201020404000d0252672710613b18685f33245500000f000000010000"
    "000d000000050000006c000000010000004400000031000000fdffffff600000000000000000000000"
    "c8000000000000405a00000088000000061a6a2228061e026a0a0e141f412601";

const char kOneEntry[] = "610001030101012a04022401";  // {"a": 42}

// A map on memory of exactly its size, so that a sanitizer sees any byte beyond.
struct Parsed {
  explicit Parsed(const Bytes& bytes) : memory(new uint8_t[bytes.size()]) {
    if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
    ok = map.parse(memory.get(), bytes.size());
  }

  int64_t get(const char* key) const {
    int64_t value = -12345;
    if (!map.get_int(key, &value)) CHECK_EQUAL(value, -12345);
    return value;
  }
  bool gets(const char* key) const {
    int64_t value;
    return map.get_int(key, &value);
  }

  std::unique_ptr<uint8_t[]> memory;
  OptionMap map;
  bool ok;
};

void check_conv(const Parsed& parsed, int64_t channels, int64_t stride, int64_t pad) {
  CHECK(parsed.ok);
  CHECK_EQUAL(parsed.map.num_entries(), 8u);
  CHECK_EQUAL(parsed.get("channels_in"), channels);
  CHECK_EQUAL(parsed.get("dilation_height_factor"), 1);
  CHECK_EQUAL(parsed.get("dilation_width_factor"), 1);
  CHECK_EQUAL(parsed.get("fused_activation_function"), 0);
  CHECK_EQUAL(parsed.get("pad_values"), pad);
  CHECK_EQUAL(parsed.get("padding"), 0);
  CHECK_EQUAL(parsed.get("stride_height"), stride);
  CHECK_EQUAL(parsed.get("stride_width"), stride);
  CHECK(!parsed.map.has("stride"));
  CHECK(!parsed.map.has("stride_widths"));
  CHECK(!parsed.gets(""));
}

// Asks for everything, for its accesses only.
void use(const Bytes& bytes) {
  const Parsed parsed(bytes);
  for (const char* key : {"", "a", "far", "near", "ufar", "list", "stride_width"}) {
    if (parsed.gets(key)) CHECK(parsed.map.has(key));
  }
  if (!parsed.ok) CHECK_EQUAL(parsed.map.num_entries(), 0u);
}

}  // namespace

TEST(option_map_reads_converted_files) {
  check_conv(Parsed(from_hex(std::string(kConvKeys) + kConvOf64)), 64, 1, 1);
  check_conv(Parsed(from_hex(std::string(kConvKeys) + kConvOf512)), 512, 2, 0);
}

TEST(option_map_reads_every_form_of_an_integer) {
  const Parsed parsed(from_hex(kMixed));
  CHECK(parsed.ok);
  CHECK_EQUAL(parsed.map.num_entries(), 13u);
  CHECK_EQUAL(parsed.get("flag"), 1);
  CHECK_EQUAL(parsed.get("off"), 0);
  CHECK_EQUAL(parsed.get("minus"), -3);
  CHECK_EQUAL(parsed.get("plus"), 200);
  CHECK_EQUAL(parsed.get("far"), -70000);
  CHECK_EQUAL(parsed.get("near"), 4000000000);
  CHECK_EQUAL(parsed.get(""), 5);
  for (const char* key : {"ufar", "real", "ireal", "text", "none", "list"}) {
    CHECK(parsed.map.has(key));
    CHECK(!parsed.gets(key));
  }
}

TEST(option_map_reads_every_width) {
  for (size_t width : {1, 2, 4, 8}) {
    const int64_t largest = static_cast<int64_t>(~uint64_t{0} >> (65 - 8 * width));
    const Options options = {{"most", largest}, {"least", -largest - 1}, {"minus", -1}};
    const Parsed parsed(option_bytes(options, width));
    CHECK(parsed.ok);
    for (const auto& option : options) {
      CHECK_EQUAL(parsed.get(option.first.c_str()), option.second);
    }
  }
}

TEST(option_map_reads_an_empty_map) {
  const Parsed parsed(from_hex("00000100002401"));
  CHECK(parsed.ok);
  CHECK_EQUAL(parsed.map.num_entries(), 0u);
  CHECK(!parsed.map.has(""));
}

TEST(option_map_takes_the_first_of_equal_keys_in_any_order) {
  const Parsed parsed(option_bytes({{"b", 1}, {"a", 2}, {"b", 3}, {"a", 4}}));
  CHECK_EQUAL(parsed.get("b"), 1);
  CHECK_EQUAL(parsed.get("a"), 2);
}

TEST(option_map_refuses_what_is_no_map) {
  CHECK(!OptionMap().parse(nullptr, 0));
  CHECK(!OptionMap().parse(nullptr, 100));
  CHECK(!Parsed({}).ok);
  CHECK(!Parsed({0}).ok);
  CHECK(!Parsed(from_hex("070401")).ok);            // an integer
  CHECK(!Parsed(from_hex("0201020404042801")).ok);  // a vector
  CHECK(!Parsed(from_hex("00000100002403")).ok);    // a slot of three bytes
  CHECK(!Parsed(from_hex("00000100002400")).ok);
  CHECK(!Parsed(from_hex("00000100002408")).ok);  // longer than the buffer
}

TEST(option_map_refuses_offsets_out_of_the_buffer) {
  const Bytes good = from_hex(kOneEntry);
  CHECK_EQUAL(Parsed(good).get("a"), 42);
  const auto with = [&](size_t at, uint8_t value) {
    Bytes bytes = good;
    bytes[at] = value;
    return bytes;
  };
  CHECK(!Parsed(with(9, 10)).ok);   // the map before the first byte
  CHECK(!Parsed(with(9, 8)).ok);    // no room for what comes before a map
  CHECK(!Parsed(with(4, 5)).ok);    // the keys before the first byte
  CHECK(!Parsed(with(4, 4)).ok);    // no room for their number
  CHECK(!Parsed(with(3, 4)).ok);    // a key before the first byte
  CHECK(!Parsed(with(2, 2)).ok);    // two keys for one value
  CHECK(!Parsed(with(5, 3)).ok);    // keys of three bytes
  CHECK(!Parsed(with(6, 200)).ok);  // more values than bytes
  // An indirect number whose offset leaves the buffer, or whose bytes do.
  Bytes indirect = with(8, 6 << 2);
  CHECK(!Parsed(indirect).gets("a"));
  indirect[7] = 7;
  CHECK_EQUAL(Parsed(indirect).get("a"), 'a');
  indirect = with(8, 6 << 2 | 3);
  indirect[7] = 2;
  CHECK(!Parsed(indirect).gets("a"));
  indirect[7] = 3;
  CHECK(Parsed(indirect).gets("a"));
}

TEST(option_map_refuses_keys_without_end) {
  Bytes bytes = from_hex(kOneEntry);
  bytes[1] = 'b';
  CHECK(!Parsed(bytes).ok);
  bytes[7] = 0;  // the value's byte, as good an end as any
  CHECK(Parsed(bytes).map.has("ab\x01\x03\x01\x01\x01"));
}

TEST(option_map_refuses_sizes_no_option_map_has) {
  Options options;
  for (size_t i = 0; i < OptionMap::kMaxEntries; ++i) {
    options.push_back({"key" + std::to_string(i), static_cast<int64_t>(i)});
  }
  CHECK_EQUAL(Parsed(option_bytes(options)).get("key255"), 255);
  options.push_back({"more", 1});
  CHECK(!Parsed(option_bytes(options)).ok);
  const std::string long_key(OptionMap::kMaxBytes, 'k');
  CHECK(!Parsed(option_bytes({{long_key, 1}})).ok);
}

TEST(option_map_survives_every_cut_and_every_changed_byte) {
  const std::string conv = std::string(kConvKeys) + kConvOf512;
  for (const std::string& hex : {conv, std::string(kMixed), std::string(kOneEntry)}) {
    const Bytes good = from_hex(hex);
    for (size_t size = 0; size < good.size(); ++size) {
      use(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(size)));
      use(Bytes(good.end() - static_cast<ptrdiff_t>(size), good.end()));
    }
    for (size_t at = 0; at < good.size(); ++at) {
      for (int value = 0; value < 256; ++value) {
        Bytes bytes = good;
        bytes[at] = static_cast<uint8_t>(value);
        use(bytes);
      }
    }
  }
}

TEST_MAIN
