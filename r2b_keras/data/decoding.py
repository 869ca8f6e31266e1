"""From the bytes of a JPEG or PNG file to an image of the network's size."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from r2b_keras.data.augmentation import CROP_AREA, CROP_ASPECT_RATIO
from r2b_keras.environment import tf

if TYPE_CHECKING:
    import tensorflow as tf

# The usual evaluation on ImageNet: shorter side to 256, of which the middle 224.
CENTRAL_SHARE = 224 / 256
LARGEST_PLAIN_SHRINKING = 2.0
# As Pillow decodes JPEG, with which a converted network sees its pictures. TensorFlow's
# own choice, the fast transform, is off by 0.8 of a level on average.
DCT_METHOD = "INTEGER_ACCURATE"


def decode(encoded: "tf.Tensor | bytes", channels: int) -> "tf.Tensor":
    """A whole image.

    Args:
      encoded: scalar string, the content of a JPEG or PNG file.
      channels: 1 for grey, 3 for RGB.

    Returns:
      [height, width, channels] uint8.
    """
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=channels, dct_method=DCT_METHOD),
        lambda: tf.io.decode_png(encoded, channels=channels),
    )


def decode_center(encoded: "tf.Tensor", shape: tuple[int, int, int]) -> "tf.Tensor":
    """The central part of an image, the shorter side cut to 224 / 256 of its length.

    The same as scaling the shorter side to the network's size times 256 / 224 and
    cutting the middle out, without scaling what is thrown away.

    Args:
      encoded: scalar string, the content of a JPEG or PNG file.
      shape: (height, width, channels) wanted; the window has this aspect ratio.

    Returns:
      [*shape] uint8.
    """
    height, width, _ = shape

    def window(size: "tf.Tensor") -> "tf.Tensor":
        available = tf.cast(size, tf.float32)
        scale = CENTRAL_SHARE * tf.minimum(available[0] / height, available[1] / width)
        kept = tf.maximum(
            tf.cast(tf.round([scale * height, scale * width]), tf.int32), 1
        )
        return tf.concat([(size - kept) // 2, kept], axis=0)

    return _decode_window(encoded, shape, window)


def decode_random_crop(
    encoded: "tf.Tensor", shape: tuple[int, int, int], seed: "tf.Tensor"
) -> "tf.Tensor":
    """A random window, 8 to 100 % of the area, aspect ratio 3/4 to 4/3, resized.

    Of a JPEG only the window is decoded.

    Args:
      encoded: scalar string, the content of a JPEG or PNG file.
      shape: (height, width, channels) wanted.
      seed: [2] int64.

    Returns:
      [*shape] uint8.
    """

    def window(size: "tf.Tensor") -> "tf.Tensor":
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.concat([size, [3]], axis=0),
            bounding_boxes=tf.zeros([1, 0, 4]),
            seed=seed,
            min_object_covered=0.0,
            aspect_ratio_range=CROP_ASPECT_RATIO,
            area_range=CROP_AREA,
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat([begin[:2], extent[:2]], axis=0)

    return _decode_window(encoded, shape, window)


def _decode_window(
    encoded: "tf.Tensor",
    shape: tuple[int, int, int],
    choose_window: "Callable[[tf.Tensor], tf.Tensor]",
) -> "tf.Tensor":
    """Decodes the window (top, left, height, width) chosen for the image's size."""
    channels = shape[2]

    def jpeg() -> "tf.Tensor":
        size = tf.image.extract_jpeg_shape(encoded)[:2]
        return tf.image.decode_and_crop_jpeg(
            encoded, choose_window(size), channels=channels, dct_method=DCT_METHOD
        )

    def png() -> "tf.Tensor":
        image = tf.image.decode_png(encoded, channels=channels)
        top, left, height, width = tf.unstack(choose_window(tf.shape(image)[:2]))
        return image[top : top + height, left : left + width]

    image = tf.cond(tf.io.is_jpeg(encoded), jpeg, png)
    return tf.ensure_shape(_resize(image, shape[:2]), shape)


def _resize(image: "tf.Tensor", size: tuple[int, int]) -> "tf.Tensor":
    """Bilinear; antialiased, which takes four times as long, only where it matters.

    Up to a factor of 2 every pixel has a part in the result without it.
    """
    shrinking = tf.reduce_max(tf.shape(image)[:2] / tf.constant(size))
    image = tf.cond(
        shrinking > LARGEST_PLAIN_SHRINKING,
        lambda: tf.image.resize(image, size, antialias=True),
        lambda: tf.image.resize(image, size),
    )
    # Whole numbers, as the array backend has them, are a quarter of the memory.
    return tf.saturate_cast(tf.round(image), tf.uint8)
