"""Compares a flatbuffer whose real weights are rounded with the float32 one.

Rounded weights change every score, so such a file is judged in three steps: the float32
file is what Keras is (`verification`), the rounded one differs from that by rounded
weights alone, and an engine makes of these weights what they stand for. How many
answers rounding costs is then a matter of quality, with a bound of its own.

Operators, filters and all other constants have to be those of the float32 file to the
bit, and a rounded weight the nearest that its kind has; but for what tells that a
constant is rounded, this is written without the code that rounds.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from r2b_keras.board import classification
from r2b_keras.converters import (
    card,
    engines,
    real_weights,
    score_comparison,
    tflite_edit,
    tflite_file,
    verification,
)
from r2b_keras.converters.tflite_file import Flatbuffer, schema

# Of the mean lead of the best class over the second, what changed answers may cost. In
# trained networks 8 bits cost 0.01 % on Fashion-MNIST, where 0.6 % of the answers
# change, and 4.9 % on CIFAR-100, where 16 % do, of a network that is right in half of
# the cases, and stays so. Its weights in 7 bits cost 5.7 % and no accuracy; in 6 bits
# 12 %, and 1.7 points; in 5 bits 17 %, and 2.9 points (10,000 images).
MOST_LOST = 0.08
# Of accuracy: as counted where the classes are known, beyond twice what chance adds;
# and as Keras's probabilities expect it. On the 10,000 test images 8 bits cost none, by
# the probabilities 0.04 % on Fashion-MNIST and 1.4 % on CIFAR-100. Weights of -2 to 2
# times a number for each channel cost 8.5 % on Fashion-MNIST, by the probabilities
# 7.9 %, and no more than 6.1 % of the lead.
MOST_ACCURACY, MOST_EXPECTED = 0.01, 0.03
# Images that are run with rounded weights and with float32 constants of these values.
_NUM_COMPARED = 20
_FLOAT16 = schema.TensorType.FLOAT16
_LARGEST_INT8 = 127
# Of float32, in the rounding and in this check.
_FLOAT32_ROUNDING = 1e-4


@dataclasses.dataclass(frozen=True)
class RoundedVerification(score_comparison.Comparison):
    """How well a flatbuffer with rounded weights agrees with Keras.

    Attributes:
      real_weights: how its real-valued weights are stored.
      problem: why it is refused, None where it is not.
    """

    real_weights: str
    problem: str | None

    @property
    def accepted(self) -> bool:
        """Whether it is the float32 file with rounded weights, and a good one."""
        return self.problem is None

    def to_text(self) -> str:
        """Two lines for people."""
        verdict = f"REJECTED: {self.problem}" if self.problem else "accepted"
        return f"{self.first_line()}\n{verdict}"


def verify(
    reference: verification.Reference,
    exact: Flatbuffer,
    rounded: Flatbuffer,
    names: list[str],
    real_weights: str,
    labels: np.ndarray | None = None,
) -> Iterator[RoundedVerification]:
    """Compares a flatbuffer of rounded weights with the float32 one it is made of.

    Args:
      reference: the Keras network and its scores.
      exact: the float32 flatbuffer, which has been verified.
      rounded: the one to be judged.
      names: engines, in each of which it is run.
      real_weights: how `rounded` stores its real weights.
      labels: the images' classes, None where they are not known.

    Raises:
      InputError: the images have another shape, or an engine cannot run them.
    """
    images, expected = reference.images[:], reference.scores
    part = images[:_NUM_COMPARED]
    wrong, wide = problem_of_file(exact, rounded), widen(rounded)
    for name in names:
        scores = reference.predict(engines.load(rounded, name), images)
        wide_scores = reference.predict(engines.load(wide, name), part)
        fields = score_comparison.compared(name, expected, scores)
        problem = wrong or _problem_of_numbers(scores)
        problem = problem or _problem_of_engine(wide_scores, scores[:_NUM_COMPARED])
        problem = problem or problem_of_quality(expected, scores, labels)
        yield RoundedVerification(**fields, real_weights=real_weights, problem=problem)


def _problem_of_numbers(scores: np.ndarray) -> str | None:
    """Whether scores `[N, K]` are numbers: a NaN would be an answer, the best class."""
    broken = int(np.sum(~np.isfinite(scores).all(axis=1)))
    if not broken:
        return None
    return f"the scores of {broken} of {len(scores)} images are not finite numbers"


def _problem_of_engine(wide: np.ndarray, scores: np.ndarray) -> str | None:
    """Whether the engine computes with other weights than the file has.

    All scores would then be others; a sign next to its threshold turns in few images.
    """
    if np.mean(score_comparison.differs(wide, scores)) <= 0.5:
        return None
    return "the engine computes with other weights than the file has"


def problem_of_quality(
    expected: np.ndarray, scores: np.ndarray, labels: np.ndarray | None = None
) -> str | None:
    """Why answers that change matter: where classes were close, another is no loss.

    Args:
      expected: Keras's scores, `[N, K]`.
      scores: those of the rounded file.
      labels: the right classes, `[N]`, None where they are not known.

    Returns:
      What is wrong, for people; None where it is good.
    """
    if problem := _problem_of_numbers(scores):
        return problem
    lead, loss = score_comparison.lead_and_loss(expected, scores)
    lost = float(np.mean(loss) / max(np.mean(lead), np.finfo(np.float32).tiny))
    changed = round((1 - score_comparison.agreement(expected, scores)) * len(scores))
    found = f"rounding changes the answers of {changed} of {len(scores)} images, and"
    if lost > MOST_LOST:
        return (
            f"{found} takes {lost:.1%} of the best class's lead over the second, "
            f"expected at most {MOST_LOST:.0%}"
        )
    shares = np.stack([classification.probabilities(row) for row in expected])
    cost = float(np.mean(score_comparison.lead_and_loss(shares, scores)[1]))
    if cost > MOST_EXPECTED:
        return (
            f"{found} costs {cost:.1%} of accuracy by Keras's probabilities, expected "
            f"at most {MOST_EXPECTED:.0%}"
        )
    return None if labels is None else _problem_of_accuracy(expected, scores, labels)


def _problem_of_accuracy(
    expected: np.ndarray, scores: np.ndarray, labels: np.ndarray
) -> str | None:
    """Whether more right answers are spoilt than mended, by more than chance."""
    before, after = (
        score_comparison.best_class(each) == labels for each in (expected, scores)
    )
    spoilt, mended = int(np.sum(before & ~after)), int(np.sum(after & ~before))
    chance = 2 * (spoilt + mended) ** 0.5
    if spoilt - mended <= MOST_ACCURACY * len(labels) + chance:
        return None
    return (
        f"of {len(labels)} images rounding spoils {spoilt} right answers and mends "
        f"{mended}, expected a loss of accuracy of at most {MOST_ACCURACY:.0%}"
    )


@dataclasses.dataclass(frozen=True)
class _Rounded:
    """Weights as the engines compute with them, float32 of their shape.

    Attributes:
      values: the rounded weights.
      scales: from each to the next, to be broadcast, of int8; None for float16, whose
        values lie closer together the smaller they are.
    """

    values: np.ndarray
    scales: np.ndarray | None

    def is_nearest(self, weights: np.ndarray) -> bool:
        """Whether these are the nearest to float32 weights, and the scales fit."""
        error = np.abs(self.values - weights)
        if self.scales is None:
            stored = self.values.astype(np.float16)
            with np.errstate(over="ignore"):  # the largest has infinity beside it
                others = [
                    np.nextafter(stored, np.float16(x)) for x in (-np.inf, np.inf)
                ]
            return all(bool((error <= np.abs(x - weights)).all()) for x in others)
        if not (error <= (0.5 + _FLOAT32_ROUNDING) * self.scales).all():
            return False
        axes = tuple(i for i, size in enumerate(self.scales.shape) if size == 1)
        largest = np.abs(weights).max(axes, keepdims=True)
        # A channel without weights to speak of has any scale, and zeros.
        empty = largest < _LARGEST_INT8 * np.finfo(np.float32).tiny
        fits = np.isclose(largest, _LARGEST_INT8 * self.scales, 1e-6, 0)
        return bool((empty | fits).all())


def widen(rounded: Flatbuffer) -> Flatbuffer:
    """The same network with the rounded values as float32 constants."""
    model = tflite_file.parse(rounded.content)
    card.detach(model)
    graph = model.subgraphs[0]
    graph.operators, found = _without_rounding(model)
    for tensor, weights in found.items():
        content = np.ascontiguousarray(weights.values, "<f4").tobytes()
        graph.tensors[tensor].buffer = tflite_edit.add_buffer(model, content)
    return Flatbuffer(tflite_file.serialize(model))


def problem_of_file(exact: Flatbuffer, rounded: Flatbuffer) -> str | None:
    """What is wrong with a rounded file, None where it is right.

    Args:
      exact: the float32 file.
      rounded: the one with fewer bits.
    """
    first, second = exact.model, rounded.model
    operators, found = _without_rounding(second)
    graphs = first.subgraphs[0], second.subgraphs[0]
    if len(first.subgraphs) != len(second.subgraphs) or _structure(
        first, graphs[0].operators
    ) != _structure(second, operators):
        return "its operators are not those of the float32 file"
    for index, tensor in enumerate(graphs[0].tensors):
        other = graphs[1].tensors[index]
        content = tflite_file.constant(first, tensor)
        if index in found:
            weights = np.frombuffer(content, "<f4").reshape(tflite_file.shape(tensor))
            right = found[index].is_nearest(weights)
        else:
            right = content == tflite_file.constant(second, other)
        if not right:
            name = tflite_file.name(tensor) or f"number {index}"
            return f"its constant {name!r} is not what the float32 file has"
    return None


def _without_rounding(
    model: tflite_file.Model,
) -> tuple[list[Any], dict[int, _Rounded]]:
    """The operators but each DEQUANTIZE that is of a rounding, and values by tensor."""
    graph = model.subgraphs[0]
    kept, found = [], {}
    for operator in graph.operators:
        stored = graph.tensors[operator.inputs[0]]
        name = tflite_file.operator_name(model, operator)
        is_constant = bool(tflite_file.constant(model, stored))
        whole = real_weights.is_whole(model, graph, operator)
        if name == "DEQUANTIZE" and is_constant and not whole:
            found[int(operator.outputs[0])] = _read(model, stored)
        else:
            kept.append(operator)
    return kept, found


def _read(model: tflite_file.Model, stored: Any) -> _Rounded:
    content, shape = tflite_file.constant(model, stored), tflite_file.shape(stored)
    if stored.type == _FLOAT16:
        values = np.frombuffer(content, "<f2").reshape(shape).astype(np.float32)
        return _Rounded(values, None)
    integers = np.frombuffer(content, "<i1").reshape(shape).astype(np.float32)
    each = [1] * len(shape)
    each[stored.quantization.quantizedDimension] = -1
    scales = np.asarray(stored.quantization.scale, np.float32).reshape(each)
    zeros = np.asarray(stored.quantization.zeroPoint, np.float32).reshape(each)
    return _Rounded((integers - zeros) * scales, scales)


def _structure(model: tflite_file.Model, kept: list[Any]) -> list[Any]:
    """All of a network but for its constants, the tensors that operators use."""
    graph = model.subgraphs[0]
    operators = [
        (
            tflite_file.operator_name(model, operator),
            [*map(int, operator.inputs)],
            [*map(int, operator.outputs)],
            operator.builtinOptionsType,
            _plain(operator.builtinOptions),
            _plain(operator.customOptions),
        )
        for operator in kept
    ]
    used = {index for each in operators for index in (*each[1], *each[2])} - {-1}
    tensors = [
        (index, graph.tensors[index].type, tflite_file.shape(graph.tensors[index]))
        for index in sorted(used)
    ]
    return [operators, tensors, [*map(int, graph.inputs)], [*map(int, graph.outputs)]]


def _plain(value: Any) -> Any:
    """Options as something that can be compared."""
    if isinstance(value, (list, np.ndarray)):
        return np.asarray(value).tolist()
    return (
        {name: _plain(each) for name, each in vars(value).items()}
        if hasattr(value, "__dict__")
        else value
    )
