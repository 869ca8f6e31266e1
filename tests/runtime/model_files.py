"""Writes networks as files, with inputs and what Larq Compute Engine makes of them.

    python tests/runtime/model_files.py FOLDER [NAME...]

For each file of `model_list` NAME.tflite, and NAME.npz with the arrays `images`,
`scores` and `batch`, the number of images that were run at a time.
"""

import functools
import itertools
import pathlib
import sys
import warnings

import model_networks
import numpy as np
from answers import LCE_KERNELS
from model_list import EXACT, FILES, LARGE_FILES, NUM_IMAGES, ModelFile

from r2b_keras.converters import convert, tflite_edit, tflite_file
from r2b_keras.converters.real_weights import shrink
from r2b_keras.environment import held_back_stderr, tf


def content(file: ModelFile) -> bytes:
    """The flatbuffer, for one image at a time."""
    if file.int8:
        return converted_to_int8(file.network)
    content = tflite_file.parse(converted(file.network))
    whole = tflite_file.serialize(shrink(content, file.real_weights))
    return exact_part(whole) if file.exact else whole


@functools.cache
def built(network: str) -> tf.keras.Model:
    return model_networks.build(network)


@functools.cache
def converted(network: str) -> bytes:
    return convert(built(network))


def converted_to_int8(network: str) -> bytes:
    """The network with int8 between all operators that have it."""
    from larq_compute_engine import convert_keras_model

    with warnings.catch_warnings(), held_back_stderr():
        # Of the ranges: they are guessed, which does for comparing engines.
        warnings.simplefilter("ignore")
        return convert_keras_model(
            built(network),
            inference_input_type=tf.int8,
            inference_output_type=tf.int8,
            experimental_default_int8_range=(-4.0, 4.0),
        )


def exact_part(flatbuffer: bytes) -> bytes:
    """The longest row of `EXACT` operators as a file of its own, with one output."""
    model = tflite_file.parse(flatbuffer)
    (graph,) = model.subgraphs
    names = (tflite_file.operator_name(model, op) for op in graph.operators)
    exact = [name in EXACT for name in names]
    rows = [
        list(row)
        for keep, row in itertools.groupby(range(len(exact)), exact.__getitem__)
        if keep
    ]
    graph.operators = [graph.operators[index] for index in max(rows, key=len)]
    made = {index for operator in graph.operators for index in operator.outputs}
    read = [index for operator in graph.operators for index in operator.inputs]
    graph.inputs = sorted(
        index
        for index in set(read) - made - {-1}
        if not tflite_file.constant(model, graph.tensors[index])
    )
    graph.outputs = [graph.operators[-1].outputs[0]]
    model.signatureDefs = None
    return tflite_file.serialize(model)


def input_shape(flatbuffer: bytes) -> tuple[int, ...]:
    """Height, width and channels."""
    (graph,) = tflite_file.parse(flatbuffer).subgraphs
    (index,) = graph.inputs
    return tflite_file.shape(graph.tensors[index])[1:]


def images(file: ModelFile, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(sum(file.network.encode()))
    values = generator.normal(size=(NUM_IMAGES, *shape))
    if file.int8:
        return np.clip(np.round(values * 32), -128, 127).astype(np.int8)
    return values.astype(np.float32)


def lce_scores(flatbuffer: bytes, inputs: np.ndarray, file: ModelFile) -> np.ndarray:
    """Scores of batches as the file says."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    # It has no resize: the batch is written into the file instead.
    single = tflite_edit.with_batch_size(flatbuffer, file.batch)
    with held_back_stderr():
        interpreter = Interpreter(single, **LCE_KERNELS[file.kernel]).interpreter
    batches = np.split(inputs, NUM_IMAGES // file.batch)
    return np.concatenate([interpreter.predict([batch])[0] for batch in batches])


def write(folder: pathlib.Path, files: tuple[ModelFile, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        flatbuffer = content(file)
        inputs = images(file, input_shape(flatbuffer))
        scores = lce_scores(flatbuffer, inputs, file)
        (folder / f"{file.name}.tflite").write_bytes(flatbuffer)
        arrays = {"images": inputs, "scores": scores, "batch": np.array(file.batch)}
        np.savez(folder / f"{file.name}.npz", **arrays)
        print(f"{file.name}: {len(flatbuffer):,} bytes", flush=True)


def main(folder: str, *names: str) -> None:
    known = {file.name: file for file in (*FILES, *LARGE_FILES)}
    chosen = tuple(known[name] for name in names) or FILES
    write(pathlib.Path(folder), chosen)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
