"""Small random networks with binary layers in all the places where they can be."""

import binary_networks as nets
import numpy as np

from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.models.layers import ChannelScale, OuterProductScale

layers = tf.keras.layers
NUM_IMAGES = 8
# Rounding may turn a sign, of one image at the very most.
MAY_DIFFER = 1
ROUNDING = 1e-4
# All that are built get binary inputs.
BINARY = (lq.layers.QuantConv2D, lq.layers.QuantDense)
# Without XNNPACK, Larq Compute Engine's interpreter (0.16) overwrites a tensor that it
# reshapes and that something else still reads.
ENGINES = ("lce_indirect_xnnpack", "r2b_runtime")
REAL, SIGNS, PADDED = "real", "signs", "padded signs"


class Offset(layers.Layer):
    """Adds a number to each pixel and channel, as large as sums of signs are."""

    def build(self, input_shape):
        self.map = self.add_weight(
            name="map", shape=input_shape[1:], initializer="random_normal"
        )
        # One number that does nothing is no reason to drop the others.
        self.map[0, 0, 0].assign(0.0)

    def call(self, inputs):
        return inputs + 100 * self.map


class Factor(OuterProductScale):
    """Factors of both signs."""

    def build(self, input_shape):
        super().build(input_shape)
        for weight in self.weights:
            weight.assign(tf.random.uniform(weight.shape, -1, 1))


def where(x):
    return tf.where(x >= 0, 1.0, -1.0)


class Builder:
    """Grows a network at random; `kind` says what its last tensor holds."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        tf.keras.utils.set_random_seed(seed)

    def one_of(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, share):
        return self.rng.random() < share

    def build(self):
        """The network."""
        size = [int(n) for n in self.rng.integers(2, 9, 2)]
        image = x = tf.keras.Input((*size, int(self.one_of(1, 3, 8, 32, 33, 64))))
        kind, earlier, outputs = REAL, [], []
        for _ in range(self.rng.integers(2, 9)):
            earlier.append((x, kind))
            step = self.one_of(*self.steps(kind))
            x, kind = step(x, kind, earlier)
            if self.chance(0.15) and x is not image:
                outputs.append(x)
            if self.chance(0.1):
                x, kind = earlier[self.rng.integers(len(earlier))]
        x, kind = self.binary_convolution(x, kind, earlier)
        if self.chance(0.4):
            x, kind = self.dense(x, kind)
        model = nets.one_output(image, [*outputs, x])
        if self.chance(0.15):
            outer = tf.keras.Input(image.shape[1:])
            model = tf.keras.Model(outer, layers.ReLU()(model(layers.PReLU()(outer))))
        return nets.randomize(model, int(self.rng.integers(1000)))

    def steps(self, kind):
        both = [self.binary_convolution] * 3 + [self.pool, self.pad, self.join]
        both += [self.reshape, self.keep]
        if kind == REAL:
            return [*both, *[self.real] * 6, self.sign, self.sign]
        return [*both, self.binary_convolution, self.add]

    def binary_convolution(self, x, kind, earlier):
        channels = x.shape[-1]
        options = {
            "kernel_size": tuple(int(n) for n in self.rng.integers(1, 5, 2)),
            "padding": self.one_of("same", "valid"),
            "pad_values": self.one_of(0.0, 1.0),
            "strides": int(self.one_of(1, 1, 2)),
            "use_bias": self.chance(0.3),
            "bias_initializer": "random_normal",
            "activation": self.one_of(None, None, "relu", where),
            "kernel_quantizer": self.one_of(
                *("ste_sign", "ste_sign", "approx_sign", "magnitude_aware_sign")
            ),
        }
        if options["strides"] == 1:
            options["dilation_rate"] = int(self.one_of(1, 1, 2))
        reach = [
            (k - 1) * options.get("dilation_rate", 1) for k in options["kernel_size"]
        ]
        if any(n <= r for n, r in zip(x.shape[1:3], reach, strict=True)):
            options["padding"] = "same"
        if channels % 64 == 0 and self.chance(0.5):
            options["groups"] = 2
        sign = self.one_of("ste_sign", "approx_sign", "swish_sign", where)
        quantizer = sign if kind == REAL or self.chance(0.3) else None
        filters = int(self.one_of(2, 5, 8, 32, 34))
        options["filters"] = (
            filters // options.get("groups", 1) * options.get("groups", 1)
        )
        # Without, sums in Keras are 0 but for rounding, of which signs are taken.
        options["use_bias"] |= options["kernel_quantizer"] == "magnitude_aware_sign"
        x = nets.binary_convolution(input_quantizer=quantizer, **options)(x)
        return x, SIGNS if options["activation"] is where else REAL

    def dense(self, x, kind):
        if self.chance(0.7):
            x = self.one_of(layers.Flatten, layers.GlobalMaxPooling2D)()(x)
        if kind == REAL and self.chance(0.3):
            x, kind = lq.quantizers.SteSign()(x), SIGNS
        quantizer = "ste_sign" if kind == REAL or self.chance(0.3) else None
        x = lq.layers.QuantDense(
            int(self.one_of(3, 8, 33)),
            **{**nets.BINARY, "input_quantizer": quantizer},
            use_bias=self.chance(0.5),
            bias_initializer="random_normal",
            activation=self.one_of(None, "relu"),
        )(x)
        if self.chance(0.5):
            x = nets.batch_norm()(x)
        return x, REAL

    def real(self, x, kind, earlier):
        layer = self.one_of(
            *(nets.batch_norm, nets.batch_norm, layers.ReLU, ChannelScale, Offset),
            *(Factor, lambda: layers.Conv2D(8, 1), layers.PReLU),
            lambda: layers.AveragePooling2D(2, 1, padding="same"),
        )
        return layer()(x), REAL

    def sign(self, x, kind, earlier):
        layer = self.one_of(
            lq.quantizers.SteSign,
            lq.quantizers.ApproxSign,
            lambda: layers.Lambda(where),
        )
        return layer()(x), SIGNS

    def pool(self, x, kind, earlier):
        strides = int(self.one_of(1, 2))
        x = layers.MaxPooling2D(
            2,
            strides,
            padding=self.one_of("same", "valid") if min(x.shape[1:3]) > 1 else "same",
        )(x)
        return x, kind

    def pad(self, x, kind, earlier):
        if max(x.shape[1:3]) > 12:
            return x, kind
        x = layers.ZeroPadding2D(self.one_of(1, ((1, 0), (0, 2))))(x)
        return x, PADDED if kind == SIGNS else kind

    def join(self, x, kind, earlier):
        same = [(y, k) for y, k in earlier if y.shape[1:3] == x.shape[1:3]]
        if not same or x.shape[-1] > 64:
            return x, kind
        y, other = same[self.rng.integers(len(same))]
        kinds = {kind, other}
        x = layers.Concatenate()([x, y])
        if REAL in kinds:
            return x, REAL
        return x, kind if kinds == {kind} else PADDED

    def add(self, x, kind, earlier):
        same = [y for y, _ in earlier if y.shape == x.shape]
        if not same:
            return x, kind
        return layers.Add()([x, same[self.rng.integers(len(same))]]), REAL

    def reshape(self, x, kind, earlier):
        height, width, channels = x.shape[1:]
        if channels % 2 == 0 and self.chance(0.5):
            return layers.Reshape((height, 2 * width, channels // 2))(x), kind
        return layers.UpSampling2D(1 + (max(height, width) < 6))(x), kind

    def keep(self, x, kind, earlier):
        return layers.Dropout(0.5)(x), kind


def check(seed):
    """Converts a network and compares.

    Returns:
      Why it was refused, None where it was converted.

    Raises:
      AssertionError: the flatbuffer is not what the network is.
    """
    model = Builder(seed).build()
    try:
        flatbuffer = convert(model)
    except InputError as error:
        assert "\n" not in str(error)
        return str(error)
    found = count_operators(flatbuffer)["LceBconv2d"]
    wanted = sum(isinstance(layer, BINARY) for layer in model.submodules)
    assert found == wanted, (found, wanted)
    images = nets.random_images(model.input_shape[1:], NUM_IMAGES)
    images[1::2] = np.maximum(images[1::2], 0)
    expected = model(images, training=False).numpy()
    for name in ENGINES:
        scores = nets.run(flatbuffer, images, name)
        error = np.abs(scores - expected).max(axis=1)
        wrong = ~(error <= ROUNDING * np.abs(expected).max())
        assert wrong.sum() <= MAY_DIFFER, (name, wrong.sum(), error)
    return None
