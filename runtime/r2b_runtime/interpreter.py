"""A network in LiteRT with this package's delegate, from images to scores."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from r2b_runtime import library, model_file, refusals
from r2b_runtime.board.card import INPUT_TYPES, ModelCard, require_tflite
from r2b_runtime.board.errors import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias, TypeGuard

    from PIL.Image import Image

    Picture: TypeAlias = str | os.PathLike[str] | Image | np.ndarray
    Images: TypeAlias = Picture | Sequence[Picture]

# Of what a network may give.
_OUTPUT_TYPES = ("float32",)
# What the delegate uses at most; LiteRT would take any number at its word.
_MAX_THREADS = 64


class Interpreter:
    """A `.tflite` file, ready to run; the binary operators are Larq Compute Engine's.

    `predict` may be called from several threads, which wait for each other; an object
    for each runs them side by side. `set_input`, `run` and `output` are steps of one
    thread: what another one sets between them counts.

    A forked child may use the object too: it loads the network again before it runs.

    Attributes:
      input_shape: (batch, height, width, channels), or what the network takes.
      input_type: float32, or uint8 for a network that takes pixels.
      output_shape: (batch, classes), or what it gives.
      num_threads: threads that an inference uses.
      delegate: what `library` has questions for.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        num_threads: int = 1,
        kernel: str | None = None,
        batch_size: int = 1,
        fuse: bool = True,
        claim: str = "all",
        profile: bool = False,
    ) -> None:
        """Loads a network.

        Args:
          model: path of a `.tflite` file, or its content.
          num_threads: threads of an inference; what the delegate runs gives the same
            scores with any number.
          kernel: instruction set, see `library.delegate`.
          batch_size: images of one inference. Networks whose channel gates are dense
            layers mix the images of a batch; that is found and refused.
          fuse: see `library.delegate`.
          claim: see `library.delegate`.
          profile: see `library.delegate`.

        Raises:
          InputError: the file is missing or damaged (by its card's checksum, too), its
            card is of another format, it has operators, inputs or outputs that are not
            known, or an option is wrong.
        """
        num_threads = _count("num_threads", num_threads)
        batch_size = _count("batch_size", batch_size)
        self._model = _content(model)
        model_file.check(self._model)
        self._card = model_file.read_card(self._model)
        self.num_threads = min(num_threads, _MAX_THREADS)
        self._options = kernel, fuse, claim, profile
        # LiteRT's interpreter is for one thread at a time, and releases Python's lock.
        self._locks: dict[int, threading.RLock] = {}
        self._process = os.getpid()
        self.delegate = library.delegate(*self._options)
        self._litert = self._load(1)
        self.num_threads = library.num_threads(self.delegate) or self.num_threads
        if batch_size > 1:
            self._load_batches(batch_size)
        _alive.add(self)

    def predict(self, images: Images) -> np.ndarray:
        """Scores of any number of images.

        Args:
          images: pictures, of any size and for any network: the path of a file, an
            image of Pillow's, `[h, w, 3]` uint8 as a camera gives it, a list of these,
            or `[N, h, w, 3]`; see `pictures.prepare`. Or what the network takes:
            `[N, H, W, C]` float32, or uint8 of its own shape, in an array or a list.

        Returns:
          `[N, K]` float32, N being 1 for a single picture.

        Raises:
          InputError: a picture is missing or broken, or there is no model card that
            says how to prepare it; the images have another shape or are no real
            numbers; or the network cannot be run on them.
        """
        given, are_pictures = self._checked(images)
        batch = self.input_shape[0]
        scores = [np.zeros((0, *self.output_shape[1:]), self._output["dtype"])]
        for start in range(0, len(given), batch):
            part = given[start : start + batch]
            if are_pictures:  # a batch at a time: all of them may be too many
                part = self._prepared(part)
            padded = np.zeros(self.input_shape, self.input_type)
            padded[: len(part)] = part
            with self._lock():
                self.set_input(padded)
                self.run()
                scores.append(self.output()[: len(part)])
        return np.concatenate(scores)

    def set_input(self, images: np.ndarray) -> None:
        """Stores the batch that `run` takes, of `input_shape` and `input_type`."""
        with self._lock():
            self._litert.set_tensor(self._input["index"], images)

    def run(self) -> None:
        """Runs the network once on the stored batch.

        Raises:
          InputError: the network cannot be run.
        """
        try:
            with self._lock():
                if self._process != os.getpid():
                    self._load_in_child()
                self._litert.invoke()
        except InputError:  # of a child that loads the network again
            raise
        except (RuntimeError, ValueError) as error:
            raise refusals.cannot_run(error) from error

    def output(self) -> np.ndarray:
        """A copy of the scores of the last run, of `output_shape`."""
        with self._lock():
            scores: np.ndarray = self._litert.get_tensor(self._output["index"])
        return scores

    @property
    def explanation(self) -> str:
        """What the delegate claimed and fused: a line for each step, after a title."""
        return library.explanation(self.delegate)

    @property
    def kernel(self) -> str:
        """The instruction set in use; empty where there was nothing to claim."""
        return self.explanation.partition(" ")[0]

    @property
    def card(self) -> ModelCard | None:
        """What the file says about itself, None for one that says nothing."""
        return self._card

    def _load(self, batch_size: int) -> Any:
        """An interpreter of LiteRT with its tensors; sets what describes it."""
        own = 1
        try:
            litert = library.litert().Interpreter(
                model_content=self._model,
                num_threads=self.num_threads,
                experimental_delegates=[self.delegate],
            )
            self._input = refusals.only(
                litert.get_input_details(), "input", INPUT_TYPES
            )
            refusals.only(litert.get_output_details(), "output", _OUTPUT_TYPES)
            own, *sides = map(int, self._input["shape"])
            refusals.check_sides(self._input)
            shape = (batch_size, *sides)
            litert.resize_tensor_input(self._input["index"], shape)
            litert.allocate_tensors()
            # Networks may leave the shapes of what they give open until they run.
            litert.invoke()
        except InputError:
            raise
        except (RuntimeError, ValueError) as error:
            raise refusals.cannot_run(error, own) from error
        except SystemError as error:
            # What is built for NumPy 1 fails so in another one.
            raise InputError(
                f"LiteRT does not run with NumPy {np.__version__} here "
                f'({one_line(error)}): run `pip install "numpy<2"`, or '
                "`pip install ai-edge-litert`."
            ) from error
        output = litert.get_output_details()[0]
        if tuple(output["shape"][:1]) != (batch_size,) or len(output["shape"]) < 2:
            raise InputError(
                f"The network gives the shape {tuple(map(int, output['shape']))} for "
                f"{batch_size} images, expected ({batch_size}, K), the scores of each: "
                "run it with ai_edge_litert's own interpreter and "
                "r2b_runtime.delegate()."
            )
        self._output = output
        self.input_shape = shape
        self.input_type = np.dtype(self._input["dtype"])
        self.output_shape = tuple(map(int, self._output["shape"]))
        return litert

    def _lock(self) -> threading.RLock:
        """This process's lock: a parent's thread may have held its own at a fork."""
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def _load_in_child(self) -> None:
        """Another interpreter of LiteRT, whose threads were left with the parent.

        What was stored to be run stays stored.
        """
        stored = self._litert.get_tensor(self._input["index"])
        self.delegate = library.delegate(*self._options)
        self._litert = self._load(self.input_shape[0])
        self._litert.set_tensor(self._input["index"], stored)
        self._process = os.getpid()

    def _load_batches(self, batch_size: int) -> None:
        """Resizes the network, and compares scores of a batch with those of its ends.

        Gates of dense layers have the shape [N, C]: against a map [N, H, W, C] that
        fails, but for N = W, where each column would get another image's gate.
        """
        images = made_up((batch_size, *self.input_shape[1:]), self.input_type)
        expected = self.predict(images[[0, -1]])
        self._litert.resize_tensor_input(self._input["index"], images.shape)
        try:
            self._litert.allocate_tensors()
            self.set_input(images)
            self._litert.invoke()
            found = self.output()[[0, -1]]
        except (RuntimeError, ValueError, IndexError) as error:
            raise refusals.cannot_batch(batch_size, one_line(error)) from error
        if found.shape != expected.shape or not refusals.alike(found, expected):
            raise refusals.cannot_batch(
                batch_size, "its images change each other's scores"
            )
        self.input_shape = images.shape
        self.output_shape = (batch_size, *self.output_shape[1:])

    def _checked(self, images: Images) -> tuple[Sequence[Any] | np.ndarray, bool]:
        """Images `[N, H, W, C]` of `input_type`, or pictures that are to be prepared.

        Returns:
          The one or the other, and whether it is the other.
        """
        if self._are_pixels(images):
            return images, False
        if _is_picture(images):
            self._require_card()
            return [images], True
        if isinstance(images, (list, tuple)) and any(map(_is_picture, images)):
            self._require_card()
            return images, True
        given, shape = images, self.input_shape[1:]
        if isinstance(images, (list, tuple)) and not images:
            return np.zeros((0, *shape), self.input_type), False
        try:
            images = np.asarray(images)
        except ValueError as error:  # a list of arrays of several shapes
            raise InputError(
                f"The images are of several shapes, the network takes {('N', *shape)}: "
                "scale the pictures."
            ) from error
        if images.dtype.kind in "OS":
            raise InputError(
                f"The images are of the type {_type_name(given)}, expected paths, "
                "Pillow's images or arrays, or a list of these: open encoded pictures "
                "with Pillow."
            )
        if images.dtype == np.uint8:
            if self._are_pixels(images):
                return images, False
            self._require_card()
            # One picture, such as TensorFlow's; in a list there are several.
            is_one = images.ndim < 4 and not isinstance(given, (list, tuple))
            return ([images] if is_one else images), True
        if images.shape[1:] != shape or images.ndim != len(shape) + 1:
            raise InputError(
                f"The images have the shape {images.shape}, the network takes "
                f"{('N', *shape)}: reshape them, or scale the pictures."
            )
        if images.dtype.kind != "f" or self.input_type == np.uint8:
            takes = "float32 as it was trained with, or pixels, uint8"
            if self.input_type == np.uint8:
                takes = "pixels, uint8"
            raise InputError(
                f"The images are of {images.dtype}, the network takes {takes}: give "
                "pictures as they are, as arrays, paths or Pillow's images."
            )
        if self._picture_range is not None:
            refusals.check_range(images, *self._picture_range)
        return images, False

    def _are_pixels(
        self, images: object
    ) -> TypeGuard[Sequence[np.ndarray] | np.ndarray]:
        """Whether these are arrays just as a network of uint8 takes them.

        One that takes rows, (N, 64), or maps, (N, 8, 8), gets no pictures of that.
        """
        if self.input_type != np.uint8:
            return False
        shape = self.input_shape[1:]
        if isinstance(images, np.ndarray):
            same = images.shape[1:] == shape and images.ndim == len(shape) + 1
            return images.dtype == np.uint8 and same
        return (
            isinstance(images, (list, tuple))
            and len(images) > 0
            and all(
                isinstance(image, np.ndarray)
                and image.dtype == np.uint8
                and image.shape == shape
                for image in images
            )
        )

    @functools.cached_property
    def _picture_range(self) -> tuple[float, float] | None:
        """What the pixels 0 and 255 become by the model card; None without one."""
        if self._card is None:
            return None
        mean, std = np.array(self._card.mean), np.array(self._card.std)
        return float(np.min(-mean / std)), float(np.max((1 - mean) / std))

    def _require_card(self) -> None:
        """Refuses pictures where there is no card that says how to prepare them."""
        if self._card is None:
            raise InputError(
                "The network has no model card that tells how pictures are prepared "
                f"for it: give it {('N', *self.input_shape[1:])} of {self.input_type}, "
                "or convert it with r2b_keras."
            )
        self._card.check_fits(
            "The .tflite file",
            *(self.input_shape[1:], self.output_shape[1:]),
            input_type=self.input_type.name,
        )

    def _prepared(self, given: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Pictures, at least one, as the model card says."""
        from r2b_runtime.board import pictures

        card = cast("ModelCard", self._card)
        return np.stack([pictures.prepare(picture, card) for picture in given])


# Those that a forked child has from its parent.
_alive: weakref.WeakSet[Interpreter] = weakref.WeakSet()


def _keep_in_child() -> None:
    """Has LiteRT's interpreters outlive a child, in which their threads are not.

    To free one would be to wait for the end of its threads.
    """
    for interpreter in _alive:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(interpreter._litert))


os.register_at_fork(after_in_child=_keep_in_child)


def _is_picture(given: object) -> bool:
    """Whether it is one picture: a path, one of Pillow's, or an array from a camera."""
    if isinstance(given, np.ndarray):
        return given.dtype == np.uint8 and given.ndim < 4
    return isinstance(given, (str, os.PathLike)) or hasattr(given, "getexif")


def _type_name(given: object) -> str:
    """Of what was given, or of what is in it."""
    inside = given[0] if isinstance(given, (list, tuple)) and given else given
    return type(inside).__name__


def _count(name: str, value: int) -> int:
    """A whole number of at least 1, NumPy's too."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1:
        raise InputError(f"{name} is {value!r}, expected a whole number of at least 1.")
    return int(value)


def _content(model: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(model, bytes):
        require_tflite(model, "The model")
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise InputError(
            f"The model is {type(model).__name__}, expected the path of a .tflite file "
            "or its content as bytes."
        )
    return model_file.read(model)


def made_up(shape: tuple[int, ...], kind: np.dtype[Any], seed: int = 0) -> np.ndarray:
    """Images to try a network with: uniform pixels, or normally distributed numbers."""
    generator = np.random.default_rng(seed)
    if kind == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    return generator.normal(size=shape).astype(np.float32)
