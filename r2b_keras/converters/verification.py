"""Compares a flatbuffer with the Keras network it was made of, image by image.

Both compute in float32, in another order, so scores differ by rounding. Rounding can
turn the sign of an activation that is all but at its threshold, and then the scores of
that image differ by more. Any other difference is a defect, and fails.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from r2b_keras.converters import engines, graph
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Of scores, as a share of the largest one: a hundred roundings of float32, 6e-8 each,
# through some 60 operators.
ROUNDING = 1e-4
# Of what a sign is taken of, as a share of its root mean square over the map: what 60
# operators make of one rounding (1e-8 to 1e-7 was seen on Fashion-MNIST).
THRESHOLD_ROUNDING = 1e-6
# Share of images whose best class must stay. Rounded weights change scores everywhere.
LEAST_AGREEMENT = {"float32": 0.999, "float16": 0.98, "int8": 0.98}
_BATCH = 100


@dataclasses.dataclass(frozen=True)
class Difference:
    """An image whose scores differ by more than rounding.

    Attributes:
      image: its number, from 0.
      difference: largest difference of its scores.
      keras_class: best class by Keras.
      flatbuffer_class: best class by the flatbuffer.
      layer: the first binary layer with an activation at its threshold; None: nothing
        explains the difference.
      margin: how far that activation is from it, as a share of the root mean square.
    """

    image: int
    difference: float
    keras_class: int
    flatbuffer_class: int
    layer: str | None
    margin: float


@dataclasses.dataclass(frozen=True)
class Verification:
    """How well a flatbuffer agrees with Keras.

    Attributes:
      engine: what ran the flatbuffer.
      real_weights: how its real-valued weights are stored.
      num_images: images compared.
      agreement: share of images with the same best class.
      largest_difference: of all scores.
      largest_score: the largest magnitude among Keras's scores.
      differences: images that differ by more than rounding; for rounded weights, only
        those with another best class, and without a layer.
    """

    engine: str
    real_weights: str
    num_images: int
    agreement: float
    largest_difference: float
    largest_score: float
    differences: tuple[Difference, ...]

    @property
    def accepted(self) -> bool:
        """Whether the flatbuffer is what the network is."""
        if not math.isfinite(self.largest_difference):
            return False
        if self.agreement < LEAST_AGREEMENT[self.real_weights]:
            return False
        return self.real_weights != "float32" or all(
            difference.layer for difference in self.differences
        )

    def to_text(self) -> str:
        """A few lines for people."""
        least = LEAST_AGREEMENT[self.real_weights]
        lines = [
            f"{self.num_images} images, engine {self.engine}: top-1 agreement "
            f"{self.agreement:.2%} (at least {least:.1%} wanted), largest difference "
            f"{self.largest_difference:.2g} of scores up to {self.largest_score:.3g}"
        ]
        if self.real_weights == "float32":
            unexplained = [d.image for d in self.differences if d.layer is None]
            explained = len(self.differences) - len(unexplained)
            if explained:
                lines.append(
                    f"{explained} of them differ by more than rounding, each with an "
                    "activation at its threshold:"
                )
            lines += [_describe(d) for d in self.differences if d.layer][:5]
            if explained > 5:
                lines.append(f"  and {explained - 5} more")
            if unexplained:
                lines.append(
                    f"{len(unexplained)} differ by more than rounding without one: "
                    f"images {', '.join(map(str, unexplained[:5]))}"
                )
        lines.append("accepted" if self.accepted else "REJECTED")
        return "\n".join(lines)


def _describe(difference: Difference) -> str:
    return (
        f"  image {difference.image}: {difference.difference:.2g}, class "
        f"{difference.keras_class} and {difference.flatbuffer_class}, "
        f"{difference.layer} is {difference.margin:.1e} from it"
    )


def verify(
    model: tf.keras.Model,
    flatbuffer: bytes,
    images: np.ndarray,
    engine: str | None = None,
    real_weights: str = "float32",
) -> Verification:
    """Compares a flatbuffer with its network.

    Args:
      model: the Keras network, from `[N, H, W, C]` to scores `[N, K]`.
      flatbuffer: what `convert` made of it.
      images: `[N, H, W, C]` float32, as the network sees them; real ones.
      engine: what runs the flatbuffer, the first able one when None.
      real_weights: how the flatbuffer stores weights that are not binary.

    Raises:
      InputError: there are no images, or they have another shape.
    """
    if not len(images):
        raise InputError("There are no images to verify with, expected at least one.")
    loaded = engines.load(flatbuffer, engine)
    converted = loaded.predict(images)
    expected = np.concatenate([model.predict_on_batch(part) for part in _parts(images)])
    return compare(model, images, expected, converted, loaded.name, real_weights)


def compare(
    model: tf.keras.Model,
    images: np.ndarray,
    expected: np.ndarray,
    converted: np.ndarray,
    engine: str,
    real_weights: str = "float32",
) -> Verification:
    """Compares scores `[N, K]` of the network and its flatbuffer; see `verify`."""
    if not np.isfinite(expected).all():
        raise InputError("The Keras network gives scores that are not finite numbers.")
    largest_score = float(np.abs(expected).max())
    deviations = np.abs(expected - converted).max(axis=1)
    # Not finite counts as different too.
    differs = ~(deviations <= ROUNDING * max(largest_score, 1e-30))
    classes = expected.argmax(axis=1), converted.argmax(axis=1)
    exact = real_weights == "float32"
    numbers = np.flatnonzero(differs if exact else classes[0] != classes[1])
    causes: Sequence[tuple[str | None, float]] = [(None, 0.0)] * len(numbers)
    if exact and len(numbers):
        causes = _at_threshold(model, images[numbers])
    return Verification(
        engine=engine,
        real_weights=real_weights,
        num_images=len(images),
        agreement=float(np.mean(classes[0] == classes[1])),
        largest_difference=float(deviations.max()),
        largest_score=largest_score,
        differences=tuple(
            Difference(
                image=int(number),
                difference=float(deviations[number]),
                keras_class=int(classes[0][number]),
                flatbuffer_class=int(classes[1][number]),
                layer=layer,
                margin=margin,
            )
            for number, (layer, margin) in zip(numbers, causes, strict=True)
        ),
    )


def _at_threshold(
    model: tf.keras.Model, images: np.ndarray
) -> list[tuple[str | None, float]]:
    """For each image the first layer that binarizes a value next to its threshold."""
    found: list[tuple[str | None, float]] = [(None, float("inf"))] * len(images)
    layers = [layer for layer in model.layers if _binarizes_its_input(layer)]
    if not layers or not graph.is_graph(model):
        return found
    inputs = tf.keras.Model(model.inputs, [layer.input for layer in layers])
    for start, part in zip(range(0, len(images), _BATCH), _parts(images), strict=True):
        for layer, values in zip(
            layers, tf.nest.flatten(inputs.predict_on_batch(part)), strict=True
        ):
            flat = values.reshape(len(part), -1)
            size = np.sqrt(np.mean(flat**2, axis=1))
            margins = np.abs(flat).min(axis=1) / np.maximum(size, 1e-30)
            for offset, margin in enumerate(margins):
                if found[start + offset][0] is None and margin <= THRESHOLD_ROUNDING:
                    found[start + offset] = (layer.name, float(margin))
    return found


def _binarizes_its_input(layer: graph.Layer) -> bool:
    """Whether a layer, used once, has real inputs and takes their signs itself."""
    quantizer = getattr(layer, "input_quantizer", None)
    return getattr(quantizer, "precision", 32) == 1 and len(layer.inbound_nodes) == 1


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
