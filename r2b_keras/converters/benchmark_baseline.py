"""The real-valued network that a binary one is compared with."""

from r2b_keras.converters import card, engines
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.networks import Network

SEED = 0
# What decides about the time that a network takes, and is the same in both.
LAYOUT = ("width", "blocks", "stem")
NAME = "real ResNet (random weights)"


def float_baseline(flatbuffer: bytes) -> bytes:
    """Makes the real-valued ResNet of the same images and classes as a given network.

    Width, blocks and stem are those of the network in the file's model card. Its
    weights are random, and training would change nothing about its latency, memory and
    size.

    Args:
      flatbuffer: content of a `.tflite` file.

    Returns:
      The real-valued network, as a flatbuffer.

    Raises:
      InputError: the file is no network for images, or a damaged one, or its card does
        not tell the layout.
    """
    from r2b_keras.converters.flatbuffer import convert
    from r2b_keras.models import build_network

    given = engines.load(flatbuffer)
    height, width, channels = given.input_shape[1:]
    network = layout(card.read(flatbuffer))
    tf.keras.utils.set_random_seed(SEED)
    return convert(build_network(network, (height, width, channels), given.num_classes))


def layout(model_card: card.ModelCard | None) -> Network:
    """The real-valued network with the layout that the card tells.

    Raises:
      InputError: it tells none, as that of a Keras file does.
    """
    known = (model_card and model_card.network) or {}
    if any(key not in known for key in LAYOUT):
        raise InputError(
            f"The first model does not say its network's {', '.join(LAYOUT)}, which a "
            "real-valued ResNet to compare it with is to have: convert it with the "
            "--workdir it was trained in, or leave --float_baseline out."
        )
    return Network("resnet18", "real", **{key: known[key] for key in LAYOUT})
