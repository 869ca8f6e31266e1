"""Random graphs with shared operands: no step writes over what another still reads.

Fused and not, on 1, 2 and 4 threads, the delegate gives the same bits, and those of
LiteRT's own kernels, or of Larq Compute Engine's where operators are binary.
"""

import collections
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import answers
import numpy as np
import pytest
import shared_graph_runs
import shared_graphs
from block_files import HalfBlocks
from delegate_runs import Setting
from graph_files import GraphFile
from operator_files import ACTIVATIONS
from shared_graphs import SharedGraph
from steady_numbers import SteadyNumbers

PROGRAM = pathlib.Path(shared_graph_runs.__file__)
CONVOLUTIONS = ("binary convolution", "real convolution", "integer convolution")
POOLS = ("max pool", "average pool")
POOLED = tuple(
    f"{kind} convolution + {pool}" for kind in ("real", "integer") for pool in POOLS
)
# What a step begins with, and what may follow in the same pass.
BEGINNINGS = {
    *("pass", "dense layer", "mean of channel sums", "padding", "sign", "unpacking"),
    *("binary max pool", "product", "sum", "difference", "logistic", "softmax"),
    *("bytes as floats", "floor", "maximum", "minimum"),
    *("quantization", "integer dense layer"),
    *(*CONVOLUTIONS, *POOLS, *POOLED),
}
ENDINGS = {
    *("factor", "PReLU", "ReLU", "skip", "addend", "BatchNorm", "sign"),
    *("map", "channel sums", "quantization"),
}
# Graphs of which it is looked at what they are like.
SOME = range(200)


@pytest.fixture(scope="module")
def outcomes():
    """By what was found, the number of the graph and the rest of the line.

    Two processes share the graphs.
    """
    print(f"seed: {shared_graphs.SEED!r}")
    command, count = [sys.executable, str(PROGRAM)], shared_graph_runs.NUM_GRAPHS
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(
            lambda first: list(answers.resumed(command, count, first, 2)), (0, 1)
        )
        lines = [line for part in parts for line in part]
    found = collections.defaultdict(list)
    for number, what, *rest in lines:
        found[what].append((int(number), " ".join(rest)))
    return found


def test_all_engines_agree_on_some():
    command, count = [sys.executable, str(PROGRAM)], shared_graph_runs.NUM_GRAPHS
    lines = list(answers.resumed(command, count, 0, 40))
    wrong = [line for line in lines if line[1] != "steps"]
    assert not wrong and len(lines) == count // 40, wrong[:10]


@pytest.mark.slow
def test_all_engines_agree(outcomes):
    assert not outcomes["crash"]
    wrong = outcomes["wrong"]
    assert not wrong, f"{len({number for number, _ in wrong})}: {wrong[:10]}"
    assert len(outcomes["steps"]) == shared_graph_runs.NUM_GRAPHS


@pytest.mark.slow
def test_every_kind_of_step_is_reached(outcomes):
    """And what is added to a tensor is added in every step that can."""
    beginnings, endings, skips = (collections.Counter() for _ in range(3))
    titles = "; ".join(titles for _, titles in outcomes["steps"])
    for title in titles.split("; "):
        first, *rest = title.split(" + ")
        # A pool over a convolution comes after what is done before it.
        pooled = [part for part in rest if part in POOLS]
        beginning = " + ".join([first, *pooled])
        parts = set(rest) - set(pooled)
        beginnings[beginning] += 1
        endings.update(parts)
        skips[beginning] += "skip" in parts
    assert set(beginnings) == BEGINNINGS and min(beginnings.values()) >= 10
    assert set(endings) == ENDINGS and min(endings.values()) >= 10
    adding = {beginning for beginning, count in skips.items() if count >= 3}
    # These graphs add nothing to what an integer convolution gives.
    able = {"pass", *CONVOLUTIONS, *POOLS, *POOLED}
    assert adding == {step for step in able if not step.startswith("integer")}


def test_operands_are_shared_and_most_numbers_exact():
    """What makes the comparison sharp."""
    graphs = [SharedGraph(number) for number in SOME]
    assert np.mean([graph.most_readers() > 1 for graph in graphs]) > 0.9
    assert np.mean([graph.most_readers() > 2 for graph in graphs]) > 0.4
    errors = np.concatenate([graph.errors for graph in graphs])
    assert np.mean(errors == 0) > 0.7 and 0 < errors.max() < 1
    assert 0.5 < np.mean([graph.is_binary for graph in graphs]) < 0.8
    # An engine that answers anything else than the graph's own numbers is noticed.
    assert len({graph.content for graph in graphs}) == len(graphs)


@pytest.mark.parametrize("damage", ["number", "sign", "shape"])
def test_what_is_not_right_is_noticed(damage):
    """One number that is off by a rounding, one sign, one row that is missing."""
    noticed = 0
    for number in SOME[:20]:
        graph = SharedGraph(number)
        wanted = shared_graph_runs.reference_outputs(graph)
        (setting, *_) = shared_graph_runs.settings(number, ["portable"])
        found = shared_graph_runs.delegate_outputs(graph, setting, set())
        assert not list(shared_graph_runs.differences(graph, found, wanted))
        place = 0 if damage != "sign" else len(wanted)
        if place == len(found):
            continue
        values = found[place].copy()
        if damage == "shape":
            values = values[..., :-1]
        elif damage == "sign":
            values.flat[-1] ^= 1
        elif graph.errors[0]:
            values.flat[-1] += 2 * graph.errors[0]
        else:
            values.flat[-1] = (
                np.nextafter(values.flat[-1], np.float32(np.inf))
                if values.dtype == np.float32
                else values.flat[-1] ^ 1
            )
        found[place] = values
        assert list(shared_graph_runs.differences(graph, found, wanted)), number
        noticed += 1
    assert noticed >= 3


def fused_and_alone(graph):
    """The delegate's outputs and the steps that it made, fused and not."""
    steps, unfused = set(), set()
    fused = shared_graph_runs.delegate_outputs(graph, Setting("portable"), steps)
    alone = shared_graph_runs.delegate_outputs(
        graph, Setting("portable", fuse=False), unfused
    )
    return fused, alone, steps, unfused


def convolved(file, packed, size, padding="zeros"):
    """A binary convolution that keeps the size [N, H, W, C] of a packed map."""
    blocks = HalfBlocks(
        size[:3], size[3], (3, 3), padding, "none", "none", False, False, 1, "last"
    )
    return blocks.convolution(0).write(file, packed, size[0])


def gated_by_a_dense_layer(size):
    """A gate in the form of larq-zoo, and what other kernels make of it.

    A pool over the whole map, and a dense layer that leaves its dimensions out.
    """
    (batch, height, width), channels = size, 34
    size = (*size, channels)
    file = GraphFile()
    image = file.input("float", size)
    packed = file.tensor("packed", (*size[:3], 2))
    packed = file.custom("LceQuantize", [image], packed)
    window = {"padding": 1, "strideH": height, "strideW": width}
    pooled = file.builtin(
        "AVERAGE_POOL_2D",
        [image],
        file.tensor("float", (batch, 1, 1, channels)),
        **{"filterHeight": height, "filterWidth": width},
        **window,
    )
    gate = file.builtin(
        "FULLY_CONNECTED",
        [pooled, file.constant("float", np.eye(channels)), -1],
        file.tensor("float", (batch, channels)),
    )
    y = convolved(file, packed, size)
    for name, other in (("MUL", gate), ("ADD", image)):
        y = file.builtin(name, [y, other], file.tensor("float", size))
    image = SteadyNumbers("larq-zoo").floats(-1, 1, *size)
    content = file.content(y)
    return SimpleNamespace(
        content=content, plain=content, is_binary=True, inputs=[[image], [image]]
    )


@pytest.mark.parametrize(
    ("size", "after_the_gate"),
    [
        ((1, 5, 4), {"binary convolution + factor + skip"}),
        # Not of each image: TensorFlow Lite lays its two rows along the width.
        ((2, 5, 2), {"binary convolution", "product", "pass + skip"}),
    ],
)
def test_gates_of_a_dense_layer_are_fused_where_they_are_one(size, after_the_gate):
    graph = gated_by_a_dense_layer(size)
    (found,), (alone,), steps, unfused = fused_and_alone(graph)
    before = {"pass + sign + channel sums", "mean of channel sums", "dense layer"}
    assert steps == before | after_the_gate
    assert len(unfused) > len(steps)
    np.testing.assert_array_equal(found, alone)
    # Engines add up the pool and the dense layer in other orders.
    (wanted,) = shared_graph_runs.reference_outputs(graph)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def with_a_constant_map(padding, how, zero):
    """A binary convolution, and a constant for each position, some of them `zero`."""
    size, numbers = (2, 2, 3, 34), SteadyNumbers("maps")
    file = GraphFile()
    image = file.input("float", size)
    packed = file.custom("LceQuantize", [image], file.tensor("packed", (2, 2, 3, 2)))
    y = convolved(file, packed, size, padding)
    values = numbers.floats(-1, 1, 1, 2, 3, 34)
    values[..., ::3] = zero
    constant = file.constant("float", values)
    pair = [y, constant] if how.startswith("x") else [constant, y]
    y = file.builtin("ADD" if "+" in how else "SUB", pair, file.tensor("float", size))
    images = numbers.floats(-9, 9, *size)
    return SimpleNamespace(content=file.content(y), inputs=[[images], [images]])


@pytest.mark.parametrize("how", ["x + map", "map + x", "x - map", "map - x"])
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("padding", ["ones", "zeros"])
def test_a_constant_map_after_a_convolution_takes_no_pass(padding, zero, how):
    graph = with_a_constant_map(padding, how, zero)
    (fused,), (alone,), steps, _ = fused_and_alone(graph)
    np.testing.assert_array_equal(fused.view("<u4"), alone.view("<u4"))
    # Zeros around a map are rounded in between; negated, a zero would change its sign.
    wanted = padding == "ones" and ("+" in how or not np.signbit(zero))
    assert ("binary convolution + map" in steps) == wanted, steps


def with_an_active_sum(first, last):
    """A binary convolution, limited or not, and a sum with an activation."""
    size = (2, 5, 4, 34)
    file = GraphFile()
    image = file.input("float", size)
    packed = file.custom("LceQuantize", [image], file.tensor("packed", (2, 5, 4, 2)))
    y = convolved(file, packed, size)
    if first:
        y = file.builtin(first, [y], file.tensor("float", size))
    active = {"fusedActivationFunction": ACTIVATIONS[last]}
    y = file.builtin("ADD", [y, image], file.tensor("float", size), **active)
    images = SteadyNumbers("active sums").floats(-9, 9, *size)
    return SimpleNamespace(content=file.content(y), inputs=[[images], [images]])


@pytest.mark.parametrize(
    ("first", "last", "steps"),
    [
        (None, "none", {"binary convolution + skip"}),
        (None, "relu", {"binary convolution + skip + ReLU"}),
        (None, "relu6", {"binary convolution + skip + ReLU"}),
        # Limited twice: one pass has one pair of limits.
        ("RELU", "none", {"binary convolution + ReLU + skip"}),
        ("RELU", "relu6", {"binary convolution + ReLU", "pass + skip + ReLU"}),
    ],
)
def test_a_sum_is_limited_in_its_own_pass(first, last, steps):
    graph = with_an_active_sum(first, last)
    (fused,), (alone,), found, _ = fused_and_alone(graph)
    assert found - {"pass + sign"} == steps
    np.testing.assert_array_equal(fused, alone)
    # Limited before the sum it would be another map.
    lowest, highest = fused.min(), fused.max()
    assert (lowest < 0) == (last == "none") and (highest == 6) == (last == "relu6")
