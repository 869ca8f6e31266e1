"""Taps: named intermediate outputs of student and teacher, side by side."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.intermediates import OUTPUT, with_intermediates

# No layer can have these names, so no tap can be mistaken for the logits.
LOGITS = "(logits)"
Outputs = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Forward:
    """One network's forward pass to a dictionary of taps and logits.

    Not a Keras object: a distiller that holds one does not track the network in it.

    Attributes:
      image_shape: static shape of the images, `[B, H, W, C]`.
      shapes: static shape of each output.
      run: the pass.
      name: the network's name, for messages.
    """

    image_shape: Any
    shapes: dict[str, Any]
    run: Callable[..., Outputs]
    name: str

    def __call__(self, images: tf.Tensor, training: bool) -> Outputs:
        """Returns the taps and, under `LOGITS`, the logits for `[B, H, W, C]`."""
        return self.run(images, training=training)


def forward(model: tf.keras.Model, taps: Sequence[str], logits: str | None) -> Forward:
    """Makes the forward pass of a network to its taps and logits.

    Args:
      model: functional or sequential Keras model.
      taps: names of layers.
      logits: name of the layer that gives the logits, None for the model's output.

    Raises:
      InputError: a name that no layer has.
    """
    names = [*taps, logits] if logits else list(taps)
    joined = with_intermediates(model, names, output=OUTPUT)
    key = logits or OUTPUT

    def run(images: tf.Tensor, training: bool) -> Outputs:
        outputs = joined(images, training=training)
        return {**{tap: outputs[tap] for tap in taps}, LOGITS: outputs[key]}

    shapes = {tap: joined.output_shape[tap] for tap in taps}
    shapes[LOGITS] = joined.output_shape[key]
    return Forward(tuple(joined.inputs[0].shape), shapes, run, model.name)


def pair_taps(
    taps: Sequence[str], teacher_taps: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Pairs the student's taps with the teacher's, one to one.

    Raises:
      InputError: not equally many.
    """
    if len(taps) != len(teacher_taps):
        raise InputError(
            f"The student has {len(taps)} taps and the teacher {len(teacher_taps)}, "
            "expected equally many: they are matched one to one."
        )
    return tuple(zip(taps, teacher_taps, strict=True))


def check_fit(
    student: Forward, teacher: Forward, tap_pairs: Sequence[tuple[str, str]]
) -> None:
    """Raises `InputError` unless both see the same images, and taps and logits fit."""
    seen, theirs = student.image_shape, teacher.image_shape
    if not _fits(seen, theirs):
        raise InputError(
            f"Student {student.name!r} takes images of the shape {seen} and teacher "
            f"{teacher.name!r} of {theirs}, expected the same: both see the same "
            "images, so take a teacher that was trained at the student's size."
        )
    for own, other in (*tap_pairs, (LOGITS, LOGITS)):
        ours, theirs = student.shapes[own], teacher.shapes[other]
        rank, compared = (2, slice(1, 2)) if own == LOGITS else (4, slice(1, 3))
        ranks = (len(ours), len(theirs))
        if ranks != (rank, rank) or not _fits(ours[compared], theirs[compared]):
            raise InputError(
                f"{own!r} of student {student.name!r} has shape {ours} and {other!r} "
                f"of teacher {teacher.name!r} has {theirs}, expected taps "
                "[B, H, W, C] of the same height and width, and logits [B, K] of as "
                "many classes: pair taps of equal resolution."
            )


def _fits(ours: tuple[int | None, ...], theirs: tuple[int | None, ...]) -> bool:
    """Whether two shapes are equal as far as they are known."""
    return tf.TensorShape(ours).is_compatible_with(theirs)
