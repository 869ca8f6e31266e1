// Whether the host lays its structs out as litert_abi.h mirrors them.
#ifndef R2B_HOST_LAYOUT_H_
#define R2B_HOST_LAYOUT_H_

#include <string>

#include "litert_abi.h"

namespace r2b {

// To be asked first, in the delegate's Prepare. Looks at the context, the execution
// plan, and the first nodes with their registrations and tensors, each field before
// anything behind it is used: false, with one sentence, where a value cannot be what
// the mirrored struct says it is. Nothing is read that the system does not say is
// readable.
bool layout_is_as_expected(TfLiteContext* context, std::string* why);

}  // namespace r2b

#endif  // R2B_HOST_LAYOUT_H_
