"""What a network is, as frozen values: its precision and its options.

Nothing here imports TensorFlow, so recipes can be listed and checked at once.
"""

from dataclasses import dataclass
from typing import Literal

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
STEMS = ("imagenet", "cifar", "small")
DOWNSAMPLES = ("real", "binary")
GATE_WIDTHS = ("out", "in")
ACTIVATION_BINARIZERS = ("ste_sign", "approx_sign", "swish_sign")
WEIGHT_BINARIZERS = ("ste_sign", "approx_sign", "swish_sign")


@dataclass(frozen=True)
class Precision:
    """How the 3x3 convolutions see their inputs and weights (Sec. 4.2).

    Attributes:
      name: the name that commands and recipes use.
      activations: "real" as they are, "tanh" squashed, "sign" binarized.
      weights: "real" as they are, "sign" binarized.
    """

    name: str
    activations: Activations
    weights: Weights


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("real", activations="real", weights="real"),
        Precision("soft", activations="tanh", weights="real"),
        Precision("binary_activations", activations="sign", weights="real"),
        Precision("binary", activations="sign", weights="sign"),
    )
}


def _check_choice(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(
            f"Network.{field} is {value!r}, expected one of {', '.join(allowed)}."
        )


@dataclass(frozen=True)
class Network:
    """A network by name, precision and options; equal values build equal networks.

    Attributes:
      name: an entry of the registry, see `r2b_keras.models.names()`.
      precision: a key of `PRECISIONS`.
      width: channels of the first group; each further group doubles them.
      blocks: residual blocks in each group; (2, 2, 2, 2) is the ResNet-18 layout,
        (1, 1, 1, 1) ResNet-10's, (3, 4, 6, 3) ResNet-34's.
      stem: "imagenet" (7x7 stride 2, max pool), "cifar" (3x3 stride 1) or "small"
        (3x3 stride 2).
      stem_activation: "prelu" or "relu"; not printed in the paper, PReLU is what
        larq-zoo's released weights have.
      downsample: "real" or "binary" 1x1 convolution in the shortcut of a block that
        halves the resolution.
      rescaling: what multiplies a binary convolution's output: "none"; "analytic",
        XNOR-Net's alpha and K (Eq. 1); "channel_scale" and "outer_product_scale",
        the learned Gamma of XNOR-Net++; "gate", G alone; "gate_and_scale", alpha and G
        (Eq. 3). Empty takes the registry's default for the name.
      reduction: r of Sec. 4.3, the bottleneck of the gate.
      gate_width: the bottleneck is C_out / r ("out") or C_in / r ("in").
      activation_binarizer: larq quantizer for activations where they are binarized.
      weight_binarizer: larq quantizer for weights where they are binarized.
      pad_value: what surrounds a binary convolution's input, 0 or 1.
      batch_norm_momentum: share of the running statistics kept at each step.
      batch_norm_epsilon: added to the variance.

    Raises:
      InputError: a value that no network can have; the message names the field.
    """

    name: str
    precision: str
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

    def __post_init__(self) -> None:
        """Refuses values that no network can have."""
        _check_choice("precision", self.precision, tuple(PRECISIONS))
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
            if getattr(self, field) < 1:
                raise InputError(
                    f"Network.{field} is {getattr(self, field)}, expected at least 1."
                )
        if not self.blocks or min(self.blocks) < 1:
            raise InputError(
                f"Network.blocks is {self.blocks}, expected one or more groups of at "
                "least one block, for example (2, 2, 2, 2)."
            )
        if self.pad_value not in (0.0, 1.0):
            raise InputError(
                f"Network.pad_value is {self.pad_value}, expected 0 or 1 (the values "
                "that a deployed binary convolution can pad with)."
            )
        if not 0.0 <= self.batch_norm_momentum < 1.0:
            raise InputError(
                f"Network.batch_norm_momentum is {self.batch_norm_momentum}, expected "
                "at least 0 and below 1."
            )
        if self.batch_norm_epsilon <= 0.0:
            raise InputError(
                f"Network.batch_norm_epsilon is {self.batch_norm_epsilon}, expected a "
                "positive number."
            )
