"""Whole networks: the delegate against Larq Compute Engine's interpreter.

Ours, larq-zoo's Real-to-Binary net, and networks in the manner of larq-zoo's QuickNet,
BinaryAlexNet and BinaryDenseNet; real weights as float16 and int8, batches, activations
in int8.
"""

import functools
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import delegate_runs
import model_runs
import numpy as np
import pytest
from delegate_runs import Setting
from model_list import FILES, LARGE_FILES

from tests import made_once

PROGRAM = pathlib.Path(__file__).with_name("model_files.py")
KERNELS = delegate_runs.kernels()
NAMES = [file.name for file in FILES]
# Networks whose files are quick: they have every kind of operator.
QUICK = ("digits", "quick_net", "alex_net")


def write(folder, *names):
    """Converts networks, in a process of its own: it needs TensorFlow, this one not."""
    subprocess.run([sys.executable, str(PROGRAM), str(folder), *names], check=True)
    return folder


@functools.cache
def folder(quick):
    names = [name for name in NAMES if name.startswith(QUICK) == quick]
    place = "quick_models" if quick else "slow_models"
    return made_once.folder(place, lambda path: write(path, *names))


def stored(name):
    return model_runs.stored(folder(name.startswith(QUICK)), name)


def marks(name):
    return [] if name.startswith(QUICK) else [pytest.mark.slow]


@pytest.fixture(params=[pytest.param(name, marks=marks(name)) for name in NAMES])
def model(request):
    return stored(request.param)


def assert_near_lce(model, scores):
    assert scores.shape == model.scores.shape and scores.dtype == model.scores.dtype
    limit = model.distance()
    np.testing.assert_allclose(
        scores.astype(np.float64), model.scores, rtol=0, atol=limit
    )
    assert model.same_classes(scores, model.scores)


def test_scores_are_those_of_lce(model):
    """To the bit, or as near as sums in another order are: see `distance`."""
    assert_near_lce(model, model.run(Setting(KERNELS[-1])))


def test_scores_with_binary_operators_alone(model):
    """LiteRT, without XNNPACK and with it, computes the rest."""
    for rest in ("litert", "xnnpack"):
        setting = Setting(KERNELS[-1], claim="binary", rest=rest)
        assert_near_lce(model, model.run(setting))


def test_scores_depend_on_neither_kernel_nor_threads_nor_fusion(model):
    """To the bit: each kernel adds in the same order, rows are dealt to threads."""
    wanted = model.run(Setting(KERNELS[0]))
    for setting in delegate_runs.settings(KERNELS):
        np.testing.assert_array_equal(model.run(setting), wanted, f"{setting}")


def test_scores_do_not_depend_on_the_batch():
    """To the bit: of every network that keeps the images of a batch apart."""
    for name in ("digits-float32", "quick_net-float32", "alex_net-float32"):
        model = stored(name)
        setting = Setting(KERNELS[-1])
        alone = model.run(setting)
        for batch in (2, 3, 6):
            together = model_runs.with_batch(model, batch).run(setting)
            if model.is_claimed_whole():
                np.testing.assert_array_equal(together, alone)
            else:
                np.testing.assert_allclose(together, alone, atol=model.distance())


def test_interpreters_in_several_threads():
    """Each with its own delegate and its own pool of threads, all at once."""
    names = ["digits-float32", "alex_net-float32", "quick_net-float32"] * 3
    models = [stored(name) for name in names]
    settings = [
        Setting(KERNELS[i % len(KERNELS)], threads=2) for i in range(len(names))
    ]
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(
            pool.map(
                lambda pair: pair[0].run(pair[1]), zip(models, settings, strict=True)
            )
        )
    for model, scores, setting in zip(models, found, settings, strict=True):
        np.testing.assert_array_equal(scores, model.run(setting))


@pytest.mark.slow
def test_the_files_are_worth_it():
    """Networks answer several classes, and every kind of binary operator is there."""
    models = [stored(name) for name in NAMES]
    operators = set().union(*(model.operators() for model in models))
    assert {"LceQuantize", "LceBconv2d", "LceBMaxPool2d"} <= operators
    assert {"DEPTHWISE_CONV_2D", "CONCATENATION", "DEQUANTIZE"} <= operators
    whole = [model for model in models if model.scores.ndim == 2]
    several = [len(set(model.scores.argmax(axis=1))) for model in whole]
    assert sum(number > 1 for number in several) > len(several) / 2


@pytest.mark.slow
def test_real_to_binary_at_224(tmp_path):
    (name,) = (file.name for file in LARGE_FILES)
    model = model_runs.stored(write(tmp_path, name), name)
    scores = model.run(Setting(KERNELS[-1], threads=2))
    # Of the millions of activations one may lie next to its threshold, and the scores
    # of its image differ; `verify` proves such images, see test_verification.
    apart = np.abs(scores - model.scores).max(axis=1)
    assert (apart <= model.distance()).sum() >= len(apart) - 1
    # Weights are random: one sign moves scores by a fifth of the largest, not by all.
    assert apart.max() <= np.abs(model.scores).max() / 3
    for kernel in KERNELS[:-1]:
        np.testing.assert_array_equal(model.run(Setting(kernel, threads=2)), scores)
