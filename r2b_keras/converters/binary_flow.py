"""Which layers of a network are binary: one answer for all of the conversion.

A layer is binary where its weights are and where it gets nothing but -1 and +1. What it
gets is looked at, not derived: the network runs on random images, and each call of each
layer is observed. That sees through concatenation, padding, pooling, reshapes, nested
networks and networks that are code, and no kind of layer has to be known here.

Images of several sizes keep apart what happens to be saturated from what is a sign, and
one that is half black tells a sign from a function that gives 0 for 0.
"""

import contextlib
import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from r2b_keras.converters import graph
from r2b_keras.environment import lq, tf
from r2b_keras.models.quantized import QUANTIZERS, quantized_kernels

Layer: TypeAlias = tf.keras.layers.Layer
# Where a sign is told from what is nearly one: both zeros, and both sides.
_PROBE = np.array([-1e9, -2, -1, -0.5, -1e-6, -0.0, 0.0, 1e-6, 0.5, 1, 2, 1e9], "f4")
_IMAGE_SIZES = (1.0, 0.03, 10.0)
# Of the values that are remembered; more are real numbers.
_FEW = 3


class Values(enum.Enum):
    """What a layer with binary weights gets, its own quantizer applied.

    One that is further down outweighs those above it where runs differ. `CONSTANT` is
    of a single run: what is 0 for small images tells nothing of others.
    """

    CONSTANT = "one value, which is neither -1 nor +1"
    SIGNS = "-1 and +1"
    SIGNS_AND_ZEROS = "-1, 0 and +1"
    OTHER = "two values other than -1 and +1"
    REAL = "real numbers"


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """One use of a layer with binary weights.

    Attributes:
      layer: the layer.
      kernel: its weights as it computes with them, the filters last.
      values: what it gets.
      is_direct: whether they are a sign's, with nothing between that changes them.
      padding: of `SIGNS_AND_ZEROS`, `[H, W]`, where the zeros of a padding are; None
        where zeros are anywhere else.
    """

    layer: Layer
    kernel: np.ndarray
    values: Values
    is_direct: bool
    padding: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Flow:
    """What flows in a network.

    Attributes:
      places: the uses of layers with binary weights, in the order of computation.
      sign_takers: layers that take the sign of real numbers, by themselves or by their
        input quantizer, each once, in the order of computation.
      sign_activations: layers whose activation is a function that takes signs.
      training: layers that train even where the network infers.
    """

    places: tuple[Place, ...]
    sign_takers: tuple[Layer, ...]
    sign_activations: tuple[Layer, ...]
    training: tuple[Layer, ...]

    @property
    def binary(self) -> tuple[Place, ...]:
        """The places that are binary: with binary inputs, of whatever two values."""
        return tuple(x for x in self.places if x.values is not Values.REAL)

    @contextlib.contextmanager
    def around_signs(self, wrap: Callable[..., Any]) -> Iterator[None]:
        """Calls `wrap` wherever a sign is taken, see `graph.around`.

        Signs that are taken between layers, in code, stay as they are.
        """
        takers, activations = self.sign_takers, self.sign_activations
        with (
            graph.around(takers, wrap),
            graph.around(activations, wrap, "activation"),
        ):
            yield


def trace(model: tf.keras.Model) -> Flow:
    """Runs a network on random images and tells what flows in it.

    Args:
      model: any network; its weights are not changed.

    Raises:
      ValueError: the network was never called and does not name its inputs.
    """
    layers = _innermost(model)
    observer = _Observer([x for x in layers if _ends_in_a_sign(x)])
    with graph.eagerly(), graph.around(layers, observer.call):
        for size, black in (*((size, 0.0) for size in _IMAGE_SIZES), (1.0, 0.5)):
            observer.start()
            make = functools.partial(_random, size=size, black=black)
            graph.infer(model, tf.nest.map_structure(make, graph.inputs(model)))
    return observer.flow()


def takes_sign(quantizer: Callable[..., Any] | None) -> bool:
    """Whether a function or layer gives -1 below 0 and +1 from 0 on, both zeros too."""
    if quantizer is None:
        return False
    probe = _PROBE[None, None, None]
    try:
        found = quantizer(tf.constant(probe))
    except (ValueError, tf.errors.InvalidArgumentError):
        # What wants a certain number of channels treats them differently.
        return False
    return np.array_equal(found, _signs(probe))


def binary_kernel(layer: Layer) -> np.ndarray | None:
    """The weights as the layer computes with them; None where they are not binary.

    Weights are binary where their quantizer says so or where they have one magnitude in
    each filter.
    """
    for variable, quantizer in quantized_kernels(layer):
        # In a trace, too, the numbers.
        with tf.init_scope(), lq.context.quantized_scope(True):
            kernel: np.ndarray = tf.convert_to_tensor(variable).numpy()
        sizes = np.abs(kernel.reshape(-1, kernel.shape[-1]))
        one_size = (sizes == sizes[0]).all() and sizes.all()
        if getattr(quantizer, "precision", None) == 1 or one_size:
            return kernel
    return None


class _Observer:
    """Collects what the layers get, run by run."""

    def __init__(self, sign_activations: list[Layer]) -> None:
        self._activations = sign_activations
        self._training: dict[Layer, None] = {}
        self._takers: dict[Layer, bool] = {}
        self._signs: list[np.ndarray] = []
        self._runs: list[list[Place]] = []
        self._kernels: dict[Layer, np.ndarray | None] = {}

    def start(self) -> None:
        """A run begins."""
        self._runs.append([])
        self._signs.clear()

    def call(
        self, layer: Layer, call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Takes part in a layer's call."""
        if graph.trains(layer, args, kwargs) and not graph.is_frozen(layer):
            self._training[layer] = None
        inputs: Any = args[0] if args else None
        if not (tf.is_tensor(inputs) and inputs.dtype.is_floating):
            return call(*args, **kwargs)
        outputs = call(*args, **kwargs)
        quantizer = getattr(layer, "input_quantizer", None)
        made = outputs if quantizer is None else quantizer(inputs)
        if _looks_like_signs(inputs, made, call if quantizer is None else quantizer):
            # Zeros, which random numbers lack, tell a sign from what gives 0 for 0.
            inputs = tf.where(_some(inputs), tf.zeros_like(inputs), inputs)
            outputs = call(inputs, *args[1:], **kwargs)
            made = outputs if quantizer is None else quantizer(inputs)
            takes = np.array_equal(made, _signs(inputs.numpy()))
            self._takers[layer] = self._takers.get(layer, True) and takes
            self._signs.append(np.asarray(made))
        self._note(layer, np.asarray(inputs if quantizer is None else made))
        if layer in self._activations:
            self._signs.append(np.asarray(outputs))
        return outputs

    def _note(self, layer: Layer, quantized: np.ndarray) -> None:
        if layer not in self._kernels:
            self._kernels[layer] = binary_kernel(layer)
        kernel = self._kernels[layer]
        if kernel is not None:
            is_direct = any(np.array_equal(quantized, made) for made in self._signs)
            values, padding = _values(layer, quantized)
            place = Place(layer, kernel, values, is_direct, padding)
            self._runs[-1].append(place)

    def flow(self) -> Flow:
        """What has been seen in all runs."""
        takers = tuple(layer for layer, takes in self._takers.items() if takes)
        return Flow(
            tuple(_merged(places) for places in zip(*self._runs, strict=True)),
            takers,
            tuple(self._activations),
            tuple(self._training),
        )


def _merged(seen: tuple[Place, ...]) -> Place:
    """A place, of what it was in each run."""
    last = max(seen, key=lambda place: list(Values).index(place.values))
    if last.values is Values.CONSTANT:
        last = dataclasses.replace(last, values=Values.REAL)
    elif last.values is Values.SIGNS and Values.CONSTANT in (x.values for x in seen):
        last = dataclasses.replace(last, values=Values.SIGNS_AND_ZEROS)
    is_direct = all(place.is_direct for place in seen)
    # Where zeros are in one run only, they are no padding.
    paddings = [place.padding for place in seen if place.padding is not None]
    same = len(paddings) == len(seen)
    same = same and all(np.array_equal(x, paddings[0]) for x in paddings)
    return dataclasses.replace(
        last, is_direct=is_direct, padding=paddings[0] if same else None
    )


def _values(layer: Layer, quantized: np.ndarray) -> tuple[Values, np.ndarray | None]:
    """What a layer gets in one run, and where zeros are around it."""
    values = _few(quantized)
    if np.isin(values, (-1, 1)).all():
        return Values.SIGNS, None
    if np.array_equal(values, [-1, 0, 1]):
        return Values.SIGNS_AND_ZEROS, _padding(quantized)
    declared = getattr(getattr(layer, "input_quantizer", None), "precision", None)
    if len(values) == 1 and declared != 1:
        return Values.CONSTANT, None
    return Values.OTHER if len(values) == 2 or declared == 1 else Values.REAL, None


def _few(values: np.ndarray) -> np.ndarray:
    """The different values in order; of many, the first ones."""
    found = np.unique(values.ravel()[:1000])
    if len(found) <= _FEW:
        found = np.unique(values)
    return found[: _FEW + 1]


def _padding(values: np.ndarray) -> np.ndarray | None:
    """`[H, W]`, where all of `[N, H, W, C]` is 0; None where something else is, too."""
    if values.ndim != 4:
        return None
    zeros = values == 0
    padding: np.ndarray = zeros.all(axis=(0, 3))
    return padding if np.array_equal(zeros.any(axis=(0, 3)), padding) else None


def _looks_like_signs(
    inputs: tf.Tensor, made: Any, function: Callable[..., Any]
) -> bool:
    """Whether `made` is the sign of real numbers."""
    if not tf.is_tensor(made) or made.shape != inputs.shape:
        return False
    before = inputs.numpy()
    values = _few(before)
    if np.isin(values, (-1, 1)).all() or not np.array_equal(made, _signs(before)):
        return False
    # Few values may be all that ever come here, and hide what others would become.
    return len(values) > _FEW or takes_sign(function)


def _some(inputs: tf.Tensor) -> np.ndarray:
    """A tenth of the places of a tensor, at random."""
    return np.random.default_rng(0).random(inputs.shape) < 0.1


def _signs(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, np.float32(1), np.float32(-1))


def _ends_in_a_sign(layer: Layer) -> bool:
    """Whether its activation is a sign, and no layer that is seen by itself."""
    activation = getattr(layer, "activation", None)
    if not callable(activation) or isinstance(activation, tf.keras.layers.Layer):
        return False
    return not isinstance(layer, tf.keras.layers.Activation) and takes_sign(activation)


def _innermost(model: tf.keras.Model) -> list[Layer]:
    """The layers of a network that are no networks and no part of a quantized layer."""
    layers = [x for x in model.submodules if isinstance(x, tf.keras.layers.Layer)]
    parts = {id(getattr(x, name, None)) for x in layers for name in QUANTIZERS}
    return [
        layer
        for layer in layers
        if not isinstance(layer, tf.keras.Model) and id(layer) not in parts
    ]


def _random(spec: tf.TensorSpec, size: float, black: float) -> tf.Tensor:
    """Images of a batch, the same in every run; a share of their rows is 0."""
    generator = np.random.default_rng(0)
    shape = [3 if length is None else length for length in spec.shape]
    values = size * generator.normal(size=shape)
    if len(shape) > 1:
        values[:, : int(black * shape[1])] = 0
    return tf.cast(values, spec.dtype)
