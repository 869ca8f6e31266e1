/* A LiteRT (TensorFlow Lite) delegate that runs Larq Compute Engine flatbuffers.
 *
 * Give it to an interpreter before tensors are allocated:
 *
 *   const char* keys[] = {"kernel"};
 *   const char* values[] = {"neon"};
 *   TfLiteDelegate* delegate = tflite_plugin_create_delegate(keys, values, 1, NULL);
 *   interpreter->ModifyGraphWithDelegate(delegate);
 *   ...
 *   tflite_plugin_destroy_delegate(delegate);   // after the interpreter is gone
 *
 * or load the library with LiteRT's external delegate. Options, all text:
 *   kernel   portable, sse4, avx2, avxvnni, avx512bw, avx512, neon, neondot; default:
 *            environment variable R2B_KERNEL, else the best that this CPU runs
 *   fuse     1 (default) or 0: one pass for each operator
 *   claim    all (default) or binary: only LCE's operators, the rest stays LiteRT's
 *   profile  0 (default) or 1: time each step
 */
#ifndef R2B_DELEGATE_H_
#define R2B_DELEGATE_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct TfLiteDelegate;

/* Returns NULL, after one sentence to report_error (or standard error), where an option
 * or its value is not known. */
struct TfLiteDelegate* tflite_plugin_create_delegate(
    const char* const* keys, const char* const* values, size_t num_options,
    void (*report_error)(const char* message));

void tflite_plugin_destroy_delegate(struct TfLiteDelegate* delegate);

/* The version of this library, for example "0.1.0". */
const char* r2b_delegate_version(void);

/* What was claimed and fused, one line a step, in the interpreters that this delegate
 * was given to and that still live. Copies as much of it as fits into `size` bytes, ended
 * by a zero, and returns the length of all of it without the zero: where that is `size`
 * or more, call again with more. At any time, from any thread. */
size_t r2b_delegate_explanation(struct TfLiteDelegate* delegate, char* text,
                                size_t size);

/* With the option profile, in the same way: one line a step, its fields between tabs:
 * nodes, what is done, microseconds a run (the median of the last 1024), binary and real
 * multiply-accumulates, bytes read and written. */
size_t r2b_delegate_profile(struct TfLiteDelegate* delegate, char* text, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* R2B_DELEGATE_H_ */
