"""Real-valued operators of drafts."""

from collections.abc import Sequence

import numpy as np
from exact_numbers import Numbers
from graph_drafts import CHANNELS, GraphDraft, Shape, Tensor
from operator_files import ACTIVATIONS


class RealDraft(GraphDraft):
    """Each method adds an operator, over `source` or any tensor.

    Over a given source an operator keeps the size of the map. Without a result, none
    was added: none fits, or its numbers would not be exact.
    """

    def _convolution(self, source: Tensor | None = None) -> Tensor | None:
        keeps, source = source is not None, source or self._map()
        channels = source.shape[3]
        kernel = self._pick(((1, 1), (3, 3), (2, 2), (1, 3), (3, 3)))
        window = self._window(source, kernel, True, keeps)
        if not window.fits:
            return None
        out = channels if keeps or self._below(4) else self._pick(CHANNELS)
        numbers, inputs = self._weights(source, (out, *kernel, channels))
        activation = self._activation()
        return self._add(
            "CONV_2D",
            inputs,
            (source.shape[0], *window.sides, out),
            numbers.limited(activation),
            **window.options,
            dilationHFactor=window.dilation[0],
            dilationWFactor=window.dilation[1],
            fusedActivationFunction=ACTIVATIONS[activation],
        )

    def _weights(
        self, source: Tensor, shape: Shape
    ) -> tuple[Numbers, list[Tensor | int]]:
        """Weights 1 and -1 in so few places that sums stay exact, and a bias."""
        depth = int(np.prod(shape[1:]))
        for count in (min(depth, self._pick((4, 16, 64))), min(depth, 2)):
            numbers = source.numbers.times(1.0, count, 3.0)
            if numbers.fit():
                break
        signs = 1 - 2 * self._numbers.whole(0, 1, shape[0], depth)
        order = np.argsort(self._numbers.words(shape[0], depth), axis=1)
        weights = np.where(order < count, signs, 0).reshape(shape)
        bias = self._numbers.whole(-3, 3, shape[0])
        # LiteRT's own convolutions have one always.
        is_left_out = len(shape) == 2 and self._below(4) == 0
        added = -1 if is_left_out else self._constant_of(bias)
        return numbers, [source, self._constant_of(weights), added]

    def _pool(self, source: Tensor | None = None) -> Tensor | None:
        keeps, source = source is not None, source or self._map()
        is_max = self._below(2) == 0
        # Means of 3 x 3 numbers are not exact.
        kernels = ((2, 2), (1, 2), (3, 3), (3, 2))
        kernel = self._pick(kernels if is_max or self._below(4) == 0 else kernels[:2])
        window = self._window(source, kernel, False, keeps)
        if not window.fits:
            return None
        numbers = source.numbers
        if not is_max:
            numbers = numbers.mean(kernel[0] * kernel[1], is_whole=False)
        activation = self._activation()
        return self._add(
            "MAX_POOL_2D" if is_max else "AVERAGE_POOL_2D",
            [source],
            (source.shape[0], *window.sides, source.shape[3]),
            numbers.limited(activation),
            **window.options,
            filterHeight=kernel[0],
            filterWidth=kernel[1],
            fusedActivationFunction=ACTIVATIONS[activation],
        )

    def _pooled(self, source: Tensor | None = None) -> Tensor | None:
        """A pool over a convolution that nothing else may read."""
        made = self._convolution(source)
        return None if made is None else self._pool(made)

    def _sum(self) -> None:
        left = self._map()
        right = self._map(lambda tensor: tensor.shape == left.shape)
        self._add_up(self._pick(("ADD", "ADD", "ADD", "SUB")), left, right)

    def _add_up(self, name: str, left: Tensor, right: Tensor) -> None:
        self._pair(name, left, right, left.numbers.plus(right.numbers))

    def _product(self) -> None:
        left = self._map()
        self._multiply(left, self._map(lambda tensor: tensor.shape == left.shape))

    def _multiply(self, left: Tensor, right: Tensor) -> Tensor | None:
        return self._pair("MUL", left, right, left.numbers.product(right.numbers))

    def _pair(
        self, name: str, left: Tensor, right: Tensor, numbers: Numbers
    ) -> Tensor | None:
        activation = self._activation() if self._below(3) == 0 else "none"
        pair = [left, right] if self._below(2) else [right, left]
        return self._add(
            name,
            pair,
            left.shape,
            numbers.limited(activation),
            fusedActivationFunction=ACTIVATIONS[activation],
        )

    def _gate(self, left: Tensor | None = None) -> Tensor | None:
        """A factor for each channel, of each image or of the only one."""
        left = left or self._map()
        batch, channels = left.shape[0], left.shape[3]
        keeps_dims = batch > 1 or self._below(3) > 0
        wanted = (batch, 1, 1, channels) if keeps_dims else (batch, channels)
        gate = self._tensor(
            lambda tensor: (tensor.kind, tensor.shape) == ("float", wanted)
        )
        if gate is None:
            source = self._map(lambda tensor: tensor.shape[3] == channels)
            gate = self._mean_of(source, keeps_dims)
        return None if gate is None else self._multiply(left, gate)

    def _mean(self) -> None:
        self._mean_of(self._map(), keeps_dims=self._below(3) > 0)

    def _mean_of(self, source: Tensor, keeps_dims: bool) -> Tensor | None:
        batch, height, width, channels = source.shape
        numbers = source.numbers.mean(height * width, is_whole=True)
        if keeps_dims and self._below(3) == 0:
            return self._add(
                "AVERAGE_POOL_2D",
                [source],
                (batch, 1, 1, channels),
                numbers,
                padding=1,
                strideH=height,
                strideW=width,
                filterHeight=height,
                filterWidth=width,
            )
        return self._add(
            "MEAN",
            [source, self._constant_of(np.array([1, 2]), "packed")],
            (batch, 1, 1, channels) if keeps_dims else (batch, channels),
            numbers,
            keepDims=keeps_dims,
        )

    def _dense(self) -> None:
        source = self._tensor(
            lambda tensor: (
                tensor.kind == "float"
                and (len(tensor.shape) == 2 or tensor.shape[1:3] == (1, 1))
            )
        )
        if source is None:
            return
        channels = source.shape[-1]
        out = channels if self._below(2) else self._pick(CHANNELS)
        numbers, inputs = self._weights(source, (out, channels))
        activation = self._activation()
        self._add(
            "FULLY_CONNECTED",
            inputs,
            (*source.shape[:-1], out),
            numbers.limited(activation),
            keepNumDims=True,
            fusedActivationFunction=ACTIVATIONS[activation],
        )

    def _curve(self) -> None:
        """Numbers that no engine has exactly."""
        source = self._tensor(lambda tensor: tensor.kind == "float")
        error = source.numbers.error
        if self._below(2):
            self._add("LOGISTIC", [source], source.shape, Numbers(1, 1, error + 1e-6))
        elif source.numbers.bound < 80:
            numbers = Numbers(1, 1, 2 * error + 1e-6)
            self._add("SOFTMAX", [source], source.shape, numbers, beta=1.0)

    def _prelu(self, source: Tensor | None = None) -> Tensor | None:
        source = source or self._map()
        choice = self._numbers.whole(0, 5, 1, 1, source.shape[3])
        slopes = np.array([0.5, 0.25, 1, 2, -0.5, 0])[choice]
        numbers = source.numbers.times(0.25, 2.0)
        return self._add(
            "PRELU", [source, self._constant_of(slopes)], source.shape, numbers
        )

    def _limits(self) -> None:
        source = self._tensor(lambda tensor: tensor.kind == "float")
        name = self._pick(("relu", "relu6", "relu_n1_to_1"))
        self._add(name.upper(), [source], source.shape, source.numbers.limited(name))

    def _scaled(self, source: Tensor | None = None) -> Tensor | None:
        """Factors 0.5, 1, 2 and -1: one for each channel, or for all."""
        source = source or self._map()
        return self._with_constant(
            "MUL", source, (0.5, 1, 2, -1), source.numbers.times(0.5, 2.0)
        )

    def _shifted(self, source: Tensor | None = None) -> Tensor | None:
        """Halves and whole numbers, added, taken off or taken from."""
        source = source or self._map()
        addends = np.array([-0.0, *np.arange(-8, 9) / 2])
        name = self._pick(("ADD", "ADD", "SUB"))
        numbers = source.numbers.plus(Numbers(0.5, 4.0))
        return self._with_constant(name, source, addends, numbers)

    def _mapped(self, source: Tensor) -> Tensor | None:
        """Plus or minus a constant for each position, or that minus the map."""
        addends = np.array([-0.0, *np.arange(-8, 9) / 2])
        size = (1, *source.shape[1:])
        drawn = addends[self._numbers.whole(0, len(addends) - 1, *size)]
        pair = [source, self._constant_of(drawn)]
        return self._add(
            self._pick(("ADD", "SUB", "SUB")),
            pair if self._below(2) else pair[::-1],
            source.shape,
            source.numbers.plus(Numbers(0.5, 4.0)),
        )

    def _with_constant(
        self, name: str, source: Tensor, values: Sequence[float], numbers: Numbers
    ) -> Tensor | None:
        channels = source.shape[3]
        shape = self._pick(((channels,), (channels,), (1, 1, 1, channels), (1,)))
        drawn = np.array(values)[self._numbers.whole(0, len(values) - 1, *shape)]
        activation = self._activation() if self._below(4) == 0 else "none"
        pair = [source, self._constant_of(drawn)]
        return self._add(
            name,
            pair if self._below(4) else pair[::-1],
            source.shape,
            numbers.limited(activation),
            fusedActivationFunction=ACTIVATIONS[activation],
        )

    def _concatenation(self) -> None:
        """Which the delegate leaves to LiteRT: it divides what the delegate runs."""
        left = self._map(lambda tensor: tensor.shape[3] <= 72)
        if left is None:
            return
        right = self._map(lambda tensor: tensor.shape[:3] == left.shape[:3])
        self._add(
            "CONCATENATION",
            [left, right],
            (*left.shape[:3], left.shape[3] + right.shape[3]),
            left.numbers.either(right.numbers),
            axis=3,
        )
