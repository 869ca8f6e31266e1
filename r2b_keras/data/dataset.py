"""A loaded set of images with its three parts, and what the trainer reads from it."""

import contextlib
import functools
import hashlib
import numbers
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from r2b_keras import files
from r2b_keras.board import pictures
from r2b_keras.checks import require, require_count
from r2b_keras.data import augmentation as augmentations
from r2b_keras.data import seeds
from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.data.encoded import EncodedExamples
from r2b_keras.data.examples import Examples, in_parallel
from r2b_keras.data.shares import WHOLE, Share
from r2b_keras.data.sources import Source, open_source
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Decoded validation and test images are kept in memory up to this many bytes.
CACHE_BYTES = 512 * 2**20
# What TensorFlow raises for pictures that are broken or gone.
READ_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
)


class ImageDataset:
    """Images of a fixed number of classes, in a training, validation and test part.

    Attributes:
      config: what was loaded.
      class_names: one name per class, in the order of the labels.
      num_classes: number of classes.
      fingerprint: sha256 (hex) of what was loaded.
      num_train: images to train on, without those held out for validation.
      num_validation: images held out of the training part.
      num_test: images of the test part.
    """

    def __init__(self, config: DataConfig, source: Source) -> None:
        """Splits the validation part off, unless the source keeps one.

        Args:
          config: what was asked for.
          source: the training and the test part, and perhaps one for validation.

        Raises:
          InputError: the validation part would take too many training images, or a
            class has no training or no test images.
        """
        num_train = source.train.num_examples
        if config.validation_size >= num_train:
            raise InputError(
                f"validation_size is {config.validation_size}, but {config.source} has "
                f"only {num_train} training images: hold out fewer."
            )
        self.config = config
        self.class_names = tuple(map(files.printable, source.class_names))
        self.num_classes = len(source.class_names)
        self.fingerprint = _fingerprint(source)
        self._train, self._validation = _hold_out(config, source)
        self._test = source.test
        self.num_train = self._train.num_examples
        self.num_validation = self._validation.num_examples
        self.num_test = self._test.num_examples
        self._check_classes()
        parts = (self._validation, self._test)
        self._unchecked = [p for p in parts if isinstance(p, EncodedExamples)]
        self._evaluation_datasets: dict[tuple[str, int], tf.data.Dataset] = {}

    def _check_classes(self) -> None:
        """Raises `InputError` for a class that cannot be learned, or not be tested."""
        parts = {"training": self._train, "test": self._test}
        validation = {"validation": self._validation} if self.num_validation else {}
        for name, part in {**parts, **validation}.items():
            # Large streamed sets do not know their labels before they are read.
            if part.labels is None:
                continue
            wrong = part.labels[(part.labels < 0) | (part.labels >= self.num_classes)]
            if len(wrong):
                raise InputError(
                    f"The {name} part of {self.config.source} has a label {wrong[0]}, "
                    f"expected 0 to {self.num_classes - 1}, as the source names "
                    f"{self.num_classes} classes."
                )
        for name, part in parts.items():
            known = np.arange(self.num_classes) if part.labels is None else part.labels
            counts = np.bincount(known, minlength=self.num_classes)
            if not part.num_examples or not counts.all():
                missing = self.class_names[int(np.argmin(counts))]
                what = f"of the class {missing!r}" if part.num_examples else "at all"
                raise InputError(
                    f"The {name} part of {self.config.source} has no images {what}: "
                    "add some."
                )

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        """How many images to train on each class has.

        None where that is not known before they are read: of large streamed sets.
        """
        labels = self._train.labels
        if labels is None:
            return None
        return tuple(np.bincount(labels, minlength=self.num_classes).tolist())

    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of whole batches in an epoch; the remaining images are left out.

        Raises:
          InputError: there is not even one whole batch.
        """
        require_count("batch_size", batch_size, 0)
        if not 1 <= batch_size <= self.num_train:
            raise InputError(
                f"batch_size is {batch_size}: expected 1 to {self.num_train}, the "
                f"number of training images of {self.config.source}: give more, or "
                "lower it by --override=stages.*.batch_size=N."
            )
        return self.num_train // batch_size

    def train(
        self,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        initial_epoch: int = 0,
        epochs: int = 1,
        normalised: bool = True,
        share: Share = WHOLE,
    ) -> tf.data.Dataset:
        """Augmented training batches of the epochs initial_epoch to epochs - 1.

        Epoch k is the same, to the bit, whichever epoch the dataset starts with. All
        images of an epoch are different; its order and all augmentation follow from
        (seed, k).

        Args:
          batch_size: images per batch.
          augmentation: random changes of the images.
          seed: of the order and the augmentation.
          initial_epoch: counted from 0, as in `keras.Model.fit`.
          epochs: of the whole training, those before the initial one too.
          normalised: False for pixels as they are sent to a device that is to do the
            rest, `normalise`: uint8, a quarter of the bytes, unless the augmentation
            rotates or mixes images, or does something of one's own.
          share: the images of each batch that are wanted; nothing else is decoded. They
            are the same however many hosts share them, their augmentation is not.

        Returns:
          A dataset of steps_per_epoch batches per epoch: images [B, H, W, C] float32,
          normalised; labels [B, num_classes] float32, one-hot or mixed.

        Raises:
          InputError: the batch is larger than the training part or cannot be shared
            equally, or there are no such epochs.
        """
        steps = self.steps_per_epoch(batch_size)
        counts = {"seed": seed, "initial_epoch": initial_epoch, "epochs": epochs}
        for name, value in counts.items():
            is_whole = isinstance(value, numbers.Integral)
            require(is_whole, name, value, "a whole number")
        if not 0 <= initial_epoch < epochs:
            raise InputError(
                f"initial_epoch is {initial_epoch} of {epochs} epochs, expected 0 to "
                "epochs - 1."
            )
        share.require_equal(batch_size)
        wanted = range(initial_epoch, epochs)
        order = seeds.Epochs(wanted, batch_size, seed, share)
        raw = self._train.train_batches(augmentation, order)
        augmented = functools.partial(self._augmented, augmentation, normalised)
        batches = in_parallel(raw, augmented)
        # Tells Keras how many batches there are; flat_map cannot know.
        count = tf.data.experimental.assert_cardinality(steps * len(wanted))
        return _with_options(batches.apply(count).prefetch(tf.data.AUTOTUNE))

    def _augmented(
        self,
        augmentation: Augmentation,
        normalised: bool,
        images: tf.Tensor,
        labels: tf.Tensor,
        batch_seed: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A raw training batch as the trainer sees it; see `train`."""
        change_seed, mix_seed = seeds.split(batch_seed, 2)
        images = augmentations.augment(images, augmentation, change_seed)
        labels = tf.one_hot(labels, self.num_classes)
        if augmentation.mixup_alpha:
            alpha = augmentation.mixup_alpha
            images, labels = augmentations.mix_up(images, labels, alpha, mix_seed)
        return self.normalise(images) if normalised else images, labels

    def validation(self, batch_size: int, normalised: bool = True) -> tf.data.Dataset:
        """The validation part in a fixed order; see `test`.

        Raises:
          InputError: nothing was held out.
        """
        if not self.num_validation:
            raise InputError(
                "There is no validation part, as validation_size is 0: set it to the "
                "number of training images to hold out."
            )
        return self._evaluation("validation", self._validation, batch_size, normalised)

    def test(self, batch_size: int, normalised: bool = True) -> tf.data.Dataset:
        """The test part: every image once, in a fixed order, never augmented.

        Args:
          batch_size: images per batch; the last batch may be smaller.
          normalised: False for pixels, uint8; see `train`.

        Returns:
          A dataset of (images [B, H, W, C] float32, normalised; labels
          [B, num_classes] float32, one-hot).
        """
        return self._evaluation("test", self._test, batch_size, normalised)

    def normalise(self, images: Any) -> tf.Tensor:
        """What the network sees, (pixel / 255 - mean) / std.

        Args:
          images: [B, H, W, C], 0 to 255, of any type.

        Returns:
          [B, H, W, C] float32.
        """
        scale, offset = pictures.scale_and_offset(self.config)
        return tf.cast(images, tf.float32) * scale + offset

    def _evaluation(
        self, name: str, examples: Examples, batch_size: int, normalised: bool
    ) -> tf.data.Dataset:
        """A part, decoded once and then kept in memory if it is not too large."""
        require_count("batch_size", batch_size)
        if (name, batch_size) not in self._evaluation_datasets:
            batches = self._ordered(examples, batch_size)
            # Tells Keras how many batches there are.
            count = -(-examples.num_examples // batch_size)
            batches = batches.apply(tf.data.experimental.assert_cardinality(count))
            height, width, channels = self.config.image_shape
            if height * width * channels * examples.num_examples <= CACHE_BYTES:
                batches = batches.cache()
            batches = _with_options(batches.prefetch(tf.data.AUTOTUNE))
            self._evaluation_datasets[name, batch_size] = batches
        part = self._evaluation_datasets[name, batch_size]
        return self._normalised(part) if normalised else part

    def _ordered(self, examples: Examples, batch_size: int) -> tf.data.Dataset:
        """Every example once: pixels, uint8, and one-hot labels."""
        return in_parallel(
            examples.ordered_batches(batch_size),
            lambda images, labels: (images, tf.one_hot(labels, self.num_classes)),
        )

    def _normalised(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        normalised = in_parallel(
            batches, lambda images, labels: (self.normalise(images), labels)
        )
        return _with_options(normalised.prefetch(tf.data.AUTOTUNE))

    def sample(self, num_images: int, batch_size: int) -> tf.data.Dataset:
        """Some images, always the same ones.

        Of each class its share, or the first ones of a set that is streamed. They are
        of the validation part, where there is one, or else of the test part: for what
        any image will do for, and nothing is chosen by.

        Args:
          num_images: how many; all of the part where it has no more.
          batch_size: see `test`.

        Returns:
          As `test`.
        """
        require_count("num_images", num_images, 0)
        require_count("batch_size", batch_size)
        examples = self._validation if self.num_validation else self._test
        if num_images < examples.num_examples:
            examples = examples.sample(num_images)
        return self._normalised(self._ordered(examples, batch_size))

    def find_broken_image(self) -> str | None:
        """Looks for the image that stopped an epoch with a decoding error.

        Reads the whole set, which takes minutes for a large one.

        Returns:
          A text that names the first broken image, or None. Sets in memory have none.
        """
        return _first_broken(self._train, self._validation, self._test)

    @property
    def num_unchecked(self) -> int:
        """Images that `require_sound_evaluation` would decode."""
        return sum(part.num_examples for part in self._unchecked)

    def require_sound_evaluation(self) -> None:
        """Decodes the validation and the test part, so that no run ends in an error.

        Once; nothing is to be done for sets in memory.

        Raises:
          InputError: an image is broken; the message names it.
        """
        problem = _first_broken(*self._unchecked)
        if problem:
            raise InputError(f"{problem}: replace or remove it.")
        self._unchecked = []

    @contextlib.contextmanager
    def broken_image_is_named(self) -> Iterator[None]:
        """Names the image where reading batches ends in an error of TensorFlow's.

        Decoding happens deep in the pipeline, where the file's name is lost.

        Raises:
          InputError: an image is broken; the message names it.
        """
        try:
            yield
        except READ_ERRORS as error:
            broken = self.find_broken_image()
            if broken is None:
                raise
            raise InputError(
                f"{broken}: put a sound copy in its place and run the command again, "
                "with a new --workdir if the copy is of another size."
            ) from error


def load(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> ImageDataset:
    """Loads a set of images; nothing is downloaded and nothing is written.

    Args:
      config: source, image shape, normalisation and size of the validation part.
      data_dir: folder with the files, where the source needs one; `digits` does not.

    Returns:
      The set with its three parts. The split does not depend on any seed.

    Raises:
      InputError: files are missing or broken; the message names them.
    """
    return ImageDataset(config, open_source(config, data_dir))


def _hold_out(config: DataConfig, source: Source) -> tuple[Examples, Examples]:
    """The training and the validation part."""
    if source.validation is None:
        kept, held_out = source.train.split(config.validation_size, kept=1)
        return kept, held_out
    if config.validation_size:
        raise InputError(
            f"{config.source} keeps a validation part of its own, of "
            f"{source.validation.num_examples} images, and validation_size is "
            f"{config.validation_size}: set it to 0, or leave that part out."
        )
    return source.train, source.validation


def _first_broken(*parts: Examples) -> str | None:
    return next(filter(None, (part.find_broken_image() for part in parts)), None)


def _fingerprint(source: Source) -> str:
    digest = hashlib.sha256()
    for part in filter(None, (source.train, source.test, source.validation)):
        for piece in part.content():
            digest.update(piece)
    return digest.hexdigest()


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Without a share of its own, a replica takes its part of each batch.
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return dataset.with_options(options)
