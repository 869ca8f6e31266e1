/* What network.cc calls of LiteRT's C interface, version 2.3.
 *
 * The Python package ai-edge-litert brings the library, libLiteRt.so, but no headers; whoever
 * builds LiteRT takes its own instead of this file. */
#ifndef R2B_EXAMPLES_LITERT_H_
#define R2B_EXAMPLES_LITERT_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int LiteRtStatus; /* 0 where all is well */
typedef struct LiteRtEnvironmentT* LiteRtEnvironment;
typedef struct LiteRtModelT* LiteRtModel;
typedef struct LiteRtSubgraphT* LiteRtSubgraph;
typedef struct LiteRtTensorT* LiteRtTensor;
typedef struct LiteRtOptionsT* LiteRtOptions;
typedef struct LiteRtCompiledModelT* LiteRtCompiledModel;
typedef struct LiteRtTensorBufferT* LiteRtTensorBuffer;
typedef struct LiteRtAcceleratorT* LiteRtAccelerator;
typedef struct LiteRtDelegateWrapperT* LiteRtDelegateWrapper;
struct TfLiteDelegate;

enum { LITERT_FLOAT32 = 1, LITERT_UINT8 = 3 };
enum { LITERT_CPU = 1 };
enum { LITERT_HOST_MEMORY = 1 };
enum { LITERT_READ = 0, LITERT_WRITE = 1 };
enum { LITERT_OPTION_ACCELERATORS = 24, LITERT_OPTION_LOG = 25 };
enum { LITERT_ANY_INT = 2, LITERT_LOG_ERRORS = 3 };

typedef struct {
  int tag;
  struct {
    int type;
    int64_t value;
  } value;
} LiteRtEnvOption;

typedef struct {
  int type;
  uint32_t rank : 7;
  uint32_t has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} LiteRtRankedTensorType;

typedef struct {
  int major, minor, patch;
} LiteRtApiVersion;

LiteRtStatus LiteRtCreateEnvironment(int num_options, const LiteRtEnvOption* options,
                                     LiteRtEnvironment* environment);
void LiteRtDestroyEnvironment(LiteRtEnvironment environment);

LiteRtStatus LiteRtCreateModelFromFile(LiteRtEnvironment environment, const char* path,
                                       LiteRtModel* model);
void LiteRtDestroyModel(LiteRtModel model);
LiteRtStatus LiteRtGetModelSubgraph(LiteRtModel model, size_t index,
                                    LiteRtSubgraph* subgraph);
LiteRtStatus LiteRtGetNumSubgraphInputs(LiteRtSubgraph subgraph, size_t* count);
LiteRtStatus LiteRtGetNumSubgraphOutputs(LiteRtSubgraph subgraph, size_t* count);
LiteRtStatus LiteRtGetSubgraphInput(LiteRtSubgraph subgraph, size_t index,
                                    LiteRtTensor* tensor);
LiteRtStatus LiteRtGetSubgraphOutput(LiteRtSubgraph subgraph, size_t index,
                                     LiteRtTensor* tensor);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor tensor,
                                       LiteRtRankedTensorType* type);

LiteRtStatus LiteRtCreateOptions(LiteRtOptions* options);
void LiteRtDestroyOptions(LiteRtOptions options);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions options,
                                                  int accelerators);

LiteRtStatus LiteRtCreateAccelerator(LiteRtAccelerator* accelerator);
LiteRtStatus LiteRtSetAcceleratorGetName(
    LiteRtAccelerator accelerator,
    LiteRtStatus (*get_name)(LiteRtAccelerator accelerator, const char** name));
LiteRtStatus LiteRtSetAcceleratorGetVersion(
    LiteRtAccelerator accelerator,
    LiteRtStatus (*get_version)(LiteRtAccelerator accelerator,
                                LiteRtApiVersion* version));
LiteRtStatus LiteRtSetAcceleratorGetHardwareSupport(
    LiteRtAccelerator accelerator,
    LiteRtStatus (*get_hardware)(LiteRtAccelerator accelerator, int* accelerators));
LiteRtStatus LiteRtSetDelegateFunction(
    LiteRtAccelerator accelerator,
    LiteRtStatus (*create)(void* context, LiteRtEnvironment environment,
                           LiteRtAccelerator accelerator, LiteRtOptions options,
                           LiteRtDelegateWrapper* delegate));
LiteRtStatus LiteRtRegisterAccelerator(LiteRtEnvironment environment,
                                       LiteRtAccelerator accelerator, void* data,
                                       void (*release)(void* data));
LiteRtStatus LiteRtWrapDelegate(struct TfLiteDelegate* delegate,
                                void (*destroy)(struct TfLiteDelegate* delegate),
                                LiteRtDelegateWrapper* wrapper);

LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment environment, LiteRtModel model,
                                       LiteRtOptions options,
                                       LiteRtCompiledModel* compiled);
void LiteRtDestroyCompiledModel(LiteRtCompiledModel compiled);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel compiled, size_t signature,
                                    size_t num_inputs, LiteRtTensorBuffer* inputs,
                                    size_t num_outputs, LiteRtTensorBuffer* outputs);

LiteRtStatus LiteRtCreateManagedTensorBuffer(LiteRtEnvironment environment, int kind,
                                             const LiteRtRankedTensorType* type,
                                             size_t num_bytes,
                                             LiteRtTensorBuffer* buffer);
void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer buffer);
LiteRtStatus LiteRtLockTensorBuffer(LiteRtTensorBuffer buffer, void** content,
                                    int mode);
LiteRtStatus LiteRtUnlockTensorBuffer(LiteRtTensorBuffer buffer);

#ifdef __cplusplus
}
#endif

#endif /* R2B_EXAMPLES_LITERT_H_ */
