// Everything that can be wrong with a model or with options: an error with the
// operator's name and what is wrong with it, and nothing worse.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "life.h"

using namespace r2b_test;

namespace {

using Change = std::function<void(Host*)>;

// LceQuantize -> LceBMaxPool2d -> LceBconv2d -> LceDequantize or a float output, which
// all is right until a test breaks it.
struct Model {
  Dims input_dims = {1, 6, 6, 64};
  TfLiteType input_type = kTfLiteFloat32;
  std::map<std::string, int64_t> pool = {{"filter_height", 2},
                                         {"filter_width", 2},
                                         {"padding", 1},
                                         {"stride_height", 1},
                                         {"stride_width", 1}};
  std::map<std::string, int64_t> convolution = {{"channels_in", 64},
                                                {"dilation_height_factor", 1},
                                                {"dilation_width_factor", 1},
                                                {"fused_activation_function", 0},
                                                {"pad_values", 0},
                                                {"padding", 0},
                                                {"stride_height", 1},
                                                {"stride_width", 1}};
  TfLiteType output_type = kTfLiteFloat32;

  // Called when all is added, before the delegate is applied.
  Change change = [](Host*) {};
};

constexpr int kInput = 0, kPacked = 1, kPooled = 2, kFilter = 3;
constexpr int kMultiplier = 4, kBias = 5, kThresholds = 6, kOut = 7;
enum Node { kQuantize, kPool, kConvolution };

Bytes bytes_of(const std::map<std::string, int64_t>& options) {
  return option_bytes({options.begin(), options.end()});
}

void build(const Model& model, Host* host) {
  host->add_tensor(model.input_type, model.input_dims);
  Dims dims = model.input_dims;
  if (!dims.empty()) dims.back() = (dims.back() + 31) / 32;
  host->add_tensor(kTfLiteInt32, dims);
  host->add_tensor(kTfLiteInt32, {1, 5, 5, 2});
  host->add_constant(kTfLiteInt32, {8, 3, 3, 2}, std::vector<int32_t>(144, 0x1234567));
  host->add_constant(kTfLiteFloat32, {8}, std::vector<float>(8, 0.5f));
  host->add_constant(kTfLiteFloat32, {8}, std::vector<float>(8, 0.25f));
  host->add_constant(kTfLiteInt32, {8}, std::vector<int32_t>(8, 100));
  const bool is_packed = model.output_type == kTfLiteInt32;
  host->add_quantized(model.output_type, {1, 5, 5, is_packed ? 1 : 8}, 0.5f, 0);
  host->add_custom("LceQuantize", {}, {kInput}, {kPacked});
  host->add_custom("LceBMaxPool2d", bytes_of(model.pool), {kPacked}, {kPooled});
  host->add_custom("LceBconv2d", bytes_of(model.convolution),
                   {kPooled, kFilter, is_packed ? -1 : kMultiplier,
                    is_packed ? -1 : kBias, is_packed ? kThresholds : -1},
                   {kOut});
  host->set_inputs({kInput});
  host->set_outputs({kOut});
  model.change(host);
  host->count_bytes();
}

// It must fail, and say `name` and `part`.
void check_refused(const char* name, const char* part, const Model& model) {
  Life life;
  build(model, &life.host);
  CHECK(!life.start());
  CHECK_SAYS(life.host.errors(), name);
  CHECK_SAYS(life.host.errors(), part);
}

// What is changed, and what is said of it.
using Cases = std::vector<std::pair<Change, const char*>>;

void check_refused(const char* name, const Cases& cases, Model model = Model()) {
  for (const auto& [change, part] : cases) {
    model.change = change;
    check_refused(name, part, model);
  }
}

void set_ints(TfLiteIntArray** array, const std::vector<int>& values) {
  std::free(*array);
  *array = make_int_array(values);
}

// Changes of a model.
Change to_variable(int tensor) {
  return [=](Host* host) { host->make_variable(tensor); };
}
Change to_type(int tensor, int type) {
  return [=](Host* host) { host->tensor(tensor).type = static_cast<TfLiteType>(type); };
}
Change to_dims(int tensor, const Dims& dims) {
  return [=](Host* host) { set_ints(&host->tensor(tensor).dims, dims); };
}
Change to_no_input(int node, int place) {
  return [=](Host* host) { host->node(node).inputs->data[place] = -1; };
}
Change to_inputs(const std::vector<int>& tensors) {
  return [=](Host* host) { set_ints(&host->node(kConvolution).inputs, tensors); };
}
Change to_outputs(const std::vector<int>& tensors) {
  return [=](Host* host) { set_ints(&host->node(kConvolution).outputs, tensors); };
}
Change to_options(const Bytes& bytes) {
  return [=](Host* host) {
    TfLiteNode& changed = host->node(kConvolution);
    std::free(const_cast<void*>(changed.custom_initial_data));
    void* memory = bytes.empty() ? nullptr : std::malloc(bytes.size());
    if (memory != nullptr) std::memcpy(memory, bytes.data(), bytes.size());
    changed.custom_initial_data = memory;
    changed.custom_initial_data_size = static_cast<int>(bytes.size());
  };
}

}  // namespace

TEST(the_model_is_right_until_it_is_broken) {
  for (TfLiteType type : {kTfLiteFloat32, kTfLiteInt8, kTfLiteInt32}) {
    Model model;
    model.output_type = type;
    Life life;
    build(model, &life.host);
    CHECK(life.start());
    CHECK(life.invoke());
    CHECK(life.host.errors().empty());
  }
}

TEST(missing_options_are_named) {
  const Model right;
  for (const auto& [key, value] : right.convolution) {
    Model model;
    model.convolution.erase(key);
    check_refused("LceBconv2d", key.c_str(), model);
  }
  for (const auto& [key, value] : right.pool) {
    Model model;
    model.pool.erase(key);
    check_refused("LceBMaxPool2d", key.c_str(), model);
  }
}

TEST(impossible_options_are_named) {
  using Values = std::vector<std::pair<const char*, std::vector<int64_t>>>;
  const Values convolution = {
      {"channels_in", {0, -1, 32, 65, int64_t{1} << 31, INT64_MAX}},
      {"dilation_height_factor", {0, -1, int64_t{1} << 40}},
      {"dilation_width_factor", {0, INT64_MIN}},
      {"fused_activation_function", {-1, 4}},
      {"pad_values", {-1, 2}},
      {"padding", {-1, 2}},
      {"stride_height", {0, -2, INT64_MAX}},
      {"stride_width", {0, int64_t{1} << 32}}};
  const Values pool = {{"filter_height", {0, -1, INT64_MAX}},
                       {"filter_width", {0, INT64_MIN}},
                       {"padding", {3}},
                       {"stride_height", {0}},
                       {"stride_width", {-1}}};
  for (bool is_pool : {false, true}) {
    for (const auto& [key, values] : is_pool ? pool : convolution) {
      for (int64_t value : values) {
        Model model;
        (is_pool ? model.pool : model.convolution)[key] = value;
        check_refused(is_pool ? "LceBMaxPool2d" : "LceBconv2d", key, model);
      }
    }
  }
}

TEST(options_that_are_no_map_are_refused) {
  const char* const part = "options are not a FlexBuffer map";
  const Bytes good = bytes_of(Model().convolution);
  Cases cases = {{to_options(from_hex("070401")), part}};
  for (size_t size = 0; size < good.size(); size += 7) {
    cases.push_back({to_options(Bytes(good.begin(), good.begin() + size)), part});
  }
  check_refused("LceBconv2d", cases);
}

TEST(windows_that_do_not_fit_are_refused) {
  Model model;
  model.convolution["padding"] = 1;
  model.convolution["dilation_height_factor"] = 3;
  check_refused("LceBconv2d", "window", model);
  model = Model();
  model.pool["filter_width"] = 7;
  check_refused("LceBMaxPool2d", "window", model);
}

TEST(padding_that_counts_halves_needs_an_even_number) {
  Model model;
  model.input_dims.back() = 63;
  model.convolution["channels_in"] = 63;
  model.convolution["fused_activation_function"] = 1;
  check_refused("LceBconv2d", "even", model);
}

TEST(wrong_filters_are_refused) {
  check_refused("LceBconv2d", {{to_variable(kFilter), "filter"},
                               {to_type(kFilter, kTfLiteFloat32), "filter"},
                               {to_dims(kFilter, {8, 9, 2}), "filter"},
                               {to_dims(kFilter, {16, 3, 3, 1}), "multiplier and bias"},
                               // Three words of 64 channels are no group.
                               {to_dims(kFilter, {8, 3, 2, 3}), "group"},
                               {to_no_input(kConvolution, 1), "filter"}});
}

TEST(constants_shorter_than_their_shape_are_refused) {
  // With more nodes than the layout's check looks at, as a host that is right would
  // never give such a tensor.
  Model model;
  model.change = [](Host* host) {
    for (int i = 0; i < 40; ++i) {
      const int copy = host->add_tensor(kTfLiteFloat32, {1, 6, 6, 64});
      host->add_builtin(kCopyCode, {kInput}, {copy});
    }
    const int words = host->add_tensor(kTfLiteInt32, {1, 6, 6, 2});
    const int filter =
        host->add_constant(kTfLiteInt32, {8, 3, 3, 2}, std::vector<int32_t>(144));
    const int y = host->add_tensor(kTfLiteFloat32, {1, 6, 6, 8});
    host->add_custom("LceQuantize", {}, {kInput}, {words});
    host->add_custom("LceBconv2d", bytes_of(Model().convolution),
                     {words, filter, kMultiplier, kBias, -1}, {y});
    host->shorten_constant(filter, 100);
  };
  check_refused("LceBconv2d", "100 bytes", model);
}

TEST(wrong_vectors_are_refused) {
  const char* const part = "multiplier and bias";
  check_refused("LceBconv2d", {{to_no_input(kConvolution, 2), part},
                               {to_no_input(kConvolution, 3), part}});
  for (int tensor : {kMultiplier, kBias}) {
    check_refused("LceBconv2d", {{to_type(tensor, kTfLiteInt32), part},
                                 {to_dims(tensor, {2, 4}), part},
                                 {to_variable(tensor), part}});
  }
  Model packed;
  packed.output_type = kTfLiteInt32;
  check_refused("LceBconv2d",
                {{to_no_input(kConvolution, 4), "thresholds"},
                 {to_type(kThresholds, kTfLiteFloat32), "thresholds"}},
                packed);
}

TEST(wrong_types_and_ranks_are_refused) {
  for (TfLiteType type : {kTfLiteInt32, kTfLiteUInt8, kTfLiteInt64, kTfLiteFloat16}) {
    Model model;
    model.input_type = type;
    check_refused("LceQuantize", "float32, int8 or bool", model);
  }
  check_refused("LceQuantize", {{to_type(kPacked, kTfLiteInt8), "int32"}});
  check_refused("LceBMaxPool2d", {{to_type(kPooled, kTfLiteFloat32), "int32"}});
  check_refused("LceBconv2d",
                {{to_type(kOut, kTfLiteInt64), "float32, int8 or int32"}});
  Model model;
  model.input_dims = {36, 64};
  check_refused("LceBMaxPool2d", "[N, H, W", model);
  model.input_dims = {};
  check_refused("LceQuantize", "channels", model);
}

// Types that LiteRT has and the delegate does not know, and numbers that nobody has.
TEST(types_of_any_number_are_refused) {
  for (int type : {-1, 5, 15, 16, 17, 18, 19, 255, 1 << 30}) {
    for (int tensor : {kInput, kPooled, kFilter, kMultiplier, kOut}) {
      check_refused("r2b_delegate", {{to_type(tensor, type), "type"}});
    }
  }
}

TEST(impossible_scales_are_refused) {
  for (float scale : {0.0f, -1.0f, 0.0f * INFINITY, INFINITY}) {
    Model model;
    model.output_type = kTfLiteInt8;
    model.change = [=](Host* host) { host->tensor(kOut).params.scale = scale; };
    check_refused("", "scale", model);
  }
}

TEST(wrong_numbers_of_tensors_are_refused) {
  check_refused(
      "LceBconv2d",
      {{to_inputs({kPooled, kFilter}), "inputs"},
       {to_inputs({}), "inputs"},
       {to_inputs({kPooled, kFilter, kMultiplier, kBias, -1, kInput}), "inputs"},
       {to_outputs({}), "outputs"},
       {to_outputs({kOut, kOut}), "outputs"}});
  check_refused("LceQuantize", {{to_no_input(kQuantize, 0), "missing"}});
}

TEST(tensors_written_twice_are_refused) {
  check_refused(
      "LceQuantize",
      {{[](Host* h) { h->add_custom("LceQuantize", {}, {kInput}, {kPacked}); },
        "is written by 2 operators"}});
}

TEST(sizes_that_overflow_are_refused) {
  for (const Dims& dims : {Dims{1 << 20, 1 << 20, 1, 64}, Dims{1, 1 << 28, 6, 64}}) {
    Model model;
    model.input_dims = dims;
    check_refused("LceQuantize", "2^31", model);
  }
}

TEST(inputs_resized_to_what_does_not_fit_are_refused) {
  const std::vector<std::pair<Dims, const char*>> cases = {
      {{1, 6, 6, 128}, "LceBconv2d"},
      {{1, 1, 6, 64}, "LceBMaxPool2d"},
      {{36, 64}, "LceBMaxPool2d"},
      {{1, 1 << 15, 1 << 15, 64}, "LceQuantize"}};
  for (const auto& [dims, name] : cases) {
    Life life;
    life.host.set_memory_limit(size_t{1} << 50);
    build(Model(), &life.host);
    if (!CHECK(life.apply())) continue;
    CHECK(life.host.resize_input(kInput, dims) == kTfLiteOk);
    life.host.forget_inputs();
    CHECK(life.host.allocate() == kTfLiteError);
    CHECK_SAYS(life.host.errors(), name);
  }
}

TEST(empty_inputs_are_an_error_or_run) {
  for (const Dims& dims : {Dims{0, 6, 6, 64}, Dims{1, 0, 6, 64}, Dims{1, 6, 6, 0}}) {
    Life life;
    build(Model(), &life.host);
    if (!CHECK(life.apply())) continue;
    CHECK(life.host.resize_input(kInput, dims) == kTfLiteOk);
    if (life.host.allocate() == kTfLiteOk) {
      CHECK(life.invoke());
    } else {
      CHECK(!life.host.errors().empty());
    }
  }
}

TEST(models_without_lce_operators_are_left_alone) {
  Life life;
  const int x = life.host.add_tensor(kTfLiteFloat32, {1, 4});
  const int y = life.host.add_tensor(kTfLiteFloat32, {1, 4});
  life.host.add_builtin(19, {x}, {y});
  CHECK(life.start({x}, {y}));
  CHECK_EQUAL(life.host.num_claimed(), 0);
}

TEST(unknown_operators_of_lce_are_left_to_the_host) {
  Model model;
  model.change = [](Host* h) {
    const int y = h->add_tensor(kTfLiteFloat32, {1, 6, 6, 64});
    h->add_custom("LceSomethingNew", {}, {kInput}, {y});
  };
  check_refused("LceSomethingNew", "unresolved custom op", model);
}

namespace {

std::string last_report;

// What creation says about one option.
std::string creation_error(const std::string& key, const std::string& value) {
  last_report.clear();
  delegate_with({{key, value}}, [](const char* text) { last_report = text; });
  return last_report;
}

}  // namespace

TEST(unknown_delegate_options_are_named) {
  CHECK_SAYS(creation_error("kernels", "portable"), "kernels");
  CHECK_SAYS(creation_error("kernel", "abacus"), "abacus");
  CHECK_SAYS(creation_error("kernel", "abacus"), "portable");
  CHECK_SAYS(creation_error("fuse", "yes"), "yes");
  CHECK_SAYS(creation_error("claim", "some"), "some");
  CHECK_SAYS(creation_error("explain", ""), "explain");
  CHECK(creation_error("kernel", "portable").empty());
  CHECK(creation_error("claim", "binary").empty());
  char* nothing[] = {nullptr};
  CHECK(tflite_plugin_create_delegate(nothing, nothing, 1, [](const char*) {}) ==
        nullptr);
  tflite_plugin_destroy_delegate(nullptr);
}

TEST_MAIN
