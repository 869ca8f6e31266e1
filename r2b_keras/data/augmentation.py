"""Random changes of a whole batch of images at once; all draws are stateless.

Pixels are 0 to 255 here; the pipeline normalises afterwards.
"""

import math
import pkgutil

from r2b_keras.data import seeds
from r2b_keras.data.config import Augmentation
from r2b_keras.environment import tf

# ITU-R BT.601, as in PIL and tf.image.rgb_to_grayscale.
GREY_WEIGHTS = (0.299, 0.587, 0.114)
# Imports have no place in a graph.
_imported = tf.autograph.experimental.do_not_convert(pkgutil.resolve_name)
CROP_ASPECT_RATIO = (3 / 4, 4 / 3)


def augment(
    images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor
) -> tf.Tensor:
    """Applies all but the random resized crop and mix-up to a batch.

    Args:
      images: [B, H, W, C], uint8 or float32, 0 to 255.
      augmentation: what to do; its random_resized_crop and mixup_alpha are not looked
        at here.
      seed: [2] int64.

    Returns:
      [B, H, W, C], 0 to 255: float32 if images are rotated or there are other changes,
      else of the type that they came in, colours rounded to whole levels.
    """
    motion_seed, colour_seed = seeds.split(seed, 2)
    moves = augmentation.flip or augmentation.pad_and_crop
    if augmentation.rotation_degrees or moves:
        images = move(images, augmentation, motion_seed)
    if augmentation.color_jitter:
        kind = images.dtype
        images = tf.cast(images, tf.float32)
        images = jitter_colors(images, augmentation.color_jitter, colour_seed)
        if kind == tf.uint8:
            images = tf.cast(tf.round(images), kind)
    for number, (change, strength) in enumerate(augmentation.changes):
        # Folded in, so that the draws of the others stay as they are.
        place = tf.constant(number, tf.int64)  # what the seed becomes
        own_seed = tf.random.experimental.stateless_fold_in(seed, place)
        apply = _imported(change.applies)
        images = apply(tf.cast(images, tf.float32), strength, own_seed)
        images = tf.clip_by_value(images, 0.0, 255.0)
    return images


def move(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Flips, shifts and rotates each image of a batch in one pass; outside is black.

    Without rotation every pixel is moved as it is; with rotation pixels are
    interpolated bilinearly. Cutting a window out of the padded image is a shift by up
    to `pad_and_crop` pixels.

    Args:
      images: [B, H, W, C], uint8 or float32.
      augmentation: gives flip, pad_and_crop and rotation_degrees.
      seed: [2] int64.

    Returns:
      [B, H, W, C], the same type, or float32 after a rotation.
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    flips, shifts, angles = draw_moves(batch, augmentation, seed)
    if augmentation.rotation_degrees:
        images = tf.cast(images, tf.float32)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_transforms(flips, shifts, angles, height, width),
        output_shape=[height, width],
        interpolation="BILINEAR" if augmentation.rotation_degrees else "NEAREST",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return tf.ensure_shape(moved, images.shape)


def draw_moves(
    batch: tf.Tensor | int, augmentation: Augmentation, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws what `move` does to each image.

    Returns:
      flips [B] float32, 1 or 0; shifts [2, B] float32, whole pixels to the right and
      down at which the window starts; angles [B] float32 in radians.
    """
    flip_seed, shift_seed, angle_seed = seeds.split(seed, 3)
    flips = tf.zeros([batch])
    if augmentation.flip:
        flips = tf.random.stateless_uniform([batch], flip_seed, 0, 2, tf.int32)
    pad = augmentation.pad_and_crop
    shifts = tf.random.stateless_uniform(
        [2, batch], shift_seed, -pad, pad + 1, tf.int32
    )
    limit = math.radians(augmentation.rotation_degrees)
    angles = tf.zeros([batch])
    if limit:
        angles = tf.random.stateless_uniform([batch], angle_seed, -limit, limit)
    return tf.cast(flips, tf.float32), tf.cast(shifts, tf.float32), angles


def _transforms(
    flips: tf.Tensor,
    shifts: tf.Tensor,
    angles: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
) -> tf.Tensor:
    """Matrices [B, 8] from output to input pixels: rotate, then shift, then flip."""
    last_x = tf.cast(width - 1, tf.float32)
    last_y = tf.cast(height - 1, tf.float32)
    cos, sin = tf.cos(angles), tf.sin(angles)
    offset_x = (last_x - cos * last_x + sin * last_y) / 2 + shifts[0]
    offset_y = (last_y - sin * last_x - cos * last_y) / 2 + shifts[1]
    sign = 1 - 2 * flips
    zeros = tf.zeros_like(angles)
    rows = [
        *(sign * cos, -sign * sin, sign * offset_x + flips * last_x),
        *(sin, cos, offset_y),
        *(zeros, zeros),
    ]
    return tf.stack(rows, axis=1)


def jitter_colors(images: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Scales brightness, then contrast, then saturation of each image, then clips.

    With factors b, c, s uniform in [1 - strength, 1 + strength]: x1 = b x;
    x2 = m + c (x1 - m), m the mean grey of the image x1; x3 = g + s (x2 - g), g the
    grey of each pixel of x2. All three are linear, so that they are done at once. Grey
    images have no saturation.

    Args:
      images: [B, H, W, C] float32, 0 to 255, C being 1 or 3.
      strength: 0 to 1.
      seed: [2] int64.

    Returns:
      [B, H, W, C] float32, 0 to 255.
    """
    brightness, contrast, saturation = tf.unstack(
        draw_factors(tf.shape(images)[0], strength, seed)
    )
    grey = _grey(images)
    mean = brightness * tf.reduce_mean(grey, axis=[1, 2], keepdims=True)
    if images.shape[-1] == 3:
        images = saturation * images + (1 - saturation) * grey
    images = contrast * brightness * images + (1 - contrast) * mean
    return tf.clip_by_value(images, 0.0, 255.0)


def draw_factors(batch: tf.Tensor | int, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws brightness, contrast and saturation factors [3, B, 1, 1, 1]."""
    return tf.random.stateless_uniform(
        [3, batch, 1, 1, 1], seed, 1 - strength, 1 + strength
    )


def _grey(images: tf.Tensor) -> tf.Tensor:
    """The grey [B, H, W, 1] of each pixel."""
    if images.shape[-1] == 1:
        return images
    return tf.tensordot(images, tf.constant(GREY_WEIGHTS)[:, tf.newaxis], 1)


def mix_up(
    images: tf.Tensor, labels: tf.Tensor, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each example with its neighbour in the (shuffled) batch.

    x = lambda x_i + (1 - lambda) x_j, y alike, one lambda ~ Beta(alpha, alpha) per
    batch. Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Args:
      images: [B, H, W, C], of any type.
      labels: [B, num_classes] float32, one-hot.
      alpha: above 0.
      seed: [2] int64.

    Returns:
      The mixed images and labels, in the same shapes, float32.
    """
    share = draw_share(alpha, seed)
    images = tf.cast(images, tf.float32)
    mixed_images = share * images + (1 - share) * tf.roll(images, 1, axis=0)
    mixed_labels = share * labels + (1 - share) * tf.roll(labels, 1, axis=0)
    return mixed_images, mixed_labels


def draw_share(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws lambda ~ Beta(alpha, alpha) as g1 / (g1 + g2) of two gamma variables."""
    # In float64, as a small alpha gives values that float32 takes for 0.
    gammas = tf.random.stateless_gamma(
        [2], seed, tf.constant(alpha, tf.float64), dtype=tf.float64
    )
    share = tf.math.divide_no_nan(gammas[0], tf.reduce_sum(gammas))
    return tf.cast(share, tf.float32)


def crop_and_resize(
    images: tf.Tensor, aspect: float, least_area: float, seed: tf.Tensor
) -> tf.Tensor:
    """Random resized crop of a batch of equally large images, bilinear.

    For sets that lie in memory; encoded images are cropped while they are decoded. Area
    and log aspect ratio are uniform; a window longer than the image is cut to fit.

    Args:
      images: [B, H, W, C], uint8 or float32.
      aspect: share of the image's width that a window takes over its share of the
        height, in the middle of its range.
      least_area: smallest share of the image's area that a window takes.
      seed: [2] int64.

    Returns:
      [B, H, W, C] float32.
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    area, jitter, top, left = (
        tf.random.stateless_uniform([batch], each) for each in seeds.split(seed, 4)
    )
    area = least_area + area * (1.0 - least_area)
    low, high = (math.log(ratio) for ratio in CROP_ASPECT_RATIO)
    stretch = tf.sqrt(tf.exp(low + jitter * (high - low)) * aspect)
    tall = tf.minimum(tf.sqrt(area) / stretch, 1.0)
    wide = tf.minimum(tf.sqrt(area) * stretch, 1.0)
    top, left = top * (1 - tall), left * (1 - wide)
    boxes = tf.stack([top, left, top + tall, left + wide], axis=1)
    cropped = tf.image.crop_and_resize(images, boxes, tf.range(batch), [height, width])
    return tf.ensure_shape(cropped, images.shape)
