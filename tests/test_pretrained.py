"""The network that comes along: what its page shows is what its files do."""

import json
import pathlib

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.converters import card, convert, tflite_file
from r2b_keras.converters.tflite_file import schema
from r2b_keras.normalisation import Normalisation
from tests.commands import run

ROOT = pathlib.Path(__file__).parent.parent
FILE = ROOT / "pretrained" / "cifar100_small.tflite"
KERAS = FILE.with_suffix(".keras")
RESULTS = ROOT / "results" / "cifar100_small"
PICTURE = "docs/rocket.jpg"
FLOAT32, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8


@pytest.fixture
def at_root(monkeypatch):
    """Where a user who reads the README is."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("engine", ["lce", "r2b_runtime"])
def test_it_names_the_picture_as_the_page_shows(at_root, engine):
    model = f"--model={FILE.relative_to(ROOT)}"
    result = run("predict", model, f"--engine={engine}", PICTURE)
    assert result.returncode == 0, result.stderr
    shown = (RESULTS / "rocket.txt").read_text("utf-8")
    if engine == "r2b_runtime":  # the same to the bit on every CPU
        assert result.stdout == shown
    # Others add in another order on another CPU, which may turn a sign.
    for text in (result.stdout, shown):
        path, best, *_ = text.splitlines()
        assert path == PICTURE and best.endswith("%  rocket")


def test_it_is_the_file_that_was_evaluated():
    """And says of itself what was recorded of its training."""
    own = card.read(FILE.read_bytes())
    assert (own.recipe, own.stage, own.input_type) == ("cifar100_small", 3, "uint8")
    recorded = json.loads((RESULTS / "stage_3" / "result.json").read_text("utf-8"))
    assert own.accuracy == pytest.approx(recorded["top1"], abs=1e-12)
    for name in ("pixels", "r2b_runtime_pixels"):
        evaluated = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        assert evaluated["bytes"] == FILE.stat().st_size
        assert evaluated["keras_top1"] == recorded["top1"]


def test_the_keras_file_is_the_same_network():
    """Converted, it is that file, but for what another CPU rounds in its constants."""
    content = FILE.read_bytes()
    own = card.read(content)
    normalisation = Normalisation(own.mean, own.std)
    again = convert(models.load(KERAS), "int8", normalisation)
    found, shipped = (
        tflite_file.parse(each) for each in (card.attach(again, own), content)
    )
    tensors = [each.subgraphs[0].tensors for each in (found, shipped)]
    num_real = 0
    for one, other in zip(*tensors, strict=True):
        assert (one.name, one.type, list(one.shape)) == (
            (other.name, other.type, list(other.shape))
        )
        ours, theirs = (
            tflite_file.constant(model, tensor) or b""
            for model, tensor in ((found, one), (shipped, other))
        )
        kind = {FLOAT32: "<f4", INT8: "i1"}.get(one.type)
        if kind is None:  # filters of one bit, shapes
            assert ours == theirs
            continue
        num_real += len(theirs) > 0
        np.testing.assert_allclose(
            *(np.frombuffer(each, kind).astype(float) for each in (ours, theirs)),
            rtol=1e-5,
            atol=1 if kind == "i1" else 1e-6,
        )
    assert num_real > 50
