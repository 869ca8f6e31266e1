"""Larq Compute Engine's converter in a process of its own; run by `lce_process`.

It takes two arguments, the converter's library and a SavedModel, and writes the
flatbuffer to standard output, or why there is none, with another exit code. Its own
package would import TensorFlow, which takes seconds; the library has all it needs.
"""

import importlib.util
import os
import signal
import sys

REFUSED = 3


def main(library: str, folder: str) -> int:
    """Converts; returns the exit code."""
    # Python's own handler would wait for the converter to end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What the converter prints must not get into the answer.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    name = os.path.basename(library).split(".")[0]
    spec = importlib.util.spec_from_file_location(name, library)
    if spec is None or spec.loader is None:
        raise ImportError(library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    code = 0
    try:
        content = module.convert_saved_model_to_tflite_flatbuffer(
            folder, ["serve"], ["serving_default"], 1, "arm", None
        )
    except Exception as error:  # of any kind: the converter's words are the answer
        code, content = REFUSED, str(error).encode()
    with answer:
        answer.write(content)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
