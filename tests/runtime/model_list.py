"""The networks that are written as files, and how; names only, no TensorFlow."""

from dataclasses import dataclass

BINARY = frozenset(("LceQuantize", "LceDequantize", "LceBconv2d", "LceBMaxPool2d"))
# Operators that round at most once, so that all engines agree to the bit.
EXACT = BINARY | {"ADD", "MUL", "SUB", "PRELU", "RELU", "MAX_POOL_2D", "CONCATENATION"}
# What the delegate computes, with sums in an order of its own, the same everywhere.
# Other operators are LiteRT's own, in an order that depends on the machine.
CLAIMED = BINARY | frozenset(
    "ADD AVERAGE_POOL_2D CONV_2D DEQUANTIZE FULLY_CONNECTED LOGISTIC MAX_POOL_2D MUL "
    "RELU RELU_N1_TO_1 RELU6 SOFTMAX MEAN SUB PRELU CAST FLOOR MAXIMUM MINIMUM".split()
)
# Images of each file, the batch divides it.
NUM_IMAGES = 6


@dataclass(frozen=True)
class ModelFile:
    """A network of `model_networks`, how it is converted, the batch it is run with.

    `int8` makes all activations int8. `exact` keeps the longest row of operators whose
    results do not depend on an order of additions. `kernel` is Larq Compute Engine's.
    """

    network: str
    real_weights: str = "float32"
    batch: int = 1
    int8: bool = False
    exact: bool = False
    kernel: str = "default"

    @property
    def name(self) -> str:
        words = [self.network, "int8_graph" if self.int8 else self.real_weights]
        words += ["exact"] if self.exact else []
        return "-".join([*words, *([f"batch{self.batch}"] if self.batch > 1 else [])])


FILES = (
    ModelFile("digits"),
    ModelFile("digits", "float16"),
    ModelFile("digits", "int8"),
    ModelFile("digits", batch=3),
    ModelFile("fashion_mnist"),
    ModelFile("fashion_mnist", "int8", batch=2),
    ModelFile("real_to_binary_64"),
    ModelFile("real_to_binary_64", "float16"),
    ModelFile("real_to_binary_64", "int8", batch=3),
    ModelFile("quick_net"),
    ModelFile("quick_net", batch=3),
    ModelFile("quick_net", int8=True),
    ModelFile("alex_net"),
    ModelFile("alex_net", "int8", batch=2),
    ModelFile("alex_net", int8=True),
    ModelFile("quick_net", exact=True),
    ModelFile("alex_net", exact=True, batch=3),
    ModelFile("dense_net", exact=True, batch=2, kernel="indirect"),
    # Larq Compute Engine's default kernel has no groups.
    ModelFile("dense_net", kernel="indirect"),
    ModelFile("dense_net", "float16", batch=2, kernel="indirect"),
)
# Takes a minute, and under emulation many.
LARGE_FILES = (ModelFile("real_to_binary_224"),)
