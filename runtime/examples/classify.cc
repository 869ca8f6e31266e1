// Names a picture with a binary network:
//
//   classify MODEL.tflite PICTURE.ppm [MEAN STD]
//
// PICTURE is a binary PPM or PGM of 8 bits and of the network's size. A network of float32
// takes (pixel / 255 - MEAN) / STD, 0 and 1 unless given; one of uint8 takes pixels. Prints
// the five likeliest classes by number with their scores, and the median time of 20 runs.
//
// LiteRT reads the file; everything that r2b_delegate claims of it, which is all of a
// network that r2b_keras has converted, runs in the delegate.
#include <r2b_delegate.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "litert.h"

namespace {

constexpr int kNumRuns = 20;

[[noreturn]] void Fail(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(1);
}

void Check(LiteRtStatus status, const std::string& what) {
  if (status != 0) Fail("LiteRT cannot " + what + ": status " + std::to_string(status) + ".");
}

// A picture as it lies in the file.
struct Picture {
  int width = 0, height = 0, channels = 0;
  std::vector<unsigned char> pixels;
};

Picture ReadPicture(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  Picture picture;
  int largest = 0;
  file >> magic >> picture.width >> picture.height >> largest;
  picture.channels = magic == "P6" ? 3 : 1;
  if (!file || (magic != "P5" && magic != "P6") || largest != 255)
    Fail(path + " is no PPM or PGM picture of 8 bits: convert it, with `convert` for one.");
  file.get();
  picture.pixels.assign(std::istreambuf_iterator<char>(file), {});
  return picture;
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
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr);
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

// --- The network's input and output

struct Side {
  LiteRtRankedTensorType type;
  LiteRtTensorBuffer buffer;
  size_t count;  // of values
};

// The network's one input and its one output.
void FindSides(LiteRtModel model, LiteRtTensor* tensors) {
  LiteRtSubgraph graph;
  size_t num_inputs = 0, num_outputs = 0;
  Check(LiteRtGetModelSubgraph(model, 0, &graph), "find the network in the file");
  Check(LiteRtGetNumSubgraphInputs(graph, &num_inputs), "count its inputs");
  Check(LiteRtGetNumSubgraphOutputs(graph, &num_outputs), "count its outputs");
  if (num_inputs != 1 || num_outputs != 1) Fail("The network has several inputs or outputs.");
  Check(LiteRtGetSubgraphInput(graph, 0, &tensors[0]), "find its input");
  Check(LiteRtGetSubgraphOutput(graph, 0, &tensors[1]), "find its output");
}

Side MakeSide(LiteRtEnvironment environment, LiteRtTensor tensor) {
  Side side{};
  Check(LiteRtGetRankedTensorType(tensor, &side.type), "tell the network's shapes");
  side.count = 1;
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

void Store(const Side& input, const Picture& picture, double mean, double std) {
  void* content;
  Check(LiteRtLockTensorBuffer(input.buffer, &content, LITERT_WRITE), "lock its input");
  if (input.type.type == LITERT_UINT8) {
    std::copy(picture.pixels.begin(), picture.pixels.end(),
              static_cast<unsigned char*>(content));
  } else {
    const auto scale = static_cast<float>(1 / (255 * std));
    const auto offset = static_cast<float>(-mean / std);
    std::transform(picture.pixels.begin(), picture.pixels.end(),
                   static_cast<float*>(content),
                   [=](unsigned char pixel) { return pixel * scale + offset; });
  }
  Check(LiteRtUnlockTensorBuffer(input.buffer), "unlock its input");
}

std::vector<float> Scores(const Side& output) {
  void* content;
  Check(LiteRtLockTensorBuffer(output.buffer, &content, LITERT_READ), "lock its output");
  const float* scores = static_cast<float*>(content);
  std::vector<float> copy(scores, scores + output.count);
  Check(LiteRtUnlockTensorBuffer(output.buffer), "unlock its output");
  return copy;
}

void CheckFits(const Side& input, const Side& output, const Picture& picture) {
  const auto& type = input.type;
  const bool known = type.type == LITERT_FLOAT32 || type.type == LITERT_UINT8;
  if (!known || type.rank != 4 || output.type.type != LITERT_FLOAT32)
    Fail("The network takes no pictures of float32 or uint8, or gives no float32.");
  const int height = type.dimensions[1], width = type.dimensions[2];
  if (picture.height != height || picture.width != width ||
      picture.channels != type.dimensions[3] || picture.pixels.size() != input.count)
    Fail("The picture has another size than the network's " + std::to_string(width) + "x" +
         std::to_string(height) + ", " + std::to_string(type.dimensions[3]) +
         " channels: scale it, or it is cut off.");
}

LiteRtCompiledModel Prepare(LiteRtEnvironment environment, LiteRtModel model) {
  LiteRtOptions options;
  Check(LiteRtCreateOptions(&options), "make options");
  Check(LiteRtSetOptionsHardwareAccelerators(options, LITERT_CPU), "choose the CPU");
  LiteRtCompiledModel compiled;
  Check(LiteRtCreateCompiledModel(environment, model, options, &compiled),
        "prepare the network");
  LiteRtDestroyOptions(options);
  return compiled;
}

// Median of some runs, in milliseconds.
double Run(LiteRtCompiledModel compiled, const Side& input, const Side& output) {
  LiteRtTensorBuffer inputs[] = {input.buffer}, outputs[] = {output.buffer};
  std::vector<double> times;
  for (int run = 0; run < kNumRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    Check(LiteRtRunCompiledModel(compiled, 0, 1, inputs, 1, outputs), "run the network");
    const std::chrono::duration<double, std::milli> time =
        std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
  }
  std::nth_element(times.begin(), times.begin() + kNumRuns / 2, times.end());
  return times[kNumRuns / 2];
}

void PrintBest(const std::vector<float>& scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min<size_t>(order.size(), 5));
  for (size_t index : order) std::printf("class %zu  %.6f\n", index, scores[index]);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3 && count != 5) Fail("usage: classify MODEL.tflite PICTURE.ppm [MEAN STD]");
  const double mean = count == 5 ? std::atof(arguments[3]) : 0;
  const double std = count == 5 ? std::atof(arguments[4]) : 1;
  if (!(std > 0)) Fail("STD is no number above 0: give the model card's.");
  const Picture picture = ReadPicture(arguments[2]);

  LiteRtEnvironment environment = MakeEnvironment();
  LiteRtModel model;
  Check(LiteRtCreateModelFromFile(environment, arguments[1], &model),
        std::string("read ") + arguments[1]);
  LiteRtTensor tensors[2];
  FindSides(model, tensors);
  const Side input = MakeSide(environment, tensors[0]);
  const Side output = MakeSide(environment, tensors[1]);
  CheckFits(input, output, picture);
  LiteRtCompiledModel compiled = Prepare(environment, model);

  Store(input, picture, mean, std);
  const double time_ms = Run(compiled, input, output);
  PrintBest(Scores(output));
  std::printf("%.3f ms\n", time_ms);

  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyTensorBuffer(input.buffer);
  LiteRtDestroyTensorBuffer(output.buffer);
  LiteRtDestroyModel(model);
  LiteRtDestroyEnvironment(environment);
  return 0;
}
