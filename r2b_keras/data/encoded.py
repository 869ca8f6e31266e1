"""What sets of encoded images (files, or tfds) have in common: decode, then batch."""

from typing import TYPE_CHECKING, Any

from r2b_keras.data import decoding, seeds
from r2b_keras.data.shares import Share
from r2b_keras.environment import tf

if TYPE_CHECKING:
    import tensorflow as tf

    from r2b_keras.data.config import Augmentation


def train_batches(
    examples: "tf.data.Dataset",
    image_shape: tuple[int, int, int],
    framing: str,
    batch_size: int,
    augmentation: "Augmentation",
    seed: int,
    share: Share,
) -> "tf.data.Dataset":
    """Decodes examples in parallel, cropping them if asked, and batches them.

    Args:
      examples: of (encoded, label, epoch, position in the epoch), all scalars; each
        epoch a whole number of batches.
      image_shape: (height, width, channels) of the result.
      framing: "whole" or "center"; see `pictures.frame`.
      batch_size: images per batch.
      augmentation: only its random_resized_crop is done here.
      seed: of the training.
      share: which images of each batch are decoded, and are in the result.

    Returns:
      A dataset of (images [B, H, W, C] uint8, labels [B] int64, seed [2]).
    """

    def decode(encoded: Any, label: Any, epoch: Any, position: Any) -> Any:
        if augmentation.random_resized_crop:
            example_seed = seeds.derive(seed, epoch, seeds.EXAMPLE, position)
            image = decoding.decode_random_crop(
                encoded, image_shape, framing, example_seed
            )
        else:
            image = decoding.decode_framed(encoded, image_shape, framing)
        return image, label, epoch, position

    def add_seed(images: Any, labels: Any, epochs: Any, positions: Any) -> Any:
        step = positions[0] // batch_size
        batch_seed = seeds.derive(seed, epochs[0], seeds.BATCH, step)
        return images, labels, share.seed(batch_seed)

    decoded = share.of_examples(examples, batch_size).map(
        decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    size = share.size(batch_size)
    return decoded.batch(size, drop_remainder=True).map(add_seed)


def ordered_batches(
    examples: "tf.data.Dataset",
    image_shape: tuple[int, int, int],
    framing: str,
    batch_size: int,
) -> "tf.data.Dataset":
    """Decodes and frames each image and batches them.

    Args:
      examples: of (encoded, label), scalars.
      image_shape: (height, width, channels) of the result.
      framing: "whole" or "center"; see `pictures.frame`.
      batch_size: images per batch; the last may be smaller.

    Returns:
      A dataset of (images [B, H, W, C] uint8, labels [B] int64).
    """

    def decode(encoded: Any, label: Any) -> Any:
        return decoding.decode_framed(encoded, image_shape, framing), label

    decoded = examples.map(
        decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return decoded.batch(batch_size)


def first_broken(examples: "tf.data.Dataset") -> int | None:
    """Decodes every image; the number of the first that cannot be, or None.

    Args:
      examples: of (encoded, label), scalars.
    """
    heights = examples.map(
        lambda encoded, _: tf.shape(decoding.decode(encoded, 3))[0],
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    number = 0
    try:
        for _ in heights:
            number += 1
    except tf.errors.OpError:
        return number
    return None
