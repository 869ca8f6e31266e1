"""What a network is, as frozen values, and the parts that it can be made of.

Nothing here imports TensorFlow, so recipes can be listed and checked at once: code is
named, "module:name", and imported when a network is built. A part of one's own is one
more entry, there before the first recipe that names it is read:

    RESCALINGS["my_scale"] = Rescaling("my_module:rescale")
    BINARIZERS["my_sign"] = "my_module:MySign"
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from r2b_keras.checks import (
    one_of,
    require,
    require_choice,
    require_count,
    require_flag,
    require_fraction_below_1,
    require_positive,
)
from r2b_keras.errors import InputError


@dataclass(frozen=True)
class Binarization:
    """How the 3x3 convolutions see their inputs and weights (Sec. 4.2).

    Attributes:
      activations: "real" as they are, "tanh" squashed, "sign" binarized.
      weights: "real" as they are, "sign" binarized.
      binary_parts: what is one bit wide, for people.
    """

    activations: Literal["real", "tanh", "sign"]
    weights: Literal["real", "sign"]
    binary_parts: str


BINARIZATIONS = {
    "real": Binarization("real", "real", "nothing"),
    "soft": Binarization("tanh", "real", "nothing (tanh)"),
    "binary_activations": Binarization("sign", "real", "activations"),
    "binary": Binarization("sign", "sign", "activations, weights"),
}


@dataclass(frozen=True)
class Rescaling:
    """What multiplies a binary convolution's output.

    Attributes:
      layers: the function that adds its layers, "module:name", see
        `r2b_keras.models.rescalings`; empty for none.
      gated: whether it has a gate, whose bottleneck `Network` describes.
      absorbs_magnitude: whether `Stage.absorb_magnitude` may be on: the size of the
        weights is in a layer's `factor_per_channel`, or in their own binarizer.
      weight_binarizer: a binarizer of weights that goes with it, "module:name", in
        place of the network's; one with the size of the weights in it.
    """

    layers: str = ""
    gated: bool = False
    absorbs_magnitude: bool = False
    weight_binarizer: str = ""


_RESCALINGS = "r2b_keras.models.rescalings"
# "analytic" is XNOR-Net's alpha and K (Eq. 1), "channel_scale" and
# "outer_product_scale" the learned Gamma of XNOR-Net++, "gate" G alone and
# "gate_and_scale" alpha and G (Eq. 3).
RESCALINGS = {
    "none": Rescaling(),
    "analytic": Rescaling(
        f"{_RESCALINGS}:activation_scale",
        absorbs_magnitude=True,
        weight_binarizer="r2b_keras.models.binarizers:MagnitudeAwareSign",
    ),
    "channel_scale": Rescaling(f"{_RESCALINGS}:channel_scale", absorbs_magnitude=True),
    "outer_product_scale": Rescaling(
        f"{_RESCALINGS}:outer_product_scale", absorbs_magnitude=True
    ),
    "gate": Rescaling(f"{_RESCALINGS}:gate", gated=True),
    "gate_and_scale": Rescaling(
        f"{_RESCALINGS}:gate_and_scale", gated=True, absorbs_magnitude=True
    ),
}

# Quantizers of larq's kind, of activations and of weights, "module:class".
BINARIZERS = {
    "ste_sign": "larq.quantizers:SteSign",
    "approx_sign": "larq.quantizers:ApproxSign",
    "swish_sign": "larq.quantizers:SwishSign",
}


@dataclass(frozen=True)
class Family:
    """Networks of one name.

    Attributes:
      block: the function that makes a residual block, "module:name".
      binarizations: those that it can be built with.
      rescaling: what an empty `Network.rescaling` means.
      stem_activation: "relu", "prelu", or empty for what the network says.
    """

    block: str
    binarizations: tuple[str, ...]
    rescaling: str
    stem_activation: str = ""


_BINARY_BLOCK = "r2b_keras.models.blocks:binary_block"
_BINARY = ("soft", "binary_activations", "binary")
# Sec. 4.1 takes XNOR-Net++'s factors for the strong baseline without saying which of
# its cases; one per channel costs nothing once deployed.
FAMILIES = {
    "resnet18": Family("r2b_keras.models.blocks:real_block", ("real",), "none", "relu"),
    "real_to_binary18": Family(_BINARY_BLOCK, _BINARY, "gate_and_scale"),
    "strong_baseline18": Family(_BINARY_BLOCK, _BINARY, "channel_scale"),
}
DOWNSAMPLES = ("real", "binary")
# How the layers that stay real compute.
REAL_LAYERS = ("float", "integer")
# How many pixels of a picture, in height and in width, become one behind a stem.
STEMS = {"imagenet": 4, "cifar": 1, "small": 2, "quicknet": 4}
_CHOICES: dict[str, Iterable[str]] = {
    "binarization": BINARIZATIONS,
    "stem": STEMS,
    "stem_activation": ("prelu", "relu"),
    "downsample": DOWNSAMPLES,
    "real_layers": REAL_LAYERS,
    "gate_width": ("out", "in"),
    "activation_binarizer": BINARIZERS,
    "weight_binarizer": BINARIZERS,
}


@dataclass(frozen=True)
class Network:
    """A network by name, binarization and options; equal values build equal networks.

    A real-valued ResNet has no use for the options of binary convolutions and ignores
    them, so that one set of options can describe a teacher and its students.

    Attributes:
      name: a key of `FAMILIES`.
      binarization: a key of `BINARIZATIONS`, one that the name has.
      width: channels of the first group; each further group doubles them.
      blocks: residual blocks in each group; (2, 2, 2, 2) is the ResNet-18 layout,
        (1, 1, 1, 1) ResNet-10's, (3, 4, 6, 3) ResNet-34's.
      stem: "imagenet" (7x7 stride 2, max pool), "cifar" (3x3 stride 1), "small" (3x3
        stride 2) or "quicknet" (3x3 stride 2, depthwise 3x3 stride 2, 1x1), a
        thirteenth of the arithmetic of "imagenet", for a width that 4 divides.
      stem_activation: "prelu" or "relu"; not printed in the paper, PReLU is what
        larq-zoo's released weights have.
      downsample: "real" or "binary" 1x1 convolution in the shortcut of a block that
        halves the resolution; always real in a network of binarization "real".
      rescaling: a key of `RESCALINGS`; empty takes the name's default.
      reduction: r of Sec. 4.3, the bottleneck of the gate.
      gate_width: the bottleneck is C_out / r ("out") or C_in / r ("in").
      activation_binarizer: a key of `BINARIZERS`, used where activations are binarized.
      weight_binarizer: a key of `BINARIZERS`, used where weights are binarized.
      pad_value: what surrounds a binary convolution's input, 0 or 1.
      batch_norm_momentum: share of the running statistics kept at each step. Ours, as
        is the epsilon: the paper prints neither. Both are the defaults of PyTorch, in
        which the authors' later code is written; larq-zoo has 0.99 and 0.001.
      batch_norm_epsilon: added to the variance.
      synchronized_batch_norm: statistics over the whole batch rather than over each
        replica's share of it, while training; a saved network has plain BatchNorm.
      real_layers: "float", or "integer": stem, real downsampling and classifier have
        weights of 7 bits and inputs of 8, in training too, see
        `r2b_keras.models.integers`. Gates and the depthwise convolution of the stem
        "quicknet" stay real-valued. Ours.

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
    real_layers: str = "float"

    def __post_init__(self) -> None:
        """Refuses values that no network can have."""
        if self.name not in FAMILIES:
            raise InputError(
                f"Network.name is {self.name!r}, {one_of(self.name, FAMILIES)}"
            )
        for field, choices in _CHOICES.items():
            require_choice(f"Network.{field}", getattr(self, field), choices)
        if self.rescaling:
            require_choice("Network.rescaling", self.rescaling, RESCALINGS)
        known = self.family.binarizations
        if self.binarization not in known:
            raise InputError(
                f"Network {self.name!r} has no binarization {self.binarization!r}, "
                f"expected one of {', '.join(known)}."
            )
        for field in ("width", "reduction"):
            require_count(f"Network.{field}", getattr(self, field))
        fits = self.stem != "quicknet" or self.width % 4 == 0
        expected = "a multiple of 4 with the stem 'quicknet'"
        require(fits, "Network.width", self.width, expected)
        self._check_blocks()
        # A list, as JSON has it, would compare unequal and have no hash.
        object.__setattr__(self, "blocks", tuple(self.blocks))
        # The values that a deployed binary convolution can pad with.
        padding = self.pad_value
        require(padding in (0.0, 1.0), "Network.pad_value", padding, "0 or 1")
        momentum, epsilon = self.batch_norm_momentum, self.batch_norm_epsilon
        require_fraction_below_1("Network.batch_norm_momentum", momentum)
        require_positive("Network.batch_norm_epsilon", epsilon)
        synchronized = self.synchronized_batch_norm
        require_flag("Network.synchronized_batch_norm", synchronized)

    def _check_blocks(self) -> None:
        blocks: Any = self.blocks
        require(
            isinstance(blocks, tuple | list) and len(blocks) > 0,
            "Network.blocks",
            blocks,
            "the number of blocks in each group, for example (2, 2, 2, 2)",
        )
        for num_blocks in blocks:
            require_count("Network.blocks", num_blocks)

    @property
    def family(self) -> Family:
        """What networks of its name have in common."""
        return FAMILIES[self.name]

    @property
    def rescaling_used(self) -> str:
        """`rescaling`, the name's default where it is empty; of a real ResNet none."""
        if self.binarization == "real":
            return "none"
        return self.rescaling or self.family.rescaling

    def code(self) -> dict[str, str]:
        """The code that it is built of, "module:name", by the entry that names it."""
        binarization, rescaling = BINARIZATIONS[self.binarization], self.rescaling_used
        found = {f"FAMILIES[{self.name!r}].block": self.family.block}
        layers = RESCALINGS[rescaling].layers
        if layers:
            found[f"RESCALINGS[{rescaling!r}].layers"] = layers
        own = RESCALINGS[rescaling].weight_binarizer
        if binarization.weights == "sign" and own:
            found[f"RESCALINGS[{rescaling!r}].weight_binarizer"] = own
        if binarization.activations == "sign":
            name = self.activation_binarizer
            found[f"BINARIZERS[{name!r}]"] = BINARIZERS[name]
        if binarization.weights == "sign" and not own:
            name = self.weight_binarizer
            found[f"BINARIZERS[{name!r}]"] = BINARIZERS[name]
        return found

    def map_layout(self) -> dict[str, object]:
        """What decides how many blocks there are and how large their feature maps."""
        return {"blocks": self.blocks, "stem": STEMS[self.stem]}

    def weight_layout(self) -> dict[str, object]:
        """What decides names and shapes of the weights; no option that is ignored.

        Networks of equal layout can hand over their weights. Real-valued ones have one
        kind of block and all others another, whatever their names. Integer layers have
        the weights of real ones.
        """
        real = self.binarization == "real"
        layout = {"name": real, "blocks": self.blocks, "stem": self.stem}
        layout["width"] = self.width
        if real:
            return layout
        layout["stem_activation"] = self.stem_activation
        layout["downsample"] = self.downsample
        layout["rescaling"] = self.rescaling_used
        if RESCALINGS[self.rescaling_used].gated:
            layout["reduction"] = self.reduction
            layout["gate_width"] = self.gate_width
        return layout
