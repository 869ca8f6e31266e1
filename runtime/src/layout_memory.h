// Places values that do not live at the same time in the same memory.
#ifndef R2B_LAYOUT_MEMORY_H_
#define R2B_LAYOUT_MEMORY_H_

#include <memory>
#include <vector>

#include "graph.h"
#include "memory.h"
#include "step.h"

namespace r2b {

// True where the padding of all values that `steps` write, and `scratch` bytes beside
// them, are not many times what the values take: one budget for all of them, as a file
// can have many small maps.
bool padding_fits(const std::vector<std::unique_ptr<Step>>& steps, Size scratch);

// The first step that reads what neither a constant, nor something outside, nor a step
// before it has put there; null where there is none, as it has to be.
const Step* reader_of_nothing(const std::vector<std::unique_ptr<Step>>& steps);

// Gives every value that `steps` write inside the partition its memory, which `memory`
// then owns; false where there is not enough.
bool lay_out_memory(const std::vector<std::unique_ptr<Step>>& steps,
                    std::vector<Memory>* memory);

}  // namespace r2b

#endif  // R2B_LAYOUT_MEMORY_H_
