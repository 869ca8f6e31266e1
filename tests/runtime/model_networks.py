"""Networks for the runtime's tests: ours, and some in the manner of larq-zoo's.

Weights are random, but as training leaves them: BatchNorm's statistics are those of
random images, a tenth of its gammas is negative.
"""

from collections.abc import Callable

import numpy as np

from r2b_keras import recipes
from r2b_keras.environment import lq, tf
from r2b_keras.models import build_network, larq_zoo

layers = tf.keras.layers
_BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "kernel_initializer": "glorot_normal",
    "use_bias": False,
}
_NUM_CLASSES = 10


def digits() -> tf.keras.Model:
    """The last stage of the digits recipe: 8x8 images, three groups of blocks."""
    return _student("digits")


def fashion_mnist() -> tf.keras.Model:
    return _student("fashion_mnist")


def _student(name: str) -> tf.keras.Model:
    recipe = recipes.get(name)
    student = recipe.stages[-1].student
    return build_network(student, recipe.data.image_shape, _NUM_CLASSES)


def real_to_binary_64() -> tf.keras.Model:
    """Real-to-Binary ResNet-18 with larq-zoo's choices, on small images."""
    return build_network(larq_zoo.NETWORK, (64, 64, 3), _NUM_CLASSES)


def real_to_binary_224() -> tf.keras.Model:
    return build_network(larq_zoo.NETWORK, (224, 224, 3), 1000)


def quick_net() -> tf.keras.Model:
    """QuickNet: a padding with ones, ReLU before BatchNorm, blurred transitions."""
    image = tf.keras.Input((64, 64, 3))
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False)(image)
    x = layers.ReLU()(_batch_norm()(x))
    x = layers.DepthwiseConv2D(3, 2, "same", use_bias=False)(x)
    x = _batch_norm()(x)
    x = _batch_norm()(layers.Conv2D(32, 1, use_bias=False)(x))
    for section, width in enumerate((32, 64, 96)):
        if section:
            x = layers.MaxPool2D(3, 1, "same")(layers.ReLU()(x))
            x = layers.DepthwiseConv2D(3, 2, "same", use_bias=False)(x)
            x = _batch_norm()(layers.Conv2D(width, 1, use_bias=False)(x))
        for _ in range(2):
            y = _binary(width, pad_values=1.0, activation="relu")(x)
            x = layers.Add()([x, _batch_norm()(y)])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return _classifier(image, x)


def alex_net() -> tf.keras.Model:
    """BinaryAlexNet: packed outputs of convolutions, maxima of packed maps, strides."""
    image = tf.keras.Input((48, 40, 3))
    x = layers.Conv2D(32, 5, 2, "same", use_bias=False)(image)
    x = layers.MaxPool2D(3, 2, "same")(_batch_norm()(x))
    x = _batch_norm()(_binary(64, 5, pad_values=1.0)(x))
    x = layers.MaxPool2D(3, 2, "same")(x)
    x = _batch_norm()(_binary(96, pad_values=1.0)(x))
    x = _batch_norm()(_binary(33, pad_values=1.0, strides=(1, 2))(x))
    x = layers.MaxPool2D(2, 1)(x)
    x = _batch_norm()(_binary(65, (2, 1), padding="valid")(x))
    x = layers.GlobalAveragePooling2D()(x)
    return _classifier(image, x)


def dense_net() -> tf.keras.Model:
    """BinaryDenseNet: new channels are put beside the old ones; dilation, groups."""
    image = tf.keras.Input((32, 36, 3))
    x = _batch_norm()(layers.Conv2D(32, 3, 2, "same", use_bias=False)(image))
    for dilation in (1, 2):
        for _ in range(2):
            y = _binary(16, dilation_rate=dilation)(_batch_norm()(x))
            x = layers.Concatenate()([x, y])
        x = layers.ReLU()(layers.MaxPool2D(2)(x))
        x = layers.Conv2D(64, 1, use_bias=False)(_batch_norm()(x))
    y = _binary(64, pad_values=1.0, groups=2)(_batch_norm()(x))
    x = layers.Add()([x, layers.PReLU(shared_axes=(1, 2))(y)])
    return _classifier(image, layers.GlobalAveragePooling2D()(x))


NETWORKS: dict[str, Callable[[], tf.keras.Model]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "real_to_binary_64": real_to_binary_64,
    "quick_net": quick_net,
    "alex_net": alex_net,
    "dense_net": dense_net,
    "real_to_binary_224": real_to_binary_224,
}


def build(name: str) -> tf.keras.Model:
    """One of `NETWORKS` with its weights drawn."""
    tf.keras.utils.set_random_seed(20200426)
    model = NETWORKS[name]()
    _randomize(model, np.random.default_rng(20200426))
    return model


def _binary(
    filters: int, kernel_size: int | tuple[int, int] = 3, **options: object
) -> layers.Layer:
    options = {"padding": "same", "pad_values": 0.0, **_BINARY, **options}
    return lq.layers.QuantConv2D(filters, kernel_size, **options)


def _batch_norm() -> layers.Layer:
    return layers.BatchNormalization(momentum=0.0, epsilon=1e-3)


def _classifier(image: tf.Tensor, x: tf.Tensor) -> tf.keras.Model:
    scores = layers.Softmax()(layers.Dense(_NUM_CLASSES)(x))
    return tf.keras.Model(image, scores)


def _randomize(model: tf.keras.Model, generator: np.random.Generator) -> None:
    """Draws what starts at 0 or 1, then sets the statistics to those of images."""
    for layer in model.submodules:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.gamma.shape
            sign = np.where(generator.random(shape) < 0.1, -1, 1)
            layer.gamma.assign(sign * generator.uniform(0.5, 1.5, shape))
            layer.beta.assign(generator.normal(0, 0.3, shape))
            layer.momentum = 0.0
        elif isinstance(layer, layers.PReLU):
            layer.alpha.assign(generator.uniform(0, 0.5, layer.alpha.shape))
    images = generator.normal(size=(8, *model.input_shape[1:])).astype(np.float32)
    model(images, training=True)
