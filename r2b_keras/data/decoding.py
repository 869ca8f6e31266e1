"""The rule of `board.pictures` in TensorFlow's graph, for the pipelines of training.

TensorFlow decodes JPEG and PNG to the same bits, on all cores, and of a JPEG only the
window that is wanted. CMYK and WebP are left to Pillow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from r2b_keras.board import exif, pictures
from r2b_keras.data.augmentation import CROP_ASPECT_RATIO
from r2b_keras.environment import tf

# From the size [height, width] of a picture to (top, left, height, width).
Choose = Callable[[tf.Tensor], tf.Tensor]

# As Pillow decodes JPEG. TensorFlow's own choice, the fast transform, is off by 0.8 of
# a level on average.
DCT_METHOD = "INTEGER_ACCURATE"
# Colours are stored at half resolution and interpolated: a window decoded alone lacks
# those beside it. So this many columns more are decoded on either side.
MARGIN = 2
# Where a file that starts so has its first pixels' data, there is no EXIF before it.
# That spares most pictures a call of Python.
_JFIF_START = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
_TABLE, _TABLE_PLACE = b"\xff\xdb", 20
_PIXELS, _PIXELS_PLACE = b"IDAT", 37
_CMYK_COMPONENTS = 4


def decode(encoded: tf.Tensor | bytes, channels: int) -> tf.Tensor:
    """A whole picture, upright.

    Args:
      encoded: scalar string, the content of a JPEG, PNG or WebP file.
      channels: 1 for grey, 3 for RGB.

    Returns:
      [height, width, channels] uint8.
    """
    return to_channels(_decode_window(encoded, _whole_window), channels)


def check(encoded: bytes) -> None:
    """Decodes a picture, a JPEG at an eighth of its size; raises where it is broken.

    Raises:
      tf.errors.OpError: TensorFlow cannot decode it.
      InputError: Pillow, which decodes the rarer kinds, cannot.
    """
    if _is_rgb_jpeg(encoded):
        tf.io.decode_jpeg(encoded, channels=3, ratio=8)
    else:
        decode(encoded, 3)


def decode_framed(
    encoded: tf.Tensor, shape: tuple[int, int, int], framing: str
) -> tf.Tensor:
    """A picture as evaluation sees it.

    Args:
      encoded: scalar string, the content of a JPEG, PNG or WebP file.
      shape: (height, width, channels) wanted.
      framing: "whole" or "center"; see `pictures.frame`.

    Returns:
      [*shape] uint8.
    """

    def center(size: tf.Tensor) -> tf.Tensor:
        return _central_window(size, shape[:2])

    choose = _whole_window if framing == "whole" else center
    window = _decode_window(encoded, choose)
    return _to_shape(window, shape, always_antialiased=framing == "whole")


def decode_random_crop(
    encoded: tf.Tensor,
    shape: tuple[int, int, int],
    framing: str,
    least_area: float,
    seed: tf.Tensor,
) -> tf.Tensor:
    """A random window, up to the whole area, resized.

    Its aspect ratio is 3/4 to 4/3 of that of evaluation's window, so that pixels have
    the same shape in training as there.

    Args:
      encoded: scalar string, the content of a JPEG, PNG or WebP file.
      shape: (height, width, channels) wanted.
      framing: evaluation's, "whole" or "center".
      least_area: smallest share of the picture's area that a window takes.
      seed: [2] int64.

    Returns:
      [*shape] uint8.
    """
    aspect = 1.0 if framing == "whole" else shape[1] / shape[0]

    def window(size: tf.Tensor) -> tf.Tensor:
        # The whole picture's aspect ratio becomes 1 on a square.
        longer = tf.reduce_max(size)
        canvas = tf.stack([longer, longer]) if framing == "whole" else size
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.concat([canvas, [3]], axis=0),
            bounding_boxes=tf.zeros([1, 0, 4]),
            seed=seed,
            min_object_covered=0.0,
            aspect_ratio_range=[ratio * aspect for ratio in CROP_ASPECT_RATIO],
            area_range=(least_area, 1.0),
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )

        def of_picture(of_canvas: tf.Tensor) -> tf.Tensor:
            # The product is beyond 32 bits from 46,341 pixels a side on.
            wide = tf.cast(of_canvas[:2], tf.int64) * tf.cast(size, tf.int64)
            return tf.cast(wide // tf.cast(canvas, tf.int64), tf.int32)

        return tf.concat([of_picture(begin), tf.maximum(of_picture(extent), 1)], axis=0)

    window_of_picture = _decode_window(encoded, window)
    return _to_shape(window_of_picture, shape, always_antialiased=False)


def frame(images: tf.Tensor, shape: tuple[int, int, int], framing: str) -> tf.Tensor:
    """Pictures that are decoded, as evaluation sees them.

    Args:
      images: [h, w, C] or [B, h, w, C] uint8, C being 1 or 3.
      shape: (height, width, channels) wanted.
      framing: "whole" or "center"; see `pictures.frame`.

    Returns:
      [*shape] or [B, *shape] uint8.
    """
    if framing == "center":
        size = tf.shape(images)[-3:-1]
        top, left, height, width = tf.unstack(_central_window(size, shape[:2]))
        images = images[..., top : top + height, left : left + width, :]
    return _to_shape(images, shape, always_antialiased=framing == "whole")


def to_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """See `pictures.to_channels`."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return tf.repeat(images, 3, axis=-1)
    red, green, blue = tf.unstack(tf.cast(images, tf.int32), axis=-1)
    of_red, of_green, of_blue = pictures.LUMA
    luma = of_red * red + of_green * green + of_blue * blue
    grey = tf.bitwise.right_shift(luma + 0x8000, 16)
    return tf.cast(grey, tf.uint8)[..., tf.newaxis]


def _whole_window(size: tf.Tensor) -> tf.Tensor:
    return tf.concat([[0, 0], size], axis=0)


def _central_window(size: tf.Tensor, wanted: tuple[int, int]) -> tf.Tensor:
    """The window of `pictures.frame`, with the same float32 arithmetic."""
    available = tf.cast(size, tf.float32)
    scale = pictures.CENTRAL_SHARE * tf.reduce_min(available / wanted)
    exact = tf.round(scale * tf.constant(wanted, tf.float32))
    kept = tf.maximum(tf.cast(exact, tf.int32), 1)
    return tf.concat([(size - kept) // 2, kept], axis=0)


def _decode_window(encoded: tf.Tensor | bytes, choose: Choose) -> tf.Tensor:
    """Decodes the window [h, w, 3] uint8 that is chosen for the upright picture."""
    window = tf.case(
        [
            (_is_rgb_jpeg(encoded), lambda: _decode_jpeg_window(encoded, choose)),
            (_is_png(encoded), lambda: _cut(_decode_png(encoded), choose)),
        ],
        default=lambda: _cut(_call(pictures.decode, encoded, tf.uint8), choose),
    )
    return tf.ensure_shape(window, [None, None, 3])


def _is_rgb_jpeg(encoded: tf.Tensor | bytes) -> tf.Tensor:
    """Whether it is a JPEG of one or three colours."""
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.image.extract_jpeg_shape(encoded)[2] < _CMYK_COMPONENTS,
        lambda: tf.constant(False),
    )


def _is_png(encoded: tf.Tensor | bytes) -> tf.Tensor:
    start = tf.strings.substr(encoded, 0, len(exif.PNG_START))
    return tf.equal(start, exif.PNG_START)


def _decode_jpeg_window(encoded: tf.Tensor | bytes, choose: Choose) -> tf.Tensor:
    stored = tf.image.extract_jpeg_shape(encoded)[:2]
    orientation = _orientation(encoded)
    window = _stored_window(choose, stored, orientation)
    top, left, height, width = tf.unstack(window)
    first = tf.maximum(left - MARGIN, 0)
    end = tf.minimum(left + width + MARGIN, stored[1])
    image = tf.image.decode_and_crop_jpeg(
        encoded, [top, first, height, end - first], channels=3, dct_method=DCT_METHOD
    )
    return _turn(image[:, left - first : left - first + width], orientation)


def _decode_png(encoded: tf.Tensor | bytes) -> tf.Tensor:
    return _turn(tf.image.decode_png(encoded, channels=3), _orientation(encoded))


def _orientation(encoded: tf.Tensor | bytes) -> tf.Tensor:
    """The EXIF orientation of a JPEG or PNG, 1 to 8."""
    # Never shorter than the places that are looked at.
    start = tf.strings.join([tf.strings.substr(encoded, 0, 64), bytes(64)])

    def has(place: int, wanted: bytes) -> tf.Tensor:
        return tf.equal(tf.strings.substr(start, place, len(wanted)), wanted)

    def find(content: bytes) -> np.int32:
        return np.int32(exif.orientation(content))

    plain_jpeg = has(0, _JFIF_START) & has(_TABLE_PLACE, _TABLE)
    plain_png = has(0, exif.PNG_START) & has(_PIXELS_PLACE, _PIXELS)
    return tf.cond(
        plain_jpeg | plain_png,
        lambda: tf.constant(1, tf.int32),
        lambda: tf.ensure_shape(_call(find, encoded, tf.int32), []),
    )


def _call(
    function: Callable[[bytes], Any], encoded: tf.Tensor | bytes, kind: tf.DType
) -> tf.Tensor:
    """What a Python function gives for the content of a file."""

    def call(content: Any) -> Any:
        # Outside of a graph the bytes come in an array.
        return function(content if isinstance(content, bytes) else content.item())

    # As a tensor: NumPy's arrays of bytes lose the zeros at their end.
    content = tf.convert_to_tensor(encoded)
    return tf.numpy_function(call, [content], kind, stateful=False)


def _stored_window(
    choose: Choose, stored: tf.Tensor, orientation: tf.Tensor
) -> tf.Tensor:
    """Where the window chosen for the upright picture lies in the stored one."""
    swapped = orientation > 4
    kind = (orientation - 1) % 4
    size = tf.where(swapped, stored[::-1], stored)
    begin, extent = tf.split(choose(size), 2)
    flipped = tf.stack([kind >= 2, (kind == 1) | (kind == 2)])
    begin = tf.where(flipped, size - begin - extent, begin)
    begin = tf.where(swapped, begin[::-1], begin)
    return tf.concat([begin, tf.where(swapped, extent[::-1], extent)], axis=0)


def _turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """See `exif.turn`."""
    kind = (orientation - 1) % 4

    def turned() -> tf.Tensor:
        swapped = orientation > 4
        result = tf.cond(swapped, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        step_down = tf.where(kind >= 2, -1, 1)
        step_across = tf.where((kind == 1) | (kind == 2), -1, 1)
        return result[::step_down, ::step_across]

    result = tf.cond(orientation == 1, lambda: image, turned)
    return tf.ensure_shape(result, [None, None, 3])


def _cut(image: tf.Tensor, choose: Choose) -> tf.Tensor:
    image = tf.ensure_shape(image, [None, None, 3])
    top, left, height, width = tf.unstack(choose(tf.shape(image)[:2]))
    return image[top : top + height, left : left + width]


def _to_shape(
    images: tf.Tensor, shape: tuple[int, int, int], always_antialiased: bool
) -> tf.Tensor:
    """Brings windows to the network's channels and size.

    Bilinear; antialiased, which takes four times as long, only where it matters, unless
    it is asked for.
    """
    size, channels = shape[:2], shape[2]
    if channels == 1:
        images = to_channels(images, 1)
    if images.shape[-3:-1] != size:
        shrinking = tf.reduce_max(tf.shape(images)[-3:-1] / tf.constant(size))
        exact = tf.cond(
            always_antialiased | (shrinking > pictures.LARGEST_PLAIN_SHRINKING),
            lambda: tf.image.resize(images, size, antialias=True),
            lambda: tf.image.resize(images, size),
        )
        # Whole numbers, as images in memory have them, are a quarter of the memory.
        images = tf.saturate_cast(tf.round(exact), tf.uint8)
    # Grey is copied after it was resized.
    return tf.ensure_shape(to_channels(images, channels), [*images.shape[:-3], *shape])
