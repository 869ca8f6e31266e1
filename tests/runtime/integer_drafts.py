"""Integer layers of drafts: convolutions and dense layers over 8-bit numbers.

Now and then a layer is made that just is no such layer: it has to run in floats.
"""

import numpy as np
from exact_numbers import Numbers
from graph_drafts import Shape, Tensor
from operator_files import ACTIVATIONS
from real_drafts import RealDraft

# Bits that a float has for whole numbers.
_EXACT = 2**24
_LIMITS = ((-127, 127), (-127, 127), (0, 255), (-128, 127), (-3, 3))
# What spoils a layer's numbers: a range of 257, halves, a second reader.
_FLAWS = (*(8 * ("none",)), "wide", "half", "reader")


class IntegerDraft(RealDraft):
    """Each method adds a layer, or nothing where none fits."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._pictures: list[tuple[int, Shape]] = []
        if self._below(3) == 0:
            self._add_picture()

    def _add_picture(self) -> None:
        size = (*self._tensors[0].shape[:3], self._pick((1, 3, 3, 4)))
        self._pictures.append((self._file.input("uint8", size), size))
        for values in self.inputs:
            values.append(self._numbers.whole(0, 255, *size).astype(np.uint8))

    def _hidden(self, name: str, source: int, other: int, shape: Shape) -> int:
        """An operator whose numbers only the layer after it may read."""
        index = self._file.tensor("float", shape)
        places = [source, other] if other >= 0 else [source]
        self._file.builtin(name, places, index)
        return index

    def _hide(self, tensor: Tensor) -> None:
        """Has nothing else read a tensor, unless it is the last map there is."""
        others = [other for other in self._tensors if other is not tensor]
        if any(other.is_map for other in others):
            self._tensors = others

    def _number(self, value: float) -> int:
        return self._constant_of(np.array(value, np.float32))

    def _integer_layer(self) -> None:
        """A layer over the picture, a map or a vector."""
        if self._pictures and self._below(2):
            made = self._of_picture(*self._pick(self._pictures))
        else:
            made = self._quantized()
        if made is None:
            return
        source = made
        if source.is_map and self._below(4):
            self._integer_convolution(source)
        elif len(source.shape) == 2 or source.shape[1:3] == (1, 1):
            self._integer_dense(source)

    def _of_picture(self, picture: int, size: Shape) -> Tensor:
        x = self._hidden("CAST", picture, -1, size)
        zeros = self._numbers.whole(0, 255, size[-1]).astype(np.float32)
        flaw = self._pick(_FLAWS)
        if flaw == "half":
            zeros[0] += 0.5
        if self._below(4):
            x = self._hidden("SUB", x, self._constant_of(zeros), size)
        return self._layer_input(x, size, 255, 0.5 if flaw == "half" else 1, flaw)

    def _quantized(self) -> Tensor | None:
        only_vectors = self._below(3) == 0
        source = self._tensor(
            lambda tensor: (
                tensor.kind == "float"
                and not tensor.numbers.error
                and (not only_vectors or tensor.shape[1:-1] in ((), (1, 1)))
            )
        )
        if source is not None and source.is_map and self._below(2):
            source = self._pool(source)
            if source is not None and self._below(4):
                self._hide(source)
        if source is None or source.numbers.error or 0 in source.shape:
            return None
        lowest, highest = self._pick(_LIMITS)
        flaw = self._pick(_FLAWS)
        highest += {"wide": 256 - highest + lowest, "half": 0.5}.get(flaw, 0)
        scale = np.float32((0.3 + self._below(100) / 50) * 127 / source.numbers.bound)
        shape = source.shape
        x = self._hidden("MUL", source.index, self._number(scale), shape)
        x = self._hidden("ADD", x, self._number(0.5), shape)
        x = self._hidden("FLOOR", x, -1, shape)
        limits = [("MAXIMUM", lowest), ("MINIMUM", highest)]
        if lowest == 0 and self._below(2):
            limits[0] = ("RELU", None)
        for name, limit in limits if self._below(2) else limits[::-1]:
            other = -1 if limit is None else self._number(limit)
            x = self._hidden(name, x, other, shape)
        step = 0.5 if flaw == "half" else 1
        self._read.add(source.index)
        return self._layer_input(x, shape, max(-lowest, highest), step, flaw)

    def _layer_input(
        self, index: int, shape: Shape, bound: float, step: float, flaw: str
    ) -> Tensor:
        tensor = Tensor(index, "float", shape, Numbers(step, bound))
        if flaw == "reader":
            self._tensors.append(tensor)
        return tensor

    def _integer_weights(self, source: Tensor, shape: Shape) -> tuple[Numbers, list]:
        """Weights of 7 or 8 bits, as many as keep sums exact, and a bias."""
        depth = int(np.prod(shape[1:]))
        most = self._pick((1, 7, 63, 63, 63, 64, 127))
        while depth * most * source.numbers.bound * 2 >= _EXACT:
            most //= 2
        weights = self._numbers.whole(-most, most, *shape)
        numbers = source.numbers.times(1.0, depth * most, 3.0)
        if self._below(2):
            values = weights.astype(np.float32)
            if self._below(8) == 0:
                values.flat[0] += 0.5
                numbers = Numbers(
                    numbers.step / 2, numbers.bound + source.numbers.bound
                )
            index = self._constant_of(values)
        else:
            packed = self._file.constant("int8", weights, (1.0, 0))
            index = self._file.tensor("float", shape)
            self._file.builtin("DEQUANTIZE", [packed], index)
        bias = self._numbers.whole(-3, 3, shape[0]) * self._below(2)
        return numbers, [source, index, self._constant_of(bias)]

    def _integer_convolution(self, source: Tensor) -> None:
        kernel = self._pick(((1, 1), (3, 3), (7, 7), (2, 3), (1, 1)))
        window = self._window(source, kernel, False, False)
        if not window.fits:
            return
        out = self._pick((1, 3, 8, 10, 33, 64, 100))
        shape = (out, *kernel, source.shape[3])
        numbers, inputs = self._integer_weights(source, shape)
        made = self._add(
            "CONV_2D",
            inputs,
            (source.shape[0], *window.sides, out),
            numbers,
            **window.options,
        )
        made = self._unscaled(made)
        if made is not None and self._below(2):
            made = self._prelu(made)
        if made is not None and self._below(3) == 0:
            self._pool(made)

    def _integer_dense(self, source: Tensor) -> None:
        out = self._pick((1, 3, 10, 100, 1000))
        numbers, inputs = self._integer_weights(source, (out, source.shape[-1]))
        activation = self._activation()
        made = self._add(
            "FULLY_CONNECTED",
            inputs,
            (*source.shape[:-1], out),
            numbers.limited(activation),
            keepNumDims=True,
            fusedActivationFunction=ACTIVATIONS[activation],
        )
        self._unscaled(made)

    def _unscaled(self, made: Tensor | None) -> Tensor | None:
        """A factor and an addend for each channel, or one of them."""
        if made is None:
            return None
        channels = made.shape[-1]
        factor = 0.5 ** self._below(12)
        signs = 1 - 2 * self._numbers.whole(0, 1, channels)
        addends = self._numbers.whole(-8, 8, channels) * factor
        steps = [
            ("MUL", signs * factor, made.numbers.times(factor, factor)),
            ("ADD", addends, None),
        ]
        for name, values, numbers in steps:
            if made is None or self._below(5) == 0:
                continue
            wanted = numbers or made.numbers.plus(Numbers(factor, 8 * factor))
            places = [made, self._constant_of(values)]
            made = self._add(name, places, made.shape, wanted)
        return made
