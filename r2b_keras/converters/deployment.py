"""From a trained network to a flatbuffer that is known to do the same."""

import collections
import dataclasses
from collections.abc import Iterator

from r2b_keras.converters import (
    card,
    engines,
    rounded_verification,
    tflite_file,
)
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.real_weights import bytes_by_part, shrink
from r2b_keras.converters.rounded_verification import RoundedVerification
from r2b_keras.converters.sources import Source
from r2b_keras.converters.verification import Reference, Verification


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A converted network and how it compares.

    Attributes:
      flatbuffer: content of the `.tflite` file, model card included.
      operators_before: operators by kind of a conversion without simplification.
      operators: operators by kind.
      verifications: how the flatbuffer agrees with Keras in each engine that runs it,
        first with float32 weights, then with the smaller ones if they were asked for.
      unable: of the engines that are installed and do not load the flatbuffer, what
        each says.
    """

    flatbuffer: bytes
    operators_before: collections.Counter[str]
    operators: collections.Counter[str]
    verifications: tuple[Verification | RoundedVerification, ...]
    unable: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the flatbuffer does what the network does."""
        return all(verification.accepted for verification in self.verifications)

    def to_text(self) -> str:
        """Operators, bytes and verification, for people."""
        before, after = self.operators_before, self.operators
        kinds = sorted(before | after, key=lambda kind: (-before[kind], kind))
        lines = [f"{'operators':<20}{'before':>8}{'after':>8}"]
        lines += [f"{kind:<20}{before[kind]:>8}{after[kind]:>8}" for kind in kinds]
        lines += [
            f"{'total':<20}{before.total():>8}{after.total():>8}",
            "",
            f"{'part':<20}{'bytes':>10}",
        ]
        parts = bytes_by_part(self.flatbuffer)
        lines += [f"{part:<20}{size:>10,}" for part, size in parts.items()]
        lines += [f"{'total':<20}{len(self.flatbuffer):>10,}"]
        for checked in self.verifications:
            lines += ["", f"real weights {checked.real_weights}", checked.to_text()]
        lines += ["", *self.unable] if self.unable else []
        return "\n".join(lines)


def deploy(
    source: Source, simplify: bool = True, real_weights: str = "float32"
) -> Deployment:
    """Converts a network and verifies the result on the source's images.

    Args:
      source: network, card and images.
      simplify: see `convert`.
      real_weights: see `convert`.

    Raises:
      InputError: the network cannot be converted, or the flatbuffer not be run.
    """
    plain = convert(source.model, simplify=False)
    exact = convert(source.model) if simplify else plain
    small = shrink(exact, real_weights)
    able, unable = engines.able(small)
    described = dataclasses.replace(source.card, real_weights=real_weights)
    return Deployment(
        flatbuffer=card.attach(small, described),
        operators_before=tflite_file.count_operators(plain),
        operators=tflite_file.count_operators(small),
        verifications=tuple(_verify(source, exact, small, real_weights, able)),
        unable=tuple(unable),
    )


def _verify(
    source: Source, exact: bytes, small: bytes, real_weights: str, names: list[str]
) -> Iterator[Verification | RoundedVerification]:
    reference = Reference(source.model, source.images)
    for name in names:
        yield reference.compare(exact, name)
    if real_weights != "float32":
        for name in names:
            yield rounded_verification.verify(
                reference, exact, small, name, real_weights
            )
