"""The networks that somebody would take instead, and what is published of all.

Shapes are those of Keras Applications. Weights are random: size, operators and latency
do not depend on them.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from conversion import NUM_CLASSES, SHAPE, randomize

from r2b_keras.environment import tf

_APPLICATIONS = tf.keras.applications
# Pictures that ranges of activations are taken from.
_NUM_PICTURES = 2

SLIM = "github.com/tensorflow/models, research/slim/nets/mobilenet"
QUANTIZE = "github.com/tensorflow/tensorflow, r1.15, contrib/quantize"
LITE = "github.com/tensorflow/tpu, models/official/efficientnet/lite"
LARQ_ZOO = "docs.larq.dev/zoo"


def mobilenet_v2(pictures: tf.Tensor) -> tf.keras.Model:
    """MobileNetV2 of width 1."""
    return _APPLICATIONS.MobileNetV2(**_options(pictures))


def mobilenet_v3_small(pictures: tf.Tensor) -> tf.keras.Model:
    """MobileNetV3-Small of width 1."""
    return _APPLICATIONS.MobileNetV3Small(**_v3_options(pictures))


def mobilenet_v3_large(pictures: tf.Tensor) -> tf.keras.Model:
    """MobileNetV3-Large of width 1."""
    return _APPLICATIONS.MobileNetV3Large(**_v3_options(pictures))


def mobilenet_v3_small_minimalistic(pictures: tf.Tensor) -> tf.keras.Model:
    """The same without gates, 5x5 kernels and hard-swish."""
    return _APPLICATIONS.MobileNetV3Small(minimalistic=True, **_v3_options(pictures))


def mobilenet_v3_large_minimalistic(pictures: tf.Tensor) -> tf.keras.Model:
    """The same without gates, 5x5 kernels and hard-swish."""
    return _APPLICATIONS.MobileNetV3Large(minimalistic=True, **_v3_options(pictures))


def efficientnet_lite0(pictures: tf.Tensor) -> tf.keras.Model:
    """EfficientNet-B0 without gates and with ReLU6, which is Lite0.

    What B0 does to pictures before its first convolution is left out, as Lite0 takes
    them normalised.
    """
    # Kernel, repeats, channels in, channels out, expansion, stride.
    blocks = (
        (3, 1, 32, 16, 1, 1),
        (3, 2, 16, 24, 6, 2),
        (5, 2, 24, 40, 6, 2),
        (3, 3, 40, 80, 6, 2),
        (5, 3, 80, 112, 6, 1),
        (5, 4, 112, 192, 6, 2),
        (3, 1, 192, 320, 6, 1),
    )
    names = "kernel_size repeats filters_in filters_out expand_ratio strides".split()
    model = _APPLICATIONS.EfficientNetB0(
        activation=tf.nn.relu6,
        blocks_args=[
            {**dict(zip(names, block, strict=True)), "id_skip": True, "se_ratio": 0}
            for block in blocks
        ],
        **_options(pictures),
    )
    return tf.keras.Model(model.get_layer("stem_conv_pad").input, model.output)


def _options(pictures: tf.Tensor) -> dict[str, object]:
    """Of every network: random weights, scores without softmax."""
    return {
        "weights": None,
        "input_tensor": pictures,
        "classes": NUM_CLASSES,
        "classifier_activation": None,
    }


def _v3_options(pictures: tf.Tensor) -> dict[str, object]:
    return {"include_preprocessing": False, **_options(pictures)}


@dataclasses.dataclass(frozen=True)
class Peer:
    """A network that others published.

    Attributes:
      title: its name for people.
      build: makes it with random weights, on a tensor of pictures.
      top1: published accuracy on ImageNet in percent, in float.
      source: where that is published.
      int8_top1: the same with integers, None where none is published.
      int8_source: where that is published, if elsewhere.
    """

    title: str
    build: Callable[[tf.Tensor], tf.keras.Model]
    top1: float
    source: str
    int8_top1: float | None = None
    int8_source: str = ""


PEERS = (
    Peer("MobileNetV2", mobilenet_v2, 71.8, SLIM, 70.8, QUANTIZE),
    Peer("MobileNetV3-Large", mobilenet_v3_large, 75.2, SLIM, 73.9),
    Peer(
        "MobileNetV3-Large minimalistic",
        mobilenet_v3_large_minimalistic,
        *(72.3, SLIM, 71.3),
    ),
    Peer("MobileNetV3-Small", mobilenet_v3_small, 67.5, SLIM, 64.9),
    Peer(
        "MobileNetV3-Small minimalistic",
        mobilenet_v3_small_minimalistic,
        *(61.9, SLIM),
    ),
    Peer("EfficientNet-Lite0", efficientnet_lite0, 75.1, LITE, 74.4),
)


def build(peer: Peer) -> tf.keras.Model:
    """The network for one picture, with weights as a trained one might have them."""
    tf.keras.utils.set_random_seed(0)
    model = peer.build(tf.keras.Input(SHAPE, batch_size=1))
    randomize(model)
    return model


def to_float(model: tf.keras.Model) -> bytes:
    """A float32 flatbuffer, by TensorFlow's converter."""
    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def to_int8(model: tf.keras.Model) -> bytes:
    """Full-integer post-training quantization, ranges taken from random pictures.

    It takes pixels, uint8, and gives scores in float32.
    """

    def pictures() -> Iterator[list[np.ndarray]]:
        generator = np.random.default_rng(0)
        for _ in range(_NUM_PICTURES):
            yield [generator.normal(size=(1, *SHAPE)).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = pictures
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    return bytes(converter.convert())
