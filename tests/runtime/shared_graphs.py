"""Random graphs in which operators share their operands.

A graph has several readers of one tensor: what a step may write over, and when, is
decided by all of them.
"""

import collections
from collections.abc import Callable, Sequence

import numpy as np
from exact_numbers import SIGNS, Numbers
from graph_drafts import CHANNELS, Tensor
from graph_files import num_words
from integer_drafts import IntegerDraft
from operator_files import ACTIVATIONS

SEED = "shared graphs 1"


class SharedGraph(IntegerDraft):
    """Graph number `number`; the same number, the same graph.

    Attributes:
      is_binary: whether only engines that know the binary operators can run it.
      content: the file for the delegate.
      plain: the file for the reference: without the signs of all results, which let
        LiteRT run what is not binary.
      inputs: two sets of arrays to run it on.
      errors: for each output of `plain`, how far its numbers may be off; 0: not at all.
      signs: for each further output of `content`, the output of which it is the sign.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"{SEED} {number}")
        self._only_real = self._below(3) == 0
        wanted = 4 + self._below(12)
        for _ in range(20 * wanted):
            if len(self._file.graph.operators) < wanted:
                self._pick(self._choices())()
        while not any(map(self._is_result, self._tensors)):
            self._pick(self._choices())()
        self._finish()

    def _is_result(self, tensor: Tensor) -> bool:
        return self._is_computed(tensor) and tensor.index not in self._read

    def _choices(self) -> Sequence[Callable[[], object]]:
        real = [
            *(8 * [self._residual]),
            *(3 * [self._convolution, self._pool, self._sum, self._gate]),
            *(4 * [self._integer_layer]),
            *(2 * [self._prelu, self._limits, self._mean, self._pooled]),
            self._scaled,
            self._shifted,
            self._dense,
            self._curve,
            self._concatenation,
            self._product,
        ]
        if self._only_real:
            return real
        return [
            *real,
            *(5 * [self._quantize]),
            *(8 * [self._binary_convolution]),
            *(2 * [self._binary_pool, self._dequantize]),
        ]

    def _residual(self) -> None:
        """What a block computes of a tensor, added to it: the tensor is read twice."""
        source = self._map(self._is_computed) or self._map()
        kinds = (self._convolution, self._pool, self._pooled, self._binary_of)
        changed = self._pick(kinds)(source)
        for follow in (self._mapped, self._prelu, self._gate):
            if changed is not None and self._below(4) == 0:
                changed = follow(changed)
        if changed is not None and changed.shape == source.shape:
            self._add_up("ADD", changed, source)

    def _binary_of(self, source: Tensor) -> Tensor | None:
        """A binary convolution, mostly after a BatchNorm."""
        if self._only_real or source.numbers.error:
            return None
        before: Tensor | None = source
        for step in (self._scaled, self._shifted):
            if before is not None and self._below(3):
                before = step(before)
        if before is not None and self._below(3) == 0:
            before = self._moved(before) or before
        if before is None or before.numbers.error:
            return None
        packed = self._add("LceQuantize", [before], before.shape, SIGNS, "packed")
        return self._binary_convolution(packed)

    def _moved(self, source: Tensor) -> Tensor | None:
        """Plus a number for each channel of an image, mostly its own mean."""
        batch, _, _, channels = source.shape
        wanted = ("float", (batch, 1, 1, channels))
        found = self._tensor(lambda tensor: (tensor.kind, tensor.shape) == wanted)
        if found is None or self._below(3):
            found = self._mean_of(source, keeps_dims=True)
        if found is None or found.numbers.error:
            return None
        pair = [source, found] if self._below(2) else [found, source]
        numbers = source.numbers.plus(found.numbers)
        return self._add("ADD", pair, source.shape, numbers)

    def _quantize(self) -> Tensor | None:
        source = self._tensor(
            lambda tensor: tensor.kind in ("float", "int8") and not tensor.numbers.error
        )
        if source is None:
            return None
        return self._add("LceQuantize", [source], source.shape, SIGNS, "packed")

    def _packed(self) -> Tensor | None:
        """A packed map, mostly one that is there already."""
        if self._below(3):
            found = self._tensor(
                lambda tensor: tensor.kind == "packed" and len(tensor.shape) == 4
            )
            if found is not None:
                return found
        made = self._quantize()
        return made if made is not None and len(made.shape) == 4 else None

    def _dequantize(self) -> None:
        source = self._tensor(lambda tensor: tensor.kind == "packed")
        if source is not None:
            self._add("LceDequantize", [source], source.shape, SIGNS)

    def _binary_pool(self) -> None:
        source = self._packed()
        if source is None:
            return
        kernel = self._pick(((2, 2), (3, 3), (1, 2)))
        window = self._window(source, kernel, False, False)
        if not window.fits:
            return
        self._add(
            "LceBMaxPool2d",
            [source],
            (source.shape[0], *window.sides, source.shape[3]),
            SIGNS,
            "packed",
            filter_height=kernel[0],
            filter_width=kernel[1],
            padding=int(not window.same),
            stride_height=window.stride[0],
            stride_width=window.stride[1],
        )

    def _binary_convolution(self, source: Tensor | None = None) -> Tensor | None:
        keeps, source = source is not None, source or self._packed()
        if source is None:
            return None
        channels = source.shape[3]
        kernel = self._pick(((1, 1), (3, 3), (3, 3), (2, 2), (1, 3)))
        window = self._window(source, kernel, True, keeps)
        if not window.fits:
            return None
        out = channels if keeps or self._below(4) else self._pick(CHANNELS)
        groups = 2 if channels % 64 == 0 == out % 2 and self._below(3) == 0 else 1
        depth = kernel[0] * kernel[1] * channels // groups
        # Zeros count as half of the channels, of which there has to be a whole number.
        ones = self._below(2) if channels % 2 == 0 else 1
        kind = "float" if keeps else self._pick(("float", "float", "packed", "int8"))
        activation = self._activation() if kind != "packed" else "none"
        factor = self._pick((1.0, 0.5, 0.125))
        vectors = [-1, -1, -1]
        if kind == "packed":
            thresholds = self._numbers.whole(depth // 4, 3 * depth // 4, out)
            # Engines read the multiplier for zeros around a map, whatever comes out.
            unused = self._constant_of(np.ones(out)) if window.same else -1
            vectors = [unused, unused, self._constant_of(thresholds, "packed")]
        else:
            signs = 1 - 2 * self._numbers.whole(0, 1, out)
            vectors[0] = self._constant_of(factor * signs)
            vectors[1] = self._constant_of(self._numbers.whole(-3, 3, out))
        words = num_words(channels // groups)
        filters = self._numbers.words(out, *kernel, words)
        if channels % 32:
            filters[..., -1] &= (1 << channels % 32) - 1
        return self._add(
            "LceBconv2d",
            [source, self._constant_of(filters.view("<i4"), "packed"), *vectors],
            (source.shape[0], *window.sides, out),
            SIGNS if kind == "packed" else Numbers(factor, depth * factor + 3),
            kind,
            (4.0, -3) if kind == "int8" else None,
            channels_in=channels,
            dilation_height_factor=window.dilation[0],
            dilation_width_factor=window.dilation[1],
            fused_activation_function=ACTIVATIONS[activation],
            pad_values=ones,
            padding=int(not window.same),
            stride_height=window.stride[0],
            stride_width=window.stride[1],
        )

    def _finish(self) -> None:
        """All that nothing reads is a result, and now and then what is read as well."""
        results = [
            tensor
            for tensor in self._tensors
            if self._is_result(tensor)
            or (self._is_computed(tensor) and self._below(8) == 0)
        ]
        self.errors = [tensor.numbers.error for tensor in results]
        places = [tensor.index for tensor in results]
        self.plain = self.content = self._file.content(*places)
        self.signs: list[int] = []
        if self.is_binary:
            return
        self.signs = list(range(len(results)))
        signs = [
            self._add("LceQuantize", [tensor], tensor.shape, SIGNS, "packed").index
            for tensor in results
        ]
        self.is_binary = False
        self.content = self._file.content(*places, *signs)

    def most_readers(self) -> int:
        """How often the tensor is read that is read most."""
        reads = (place for op in self._file.graph.operators for place in op.inputs)
        return max(collections.Counter(reads).values())
