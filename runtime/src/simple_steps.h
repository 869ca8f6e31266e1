// Everything that is not a convolution.
#ifndef R2B_SIMPLE_STEPS_H_
#define R2B_SIMPLE_STEPS_H_

#include <memory>

#include "finish.h"
#include "graph.h"
#include "kernels/kernels.h"
#include "step.h"

namespace r2b {

// A tensor that is there already, row by row into `finish`.
std::unique_ptr<Step> make_pass(const Kernels& kernels, const Value* source,
                                const Finish& finish);

// MAX_POOL_2D and AVERAGE_POOL_2D.
std::unique_ptr<Step> make_pool(const Kernels& kernels, const Operator& op,
                                const Value* source, const Finish& finish,
                                std::string* why);

// Sums of rows [N * H, C] to means [N, C].
std::unique_ptr<Step> make_mean(const Value* sums, const Value* source, Value* output);

// A tensor into one that has a frame around it.
std::unique_ptr<Step> make_framing(const Value* source, Value* framed);

// LceQuantize of int8 and bool, LceDequantize, LceBMaxPool2d.
std::unique_ptr<Step> make_packing(const Value* source, Value* output);
std::unique_ptr<Step> make_unpacking(const Value* source, Value* output);
std::unique_ptr<Step> make_binary_max_pool(const Operator& op, const Value* source,
                                           Value* output, std::string* why);

// MUL, ADD, SUB, MAXIMUM, MINIMUM of any two shapes that go together.
std::unique_ptr<Step> make_broadcast(const Operator& op, const Value* a, const Value* b,
                                     Value* output);

std::unique_ptr<Step> make_logistic(const Kernels& kernels, const Value* source,
                                    Value* output);
std::unique_ptr<Step> make_floor(const Value* source, Value* output);
// uint8 as floats.
std::unique_ptr<Step> make_cast(const Value* source, Value* output);
std::unique_ptr<Step> make_softmax(const Value* source, Value* output, float beta);

}  // namespace r2b

#endif  // R2B_SIMPLE_STEPS_H_
