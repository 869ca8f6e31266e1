#include "layout_memory.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "kernels/kernels.h"

namespace r2b {

namespace {

constexpr int64_t kAlignment = 64;

// Values that share their memory because one is written over the other.
struct Block {
  std::vector<Value*> values;
  int64_t bytes = 0;
  size_t first = 0, last = 0;  // steps
  int64_t offset = -1;
};

std::map<const Value*, size_t> find_last_uses(
    const std::vector<std::unique_ptr<Step>>& steps) {
  std::map<const Value*, size_t> last;
  for (size_t i = 0; i < steps.size(); i++) {
    for (const Read& read : steps[i]->reads) last[read.value] = i;
    for (const Value* value : steps[i]->writes) last[value] = i;
  }
  return last;
}

// Whether the first output can lie in the memory of `value`, an input of as many bytes.
bool can_overwrite(const Step& step, const Value* value) {
  return std::all_of(step.reads.begin(), step.reads.end(), [value](const Read& read) {
    return read.value != value || read.access == Access::kElementwise;
  });
}

// An input that step `index` can write its first output over and that nothing reads
// later; null where there is none.
const Value* find_place(const Step& step, size_t index,
                        const std::map<const Value*, size_t>& last) {
  for (const Read& read : step.reads) {
    const Value& value = *read.value;
    const bool is_ours = !value.outside() && value.constant == nullptr &&
                         value.frame.is_empty() && last.at(&value) == index;
    if (is_ours && value.bytes() == step.writes[0]->bytes() &&
        can_overwrite(step, &value)) {
      return &value;
    }
  }
  return nullptr;
}

// First fit, largest first: a block goes below or above those alive at the same time.
int64_t place(std::vector<Block>* blocks) {
  std::vector<Block*> order, placed;
  for (Block& block : *blocks) order.push_back(&block);
  std::stable_sort(order.begin(), order.end(),
                   [](const Block* a, const Block* b) { return a->bytes > b->bytes; });
  int64_t total = 0;
  for (Block* block : order) {
    std::vector<const Block*> alive;
    for (const Block* other : placed) {
      if (other->first <= block->last && block->first <= other->last) {
        alive.push_back(other);
      }
    }
    std::sort(alive.begin(), alive.end(),
              [](const Block* a, const Block* b) { return a->offset < b->offset; });
    int64_t offset = 0;
    for (const Block* other : alive) {
      if (offset + block->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    block->offset = offset;
    total = std::max(total, offset + block->bytes);
    placed.push_back(block);
  }
  return total;
}

}  // namespace

bool padding_fits(const std::vector<std::unique_ptr<Step>>& steps, Size scratch) {
  Size padded = scratch, plain = 0, largest = 0;
  for (const auto& step : steps) {
    for (const Value* value : step->writes) {
      largest = std::max(largest, value->plain_bytes());
      if (value->frame.is_empty()) continue;
      padded = padded + value->bytes();
      plain = plain + value->plain_bytes();
    }
    for (const Read& read : step->reads) {
      largest = std::max(largest, read.value->plain_bytes());
    }
  }
  return can_be_padded(padded, plain + largest);
}

const Step* reader_of_nothing(const std::vector<std::unique_ptr<Step>>& steps) {
  std::set<const Value*> written;
  for (const auto& step : steps) {
    for (const Read& read : step->reads) {
      const Value& value = *read.value;
      if (value.constant == nullptr && !value.from_outside &&
          written.count(&value) == 0) {
        return step.get();
      }
    }
    written.insert(step->writes.begin(), step->writes.end());
  }
  return nullptr;
}

bool lay_out_memory(const std::vector<std::unique_ptr<Step>>& steps,
                    std::vector<Memory>* memory) {
  const std::map<const Value*, size_t> last = find_last_uses(steps);
  std::vector<Block> blocks;
  std::map<const Value*, size_t> block_of;
  for (size_t i = 0; i < steps.size(); i++) {
    const Step& step = *steps[i];
    for (Value* value : step.writes) {
      if (value->outside()) continue;
      const int64_t bytes = value->bytes();
      if (bytes < 0) return false;
      if (!value->frame.is_empty()) {
        // Its own memory: the padding is written here, once.
        memory->push_back(allocate(bytes));
        if (memory->back() == nullptr) return false;
        value->data = memory->back().get();
        std::memset(value->data, 0, static_cast<size_t>(bytes));
        continue;
      }
      const Value* place =
          value == step.writes[0] ? find_place(step, i, last) : nullptr;
      if (place == nullptr) {
        block_of[value] = blocks.size();
        blocks.emplace_back();
        blocks.back().first = i;
        blocks.back().bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      } else {
        block_of[value] = block_of.at(place);
      }
      Block& block = blocks[block_of[value]];
      block.last = std::max(block.last, last.at(value));
      block.values.push_back(value);
    }
  }
  const int64_t total = place(&blocks);
  // Kernels read a little past the end of bytes.
  memory->push_back(allocate(Size(total) + kBytesBehind));
  if (memory->back() == nullptr) return false;
  for (const Block& block : blocks) {
    for (Value* value : block.values) value->data = memory->back().get() + block.offset;
  }
  return true;
}

}  // namespace r2b
