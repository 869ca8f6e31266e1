"""What runs a flatbuffer, by name.

LCE's own interpreter exists for x86-64 (and macOS) only, and its Python package imports
TensorFlow. Stock LiteRT runs networks without binary operations, and all of them with
the delegate of `runtime/`, the package `r2b_runtime`.
"""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from r2b_keras.checks import one_of
from r2b_keras.converters import binary_operators, tflite_edit, tflite_file
from r2b_keras.converters.signature import Signature, read_signature
from r2b_keras.converters.tflite_file import Flatbuffer
from r2b_keras.environment import held_back_stderr
from r2b_keras.errors import InputError, one_line

LCE_OPERATORS = binary_operators.OPERATORS


class _Runner(Protocol):
    """One network in one interpreter, for batches of one size."""

    def set_input(self, images: np.ndarray) -> None:
        """Stores a batch `[B, H, W, C]`."""

    def run(self) -> None:
        """Runs the network on the stored batch."""

    def output(self) -> np.ndarray:
        """A copy of the scores `[B, K]` of the last run."""


class _LarqRunner:
    """Larq Compute Engine's interpreter."""

    def __init__(
        self,
        flatbuffer: bytes,
        num_threads: int,
        batch_size: int,
        kernels: tuple[str, ...],
    ) -> None:
        from larq_compute_engine.tflite.python.interpreter import Interpreter

        # Predict of the inner object takes a whole batch, the outer one splits it.
        options = dict.fromkeys(kernels, True)
        self._interpreter = Interpreter(flatbuffer, num_threads, **options).interpreter
        self._output = np.empty(0)

    def set_input(self, images: np.ndarray) -> None:
        self._images = images

    def run(self) -> None:
        self._output = self._interpreter.predict([self._images])[0]

    def output(self) -> np.ndarray:
        return self._output


class _LiteRTRunner:
    """Stock LiteRT, with XNNPACK as it comes."""

    def __init__(self, flatbuffer: bytes, num_threads: int, batch_size: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(
            model_content=flatbuffer, num_threads=num_threads
        )
        details = self._interpreter.get_input_details()[0]
        self._input = details["index"]
        shape = [batch_size, *details["shape"][1:]]
        self._interpreter.resize_tensor_input(self._input, shape)
        self._interpreter.allocate_tensors()
        self._output = self._interpreter.get_output_details()[0]["index"]

    def set_input(self, images: np.ndarray) -> None:
        self._interpreter.set_tensor(self._input, images)

    def run(self) -> None:
        self._interpreter.invoke()

    def output(self) -> np.ndarray:
        scores: np.ndarray = self._interpreter.get_tensor(self._output)
        return scores


def _delegate_runner(flatbuffer: bytes, num_threads: int, batch_size: int) -> _Runner:
    """LiteRT with the delegate of `runtime/`."""
    from r2b_runtime import Interpreter

    runner: _Runner = Interpreter(flatbuffer, num_threads, batch_size=batch_size)
    return runner


@dataclass(frozen=True)
class _Kind:
    package: str
    operators: tuple[str, ...]
    make: Callable[[bytes, int, int], _Runner]


_LCE, _LITERT, _DELEGATE = "larq_compute_engine", "ai_edge_litert", "r2b_runtime"
_INSTALLATION = {
    _LCE: "larq-compute-engine: run `pip install larq-compute-engine`",
    _LITERT: "ai-edge-litert: run `pip install ai-edge-litert`",
    _DELEGATE: "r2b_runtime: run `make runtime` and `pip install` its wheel from dist/",
}


def _lce(*kernels: str) -> _Kind:
    return _Kind(_LCE, LCE_OPERATORS, functools.partial(_LarqRunner, kernels=kernels))


_KINDS = {
    "lce": _lce(),
    "lce_indirect": _lce("use_indirect_bgemm"),
    "lce_indirect_xnnpack": _lce("use_indirect_bgemm", "use_xnnpack"),
    "lce_reference": _lce("use_reference_bconv"),
    "litert": _Kind(_LITERT, (), _LiteRTRunner),
    "r2b_runtime": _Kind(_DELEGATE, LCE_OPERATORS, _delegate_runner),
}
NAMES = tuple(_KINDS)
# LCE's binary kernels are all the same to a network without binary operations.
FOR_REAL_NETWORKS = ("litert", "lce", "r2b_runtime")


class Engine:
    """A network that is loaded and can be run.

    Attributes:
      name: the engine's name, one of `NAMES`.
      input_shape: (batch, height, width, channels).
      input_type: what it takes, float32, or uint8 for pixels.
      num_classes: length of the scores.
    """

    def __init__(self, name: str, runner: _Runner, signature: Signature) -> None:
        """Takes a loaded network; `load` makes it."""
        self.name = name
        self.input_shape = signature.input_shape
        self.input_type = signature.input_type
        self.num_classes = signature.num_classes
        self._runner = runner
        runner.set_input(np.zeros(self.input_shape, self.input_type))

    @property
    def takes_pixels(self) -> bool:
        """Whether it takes pixels, uint8, and normalises them itself."""
        return self.input_type == np.uint8

    def set_input(self, images: np.ndarray) -> None:
        """Stores the batch that `run` takes, of `input_shape` and `input_type`."""
        self._runner.set_input(np.ascontiguousarray(images, self.input_type))

    def run(self) -> None:
        """Runs the network once, for timing."""
        self._runner.run()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Scores of any number of images.

        Args:
          images: `[N, H, W, C]` float32, as the network sees them, or pixels, uint8,
            where `input_type` says so.

        Returns:
          `[N, K]` float32.

        Raises:
          InputError: the images have another shape, or are pixels where the network
            does not take them, or the other way round.
        """
        if images.ndim != 4 or images.shape[1:] != self.input_shape[1:]:
            raise InputError(
                f"The images have the shape {images.shape}, the network takes "
                f"{('N', *self.input_shape[1:])}."
            )
        if (images.dtype == np.uint8) != self.takes_pixels:
            wanted = "pixels, uint8" if self.takes_pixels else "normalised, float32"
            raise InputError(
                f"The images are of {images.dtype}, the network takes them {wanted}."
            )
        batch = self.input_shape[0]
        scores = [np.zeros((0, self.num_classes), np.float32)]
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            padded = np.zeros(self.input_shape, self.input_type)
            padded[: len(part)] = part
            self.set_input(padded)
            self.run()
            scores.append(self._runner.output()[: len(part)])
        return np.concatenate(scores)


def names_for(flatbuffer: bytes | Flatbuffer) -> tuple[str, ...]:
    """Engines that can run a flatbuffer and are installed, in the order of tables.

    Raises:
      InputError: it is no flatbuffer, or a damaged one.
    """
    return _names_for(_custom_operators(tflite_file.read(flatbuffer).model))


def _names_for(custom: set[str]) -> tuple[str, ...]:
    able = [
        name
        for name, kind in _KINDS.items()
        if custom <= set(kind.operators) and importlib.util.find_spec(kind.package)
    ]
    if custom:
        return tuple(able)
    return tuple(name for name in FOR_REAL_NETWORKS if name in able)


def able(
    flatbuffer: bytes | Flatbuffer, names: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """Names of the engines that load a flatbuffer, and what others that might say.

    Args:
      flatbuffer: content of a `.tflite` file.
      names: the engines to choose from, all of `names_for` when None.

    Raises:
      InputError: there is none.
    """
    flatbuffer = tflite_file.read(flatbuffer)
    known = names_for(flatbuffer)
    able, problems = [], []
    for name in names or known:
        try:
            if name in known:
                able.append(load(flatbuffer, name).name)
        except InputError as error:
            problems.append(str(error))
    if problems and not able:
        raise InputError(problems[0])
    if not able:
        load(flatbuffer, names[0] if names else None)  # tells why
    return able, problems


def load(
    flatbuffer: bytes | Flatbuffer,
    name: str | None = None,
    num_threads: int = 1,
    batch_size: int = 1,
) -> Engine:
    """Loads a network into an engine.

    Args:
      flatbuffer: content of a `.tflite` file, one input `[B, H, W, C]` of float32, or
        of uint8.
      name: one of `NAMES`; when None, ours if it is there and loads it, as that is many
        times as fast, else the first of `names_for` that does.
      num_threads: threads that an inference may use.
      batch_size: images of one inference.

    Raises:
      InputError: the file is damaged, or has operators, inputs or outputs that the
        engine does not know, or the engine is not installed, or lacks a package. Of
        several engines, the first one's reason.
    """
    flatbuffer = tflite_file.read(flatbuffer)
    model = flatbuffer.model
    own = read_signature(model)
    signature = replace(own, input_shape=(batch_size, *own.input_shape[1:]))
    names = _choose(_custom_operators(model), name)
    binary_operators.check(model)
    reasons = []
    for able in names:
        content = flatbuffer.content
        if _KINDS[able].package == _LCE and own.input_shape[0] != batch_size:
            # Its interpreter has no resize: the batch is written into the file.
            content = tflite_edit.with_batch_size(content, batch_size)
        try:
            return _load(content, able, num_threads, signature)
        except InputError as error:
            reasons.append(error)
    starts = not isinstance(reasons[0].__cause__, ImportError)
    if starts and own.input_shape[0] > 1 and own.input_shape[0] != batch_size:
        raise InputError(
            f"{str(reasons[0]).removesuffix('.')}. The file is for batches of "
            f"{own.input_shape[0]}: build the network without the `Input`'s batch_size."
        ) from reasons[0]
    raise reasons[0]


def _load(
    flatbuffer: bytes, name: str, num_threads: int, signature: Signature
) -> Engine:
    batch_size, num_classes = signature.input_shape[0], signature.num_classes
    try:
        with held_back_stderr():
            runner = _KINDS[name].make(flatbuffer, num_threads, batch_size)
            engine = Engine(name, runner, signature)
            engine.run()
            found = runner.output().shape
    except ImportError as error:
        raise InputError(
            f"The engine {name} does not start here ({one_line(error)}): install what "
            "it lacks, or choose another engine."
        ) from error
    except (ValueError, RuntimeError, MemoryError) as error:
        raise _cannot_run(name, error) from error
    if found != (batch_size, num_classes):
        raise InputError(
            f"The engine {name} gives scores of the shape {found} for this .tflite "
            f"file, expected {(batch_size, num_classes)}: convert the network again."
        )
    return engine


def _cannot_run(name: str, error: Exception) -> InputError:
    if _KINDS[name].package == _DELEGATE:
        from r2b_runtime.board import errors  # its InputError is not this package's

        if isinstance(error, errors.InputError):
            return InputError(str(error))
    return InputError(
        f"The engine {name} cannot run this .tflite file ({one_line(error)}): "
        "convert the network again, or choose another engine."
    )


def _choose(custom: set[str], name: str | None) -> tuple[str, ...]:
    """The engines to try, one or more."""
    able = _names_for(custom)
    if name is None and able:
        return tuple(sorted(able, key=lambda each: each != _DELEGATE))
    if name in able:
        return (str(name),)
    if name is not None and name not in NAMES:
        raise InputError(f"There is no engine {name!r}, {one_of(name, NAMES)}")
    unknown = sorted(custom - set(LCE_OPERATORS))
    if unknown:
        reason = f"it has operators that no engine knows ({', '.join(unknown)})"
    elif able and (name is None or importlib.util.find_spec(_KINDS[name].package)):
        reason = f"expected one of {', '.join(able)}"
    else:
        package = _KINDS[name or ("lce" if custom else "litert")].package
        reason = f"it needs the package {_INSTALLATION[package]}"
    wanted = f"The engine {name} cannot" if name else "No engine can"
    raise InputError(f"{wanted} run this .tflite file, {reason}.")


def _custom_operators(model: tflite_file.Model) -> set[str]:
    return {
        tflite_file.operator_name(model, operator)
        for _, operator in tflite_file.operators(model)
        if model.operatorCodes[operator.opcodeIndex].customCode
    }
