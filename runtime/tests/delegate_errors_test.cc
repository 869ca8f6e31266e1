// Everything that can be wrong with a model or with options: an error with the
// operator's name and what is wrong with it, and nothing worse.
#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "check.h"
#include "life.h"

using namespace r2b_test;

namespace {

// LceQuantize -> LceBMaxPool2d -> LceBconv2d -> LceDequantize or a float output, which
// all is right until a test breaks it.
struct Model {
  Dims input_dims = {1, 6, 6, 64};
  TfLiteType input_type = kTfLiteFloat32;
  Options pool = {{"filter_height", 2},
                  {"filter_width", 2},
                  {"padding", 1},
                  {"stride_height", 1},
                  {"stride_width", 1}};
  Options convolution = {{"channels_in", 64},
                         {"dilation_height_factor", 1},
                         {"dilation_width_factor", 1},
                         {"fused_activation_function", 0},
                         {"pad_values", 0},
                         {"padding", 0},
                         {"stride_height", 1},
                         {"stride_width", 1}};
  TfLiteType output_type = kTfLiteFloat32;

  // Called when all is added, before the delegate is applied. Tensors: 0 input, 1
  // packed, 2 pooled, 3 filter, 4 multiplier, 5 bias, 6 thresholds, 7 output. Nodes: 0
  // quantize, 1 pool, 2 convolution.
  std::function<void(Host*)> change = [](Host*) {};
};

enum Tensor {
  kInput,
  kPacked,
  kPooled,
  kFilter,
  kMultiplier,
  kBias,
  kThresholds,
  kOut
};
enum Node { kQuantize, kPool, kConvolution };

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
  host->add_custom("LceBMaxPool2d", option_bytes(model.pool), {kPacked}, {kPooled});
  host->add_custom("LceBconv2d", option_bytes(model.convolution),
                   {kPooled, kFilter, is_packed ? -1 : kMultiplier,
                    is_packed ? -1 : kBias, is_packed ? kThresholds : -1},
                   {kOut});
  host->set_inputs({kInput});
  host->set_outputs({kOut});
  model.change(host);
  host->count_bytes();
}

// It must fail, and say `name` and `part`.
void check_refused(const Model& model, const char* name, const char* part) {
  Life life;
  build(model, &life.host);
  const bool started = life.start();
  CHECK(!started);
  CHECK_SAYS(life.host.errors(), name);
  CHECK_SAYS(life.host.errors(), part);
}

void check_convolution_refused(const std::function<void(Host*)>& change,
                               const char* part) {
  Model model;
  model.change = change;
  check_refused(model, "LceBconv2d", part);
}

void set_option(Options* options, const std::string& key, int64_t value) {
  for (auto& option : *options) {
    if (option.first == key) option.second = value;
  }
}

void set_options(Host* host, int node, const Bytes& bytes) {
  TfLiteNode& changed = host->node(node);
  std::free(const_cast<void*>(changed.custom_initial_data));
  void* memory = bytes.empty() ? nullptr : std::malloc(bytes.size());
  if (memory != nullptr) std::copy(bytes.begin(), bytes.end(), (uint8_t*)memory);
  changed.custom_initial_data = memory;
  changed.custom_initial_data_size = static_cast<int>(bytes.size());
}

void set_ints(TfLiteIntArray** array, const std::vector<int>& values) {
  std::free(*array);
  *array = make_int_array(values);
}

void set_dims(Host* host, int tensor, const Dims& dims) {
  set_ints(&host->tensor(tensor).dims, dims);
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
  for (size_t i = 0; i < right.convolution.size(); ++i) {
    Model model;
    model.convolution.erase(model.convolution.begin() + static_cast<ptrdiff_t>(i));
    check_refused(model, "LceBconv2d", right.convolution[i].first.c_str());
  }
  for (size_t i = 0; i < right.pool.size(); ++i) {
    Model model;
    model.pool.erase(model.pool.begin() + static_cast<ptrdiff_t>(i));
    check_refused(model, "LceBMaxPool2d", right.pool[i].first.c_str());
  }
}

TEST(impossible_options_are_named) {
  const std::vector<std::pair<const char*, std::vector<int64_t>>> convolution = {
      {"channels_in", {0, -1, 32, 65, int64_t{1} << 31, INT64_MAX}},
      {"dilation_height_factor", {0, -1, int64_t{1} << 40}},
      {"dilation_width_factor", {0, INT64_MIN}},
      {"fused_activation_function", {-1, 4}},
      {"pad_values", {-1, 2}},
      {"padding", {-1, 2}},
      {"stride_height", {0, -2, INT64_MAX}},
      {"stride_width", {0, int64_t{1} << 32}}};
  for (const auto& [key, values] : convolution) {
    for (int64_t value : values) {
      Model model;
      set_option(&model.convolution, key, value);
      check_refused(model, "LceBconv2d", key);
    }
  }
  const std::vector<std::pair<const char*, std::vector<int64_t>>> pool = {
      {"filter_height", {0, -1, INT64_MAX}},
      {"filter_width", {0, INT64_MIN}},
      {"padding", {3}},
      {"stride_height", {0}},
      {"stride_width", {-1}}};
  for (const auto& [key, values] : pool) {
    for (int64_t value : values) {
      Model model;
      set_option(&model.pool, key, value);
      check_refused(model, "LceBMaxPool2d", key);
    }
  }
}

TEST(options_that_are_no_map_are_refused) {
  const Bytes good = option_bytes(Model().convolution);
  for (size_t size = 0; size < good.size(); size += 7) {
    const Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    check_convolution_refused([&](Host* host) { set_options(host, kConvolution, cut); },
                              "options are not a FlexBuffer map");
  }
  check_convolution_refused(
      [](Host* host) { set_options(host, kConvolution, from_hex("070401")); },
      "options are not a FlexBuffer map");
}

TEST(windows_that_do_not_fit_are_refused) {
  Model model;
  set_option(&model.convolution, "padding", 1);
  set_option(&model.convolution, "dilation_height_factor", 3);
  check_refused(model, "LceBconv2d", "window");
  model = Model();
  set_option(&model.pool, "filter_width", 7);
  check_refused(model, "LceBMaxPool2d", "window");
}

TEST(padding_that_counts_halves_needs_an_even_number) {
  Model model;
  model.input_dims.back() = 63;
  set_option(&model.convolution, "channels_in", 63);
  set_option(&model.convolution, "fused_activation_function", 1);
  check_refused(model, "LceBconv2d", "even");
}

TEST(wrong_filters_are_refused) {
  check_convolution_refused([](Host* h) { h->make_variable(kFilter); }, "filter");
  check_convolution_refused([](Host* h) { h->tensor(kFilter).type = kTfLiteFloat32; },
                            "filter");
  check_convolution_refused([](Host* h) { set_dims(h, kFilter, {8, 9, 2}); }, "filter");
  // 72 channels in three groups: 64 in do not divide.
  check_convolution_refused(
      [](Host* h) {
        set_dims(h, kFilter, {16, 3, 3, 1});
      },
      "multiplier and bias");
  check_convolution_refused(
      [](Host* h) {
        set_dims(h, kFilter, {8, 3, 2, 3});
      },
      "group");
  check_convolution_refused([](Host* h) { h->node(kConvolution).inputs->data[1] = -1; },
                            "filter");
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
    host->add_custom("LceBconv2d", option_bytes(Model().convolution),
                     {words, filter, kMultiplier, kBias, -1}, {y});
    host->shorten_constant(filter, 100);
  };
  check_refused(model, "LceBconv2d", "100 bytes");
}

TEST(wrong_vectors_are_refused) {
  for (int input : {2, 3}) {
    check_convolution_refused(
        [=](Host* h) { h->node(kConvolution).inputs->data[input] = -1; },
        "multiplier and bias");
    const int tensor = input == 2 ? kMultiplier : kBias;
    check_convolution_refused([=](Host* h) { h->tensor(tensor).type = kTfLiteInt32; },
                              "multiplier and bias");
    check_convolution_refused(
        [=](Host* h) {
          set_dims(h, tensor, {2, 4});
        },
        "multiplier and bias");
    check_convolution_refused([=](Host* h) { h->make_variable(tensor); },
                              "multiplier and bias");
  }
  Model packed;
  packed.output_type = kTfLiteInt32;
  packed.change = [](Host* h) { h->node(kConvolution).inputs->data[4] = -1; };
  check_refused(packed, "LceBconv2d", "thresholds");
  packed.change = [](Host* h) { h->tensor(kThresholds).type = kTfLiteFloat32; };
  check_refused(packed, "LceBconv2d", "thresholds");
}

TEST(wrong_types_and_ranks_are_refused) {
  for (TfLiteType type : {kTfLiteInt32, kTfLiteUInt8, kTfLiteInt64, kTfLiteFloat16}) {
    Model model;
    model.input_type = type;
    check_refused(model, "LceQuantize", "float32, int8 or bool");
  }
  Model model;
  model.change = [](Host* h) { h->tensor(kPacked).type = kTfLiteInt8; };
  check_refused(model, "LceQuantize", "int32");
  model.change = [](Host* h) { h->tensor(kPooled).type = kTfLiteFloat32; };
  check_refused(model, "LceBMaxPool2d", "int32");
  check_convolution_refused([](Host* h) { h->tensor(kOut).type = kTfLiteInt64; },
                            "float32, int8 or int32");
  model = Model();
  model.input_dims = {36, 64};
  check_refused(model, "LceBMaxPool2d", "[N, H, W");
  model.input_dims = {};
  check_refused(model, "LceQuantize", "channels");
}

// Types that LiteRT has and the delegate does not know, and numbers that nobody has.
TEST(types_of_any_number_are_refused) {
  for (int type : {-1, 5, 15, 16, 17, 18, 19, 255, 1 << 30}) {
    for (int tensor : {kInput, kPooled, kFilter, kMultiplier, kOut}) {
      Model model;
      model.change = [=](Host* host) {
        const TfLiteType unknown = static_cast<TfLiteType>(type);
        host->tensor(tensor).type = unknown;
      };
      check_refused(model, "r2b_delegate", "type");
    }
  }
}

TEST(impossible_scales_are_refused) {
  for (float scale : {0.0f, -1.0f, 0.0f * INFINITY, INFINITY}) {
    Model model;
    model.output_type = kTfLiteInt8;
    model.change = [=](Host* h) { h->tensor(kOut).params.scale = scale; };
    Life life;
    build(model, &life.host);
    CHECK(!life.start());
    CHECK_SAYS(life.host.errors(), "scale");
  }
}

TEST(wrong_numbers_of_tensors_are_refused) {
  check_convolution_refused(
      [](Host* h) {
        set_ints(&h->node(kConvolution).inputs, {kPooled, kFilter});
      },
      "inputs");
  check_convolution_refused(
      [](Host* h) { set_ints(&h->node(kConvolution).inputs, {}); }, "inputs");
  check_convolution_refused(
      [](Host* h) {
        set_ints(&h->node(kConvolution).inputs,
                 {kPooled, kFilter, kMultiplier, kBias, -1, kInput});
      },
      "inputs");
  check_convolution_refused(
      [](Host* h) { set_ints(&h->node(kConvolution).outputs, {}); }, "outputs");
  check_convolution_refused(
      [](Host* h) {
        set_ints(&h->node(kConvolution).outputs, {kOut, kOut});
      },
      "outputs");
  Model model;
  model.change = [](Host* h) { h->node(kQuantize).inputs->data[0] = -1; };
  check_refused(model, "LceQuantize", "missing");
}

TEST(tensors_written_twice_are_refused) {
  Model model;
  model.change = [](Host* h) { h->add_custom("LceQuantize", {}, {kInput}, {kPacked}); };
  check_refused(model, "LceQuantize", "");
}

TEST(sizes_that_overflow_are_refused) {
  Model model;
  model.input_dims = {1 << 20, 1 << 20, 1, 64};
  check_refused(model, "LceQuantize", "2^31");
  model = Model();
  model.input_dims = {1, 1 << 28, 6, 64};
  check_refused(model, "LceQuantize", "2^31");
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
  life.host.set_inputs({x});
  life.host.set_outputs({y});
  CHECK(life.start());
  CHECK_EQUAL(life.host.num_claimed(), 0);
}

TEST(unknown_operators_of_lce_are_left_to_the_host) {
  Model model;
  model.change = [](Host* h) {
    const int y = h->add_tensor(kTfLiteFloat32, {1, 6, 6, 64});
    h->add_custom("LceSomethingNew", {}, {kInput}, {y});
  };
  check_refused(model, "LceSomethingNew", "unresolved custom op");
}

namespace {

std::string last_report;

// What creation says about one option.
std::string creation_error(const char* key, const char* value) {
  std::string key_text = key, value_text = value;
  char* keys[] = {&key_text[0]};
  char* values[] = {&value_text[0]};
  last_report.clear();
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(
      keys, values, 1, [](const char* text) { last_report = text; });
  if (delegate == nullptr) return last_report;
  tflite_plugin_destroy_delegate(delegate);
  return "";
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
