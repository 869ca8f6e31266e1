"""Examples that a prepared set of TensorFlow Datasets gives one after the other."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from r2b_keras.data import decoding, seeds
from r2b_keras.data.encoded import EncodedExamples
from r2b_keras.data.examples import in_parallel
from r2b_keras.data.seeds import Epochs
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Splits of up to this many bytes are read for their labels when they are opened.
LABELS_BYTES = 2**29
LABELS_BATCH = 1024
# Encoded bytes shuffled at a time; twice as many are in memory.
CHUNK_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class StreamedExamples(EncodedExamples):
    """A range of a split; the images stay encoded until they are used.

    An epoch reads the set's files in a new order, 16 at a time, and shuffles chunks of
    some thousand examples. tfds has shuffled the set once when it was prepared.

    Attributes:
      builder: tfds's builder of the prepared set.
      keys: names of the image and of the label in an example.
      split_name: name of the split.
      start: first example of the range.
      stop: the one after the last.
      image_shape: see `Examples`.
      framing: see `Examples`.
    """

    builder: Any
    keys: tuple[str, str]
    split_name: str
    start: int
    stop: int
    image_shape: tuple[int, int, int]
    framing: str

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return self.stop - self.start

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """The classes [N] int64, None for a split too large to be read for them."""
        if self.builder.info.splits[self.split_name].num_bytes > LABELS_BYTES:
            return None
        import tensorflow_datasets as tfds

        label_key = self.keys[1]
        examples = self.builder.as_dataset(
            split=f"{self.split_name}[{self.start}:{self.stop}]",
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({label_key}),
        )
        batches = examples.batch(LABELS_BATCH).as_numpy_iterator()
        found = [batch[label_key] for batch in batches]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def content(self) -> Iterable[bytes]:
        """What the fingerprint is taken over: name, version and size of the split."""
        size = self.builder.info.splits[self.split_name].num_bytes
        yield f"{self.builder.info.full_name} {self.split_name} {size}\n".encode()
        yield f"{self.start} {self.stop}\n".encode()

    def split(
        self, size: int, kept: int = 0, held_out: int = 0
    ) -> tuple["StreamedExamples", "StreamedExamples"]:
        """Holds out the first `size` examples: tfds has shuffled them.

        The labels are not looked at.

        Raises:
          InputError: it has not, so that they may be of a few classes.
        """
        if size and self.builder.info.disable_shuffling:
            raise InputError(
                f"{self.builder.info.full_name} was prepared without shuffling, "
                "expected a shuffled one, of which the first images can be held out: "
                "prepare it with `disable_shuffling=False`, or with splits for test "
                "and validation and data.validation_size=0."
            )
        return replace(self, start=self.start + size), self.sample(size)

    def sample(self, size: int) -> "StreamedExamples":
        """The first examples, whatever their classes."""
        return replace(self, stop=self.start + size)

    def decoded(self, channels: int) -> tf.data.Dataset:
        """Every example once, in order: (image [h, w, channels] uint8, label)."""
        return in_parallel(
            self._read(),
            lambda content, label: (decoding.decode(content, channels), label),
        )

    def _shuffled(self, epochs: Epochs) -> tf.data.Dataset:
        used = self.num_examples // epochs.batch_size * epochs.batch_size
        parts = [self._epoch(epochs.seed, number, used) for number in epochs.numbers]
        return epochs.share.of_examples(_concatenate(parts), epochs.batch_size)

    def _problem(self, number: int) -> str:
        name = f"{self.builder.info.full_name}, split {self.split_name}"
        return f"image {self.start + number} of {name} is broken or cut off"

    def _epoch(self, seed: int, epoch: int, used: int) -> tf.data.Dataset:
        """(encoded, label, epoch, position) of the first `used` shuffled examples."""
        # NumPy's generator takes no negative numbers.
        order = np.random.default_rng([seed % 2**63, epoch])

        def shuffle_files(files: list[Any]) -> list[Any]:
            return [files[index] for index in order.permutation(len(files))]

        def shuffle_chunk(chunk: Any, examples: Any) -> Any:
            content, labels = examples
            chunk_seed = seeds.derive(seed, epoch, seeds.CHUNK, chunk)
            indices = tf.range(tf.shape(labels)[0])
            indices = tf.random.experimental.stateless_shuffle(indices, chunk_seed)
            return tf.gather(content, indices), tf.gather(labels, indices)

        chunks = self._read(shuffle_files).batch(self._chunk_size()).enumerate()
        shuffled = chunks.map(shuffle_chunk).prefetch(1).unbatch().take(used)
        return shuffled.enumerate().map(
            lambda position, example: (
                *example,
                tf.constant(epoch, tf.int64),
                position,
            )
        )

    def _chunk_size(self) -> int:
        split = self.builder.info.splits[self.split_name]
        example_bytes = max(split.num_bytes // max(split.num_examples, 1), 1)
        return max(min(CHUNK_BYTES // example_bytes, self.num_examples), 1)

    def _read(self, sort_files: Any = None) -> tf.data.Dataset:
        """(encoded image, label) in the order of the files."""
        import tensorflow_datasets as tfds

        image_key, label_key = self.keys
        dataset = self.builder.as_dataset(
            split=f"{self.split_name}[{self.start}:{self.stop}]",
            shuffle_files=False,
            decoders={image_key: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                try_autocache=False, experimental_interleave_sort_fn=sort_files
            ),
        )
        return dataset.map(lambda example: (example[image_key], example[label_key]))


def _concatenate(parts: list[tf.data.Dataset]) -> tf.data.Dataset:
    """One after the other, as a balanced tree, so that many epochs stay shallow."""
    while len(parts) > 1:
        pairs = [parts[index : index + 2] for index in range(0, len(parts), 2)]
        parts = [
            functools.reduce(lambda a, b: a.concatenate(b), pair) for pair in pairs
        ]
    return parts[0]
