"""Engines by name: the same scores as NumPy, and what they refuse in one sentence."""

import functools
import importlib.util
import inspect
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from small_flatbuffers import (
    BINARY_SHAPE,
    binary,
    binary_scores,
    changed,
    custom,
    dense,
    grouped,
    refusal,
    tensor,
)

from r2b_keras import engine_flag
from r2b_keras.converters import engines, tflite_file
from tests.runtime.graph_files import GraphFile
from tests.test_environment import HIDE_MODULE, run_python

TYPES = tflite_file.schema.TensorType

LCE = ("lce", "lce_indirect", "lce_indirect_xnnpack", "lce_reference")
BINARY = (*LCE, "r2b_runtime")
REAL = ("litert", "lce", "r2b_runtime")
ENGINES = [("lce", binary), ("litert", dense), ("r2b_runtime", binary)]
HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def images(num, shape=BINARY_SHAPE, seed=0):
    values = np.random.default_rng(seed).normal(size=(num, *shape))
    # The sign of a 0 is +1.
    values.reshape(-1)[::7] = 0
    return values.astype(np.float32)


def dense_scores(x):
    weights = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    return x.reshape(len(x), 64).astype(np.float64) @ weights.T


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("name", BINARY)
def test_binary_network_of_any_number_of_images(name, batch_size):
    """To the last digits of float32: sums of signs are exact, their mean is not."""
    engine = engines.load(binary(), name, batch_size=batch_size)
    assert engine.name == name and engine.num_classes == 3
    assert engine.input_shape == (batch_size, *BINARY_SHAPE)
    x = images(11)
    expected = binary_scores(x)
    assert np.abs(expected).max() > 3
    for num in (0, 1, 2, 3, 5, 7, 11):
        found = engine.predict(x[:num])
        assert found.shape == (num, 3) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:num], atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("name", REAL)
def test_real_network_of_any_number_of_images(name, batch_size):
    engine = engines.load(dense(), name, batch_size=batch_size)
    x = images(7, (1, 64, 1))
    for num in (0, 1, 4, 5, 7):
        found = engine.predict(x[:num])
        assert found.shape == (num, 3) and found.dtype == np.float32
        np.testing.assert_allclose(found, dense_scores(x[:num]), atol=2e-5)


@pytest.mark.parametrize(("name", "make"), ENGINES)
def test_images_of_another_kind_and_layout(name, make):
    engine = engines.load(make(), name, num_threads=2, batch_size=2)
    x = images(3, engine.input_shape[1:])
    expected = engine.predict(x)
    np.testing.assert_array_equal(engine.predict(x.astype(np.float64)), expected)
    np.testing.assert_array_equal(engine.predict(np.asfortranarray(x)), expected)
    for shape in (x.shape[1:], (3, 9, *x.shape[2:]), (*x.shape, 1)):
        message = refusal(engine.predict, np.zeros(shape, np.float32))
        assert str(shape) in message and "the network takes ('N', " in message


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("lce", "larq_compute_engine.tflite.python.interpreter"),
        ("litert", "ai_edge_litert.interpreter"),
        ("r2b_runtime", "r2b_runtime"),
    ],
)
def test_engines_get_the_threads_that_were_asked_for(monkeypatch, name, module):
    package, asked = importlib.import_module(module), []
    make = package.Interpreter
    signature = inspect.signature(make)

    def noted(*given, **options):
        asked.append(signature.bind(*given, **options).arguments["num_threads"])
        return make(*given, **options)

    monkeypatch.setattr(package, "Interpreter", noted)
    engines.load(dense(), name, num_threads=3)
    assert asked == [3]


@pytest.mark.parametrize(("name", "make"), ENGINES)
def test_a_run_leaves_earlier_scores_alone(name, make):
    """What times an engine sets its input once and runs it many times."""
    engine = engines.load(make(), name)
    x = images(2, engine.input_shape[1:])
    expected = engine.predict(x)
    scores = []
    for image in x:
        engine.set_input(image[np.newaxis])
        engine.run()
        scores.append(engine._runner.output())
        engine.run()
    np.testing.assert_array_equal(np.concatenate(scores), expected)
    assert np.abs(expected[0] - expected[1]).max() > 0.1


def test_engines_that_are_able_are_named():
    assert engines.names_for(binary()) == BINARY
    assert engines.names_for(dense()) == REAL
    assert engines.names_for(custom("TheirOp")) == ()
    assert engines.NAMES == (*LCE, "litert", "r2b_runtime")
    assert engines.load(binary()).name == "r2b_runtime"
    assert engines.load(dense()).name == "r2b_runtime"
    assert "is empty" in refusal(engines.names_for, b"")
    assert "is empty" in refusal(engines.load, b"")


def test_commands_name_them():
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        define = functools.partial(flags.DEFINE_string, flag_values=values)
        patch.setattr(flags, "DEFINE_string", define)
        engine_flag.define()
    assert set(re.findall(r"\w+", values["engine"].help)) >= set(engines.NAMES)


def hide(monkeypatch, *packages):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        engines.importlib.util,
        "find_spec",
        lambda name: None if name in packages else found(name),
    )


def test_without_larqs_engine(monkeypatch):
    """As on a board."""
    hide(monkeypatch, "larq_compute_engine")
    assert engines.names_for(binary()) == ("r2b_runtime",)
    assert engines.names_for(dense()) == ("litert", "r2b_runtime")
    assert engines.load(binary()).name == "r2b_runtime"
    needs = "it needs the package larq-compute-engine: run `pip install larq-compute"
    for make, name in ((binary, "lce_indirect"), (dense, "lce")):
        message = refusal(engines.load, make(), name)
        assert f"The engine {name} cannot run" in message and needs in message
    hide(monkeypatch, "larq_compute_engine", "r2b_runtime")
    assert engines.names_for(binary()) == ()
    assert "No engine can run" in refusal(engines.load, binary())
    assert needs in refusal(engines.load, binary())


def test_without_litert(monkeypatch):
    hide(monkeypatch, "ai_edge_litert", "r2b_runtime")
    assert engines.names_for(dense()) == ("lce",)
    assert engines.load(dense()).name == "lce"
    hide(monkeypatch, "ai_edge_litert", "r2b_runtime", "larq_compute_engine")
    assert "it needs the package ai-edge-litert" in refusal(engines.load, dense())


def test_without_the_runtime(monkeypatch):
    hide(monkeypatch, "r2b_runtime")
    assert engines.names_for(binary()) == LCE
    message = refusal(engines.load, binary(), "r2b_runtime")
    assert "The engine r2b_runtime cannot run this .tflite file, it needs" in message
    assert message.endswith(
        "run `make runtime` and `pip install` its wheel from dist/."
    )


def test_an_engine_that_lacks_a_package_of_its_own(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "larq_compute_engine.tflite.python.interpreter", None
    )
    message = refusal(engines.load, binary(), "lce")
    assert message.startswith("The engine lce does not start here (import of larq_co")
    assert message.endswith("install what it lacks, or choose another engine.")
    assert engines.load(binary()).name == "r2b_runtime"
    hide(monkeypatch, "r2b_runtime")
    assert refusal(engines.load, binary()) == message


def test_a_runtime_that_does_not_load_says_so_itself(monkeypatch, tmp_path):
    """The file is right: its conversion is not to blame."""
    library = tmp_path / "delegate.so"
    library.write_bytes(b"of another machine")
    monkeypatch.setattr("r2b_runtime.library.PATH", library)
    message = refusal(engines.load, binary(), "r2b_runtime")
    assert message.startswith("The library delegate.so does not load (")
    assert message.endswith(
        "): install the r2b_runtime wheel that was built for this machine."
    )


@pytest.mark.slow
def test_larqs_engine_without_tensorflow_is_told(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDE_MODULE.format("tensorflow"))
    (tmp_path / "model.tflite").write_bytes(binary())
    code = (
        "from r2b_keras.converters import engines, tflite_file\n"
        f"content = tflite_file.read_bytes({str(tmp_path / 'model.tflite')!r})\n"
        "try:\n"
        "    engines.load(content, 'lce')\n"
        "except engines.InputError as problem:\n"
        "    print(problem)"
    )
    result = run_python("-c", code, PYTHONPATH=str(tmp_path))
    assert result.stdout.startswith("The engine lce does not start here ("), result
    assert "tensorflow" in result.stdout and result.stdout.count("\n") == 1


def test_the_next_engine_takes_what_the_first_one_cannot_load(monkeypatch):
    """Groups, which the default kernel of Larq Compute Engine does not have."""
    content = grouped()
    assert engines.load(content).name == "r2b_runtime"
    hide(monkeypatch, "r2b_runtime")
    message = refusal(engines.load, content, "lce")
    assert message.startswith("The engine lce cannot run this .tflite file (")
    engine = engines.load(content)
    assert engine.name == "lce_indirect"
    x = images(2, (4, 5, 128))
    expected = engines.load(content, "lce_reference").predict(x)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(engine.predict(x), expected, atol=2e-6)


def test_names_that_are_none():
    message = refusal(engines.load, dense(), "gpu")
    assert "There is no engine 'gpu', expected one of lce, lce_indirect" in message
    message = refusal(engines.load, binary(), "litert")
    assert "The engine litert cannot run" in message
    assert f"expected one of {', '.join(BINARY)}." in message
    # To a network without binary operations all of LCE's kernels are one.
    message = refusal(engines.load, dense(), "lce_indirect")
    assert "expected one of litert, lce, r2b_runtime." in message
    for name in (None, "lce"):
        message = refusal(engines.load, custom("TheirOp"), name)
        assert "it has operators that no engine knows (TheirOp)" in message


def second(side):
    """The dense network with its input or output named twice."""

    def change(model, graph):
        setattr(graph, side, [getattr(graph, side)[0]] * 2)

    return changed(dense(), change)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            second("inputs"),
            "[(1, 1, 64, 1), (1, 1, 64, 1), (1, 3)], expected one input",
        ),
        (second("outputs"), "[(1, 1, 64, 1), (1, 3), (1, 3)], expected one input"),
        (tensor(dense, 0, shape=[1, 64]), "[(1, 64), (1, 3)], expected one input"),
        (tensor(dense, 0, shape=None), "[(), (1, 3)], expected one input"),
        (tensor(dense, 0, type=TYPES.INT8), "takes int8 and gives float32, expected"),
        (tensor(dense, 2, type=TYPES.INT8), "takes float32 and gives int8, expected"),
        (tensor(dense, 0, shape=[1, 0, 64, 1]), "shape (1, 0, 64, 1), expected sizes"),
        (
            tensor(dense, 0, shapeSignature=np.int32([-1, -1, -1, 1])),
            "images of any size, its input has the shape (-1, -1, -1, 1), expected one",
        ),
        (tensor(dense, 2, shape=[1, 7]), "scores of the shape (1, 3)"),
        (tensor(dense, 0, shape=[1, 1, 63, 1]), "cannot run this .tflite file ("),
        (tensor(binary, 7, shape=[1, 4]), "scores of the shape (1, 3)"),
        (tensor(binary, 1, shape=[1, 4, 5, 1]), "LceBconv2d: its channels cannot"),
    ],
)
def test_networks_that_cannot_be_run(content, words):
    assert words in refusal(engines.load, content)


@pytest.mark.parametrize("signature", [[-1, 1, 64, 1], [1], []])
def test_the_batch_may_be_of_any_size(signature):
    file = tensor(dense, 0, shapeSignature=np.array(signature, np.int32))
    assert engines.load(file, "litert").num_classes == 3


def test_nothing_is_printed(capfd):
    for name, make in (*ENGINES, ("lce", dense), ("r2b_runtime", dense)):
        engines.load(make(), name).run()
    refusal(engines.load, tensor(dense, 0, shape=[1, 1, 63, 1]))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


SWEEP = """
import sys
import numpy as np
from small_flatbuffers import binary, dense
from r2b_keras import engine_flag
from r2b_keras.converters import engines, tflite_file

make, name, first = {"binary": binary, "dense": dense}[sys.argv[1]], *sys.argv[2:]
original = np.frombuffer(make(), np.uint8)
num_run = num_refused = 0
for seed in range(int(first), 10_000):
    generator = np.random.default_rng(seed)
    damaged = original.copy()
    damaged[generator.integers(8, damaged.size)] ^= 1 << generator.integers(8)
    print(seed, end=" ", flush=True)
    try:
        tflite_file.parse(damaged.tobytes())
    except engines.InputError:
        continue
    try:
        engine = engines.load(damaged.tobytes(), name)
        if np.prod(engine.input_shape) < 1e6:
            engine.predict(np.ones((2, *engine.input_shape[1:]), np.float32))
        num_run += 1
    except engines.InputError as error:
        assert "\\n" not in str(error)
        num_refused += 1
    if num_run + num_refused == 100:
        break
print("done", num_run, num_refused)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name"),
    [("binary", "lce"), ("dense", "litert"), ("binary", "r2b_runtime")],
)
def test_damaged_files_without_a_card_do_not_crash_engines(make, name):
    """A hundred that the tables alone do not give away, in a process of their own."""
    result = subprocess.run(
        [sys.executable, "-c", SWEEP, make, name, "0"],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, (result.stdout[-200:], result.stderr[-2000:])
    _, num_run, num_refused = result.stdout.split()[-3:]
    assert int(num_run) > 20 and int(num_refused) > 5


def test_a_file_for_one_batch_alone_says_so():
    file = GraphFile()
    image, scores = file.input("float", (3, 2, 2, 3)), file.tensor("float", (3, 12))
    shape = file.constant("packed", np.array([3, 12]))
    file.builtin("RESHAPE", [image, shape], scores)
    message = refusal(engines.load, file.content(scores), "litert")
    assert "The file is for batches of 3: build the network without the" in message
    assert engines.load(file.content(scores), "litert", batch_size=3)
