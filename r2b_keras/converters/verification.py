"""Compares a flatbuffer with the Keras network it was made of, image by image.

Both compute in float32, in another order, so scores differ by rounding. Rounding can
turn the sign of an activation that is all but at its threshold, and then the scores of
that image differ by more. Such an image is right if nothing else is different: with the
flatbuffer's signs, each turned one next to its threshold, Keras gives the flatbuffer's
scores. Anything else is a defect. So with the whole numbers that integer layers round
their inputs to.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from r2b_keras.converters import (
    engines,
    pixels,
    real_weights,
    score_comparison,
    sign_proof,
    tflite_file,
)
from r2b_keras.converters.float32 import exactly
from r2b_keras.converters.sign_proof import Followed, SignedNetwork
from r2b_keras.converters.sign_taps import Tapped
from r2b_keras.converters.tflite_file import Flatbuffer
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.normalisation import Normalisation

# Of what a sign is taken of, as a share of its channel's root mean square. Of the signs
# that turned in those files, none was more than 1.7e-5 from its threshold. Of what an
# integer layer rounds, as a share of the root mean square of all of it.
THRESHOLD_ROUNDING = 1e-4
_BATCH = 100
# Images that are followed sign by sign at a time; all their activations are in memory.
_FOLLOWED = 16
# All engines run the same file.
_tapped = functools.lru_cache(maxsize=1)(Tapped)


class Images(Protocol):
    """Images, of which parts are taken: an array, or what reads them when asked."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, numbers: Any) -> np.ndarray:
        """Those of a slice, or of rising numbers: `[n, H, W, C]` float32."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """An image whose scores differ by more than rounding.

    Attributes:
      image: its number, from 0.
      difference: largest difference of its scores.
      keras_class: best class by Keras.
      flatbuffer_class: best class by the flatbuffer.
      num_decisions: signs, and inputs of integer layers, that the flatbuffer takes and
        Keras does not.
      layer: where one of them is furthest from its threshold.
      margin: how far: of a sign, as a share of its channel's root mean square; of a
        rounding, as a share of the root mean square of all that the layer rounds.
      remaining: largest difference from Keras's scores with the flatbuffer's signs.
      explained: whether margin and remaining difference are rounding.
    """

    image: int
    difference: float
    keras_class: int
    flatbuffer_class: int
    num_decisions: int
    layer: str
    margin: float
    remaining: float
    explained: bool


@dataclasses.dataclass(frozen=True)
class Verification(score_comparison.Comparison):
    """How well a flatbuffer agrees with Keras.

    Attributes:
      num_different: images whose scores differ by more than rounding.
      differences: images that differ, up to the first that cannot be explained.
    """

    num_different: int
    differences: tuple[Difference, ...]
    real_weights: ClassVar[str] = "float32"

    @property
    def accepted(self) -> bool:
        """Whether the flatbuffer is what the network is."""
        return len(self.differences) == self.num_different and all(
            difference.explained for difference in self.differences
        )

    def to_text(self) -> str:
        """A few lines for people."""
        lines = [
            self.first_line(),
            f"{self.num_images - self.num_different} agree to rounding, "
            f"{self.num_different} differ by more",
        ]
        explained = [d for d in self.differences if d.explained]
        lines += [_describe(d) for d in explained[:5]]
        if len(explained) > 5:
            lines.append(f"  and {len(explained) - 5} more of this kind")
        lines += [_accuse(d) for d in self.differences if not d.explained][:1]
        return "\n".join([*lines, "accepted" if self.accepted else "REJECTED"])


def _describe(difference: Difference) -> str:
    text = (
        f"  image {difference.image}: scores differ by {difference.difference:.2g}, "
        f"class {difference.keras_class} and {difference.flatbuffer_class}; "
    )
    turned = difference.num_decisions
    if not turned:
        # It adds in another order.
        return f"{text}Keras itself gives these in a batch of another size"
    where = f"{difference.margin:.1e} from its threshold in {difference.layer}"
    if turned == 1:
        return f"{text}1 sign or rounding turned, {where}; with it Keras agrees"
    return (
        f"{text}{turned} signs or roundings turned, one {where}, the others less; with "
        "them Keras agrees"
    )


def _accuse(difference: Difference) -> str:
    text = f"  image {difference.image}: {difference.difference:.2g}, not by rounding"
    if difference.margin > THRESHOLD_ROUNDING:
        return f"{text}: {difference.layer} decides otherwise than Keras"
    return f"{text}: {difference.remaining:.2g} with the same decisions everywhere"


def verify(
    model: tf.keras.Model,
    flatbuffer: bytes | Flatbuffer,
    images: np.ndarray,
    engine: str | None = None,
    normalisation: Normalisation | None = None,
) -> Verification:
    """Compares a flatbuffer of float32 weights with its network.

    Args:
      model: the Keras network, from `[N, H, W, C]` to scores `[N, K]`.
      flatbuffer: what `convert` made of it.
      images: `[N, H, W, C]` float32, as the network sees them; real ones.
      engine: what runs the flatbuffer; None for the choice of `engines.load`.
      normalisation: see `Reference`.

    Raises:
      InputError: there are no images, or they have another shape, or the flatbuffer's
        real weights are rounded.
    """
    reference = Reference(model, images, normalisation=normalisation)
    return reference.compare(flatbuffer, engine)


class Reference:
    """A Keras network and its scores of some images, for flatbuffers to agree with.

    Attributes:
      images: `[N, H, W, C]` float32, as the network sees them.
      scores: `[N, K]`.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        images: Images,
        scores: np.ndarray | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        """Runs the network, unless its `scores` are known.

        Args:
          model: the network.
          images: see `images`; for a flatbuffer that takes pixels, of whole pixels.
          scores: the network's, if they are known.
          normalisation: what made the images of pixels, for such a flatbuffer; a
            network whose first layer is of integers knows it.

        Raises:
          InputError: there are no images, or of another shape; or the network gives
            no score for each class, or some that are not finite.
        """
        if not len(images):
            raise InputError(
                "There are no images to verify with, expected at least one."
            )
        self._model = model
        self._normalisation = pixels.normalisation_of(model, normalisation)
        self.images = images
        self.scores = _predict(model, images) if scores is None else scores
        if self.scores.shape[-1] == 1:
            raise InputError(
                f"Model {model.name!r} gives one score, expected one for each class: "
                "convert and verify what `converters.with_two_outputs` makes of it, or "
                "build it with an output for each class."
            )
        if not np.isfinite(self.scores).all():
            raise InputError(
                "The Keras network gives scores that are not finite numbers."
            )

    @functools.cached_property
    def _network(self) -> SignedNetwork:
        return SignedNetwork(self._model)

    def predict(self, engine: engines.Engine, images: np.ndarray) -> np.ndarray:
        """An engine's scores of images `[N, H, W, C]` as the network sees them.

        Raises:
          InputError: the engine takes pixels, and it is not known what makes them of
            the images, or these are not whole.
        """
        return engine.predict(pixels.for_engine(engine, images, self._normalisation))

    def compare(
        self,
        flatbuffer: bytes | Flatbuffer,
        engine: str | None = None,
        converted: np.ndarray | None = None,
    ) -> Verification:
        """Compares a flatbuffer; see `verify`.

        Args:
          flatbuffer: what `convert` made of the network.
          engine: what runs the flatbuffer; None for the choice of `engines.load`.
          converted: the engine's scores of the images where they are known.
        """
        flatbuffer = tflite_file.read(flatbuffer)
        if real_weights.are_rounded(flatbuffer.model):
            raise InputError(
                "The flatbuffer has rounded real weights, expected float32: verify the "
                "float32 file, and compare this one with that, by "
                "rounded_verification.verify."
            )
        if engine is None or converted is None:
            able = engines.load(flatbuffer, engine)
            engine, converted = able.name, self.predict(able, self.images[:])
        if converted.shape != self.scores.shape:
            raise InputError(
                f"The flatbuffer gives scores of the shape {converted.shape}, the "
                f"Keras network {self.scores.shape}: expected a file made of that one."
            )
        numbers = np.flatnonzero(score_comparison.differs(self.scores, converted))
        differences: list[Difference] = []
        if len(numbers):
            tapped = _tapped(flatbuffer.content)
            loaded = tapped.load(engine)
            for start in range(0, len(numbers), _FOLLOWED):
                part = numbers[start : start + _FOLLOWED]
                followed = sign_proof.follow(
                    self._network,
                    tapped,
                    loaded,
                    self.images[part],
                    self._normalisation,
                )
                differences += self._explain(followed, part, converted)
                if not all(difference.explained for difference in differences):
                    break
        _require_one_network(differences, len(self.scores))
        return Verification(
            **score_comparison.compared(engine, self.scores, converted),
            num_different=len(numbers),
            differences=tuple(differences),
        )

    def _explain(
        self, followed: Followed, numbers: np.ndarray, converted: np.ndarray
    ) -> list[Difference]:
        """Judges images, by their numbers, that were followed sign by sign."""
        deviations = np.abs(self.scores - converted).max(axis=1)
        apart = np.abs(followed.scores - converted[numbers])
        # Signs that turn may change the least probabilities many times over.
        limits = score_comparison.limits(followed.scores, self.scores)
        right = (apart <= limits).all(axis=1)
        right &= followed.margins <= THRESHOLD_ROUNDING
        classes = [score_comparison.best_class(x) for x in (self.scores, converted)]
        return [
            Difference(
                image=int(number),
                difference=float(deviations[number]),
                keras_class=int(classes[0][number]),
                flatbuffer_class=int(classes[1][number]),
                num_decisions=int(followed.num_decisions[place]),
                layer=followed.layers[place],
                margin=float(followed.margins[place]),
                remaining=float(apart[place].max()),
                explained=bool(right[place]),
            )
            for place, number in enumerate(numbers)
        ]


def _require_one_network(differences: Sequence[Difference], num_images: int) -> None:
    """Refuses a network whose scores in a graph are not those of its layers in turn.

    By rounding they differ in few images. These scores are of a graph, as accuracies
    are, and what images are followed through are the layers.

    Raises:
      InputError: they differ in more than half of the images.
    """
    unlike = sum(each.explained and not each.num_decisions for each in differences)
    if unlike > max(3, num_images / 2):
        raise InputError(
            f"Keras itself gives {unlike} of {num_images} images other scores in one "
            "graph, by which it is evaluated, than layer by layer, which the file "
            "agrees with: a layer is computed wrongly there, such as "
            "BatchNormalization(axis=1) after a convolution; exchange it."
        )


def _predict(model: tf.keras.Model, images: Images) -> np.ndarray:
    starts = range(0, len(images), _BATCH)
    parts = (images[start : start + _BATCH] for start in starts)
    return np.concatenate([_predict_part(model, part) for part in parts])


def _predict_part(model: tf.keras.Model, images: np.ndarray) -> Any:
    # Networks in code of their own may not know it.
    inputs = tf.nest.flatten(getattr(model, "inputs", None) or ())
    expected = tuple(inputs[0].shape) if len(inputs) == 1 else images.shape
    sides = zip(expected[1:], images.shape[1:], strict=False)
    same = len(expected) == images.ndim and all(a in (None, b) for a, b in sides)
    if not same:
        raise InputError(
            f"The images to verify with have the shape {images.shape[1:]}, expected "
            f"{expected[1:]}: give those that model {model.name!r} takes."
        )
    with exactly():
        return model.predict_on_batch(images)
