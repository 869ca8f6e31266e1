"""From a trained network to a flatbuffer that is known to do the same.

The steps, and where they are: the network's tables come from Larq Compute Engine's
converter (`flatbuffer`), real weights are rounded (`real_weights`), the file is written
with its card (`card`), and what was written is compared with Keras in every engine
(`verification`, `rounded_verification`). Tables are read once and each file is written
once.
"""

import collections
import dataclasses

from r2b_keras.converters import (
    card,
    engines,
    flatbuffer,
    rounded_verification,
    tflite_file,
)
from r2b_keras.converters.one_output import require_one_right
from r2b_keras.converters.real_weights import bytes_by_part, shrink
from r2b_keras.converters.rounded_verification import RoundedVerification
from r2b_keras.converters.sources import Source
from r2b_keras.converters.tflite_file import Flatbuffer
from r2b_keras.converters.verification import Reference, Verification
from r2b_keras.models.integers import picture_layer
from r2b_keras.normalisation import Normalisation


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A converted network and how it compares.

    Attributes:
      flatbuffer: content of the `.tflite` file, model card included.
      operators: operators by kind.
      parts: bytes by part, see `bytes_by_part`.
      verifications: how the flatbuffer agrees with Keras in each engine that runs it,
        first with float32 weights, then with the smaller ones if they were asked for.
      unable: of the engines that are installed and do not load the flatbuffer, what
        each says.
    """

    flatbuffer: bytes
    operators: collections.Counter[str]
    parts: dict[str, int]
    verifications: tuple[Verification | RoundedVerification, ...]
    unable: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the flatbuffer does what the network does."""
        return all(verification.accepted for verification in self.verifications)

    def to_text(self) -> str:
        """Operators, bytes and verification, for people."""
        kinds = sorted(self.operators, key=lambda kind: (-self.operators[kind], kind))
        counts = {kind: self.operators[kind] for kind in kinds}
        lines = [*_table("operator", "count", counts), ""]
        lines += _table("part", "bytes", self.parts)
        for checked in self.verifications:
            lines += ["", f"real weights {checked.real_weights}", checked.to_text()]
        lines += ["", *self.unable] if self.unable else []
        return "\n".join(lines)


def _table(what: str, unit: str, numbers: dict[str, int]) -> list[str]:
    rows = {**numbers, "total": sum(numbers.values())}
    lines = [f"{name:<20}{number:>10,}" for name, number in rows.items()]
    return [f"{what:<20}{unit:>10}", *lines]


def deploy(
    source: Source, real_weights: str = "float32", input_type: str = "float32"
) -> Deployment:
    """Converts a network and verifies the result on the source's images.

    Args:
      source: network, card and images.
      real_weights: see `convert`.
      input_type: what the file takes, float32, or uint8 for pixels; a network whose
        first layer is of integers takes pixels in any case.

    Raises:
      InputError: the network cannot be converted, or the flatbuffer not be run; or
        its scores are not of classes of which one is right.
    """
    normalisation = None
    if input_type == "uint8" or picture_layer(source.model):
        normalisation = Normalisation(source.card.mean, source.card.std)
        input_type = "uint8"
    tables = flatbuffer.to_tables(source.model, normalisation)
    exact = None
    if real_weights != "float32":
        exact = Flatbuffer(tflite_file.serialize(tables))
        shrink(tables, real_weights)
    described = dataclasses.replace(
        source.card, real_weights=real_weights, input_type=input_type
    )
    small = Flatbuffer(card.write(tables, described))
    able, unable = engines.able(small)
    reference = Reference(source.model, source.images, normalisation=normalisation)
    require_one_right(source.model.name, reference.scores)
    verifications: list[Verification | RoundedVerification] = [
        reference.compare(exact or small, name) for name in able
    ]
    if exact:
        verifications += rounded_verification.verify(
            reference, exact, small, able, real_weights, source.labels
        )
    return Deployment(
        flatbuffer=small.content,
        operators=tflite_file.count_operators(small),
        parts=bytes_by_part(small),
        verifications=tuple(verifications),
        unable=tuple(unable),
    )
