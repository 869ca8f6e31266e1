"""Graphs of operators that are drawn one by one, each over tensors that are there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from exact_numbers import SIGNS, Numbers
from graph_files import GraphFile, num_words
from operator_files import ACTIVATIONS, output_size
from steady_numbers import SteadyNumbers

Shape = tuple[int, ...]
CHANNELS = (3, 8, 16, 32, 33, 64, 72, 128, 160)
# The last is more pixels than a segment has, and more lines than a step holds.
SIDES = (*(3 * (1, 2, 2, 3, 4, 4, 5, 8)), 30)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph; `shape` has the channels, also where they are packed."""

    index: int
    kind: str
    shape: tuple[int, ...]
    numbers: Numbers = SIGNS

    @property
    def is_map(self) -> bool:
        return self.kind == "float" and len(self.shape) == 4


@dataclass(frozen=True)
class Window:
    """How a kernel slides over a map, and the `sides` of what it gives."""

    same: bool
    stride: tuple[int, int]
    dilation: tuple[int, int]
    sides: tuple[int, ...]

    @property
    def fits(self) -> bool:
        return min(self.sides) > 0

    @property
    def options(self) -> dict[str, int]:
        """As TensorFlow Lite's tables have them."""
        return {
            "padding": int(not self.same),
            "strideH": self.stride[0],
            "strideW": self.stride[1],
        }


class GraphDraft:
    """A file that is being drawn. Operators are mostly added to the last tensors."""

    def __init__(self, name: str) -> None:
        self._numbers = SteadyNumbers(name)
        self._file = GraphFile()
        self._tensors: list[Tensor] = []
        self._read: set[int] = set()
        self.is_binary = False
        self.inputs: list[list[np.ndarray]] = [[], []]
        batch, height, width = (
            self._pick((1, 1, 2)),
            self._pick(SIDES),
            self._pick(SIDES),
        )
        for _ in range(self._pick((1, 1, 2))):
            self._add_input((batch, height, width, self._pick(CHANNELS)))

    def _below(self, limit: int) -> int:
        return self._numbers.below(limit)

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._numbers.pick(values)

    def _tensor(self, wanted: Callable[[Tensor], bool]) -> Tensor | None:
        """One of those that are wanted, mostly one of the last."""
        found = [tensor for tensor in self._tensors if wanted(tensor)]
        if not found:
            return None
        return self._pick(found[-3:] if self._below(3) else found)

    def _map(self, wanted: Callable[[Tensor], bool] = lambda _: True) -> Tensor | None:
        return self._tensor(lambda tensor: tensor.is_map and wanted(tensor))

    def _add_input(self, size: Shape) -> None:
        index = self._file.input("float", size)
        self._tensors.append(Tensor(index, "float", size, Numbers(1.0, 8.0)))
        for values in self.inputs:
            values.append(self._numbers.whole(-8, 8, *size).astype(np.float32))

    def _add(
        self,
        name: str,
        inputs: Sequence[Tensor | int],
        shape: Shape,
        numbers: Numbers,
        kind: str = "float",
        quantization: tuple[float, int] | None = None,
        **options: object,
    ) -> Tensor | None:
        """Adds an operator; None where its numbers would not be exact."""
        if not numbers.fit():
            return None
        stored = (*shape[:-1], num_words(shape[-1])) if kind == "packed" else shape
        index = self._file.tensor(kind, stored, quantization)
        places = [x.index if isinstance(x, Tensor) else x for x in inputs]
        self._read.update(places)
        if name.startswith("Lce"):
            self._file.custom(name, places, index, options or b"")
            self.is_binary = True
        else:
            self._file.builtin(name, places, index, **options)
        tensor = Tensor(index, kind, shape, numbers)
        self._tensors.append(tensor)
        for each in inputs:
            self._retire(each)
        return tensor

    def _is_computed(self, tensor: Tensor) -> bool:
        return tensor.index not in self._file.graph.inputs

    def _retire(self, tensor: Tensor | int) -> None:
        """Now and then nothing more reads a tensor: its memory is free from here on."""
        others = [other for other in self._tensors if other != tensor]
        if self._below(2) and any(other.is_map for other in others):
            self._tensors = others

    def _constant_of(self, values: np.ndarray, kind: str = "float") -> int:
        return self._file.constant(kind, values)

    def _window(
        self, source: Tensor, kernel: tuple[int, int], dilated: bool, keeps: bool
    ) -> Window:
        """Stride, dilation and padding, mostly those that keep the size of a map."""
        keeps = keeps or self._below(3) > 0
        same = keeps or self._below(2) == 0
        stride = (1, 1) if keeps else (self._pick((1, 2)), self._pick((1, 2, 3)))
        dilation = (1, 1)
        if dilated and self._below(4) == 0:
            dilation = (self._pick((1, 2)), self._pick((1, 2)))
        sides = zip(source.shape[1:3], kernel, stride, dilation, strict=True)
        lengths = tuple(output_size(*side, same)[0] for side in sides)
        return Window(same, stride, dilation, lengths)

    def _activation(self) -> str:
        return self._pick(tuple(ACTIVATIONS)) if self._below(3) == 0 else "none"
