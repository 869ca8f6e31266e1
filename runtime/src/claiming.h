// Which nodes of a model the delegate takes.
#ifndef R2B_CLAIMING_H_
#define R2B_CLAIMING_H_

#include <string>
#include <vector>

#include "graph.h"
#include "litert_abi.h"

namespace r2b {

struct Claim {
  std::vector<int> nodes;
  ConstantSources sources;  // of the whole model
};

// LCE's operators, all of them, and unless `only_binary` the real-valued ones that the
// delegate can run as well; none at all where there is no operator of LCE's. False, with
// the operator's name and the reason, where one of LCE's cannot be run.
bool find_our_nodes(TfLiteContext* context, const TfLiteIntArray& plan,
                    bool only_binary, Claim* claim, std::string* why);

}  // namespace r2b

#endif  // R2B_CLAIMING_H_
