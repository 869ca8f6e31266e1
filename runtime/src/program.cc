#include "program.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "denormals.h"
#include "layout_memory.h"

namespace r2b {

namespace {

using Clock = std::chrono::steady_clock;

bool uses_filter(OperatorKind kind) {
  return kind == OperatorKind::kBinaryConvolution ||
         kind == OperatorKind::kConvolution || kind == OperatorKind::kDense;
}

// All that the packed filter of an operator depends on: its constants, their shape, and
// how they are divided.
using FilterKey = std::tuple<const void*, const void*, bool, std::string, int64_t>;

FilterKey key_of(const Graph& graph, const Operator& op) {
  const Value& filter = graph.input(op, 1);
  const void* bias = graph.has_input(op, 2) ? graph.input(op, 2).constant : nullptr;
  const bool is_binary = op.kind == OperatorKind::kBinaryConvolution;
  return {filter.constant, is_binary ? nullptr : bias, is_binary, filter.shape.text(),
          op.channels_in};
}

// Constants of a file may lie at any address; what kernels read may not. False where
// there is no memory.
bool align_constant(Value* value) {
  if (value->constant == nullptr || element_bytes(value->type) != sizeof(uint32_t) ||
      reinterpret_cast<uintptr_t>(value->constant) % alignof(uint32_t) == 0) {
    return true;
  }
  const Size bytes = value->plain_bytes();
  value->own = allocate(bytes);
  if (value->own == nullptr) return false;
  std::memcpy(value->own.get(), value->constant, static_cast<size_t>(bytes.count()));
  value->constant = value->own.get();
  return true;
}

// Each once, however many tensors it is, and as large as the widest of them.
Size constant_bytes(const Graph& graph) {
  std::map<const void*, Size> widest;
  for (const auto& value : graph.values) {
    const void* constant = value->packed != nullptr ? value->packed : value->constant;
    if (constant == nullptr) continue;
    Size& bytes = widest.emplace(constant, 0).first->second;
    bytes = std::max(bytes, value->plain_bytes());
  }
  Size total = 0;
  for (const auto& [constant, bytes] : widest) total = total + bytes;
  return total;
}

}  // namespace

bool Program::read(TfLiteContext* context, const TfLiteDelegateParams& params,
                   const ConstantSources& sources, std::string* why) {
  // Constants are unpacked here, alike whatever the host has set.
  const FlushDenormals flushed;
  if (params.nodes_to_replace == nullptr) return *why = "no nodes were given", false;
  if (!graph_.read(context, params.nodes_to_replace, params.output_tensors, sources,
                   why)) {
    return false;
  }
  num_read_values_ = graph_.values.size();
  for (auto& value : graph_.values) {
    if (!align_constant(value.get())) {
      *why = format("there is no memory for constant tensor %d", value->tensor);
      return false;
    }
    value->data = const_cast<char*>(static_cast<const char*>(value->constant));
  }
  return true;
}

bool Program::pack_filters(std::string* why) {
  // What an attempt that failed has left.
  filters_.clear();
  filter_memory_ = MemoryPool();
  if (fuse_) {
    integer_layers_ = find_integer_layers(graph_, kernels_.integer_weight_limit);
  }
  const Size constants = constant_bytes(graph_);
  // Packed once, however many operators read it.
  std::map<FilterKey, std::shared_ptr<const PackedFilter>> packed;
  for (size_t i = 0; i < graph_.operators.size(); i++) {
    const Operator& op = graph_.operators[i];
    if (!uses_filter(op.kind)) continue;
    const auto layer = integer_layers_.find(i);
    if (layer != integer_layers_.end()) {
      filters_[&op] = pack_integer_filter(kernels_, graph_, op, layer->second,
                                          &filter_memory_, why);
    } else {
      std::shared_ptr<const PackedFilter>& filter = packed[key_of(graph_, op)];
      if (filter == nullptr) {
        filter = pack_filter(kernels_, graph_, op, &filter_memory_, why);
      }
      filters_[&op] = filter;
    }
    if (filters_[&op] == nullptr) return false;
    if (!can_be_padded(filter_memory_.bytes(), constants)) {
      *why = format(
          "%s (node %d): its filter and those before it, as this CPU wants them, take "
          "many times the memory of the constants",
          op.name, op.node);
      return false;
    }
  }
  forget_unpacked_filters();
  is_packed_ = true;
  return true;
}

// Packed filters are copies: of constants that are nothing else only the shape is read
// from here on.
void Program::forget_unpacked_filters() {
  std::set<const Value*> kept;
  for (const Operator& op : graph_.operators) {
    for (size_t i = 0; i < op.inputs.size(); i++) {
      const bool is_filter = uses_filter(op.kind) && i == 1;
      if (graph_.has_input(op, i) && !is_filter) kept.insert(&graph_.input(op, i));
    }
  }
  for (auto& value : graph_.values) {
    if (value->packed == nullptr || value->outside() || kept.count(value.get()) != 0) {
      continue;
    }
    value->own.reset();
    value->constant = value->packed;
    value->data = nullptr;
  }
}

bool Program::prepare(TfLiteContext* context, std::string* why) {
  steps_.clear();
  memory_.clear();
  graph_.values.resize(num_read_values_);
  // What is worked out here once is worked out as if in a run.
  const FlushDenormals flushed;
  // Filters wait for the first shapes: a file may leave them open, of every partition's
  // inputs.
  if (!graph_.infer_shapes(context, why) || (!is_packed_ && !pack_filters(why)) ||
      !resize_outputs(context, why)) {
    return false;
  }
  Planner planner(kernels_, &graph_, filters_, integer_layers_, fuse_);
  if (!planner.plan(&steps_, why)) return false;
  if (const Step* step = reader_of_nothing(steps_)) {
    *why = format("a fault of the delegate's own: \"%s\" would read what is not there",
                  step->title.c_str());
    return false;
  }
  // What writes nothing is not worth a walk over rows without pixels.
  const auto writes_nothing = [](const std::unique_ptr<Step>& step) {
    return std::all_of(step->writes.begin(), step->writes.end(),
                       [](const Value* value) { return value->shape.elements() == 0; });
  };
  steps_.erase(std::remove_if(steps_.begin(), steps_.end(), writes_nothing),
               steps_.end());
  num_threads_ = threads_->reserve(context->recommended_num_threads);
  Size scratch = 1;
  for (const auto& step : steps_) scratch = std::max(scratch, step->scratch_bytes());
  scratch = scratch.rounded_up(64);
  // Rather slowly than not at all.
  while (num_threads_ > 1 && !padding_fits(steps_, scratch * num_threads_)) {
    num_threads_--;
  }
  if (!padding_fits(steps_, scratch * num_threads_)) {
    *why =
        "the operators' windows together reach over more padding than there is memory "
        "for";
    return false;
  }
  scratch_ = allocate(scratch * num_threads_);
  scratch_bytes_ = static_cast<size_t>(scratch.count());
  if (scratch_ == nullptr || !lay_out_memory(steps_, &memory_)) {
    *why = "there is not enough memory for inputs of this shape";
    return false;
  }
  report_.describe(steps_, num_threads_);
  return true;
}

bool Program::resize_outputs(TfLiteContext* context, std::string* why) {
  for (const auto& value : graph_.values) {
    if (!value->to_outside) continue;
    const size_t rank = static_cast<size_t>(value->shape.rank);
    // LiteRT frees it, with free().
    auto* dims = static_cast<TfLiteIntArray*>(std::malloc(sizeof(int) * (rank + 2)));
    if (dims == nullptr) return *why = "there is not enough memory", false;
    dims->size = value->shape.rank;
    std::memcpy(dims->data, value->shape.dims, rank * sizeof(int));
    if (context->ResizeTensor(context, &context->tensors[value->tensor], dims) !=
        kTfLiteOk) {
      *why = format("tensor %d cannot be resized to %s", value->tensor,
                    value->shape.text().c_str());
      return false;
    }
  }
  return true;
}

bool Program::bind(TfLiteContext* context, std::string* why) {
  for (const auto& value : graph_.values) {
    if (!value->outside()) continue;
    const TfLiteTensor& tensor = context->tensors[value->tensor];
    const int64_t bytes = value->bytes();
    if (bytes < 0 || tensor.bytes < static_cast<size_t>(bytes) ||
        (tensor.data == nullptr && bytes > 0)) {
      *why = format("tensor %d holds %zu bytes, its shape %s needs %lld", value->tensor,
                    tensor.bytes, value->shape.text().c_str(),
                    static_cast<long long>(bytes));
      return false;
    }
    if (value->constant != nullptr) {
      // An unpacked constant that another partition reads as well.
      std::memcpy(tensor.data, value->constant, static_cast<size_t>(bytes));
    } else {
      value->data = static_cast<char*>(tensor.data);
    }
  }
  return true;
}

bool Program::run(TfLiteContext* context, std::string* why) {
  if (!bind(context, why)) return false;
  struct Job {
    const Step* step;
    char* scratch;
    size_t scratch_bytes;
  };
  const auto work = [](void* context, const Threads::Piece& piece) {
    const Job& job = *static_cast<const Job*>(context);
    const FlushDenormals flushed;
    char* scratch = job.scratch + static_cast<size_t>(piece.thread) * job.scratch_bytes;
    const auto run = piece.goes_on ? &Step::go_on : &Step::run;
    (job.step->*run)(piece.begin, piece.end, scratch);
  };
  std::vector<float> microseconds;
  for (const auto& step : steps_) {
    Job job = {step.get(), scratch_.get(), scratch_bytes_};
    const auto begin = profile_ ? Clock::now() : Clock::time_point();
    threads_->run(num_threads_, step->units(), work, &job);
    if (profile_) {
      const std::chrono::duration<float, std::micro> time = Clock::now() - begin;
      microseconds.push_back(time.count());
    }
  }
  if (profile_) report_.add_run(microseconds);
  return true;
}

}  // namespace r2b
