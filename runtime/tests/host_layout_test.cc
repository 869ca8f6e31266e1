// Hosts whose structs have a field more or a field less than the mirrored ones,
// anywhere: they must be refused with a sentence, and never crash the check.
#include "host_layout.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "check.h"
#include "host.h"

using namespace r2b_test;

namespace {

struct Field {
  size_t offset, size;
  bool is_used = true;
};

#define FIELD(type, name) {offsetof(type, name), sizeof(type::name)}
// A field that the delegate never reads.
#define SPARE(type, name) {offsetof(type, name), sizeof(type::name), false}

const std::vector<Field> kTensorFields = {FIELD(TfLiteTensor, type),
                                          FIELD(TfLiteTensor, data),
                                          FIELD(TfLiteTensor, dims),
                                          FIELD(TfLiteTensor, params),
                                          FIELD(TfLiteTensor, allocation_type),
                                          FIELD(TfLiteTensor, bytes),
                                          SPARE(TfLiteTensor, allocation),
                                          SPARE(TfLiteTensor, name),
                                          SPARE(TfLiteTensor, delegate),
                                          SPARE(TfLiteTensor, buffer_handle),
                                          SPARE(TfLiteTensor, data_is_stale),
                                          SPARE(TfLiteTensor, is_variable),
                                          FIELD(TfLiteTensor, quantization),
                                          SPARE(TfLiteTensor, sparsity),
                                          SPARE(TfLiteTensor, dims_signature)};

const std::vector<Field> kNodeFields = {FIELD(TfLiteNode, inputs),
                                        FIELD(TfLiteNode, outputs),
                                        SPARE(TfLiteNode, intermediates),
                                        SPARE(TfLiteNode, temporaries),
                                        FIELD(TfLiteNode, user_data),
                                        FIELD(TfLiteNode, builtin_data),
                                        FIELD(TfLiteNode, custom_initial_data),
                                        FIELD(TfLiteNode, custom_initial_data_size),
                                        SPARE(TfLiteNode, delegate),
                                        SPARE(TfLiteNode, might_have_side_effect)};

const std::vector<Field> kRegistrationFields = {
    SPARE(TfLiteRegistration, init),
    SPARE(TfLiteRegistration, free),
    SPARE(TfLiteRegistration, prepare),
    SPARE(TfLiteRegistration, invoke),
    SPARE(TfLiteRegistration, profiling_string),
    FIELD(TfLiteRegistration, builtin_code),
    FIELD(TfLiteRegistration, custom_name),
    SPARE(TfLiteRegistration, version)};

const std::vector<Field> kContextFields = {
    FIELD(TfLiteContext, tensors_size),
    FIELD(TfLiteContext, GetExecutionPlan),
    SPARE(TfLiteContext, tensors),
    FIELD(TfLiteContext, impl),
    FIELD(TfLiteContext, ResizeTensor),
    FIELD(TfLiteContext, ReportError),
    FIELD(TfLiteContext, AddTensors),
    FIELD(TfLiteContext, GetNodeAndRegistration),
    FIELD(TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels),
    FIELD(TfLiteContext, recommended_num_threads),
    // The two functions that follow what is mirrored.
    {sizeof(TfLiteContext), sizeof(void*), false},
    {sizeof(TfLiteContext) + sizeof(void*), sizeof(void*), false}};

// One change to a struct: `field` is removed, or something of `bytes` comes before it.
struct Change {
  size_t field = 0;
  bool remove = false;
  Bytes inserted;
};

// The struct at `from` as a host lays it out whose declaration has that change.
Bytes lay_out(const void* from, const std::vector<Field>& fields,
              const Change* change) {
  Bytes bytes;
  const auto append = [&](const void* data, size_t size) {
    const size_t alignment = size > 8 ? (size == 24 ? 8 : size / 2) : size;
    while (bytes.size() % alignment != 0) bytes.push_back(0);
    const auto* first = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), first, first + size);
  };
  for (size_t i = 0; i <= fields.size(); ++i) {
    const bool is_here = change != nullptr && change->field == i;
    if (is_here && !change->remove) {
      append(change->inserted.data(), change->inserted.size());
    }
    if (i == fields.size() || (is_here && change->remove)) continue;
    append(static_cast<const uint8_t*>(from) + fields[i].offset, fields[i].size);
  }
  while (bytes.size() % 8 != 0) bytes.push_back(0);
  return bytes;
}

// A model in a host whose layout is changed.
struct OtherHost {
  std::vector<Bytes> nodes, registrations;
  Bytes tensors, context;
  TfLiteIntArray* plan = nullptr;

  ~OtherHost() { std::free(plan); }
};
OtherHost* other = nullptr;

TfLiteStatus other_plan(TfLiteContext*, TfLiteIntArray** plan) {
  *plan = other->plan;
  return kTfLiteOk;
}
TfLiteStatus other_node(TfLiteContext*, int index, TfLiteNode** node,
                        TfLiteRegistration** registration) {
  const size_t at = static_cast<size_t>(index);
  if (at >= other->nodes.size()) return kTfLiteError;
  *node = reinterpret_cast<TfLiteNode*>(other->nodes[at].data());
  *registration =
      reinterpret_cast<TfLiteRegistration*>(other->registrations[at].data());
  return kTfLiteOk;
}

enum class Struct { kTensor, kNode, kRegistration, kContext };

void build(Host* host, Struct changed, const Change* change, OtherHost* built) {
  const auto change_of = [&](Struct which) {
    return which == changed ? change : nullptr;
  };
  TfLiteContext& context = *host->context();
  std::vector<int> plan;
  for (size_t i = 0; i < host->num_nodes(); ++i) {
    const int index = static_cast<int>(i);
    built->nodes.push_back(
        lay_out(&host->node(index), kNodeFields, change_of(Struct::kNode)));
    built->registrations.push_back(lay_out(&host->registration(index),
                                           kRegistrationFields,
                                           change_of(Struct::kRegistration)));
    plan.push_back(index);
  }
  for (size_t i = 0; i < context.tensors_size; ++i) {
    const Bytes tensor =
        lay_out(context.tensors + i, kTensorFields, change_of(Struct::kTensor));
    built->tensors.insert(built->tensors.end(), tensor.begin(), tensor.end());
  }
  Bytes head(sizeof(TfLiteContext) + 2 * sizeof(void*));
  std::memcpy(head.data(), host->context(), head.size());
  auto* copy = reinterpret_cast<TfLiteContext*>(head.data());
  copy->GetExecutionPlan = other_plan;
  copy->GetNodeAndRegistration = other_node;
  copy->tensors = reinterpret_cast<TfLiteTensor*>(built->tensors.data());
  built->context = lay_out(head.data(), kContextFields, change_of(Struct::kContext));
  built->plan = make_int_array(plan);
  other = built;
}

bool is_accepted(OtherHost* built, std::string* why) {
  auto* context = reinterpret_cast<TfLiteContext*>(built->context.data());
  errno = EDOM;
  const bool is_expected = r2b::layout_is_as_expected(context, why);
  CHECK_EQUAL(errno, EDOM);  // the host's, whatever could not be read
  return is_expected;
}

// Whether every field that the delegate reads is at the mirrored place in both.
bool reads_the_same(const Bytes& a, const Bytes& b, const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    if (field.is_used && (b.size() < field.offset + field.size ||
                          std::memcmp(a.data() + field.offset, b.data() + field.offset,
                                      field.size) != 0)) {
      return false;
    }
  }
  return true;
}

bool reads_the_same(const OtherHost& a, const OtherHost& b, Struct changed,
                    const std::vector<Field>& fields) {
  if (changed == Struct::kContext) return reads_the_same(a.context, b.context, fields);
  if (changed == Struct::kTensor) {
    const size_t unit = sizeof(TfLiteTensor);
    for (size_t at = 0; at < a.tensors.size(); at += unit) {
      const Bytes tail(b.tensors.begin() + std::min(at, b.tensors.size()),
                       b.tensors.end());
      if (!reads_the_same(Bytes(a.tensors.begin() + at, a.tensors.end()), tail,
                          fields)) {
        return false;
      }
    }
    return true;
  }
  const auto& from = changed == Struct::kNode ? a.nodes : a.registrations;
  const auto& to = changed == Struct::kNode ? b.nodes : b.registrations;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!reads_the_same(from[i], to[i], fields)) return false;
  }
  return true;
}

// LceQuantize -> LceBconv2d -> CONV_2D -> MUL: constants, options, parameters.
void add_model(Host* host) {
  const int image = host->add_tensor(kTfLiteFloat32, {1, 4, 4, 40});
  const int packed = host->add_tensor(kTfLiteInt32, {1, 4, 4, 2});
  const int filter =
      host->add_constant(kTfLiteInt32, {8, 1, 1, 2}, std::vector<int32_t>(16, 0x55));
  const int scale = host->add_constant(kTfLiteFloat32, {8}, std::vector<float>(8, 2));
  const int bias = host->add_constant(kTfLiteFloat32, {8}, std::vector<float>(8, 1));
  const int y = host->add_tensor(kTfLiteFloat32, {1, 4, 4, 8});
  const int weights =
      host->add_constant(kTfLiteFloat32, {8, 1, 1, 8}, std::vector<float>(64, 0.5f));
  const int z = host->add_tensor(kTfLiteFloat32, {1, 4, 4, 8});
  const int int8 = host->add_quantized(kTfLiteInt8, {1, 4, 4, 8}, 0.25f, -3);
  host->add_custom("LceQuantize", {}, {image}, {packed});
  host->add_custom("LceBconv2d", option_bytes({{"channels_in", 40}}),
                   {packed, filter, scale, bias, -1}, {y});
  const int params[6] = {1, 1, 1, 0, 1, 1};
  host->add_builtin(3, {y, weights, bias}, {z}, params, sizeof params);
  host->add_builtin(114, {z}, {int8});
  host->set_inputs({image});
  host->set_outputs({int8});
}

const char* const kStructNames[] = {"tensor", "node", "registration", "context"};

// Four bytes in front of a field of four bytes that padding follows take its place, and
// nothing else moves. Where zero or one is a possible value of that field, no look at
// the host tells: every type float32, no options (as where their size is left out), a
// wrong number of threads.
bool nobody_can_tell(Struct changed, const Change& change) {
  if (changed == Struct::kNode && change.field == 7 && change.remove) return true;
  if (change.remove || change.inserted.size() != 4) return false;
  return (changed == Struct::kTensor && change.field == 0 && change.inserted[0] == 1) ||
         (changed == Struct::kNode && change.field == 7) ||
         (changed == Struct::kContext && change.field == 9);
}

// All changes of one struct; returns how many of those that matter got through.
int try_changes(Struct changed, const std::vector<Field>& fields, size_t first) {
  Host host;
  add_model(&host);
  OtherHost same;
  build(&host, changed, nullptr, &same);
  std::string why;
  CHECK(is_accepted(&same, &why));
  CHECK(why.empty());

  void* const heap = host.context()->tensors;
  void (*const function)() = [] {};
  std::vector<Change> changes;
  for (size_t field = first; field <= fields.size(); ++field) {
    Bytes pointer(8), code(8);
    std::memcpy(pointer.data(), &heap, 8);
    std::memcpy(code.data(), &function, 8);
    for (const Bytes& bytes : {Bytes(4, 0), Bytes(8, 0), Bytes{1, 0, 0, 0},
                               Bytes{7, 0, 0, 0, 0, 0, 0, 0}, pointer, code}) {
      changes.push_back({field, false, bytes});
    }
    if (field < fields.size()) changes.push_back({field, true, {}});
  }
  int num_missed = 0;
  for (const Change& change : changes) {
    OtherHost built;
    build(&host, changed, &change, &built);
    why.clear();
    const bool accepted = is_accepted(&built, &why);
    const bool harmless = reads_the_same(same, built, changed, fields);
    if (!accepted) CHECK_SAYS(why, "lays its structs out in another way");
    if (accepted && !harmless && !nobody_can_tell(changed, change)) {
      ++num_missed;
      std::printf("  accepted: %s, field %zu %s of %zu bytes (first %d)\n",
                  kStructNames[static_cast<int>(changed)], change.field,
                  change.remove ? "removed" : "inserted", change.inserted.size(),
                  change.inserted.empty() ? 0 : change.inserted[0]);
    }
  }
  return num_missed;
}

}  // namespace

TEST(layout_of_the_mirrored_host_is_accepted) {
  Host host;
  add_model(&host);
  OtherHost built;
  build(&host, Struct::kNode, nullptr, &built);
  std::string why;
  CHECK(is_accepted(&built, &why));
}

// What is to be done then is not to take another version.
TEST(layout_that_cannot_be_looked_at_is_refused) {
  Host host;
  add_model(&host);
  OtherHost built;
  build(&host, Struct::kNode, nullptr, &built);
  rlimit before;
  CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
  std::string why;
  CHECK(!is_accepted(&built, &why));
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_SAYS(why, "no pipe can be opened");
}

// What pads the number of threads is not the host's to say: not even where the two
// together look like the address of a function.
TEST(layout_with_anything_in_the_padding_is_accepted) {
  constexpr uint64_t kWord = 0x123400001000;
  constexpr size_t kPage = 4096;
  void* const code = mmap(reinterpret_cast<void*>(kWord), kPage, PROT_READ | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(code != MAP_FAILED);
  Host host;
  add_model(&host);
  OtherHost built;
  build(&host, Struct::kNode, nullptr, &built);
  std::memcpy(built.context.data() + offsetof(TfLiteContext, recommended_num_threads),
              &kWord, sizeof kWord);
  std::string why;
  CHECK(is_accepted(&built, &why));
  CHECK_EQUAL(munmap(code, kPage), 0);
}

TEST(layout_of_tensors_with_another_field_is_refused) {
  CHECK_EQUAL(try_changes(Struct::kTensor, kTensorFields, 0), 0);
}
TEST(layout_of_nodes_with_another_field_is_refused) {
  CHECK_EQUAL(try_changes(Struct::kNode, kNodeFields, 0), 0);
}
TEST(layout_of_registrations_with_another_field_is_refused) {
  CHECK_EQUAL(try_changes(Struct::kRegistration, kRegistrationFields, 0), 0);
}
TEST(layout_of_contexts_with_another_field_is_refused) {
  CHECK_EQUAL(try_changes(Struct::kContext, kContextFields, 0), 0);
}

TEST_MAIN
