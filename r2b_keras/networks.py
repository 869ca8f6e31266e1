"""What a network is, as frozen values: its binarization and its options.

Nothing here imports TensorFlow, so recipes can be listed and checked at once.
"""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from r2b_keras.errors import InputError

Activations = Literal["real", "tanh", "sign"]
Weights = Literal["real", "sign"]
Rescaling = Literal[
    "none", "analytic", "channel_scale", "outer_product_scale", "gate", "gate_and_scale"
]

RESCALINGS: tuple[str, ...] = (
    "none",
    "analytic",
    "channel_scale",
    "outer_product_scale",
    "gate",
    "gate_and_scale",
)
# What an empty `Network.rescaling` means for each name of the registry. Sec. 4.1 takes
# XNOR-Net++'s factors without saying which of its cases; one per channel costs nothing
# once deployed.
DEFAULT_RESCALINGS = {
    "resnet18": "none",
    "real_to_binary18": "gate_and_scale",
    "strong_baseline18": "channel_scale",
}
GATED = ("gate", "gate_and_scale")
# Those with a factor per channel that can hold the size of the weights before it:
# learned ones, and XNOR-Net's, which is that size.
SIZED = ("analytic", "channel_scale", "outer_product_scale", "gate_and_scale")
STEMS = ("imagenet", "cifar", "small")
DOWNSAMPLES = ("real", "binary")
GATE_WIDTHS = ("out", "in")
ACTIVATION_BINARIZERS = ("ste_sign", "approx_sign", "swish_sign")
WEIGHT_BINARIZERS = ("ste_sign", "approx_sign", "swish_sign")


@dataclass(frozen=True)
class Binarization:
    """How the 3x3 convolutions see their inputs and weights (Sec. 4.2).

    Attributes:
      name: the name that commands and recipes use.
      activations: "real" as they are, "tanh" squashed, "sign" binarized.
      weights: "real" as they are, "sign" binarized.
    """

    name: str
    activations: Activations
    weights: Weights


BINARIZATIONS = {
    binarization.name: binarization
    for binarization in (
        Binarization("real", activations="real", weights="real"),
        Binarization("soft", activations="tanh", weights="real"),
        Binarization("binary_activations", activations="sign", weights="real"),
        Binarization("binary", activations="sign", weights="sign"),
    )
}

# What of a network of each binarization is one bit wide, for people.
BINARY_PARTS = {
    "real": "nothing",
    "soft": "nothing (tanh)",
    "binary_activations": "activations",
    "binary": "activations, weights",
}


def _check_choice(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(choice or "'' (the name's default)" for choice in allowed)
        raise InputError(f"Network.{field} is {value!r}, expected one of {choices}.")


def _check_count(field: str, value: object) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise InputError(
            f"Network.{field} is {value!r}, expected a whole number of at least 1."
        )


def _check_blocks(blocks: Any) -> None:
    if not isinstance(blocks, tuple | list) or not blocks:
        raise InputError(
            f"Network.blocks is {blocks!r}, expected the number of blocks in each "
            "group, for example (2, 2, 2, 2)."
        )
    for num_blocks in blocks:
        _check_count("blocks", num_blocks)


def _is_real(value: object) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


@dataclass(frozen=True)
class Network:
    """A network by name, binarization and options; equal values build equal networks.

    A real-valued ResNet has no use for the options of binary convolutions and ignores
    them, so that one set of options can describe a teacher and its students.

    Attributes:
      name: an entry of the registry, see `r2b_keras.models.names()`.
      binarization: a key of `BINARIZATIONS`.
      width: channels of the first group; each further group doubles them.
      blocks: residual blocks in each group; (2, 2, 2, 2) is the ResNet-18 layout,
        (1, 1, 1, 1) ResNet-10's, (3, 4, 6, 3) ResNet-34's.
      stem: "imagenet" (7x7 stride 2, max pool), "cifar" (3x3 stride 1) or "small"
        (3x3 stride 2).
      stem_activation: "prelu" or "relu"; not printed in the paper, PReLU is what
        larq-zoo's released weights have.
      downsample: "real" or "binary" 1x1 convolution in the shortcut of a block that
        halves the resolution; always real in a network of binarization "real".
      rescaling: what multiplies a binary convolution's output: "none"; "analytic",
        XNOR-Net's alpha and K (Eq. 1); "channel_scale" and "outer_product_scale",
        the learned Gamma of XNOR-Net++; "gate", G alone; "gate_and_scale", alpha and G
        (Eq. 3). Empty takes the registry's default for the name.
      reduction: r of Sec. 4.3, the bottleneck of the gate.
      gate_width: the bottleneck is C_out / r ("out") or C_in / r ("in").
      activation_binarizer: larq quantizer for activations where they are binarized.
      weight_binarizer: larq quantizer for weights where they are binarized.
      pad_value: what surrounds a binary convolution's input, 0 or 1.
      batch_norm_momentum: share of the running statistics kept at each step. Ours, as
        is the epsilon: the paper prints neither. Both are the defaults of PyTorch, in
        which the authors' later code is written; larq-zoo has 0.99 and 0.001.
      batch_norm_epsilon: added to the variance.
      synchronized_batch_norm: statistics over the whole batch rather than over each
        replica's share of it, while training; a saved network has plain BatchNorm.

    Raises:
      InputError: a value that no network can have; the message names the field.
    """

    name: str
    binarization: str
    width: int = 64
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    stem: str = "imagenet"
    stem_activation: str = "prelu"
    downsample: str = "real"
    rescaling: str = ""
    reduction: int = 8
    gate_width: str = "out"
    activation_binarizer: str = "ste_sign"
    weight_binarizer: str = "ste_sign"
    pad_value: float = 0.0
    batch_norm_momentum: float = 0.9
    batch_norm_epsilon: float = 1e-5
    synchronized_batch_norm: bool = False

    def __post_init__(self) -> None:
        """Refuses values that no network can have."""
        _check_choice("binarization", self.binarization, tuple(BINARIZATIONS))
        _check_choice("stem", self.stem, STEMS)
        _check_choice("stem_activation", self.stem_activation, ("prelu", "relu"))
        _check_choice("downsample", self.downsample, DOWNSAMPLES)
        _check_choice("rescaling", self.rescaling, ("", *RESCALINGS))
        _check_choice("gate_width", self.gate_width, GATE_WIDTHS)
        _check_choice(
            "activation_binarizer", self.activation_binarizer, ACTIVATION_BINARIZERS
        )
        _check_choice("weight_binarizer", self.weight_binarizer, WEIGHT_BINARIZERS)
        for field in ("width", "reduction"):
            _check_count(field, getattr(self, field))
        _check_blocks(self.blocks)
        # A list, as JSON has it, would compare unequal and have no hash.
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if self.pad_value not in (0.0, 1.0):
            raise InputError(
                f"Network.pad_value is {self.pad_value!r}, expected 0 or 1 (the values "
                "that a deployed binary convolution can pad with)."
            )
        momentum, epsilon = self.batch_norm_momentum, self.batch_norm_epsilon
        if not (_is_real(momentum) and 0.0 <= momentum < 1.0):
            raise InputError(
                f"Network.batch_norm_momentum is {momentum!r}, expected a number of at "
                "least 0 and below 1."
            )
        if not (_is_real(epsilon) and epsilon > 0.0):
            raise InputError(
                f"Network.batch_norm_epsilon is {epsilon!r}, expected a number above 0."
            )
        synchronized = self.synchronized_batch_norm
        if not isinstance(synchronized, bool):
            raise InputError(
                f"Network.synchronized_batch_norm is {synchronized!r}, expected true "
                "or false."
            )

    @property
    def rescaling_used(self) -> str:
        """`rescaling`, the name's default where it is empty; of a real ResNet none."""
        if self.binarization == "real":
            return "none"
        return self.rescaling or DEFAULT_RESCALINGS.get(self.name, "")

    def map_layout(self) -> dict[str, object]:
        """What decides how many blocks there are and how large their feature maps."""
        return {"blocks": self.blocks, "stem": self.stem}

    def weight_layout(self) -> dict[str, object]:
        """What decides names and shapes of the weights; no option that is ignored.

        Networks of equal layout can hand over their weights. Real-valued ones have one
        kind of block and all others another, whatever their names.
        """
        real = self.binarization == "real"
        layout = {"name": real, **self.map_layout(), "width": self.width}
        if real:
            return layout
        layout["stem_activation"] = self.stem_activation
        layout["downsample"] = self.downsample
        layout["rescaling"] = self.rescaling_used
        if self.rescaling_used in GATED:
            layout["reduction"] = self.reduction
            layout["gate_width"] = self.gate_width
        return layout
