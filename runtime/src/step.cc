#include "step.h"

#include <algorithm>

namespace r2b {

bool Step::can_overwrite(const Value* value) const {
  const auto reads_it = [value](const Read& read) { return read.value == value; };
  return std::any_of(reads.begin(), reads.end(), reads_it) &&
         std::all_of(reads.begin(), reads.end(), [&](const Read& read) {
           return !reads_it(read) || read.access == Access::kElementwise;
         });
}

}  // namespace r2b
