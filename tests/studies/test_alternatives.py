"""Peers and our networks side by side: what is measured, joined and drawn."""

import sys

import numpy as np
import pytest

from r2b_keras.converters import tflite_file
from r2b_keras.environment import tf

schema = tflite_file.schema


@pytest.fixture(scope="module")
def study(load):
    return load("alternatives")


@pytest.fixture(scope="module")
def peers(load):
    return load("peers")


def test_every_network_has_a_file_and_a_source(study):
    found = study.networks()
    assert len({network.file for network in found}) == len(found)
    binary = [network for network in found if network.kind == "binary"]
    assert [network.engine for network in binary] == ["r2b_runtime"] * len(binary)
    assert found[: len(binary)] == binary
    others = found[len(binary) :]
    assert {(network.kind, network.engine) for network in others} == {
        ("int8", "litert"),
        ("float32", "litert"),
    }
    # Each in both arithmetics, with the accuracy that is published of it.
    for integers, real in zip(others[::2], others[1::2], strict=True):
        assert integers.title == real.title
        assert (integers.kind, real.kind) == ("int8", "float32")
        assert integers.top1 is None or real.top1 - 3 < integers.top1 < real.top1
    for network in found:
        assert bool(network.source) == (network.top1 is not None)
    unknown = [network.file for network in found if network.top1 is None]
    assert unknown == ["mobilenetv3-small_minimalistic_int8.tflite"]


def two(study):
    return [
        study.Network("ours", "binary", "ours.tflite", 65.4, "a page"),
        study.Network("its", "int8", "its.tflite", None, "a page"),
    ]


@pytest.fixture
def measured(study):
    """Two networks, and numbers that nothing else has."""
    found = two(study)
    times = [
        {"model": f"{name}.tflite", "engine": engine, "median_ms": ms, "size_kib": kib}
        for name, engine, ms, kib in (
            ("ours", "r2b_runtime", "2.34567", "1000"),
            ("its", "litert", "0.98765", "2000"),
            ("its", "r2b_runtime", "7", "2000"),
        )
    ]
    counts = [
        {"file": f"{name}.tflite", "core": core, "million": f"{number}.5"}
        for number, (name, core) in enumerate(
            (name, core) for core in study.CORES for name in ("ours", "its")
        )
    ]
    return found, times, counts


def test_rows_are_joined_by_file_engine_and_core(study, measured):
    ours, its = study.table(*measured)
    assert ours == {
        "network": "ours",
        "arithmetic": "binary",
        "top1": "65.4",
        "source": "a page",
        "engine": "r2b_runtime",
        "ms": "2.35",
        "cortex-a72": "0.5",
        "cortex-a76": "2.5",
        "mb": "1.0",
    }
    # A real-valued network's time is that of stock LiteRT.
    assert (its["ms"], its["engine"], its["top1"]) == ("0.9877", "litert", "")
    assert (its["cortex-a72"], its["cortex-a76"], its["mb"]) == ("1.5", "3.5", "2.0")
    found, times, counts = measured
    for less in ((found, times[:1], counts), (found, times, counts[:-1])):
        with pytest.raises(KeyError, match="its.tflite"):
            study.table(*less)


def test_what_is_published_is_drawn(study, measured):
    rows = study.table(*measured)
    rows.append({**rows[0], "network": "real", "arithmetic": "float32", "ms": "9"})
    rows.append({**rows[1], "network": "known", "top1": "70.8"})
    for axes, column in zip(
        study.draw(rows).axes, ("ms", "cortex-a72", "cortex-a76"), strict=True
    ):
        drawn = {
            points.get_label(): np.asarray(points.get_offsets()).tolist()
            for points in axes.collections
        }
        assert drawn == {
            "binary": [[float(rows[0][column]), 65.4]],
            "float32": [[float(rows[2][column]), 65.4]],
            "int8": [[float(rows[3][column]), 70.8]],
        }
        names = {text.get_text() for text in axes.texts}
        assert names == {"ours", "real", "known"}


COUNTER = """#!/bin/sh
echo "file   million instructions an inference"
shift
for file; do echo "$(basename "$file")   $QEMU_CPU" | sed 's/cortex-a/1/'; done
"""


def test_instructions_are_counted_for_both_cores(study, tmp_path, monkeypatch):
    counter = tmp_path / "arm_instructions"
    counter.write_text(COUNTER)
    counter.chmod(0o755)
    monkeypatch.setattr(study, "COUNTER", counter)
    rows = study.count_instructions(tmp_path / "arm", tmp_path, two(study))
    assert [tuple(row.values()) for row in rows] == [
        ("ours.tflite", "cortex-a72", "172"),
        ("its.tflite", "cortex-a72", "172"),
        ("ours.tflite", "cortex-a76", "176"),
        ("its.tflite", "cortex-a76", "176"),
    ]


def test_files_that_are_there_are_not_made_again(study, peers, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peers", peers)
    made = []
    monkeypatch.setattr(peers, "PEERS", peers.PEERS[:1])
    monkeypatch.setattr(peers, "build", lambda peer: peer.title)
    for kind in ("float", "int8"):
        monkeypatch.setattr(
            peers, f"to_{kind}", lambda model, kind=kind: made.append(kind) or b"new"
        )
    (tmp_path / "mobilenetv2_int8.tflite").write_bytes(b"old")
    study.write_peers(tmp_path)
    assert made == ["float"]
    assert (tmp_path / "mobilenetv2_float32.tflite").read_bytes() == b"new"
    assert (tmp_path / "mobilenetv2_int8.tflite").read_bytes() == b"old"


def test_what_is_missing_is_told_before_anything_is_made(study, tmp_path, monkeypatch):
    command = ["alternatives.py", str(tmp_path), f"--output={tmp_path / 'results'}"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="/integer_int8.tflite: make it"):
        study.main()
    for name in ("integer_int8", "plain_int8", "quicknet"):
        (tmp_path / f"{name}.tflite").touch()
    with pytest.raises(SystemExit, match=r"There is no .*instructions.csv: .* --arm"):
        study.main()
    assert not (tmp_path / "results").exists()


def kinds(content):
    """Types of the tensors that are no constants, of the first operator on."""
    model = tflite_file.parse(content)
    (graph,) = model.subgraphs
    inside = {
        tensor.type
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is None
        and index not in (*graph.inputs, *graph.outputs)
    }
    first, last = (graph.tensors[index] for index in (*graph.inputs, *graph.outputs))
    assert tflite_file.shape(first) == (1, 224, 224, 3)
    return [first.type, *inside, last.type]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_integers_are_integers_all_the_way(peers):
    pictures = tf.keras.Input((224, 224, 3), batch_size=1)
    scores = tf.keras.layers.Conv2D(4, 3, strides=32)(pictures)
    scores = tf.keras.layers.GlobalAveragePooling2D()(scores)
    model = tf.keras.Model(pictures, tf.keras.layers.Dense(2)(scores))
    real, integers = schema.TensorType.FLOAT32, schema.TensorType.INT8
    assert kinds(peers.to_float(model)) == [real] * 3
    pixels = schema.TensorType.UINT8
    assert kinds(peers.to_int8(model)) == [pixels, integers, real]


def macs(layer):
    """Multiply-accumulates of a layer."""
    shape = np.array(layer.output_shape[1:])
    if isinstance(layer, tf.keras.layers.DepthwiseConv2D):
        return int(np.prod(shape) * np.prod(layer.kernel_size))
    if isinstance(layer, tf.keras.layers.Conv2D):
        inputs = layer.input_shape[-1]
        return int(np.prod(shape) * np.prod(layer.kernel_size) * inputs)
    if isinstance(layer, tf.keras.layers.Dense):
        return int(np.prod(layer.kernel.shape))
    return 0


@pytest.mark.slow
def test_lite0_is_lite0(peers):
    """By its number of weights, which is the published one's."""
    lite0 = next(peer for peer in peers.PEERS if peer.title == "EfficientNet-Lite0")
    model = peers.build(lite0)
    weights = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert weights == 4_652_008
    assert round(sum(map(macs, model.layers)) / 1e6) == 385
    names = {type(layer).__name__ for layer in model.layers}
    assert not names & {"Rescaling", "Normalization", "Multiply"}
