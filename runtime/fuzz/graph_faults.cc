// What can be wrong with an operator of the graph maker's, and what makes it so.
#include <climits>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "graph_maker.h"
#include "numbers.h"

namespace r2b_fuzz {
namespace {

using r2b_test::Bytes;
using r2b_test::Dims;
using r2b_test::Options;

// 0 and what is beyond: nothing.
enum Fault {
  kNoFault,
  kInputType,
  kOutputType,
  kInputDims,
  kOutputDims,
  kInputRank,
  kAbsentInput,
  kFewerInputs,
  kMoreInputs,
  kNoOutput,
  kTwoOutputs,
  kNotConstant,
  kFewerBytes,
  kNoData,
  kCutOptions,
  kChangedOptions,
  kNoOptions,
  kMissingOption,
  kExtremeOption,
  kNoParams,
  kExtremeParams,
  kScale,
  kZeroPoint,
  kMisaligned,
  kReadsLater,
  kWritesAgain,
  kWritesConstant,
  kRawOptions,
  kNoDims,
  kOutputQuantization,
};

}  // namespace

void GraphMaker::custom(const Record& record, const char* name, Options options,
                        std::vector<int> inputs, int output) {
  const size_t widths[] = {4, 1, 2, 8};
  const bool has_options = !options.empty();
  break_options(record, &options);
  Bytes bytes;
  if (has_options) {
    bytes = r2b_test::option_bytes(options, widths[record.option_width % 4]);
  }
  bytes = break_bytes(record, bytes);
  std::vector<int> outputs = {output};
  break_tensors(record, &inputs, &outputs);
  host_.add_custom(name, bytes, inputs, outputs);
  if (!outputs.empty()) pool_.push_back(output);
}

void GraphMaker::builtin(const Record& record, int code, std::vector<int> inputs,
                         int output, std::vector<int> params) {
  if (record.fault == kNoParams) params.clear();
  if (record.fault == kExtremeParams && !params.empty()) {
    const size_t place = record.fault_place % params.size();
    params[place] = extent(record.fault_value, 8);
    // LiteRT gives bools that are bools.
    if ((code == kMeanCode && place == 0) || (code == kDenseCode && place == 2)) {
      params[place] &= 1;
    }
  }
  std::vector<int> outputs = {output};
  break_tensors(record, &inputs, &outputs);
  host_.add_builtin(code, inputs, outputs, params.data(), params.size() * sizeof(int));
  if (!outputs.empty()) pool_.push_back(output);
}

void GraphMaker::break_options(const Record& record, Options* options) {
  if (options->empty()) return;
  const size_t place = record.fault_place % options->size();
  if (record.fault == kMissingOption) {
    options->erase(options->begin() + static_cast<ptrdiff_t>(place));
  } else if (record.fault == kExtremeOption) {
    (*options)[place].second = number(record.fault_value, 240);
  }
}

Bytes GraphMaker::break_bytes(const Record& record, Bytes bytes) {
  if (record.fault == kNoOptions) return {};
  if (record.fault == kRawOptions) {
    bytes.clear();
    while (source_.left() > 0) bytes.push_back(source_.take());
    return bytes;
  }
  if (bytes.empty()) return bytes;
  const size_t place =
      bytes.size() - 1 - (record.fault_place + 256 * record.spare) % bytes.size();
  if (record.fault == kCutOptions) bytes.resize(place);
  if (record.fault == kChangedOptions) bytes[place] = record.fault_value;
  return bytes;
}

void GraphMaker::break_tensors(const Record& record, std::vector<int>* inputs,
                               std::vector<int>* outputs) {
  const size_t place = record.fault_place % inputs->size();
  switch (record.fault) {
    case kAbsentInput:
      (*inputs)[place] = -1;
      return;
    case kFewerInputs:
      inputs->resize(place);
      return;
    case kMoreInputs:
      inputs->push_back(pick(record.fault_value));
      return;
    case kNoOutput:
      outputs->clear();
      return;
    case kTwoOutputs:
      outputs->push_back(host_.add_tensor(kTfLiteFloat32, {1}));
      return;
    case kReadsLater: {
      // Written by this operator after the next reads it.
      (*inputs)[place] = host_.add_tensor(kTfLiteFloat32, host_.dims((*outputs)[0]));
      pool_.push_back((*inputs)[place]);
      return;
    }
    case kWritesAgain:
      (*outputs)[0] = pick(record.fault_value);
      return;
    case kWritesConstant:
      (*outputs)[0] = floats({4}, record.values);
      return;
    case kOutputType:
    case kOutputDims:
    case kOutputQuantization:
      return break_tensor(record, (*outputs)[0]);
    default:
      if ((*inputs)[place] >= 0) break_tensor(record, (*inputs)[place]);
  }
}

void GraphMaker::break_tensor(const Record& record, int index) {
  const TfLiteType types[] = {kTfLiteFloat32, kTfLiteInt32, kTfLiteInt8,
                              kTfLiteBool,    kTfLiteUInt8, kTfLiteInt64,
                              kTfLiteFloat16, kTfLiteNoType};
  const float scales[] = {0.0f, -1.0f, 1e-45f, 3e38f, INFINITY, NAN, 1.0f, 1e-20f};
  TfLiteTensor& tensor = host_.tensor(index);
  switch (record.fault) {
    case kInputType:
    case kOutputType:
      tensor.type = types[record.fault_value % std::size(types)];
      return;
    case kInputDims:
    case kOutputDims:
      if (tensor.dims != nullptr && tensor.dims->size > 0) {
        tensor.dims->data[record.operand % tensor.dims->size] =
            extent(record.fault_value, 80);
      }
      return;
    case kInputRank: {
      Dims dims = host_.dims(index);
      dims.resize(record.fault_value % 9, 1);
      std::free(tensor.dims);
      tensor.dims = r2b_test::make_int_array(dims);
      return;
    }
    case kNotConstant:
      if (tensor.allocation_type == kTfLiteMmapRo) {
        host_.make_variable(index);
      }
      return;
    case kFewerBytes:
      host_.shorten_constant(index, record.fault_value);
      return;
    case kNoData:
      if (tensor.allocation_type == kTfLiteMmapRo) tensor.data = nullptr;
      return;
    case kMisaligned:
      host_.misalign_constant(index, 1 + record.fault_value % 3);
      return;
    case kScale:
    case kOutputQuantization:
      tensor.params.scale = scales[record.fault_value % std::size(scales)];
      return;
    case kZeroPoint:
      tensor.params.zero_point = extent(record.fault_value, 200);
      return;
    case kNoDims:
      std::free(tensor.dims);
      tensor.dims = nullptr;
      return;
    default:
      return;
  }
}

}  // namespace r2b_fuzz
