#include "network.h"

#include <r2b_delegate.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "litert.h"

namespace {

void Check(LiteRtStatus status, const std::string& what) {
  if (status != 0)
    throw std::runtime_error("LiteRT cannot " + what + " (status " +
                             std::to_string(status) + ").");
}

// --- The delegate, as LiteRT asks for one

LiteRtStatus Name(LiteRtAccelerator, const char** name) {
  *name = "r2b_delegate";
  return 0;
}

LiteRtStatus Version(LiteRtAccelerator, LiteRtApiVersion* version) {
  *version = {0, 1, 0};
  return 0;
}

LiteRtStatus Hardware(LiteRtAccelerator, int* accelerators) {
  *accelerators = LITERT_CPU;
  return 0;
}

LiteRtStatus MakeDelegate(void*, LiteRtEnvironment, LiteRtAccelerator, LiteRtOptions,
                          LiteRtDelegateWrapper* wrapper) {
  TfLiteDelegate* delegate =
      tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr);
  if (delegate == nullptr) return 1;
  return LiteRtWrapDelegate(delegate, tflite_plugin_destroy_delegate, wrapper);
}

// An environment whose only accelerator is the delegate: LiteRT applies them in the order
// in which they were registered, and its own would take what stands between our operators.
LiteRtEnvironment MakeEnvironment() {
  const LiteRtEnvOption wanted[] = {
      {LITERT_OPTION_ACCELERATORS, {LITERT_ANY_INT, 0}},
      {LITERT_OPTION_LOG, {LITERT_ANY_INT, LITERT_LOG_ERRORS}},
  };
  LiteRtEnvironment environment;
  Check(LiteRtCreateEnvironment(2, wanted, &environment), "start");
  LiteRtAccelerator accelerator;
  Check(LiteRtCreateAccelerator(&accelerator), "make an accelerator");
  LiteRtSetAcceleratorGetName(accelerator, Name);
  LiteRtSetAcceleratorGetVersion(accelerator, Version);
  LiteRtSetAcceleratorGetHardwareSupport(accelerator, Hardware);
  LiteRtSetDelegateFunction(accelerator, MakeDelegate);
  Check(LiteRtRegisterAccelerator(environment, accelerator, nullptr, nullptr),
        "take the delegate");
  return environment;
}

// --- What the network takes and gives

struct Side {
  LiteRtRankedTensorType type{};
  size_t count = 1;  // of values
  LiteRtTensorBuffer buffer = nullptr;
};

Side MakeSide(LiteRtEnvironment environment, LiteRtTensor tensor) {
  Side side;
  Check(LiteRtGetRankedTensorType(tensor, &side.type), "tell the network's shapes");
  for (uint32_t axis = 0; axis < side.type.rank; ++axis) {
    if (side.type.dimensions[axis] < 0) side.type.dimensions[axis] = 1;  // the batch
    side.count *= static_cast<size_t>(side.type.dimensions[axis]);
  }
  const size_t size = side.type.type == LITERT_FLOAT32 ? sizeof(float) : 1;
  Check(LiteRtCreateManagedTensorBuffer(environment, LITERT_HOST_MEMORY, &side.type,
                                        side.count * size, &side.buffer),
        "allocate memory");
  return side;
}

// --- How pixels become what a network of float32 sees

// One number for each channel, `standard` for all where none are given.
std::vector<double> ForChannels(const std::vector<double>& numbers, double standard,
                                size_t num_channels, const std::string& name) {
  if (numbers.empty()) return std::vector<double>(num_channels, standard);
  if (numbers.size() != num_channels)
    throw std::runtime_error(name + " has " + std::to_string(numbers.size()) +
                             " number(s), expected " + std::to_string(num_channels) +
                             ", one for each channel: give the model card's.");
  return numbers;
}

// A pixel's value is pixel * scale + offset.
struct Normalisation {
  float scale, offset;
};

std::vector<Normalisation> MakeNormalisations(const std::vector<double>& mean,
                                              const std::vector<double>& std,
                                              int num_channels) {
  const auto size = static_cast<size_t>(num_channels);
  const std::vector<double> means = ForChannels(mean, 0, size, "The mean");
  const std::vector<double> stds = ForChannels(std, 1, size, "The std");
  std::vector<Normalisation> all;
  for (size_t channel = 0; channel < size; ++channel) {
    if (!std::isfinite(means[channel]))
      throw std::runtime_error("The mean is not finite: give the model card's.");
    if (!(std::isfinite(stds[channel]) && stds[channel] > 0))
      throw std::runtime_error("The std is no number above 0: give the model card's.");
    // As Python's r2b_runtime rounds them.
    all.push_back({static_cast<float>(1 / (255 * stds[channel])),
                   static_cast<float>(-means[channel] / stds[channel])});
  }
  return all;
}

}  // namespace

struct Network::Parts {
  LiteRtEnvironment environment = nullptr;
  LiteRtModel model = nullptr;
  LiteRtOptions options = nullptr;
  LiteRtCompiledModel compiled = nullptr;
  Side input, output;

  ~Parts() {
    if (compiled != nullptr) LiteRtDestroyCompiledModel(compiled);
    if (options != nullptr) LiteRtDestroyOptions(options);
    if (input.buffer != nullptr) LiteRtDestroyTensorBuffer(input.buffer);
    if (output.buffer != nullptr) LiteRtDestroyTensorBuffer(output.buffer);
    if (model != nullptr) LiteRtDestroyModel(model);
    if (environment != nullptr) LiteRtDestroyEnvironment(environment);
  }

  void Read(const std::string& path) {
    environment = MakeEnvironment();
    Check(LiteRtCreateModelFromFile(environment, path.c_str(), &model), "read " + path);
    LiteRtSubgraph graph;
    size_t num_inputs = 0, num_outputs = 0;
    Check(LiteRtGetModelSubgraph(model, 0, &graph), "find the network in " + path);
    Check(LiteRtGetNumSubgraphInputs(graph, &num_inputs), "count its inputs");
    Check(LiteRtGetNumSubgraphOutputs(graph, &num_outputs), "count its outputs");
    if (num_inputs != 1 || num_outputs != 1)
      throw std::runtime_error(path +
                               " has several inputs or outputs, expected one each.");
    LiteRtTensor first, last;
    Check(LiteRtGetSubgraphInput(graph, 0, &first), "find its input");
    Check(LiteRtGetSubgraphOutput(graph, 0, &last), "find its output");
    input = MakeSide(environment, first);
    output = MakeSide(environment, last);
    const int taken = input.type.type;
    if ((taken != LITERT_FLOAT32 && taken != LITERT_UINT8) || input.type.rank != 4 ||
        output.type.type != LITERT_FLOAT32)
      throw std::runtime_error(path +
                               " takes no pictures of float32 or uint8, or gives no "
                               "float32: convert it with r2b_keras.");
  }

  void Prepare() {
    Check(LiteRtCreateOptions(&options), "make options");
    Check(LiteRtSetOptionsHardwareAccelerators(options, LITERT_CPU), "choose the CPU");
    Check(LiteRtCreateCompiledModel(environment, model, options, &compiled),
          "prepare the network");
  }

  void Store(const unsigned char* pixels, const std::vector<Normalisation>& channels) {
    void* content;
    Check(LiteRtLockTensorBuffer(input.buffer, &content, LITERT_WRITE),
          "lock its input");
    if (input.type.type == LITERT_UINT8) {
      std::copy_n(pixels, input.count, static_cast<unsigned char*>(content));
    } else {
      auto* values = static_cast<float*>(content);
      for (size_t i = 0; i < input.count; ++i) {
        const Normalisation& channel = channels[i % channels.size()];
        values[i] = pixels[i] * channel.scale + channel.offset;
      }
    }
    Check(LiteRtUnlockTensorBuffer(input.buffer), "unlock its input");
  }

  std::vector<float> Scores() {
    void* content;
    Check(LiteRtLockTensorBuffer(output.buffer, &content, LITERT_READ),
          "lock its output");
    const float* scores = static_cast<float*>(content);
    std::vector<float> copy(scores, scores + output.count);
    Check(LiteRtUnlockTensorBuffer(output.buffer), "unlock its output");
    return copy;
  }
};

Network::Network(const std::string& path) : parts_(std::make_unique<Parts>()) {
  parts_->Read(path);
  parts_->Prepare();
}

Network::~Network() = default;

int Network::height() const { return parts_->input.type.dimensions[1]; }
int Network::width() const { return parts_->input.type.dimensions[2]; }
int Network::channels() const { return parts_->input.type.dimensions[3]; }

std::vector<float> Network::Predict(const unsigned char* pixels, size_t count,
                                    const std::vector<double>& mean,
                                    const std::vector<double>& std) {
  if (count != parts_->input.count)
    throw std::runtime_error("There are " + std::to_string(count) +
                             " pixels, expected " +
                             std::to_string(parts_->input.count) + ".");
  parts_->Store(pixels, MakeNormalisations(mean, std, channels()));
  Check(LiteRtRunCompiledModel(parts_->compiled, 0, 1, &parts_->input.buffer, 1,
                               &parts_->output.buffer),
        "run the network");
  return parts_->Scores();
}
