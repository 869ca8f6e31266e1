"""Brings images in memory to the network's size and number of channels."""

import numpy as np

from r2b_keras.environment import tf

# Images resized at a time, which bounds the float32 copies.
CHUNK = 4096


def fit_to_shape(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Resizes (bilinear, antialiased) and converts between grey and RGB where needed.

    Args:
      images: [N, H, W, C] uint8, C being 1 or 3.
      shape: (height, width, channels) wanted.

    Returns:
      [N, *shape] uint8; the same array if it fits already.
    """
    if images.shape[1:] == shape:
        return images
    chunks = [
        _fit_chunk(images[start : start + CHUNK], shape)
        for start in range(0, len(images), CHUNK)
    ]
    return np.concatenate([np.zeros((0, *shape), np.uint8), *chunks])


def _fit_chunk(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = shape
    with tf.device("CPU:0"):
        fitted = tf.convert_to_tensor(images)
        if channels == 1 and images.shape[-1] == 3:
            fitted = tf.image.rgb_to_grayscale(fitted)
        if images.shape[1:3] != (height, width):
            fitted = tf.image.resize(fitted, (height, width), antialias=True)
            fitted = tf.clip_by_value(tf.round(fitted), 0, 255)
        if channels == 3 and images.shape[-1] == 1:
            fitted = tf.image.grayscale_to_rgb(fitted)
        result: np.ndarray = tf.cast(fitted, tf.uint8).numpy()
    return result
