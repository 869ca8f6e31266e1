"""How far apart engines may be: mostly not at all.

Numbers that are multiples of a power of two, and few enough of its multiples, can be
added and multiplied in any order without rounding. Where an operator cannot be that
exact, how far its numbers may be off is known from those that it reads.
"""

import math
from dataclasses import dataclass

_LIMITS = {"relu6": 6, "relu_n1_to_1": 1}
# A float32 has so many bits for a number.
_BITS = 24
_ROUNDING = 2.0**-23


@dataclass(frozen=True)
class Numbers:
    """What a tensor's numbers can be.

    Multiples of `step` between plus and minus `bound`, or, where `error` is not 0, any
    numbers in this range, off by up to `error`.
    """

    step: float
    bound: float
    error: float = 0.0

    def fit(self) -> bool:
        """Whether a float32 holds them, or comes near enough for a mistake to show."""
        if self.error:
            return self.bound <= 2.0**16 and self.error <= 1e-5 * self.bound
        return self.bound / self.step <= 2**_BITS

    def times(self, least: float, most: float, extra: float = 0.0) -> "Numbers":
        """Sums of products with multiples of `least`, `most` in all, plus `extra`.

        `extra` bounds what is added: whole numbers.
        """
        bound = self.bound * most + extra
        step = min(self.step * least, 1.0 if extra else math.inf)
        return Numbers(step, bound, self._error(self.error * most, bound, 2))

    def plus(self, other: "Numbers") -> "Numbers":
        bound = self.bound + other.bound
        error = self._error(self.error + other.error, bound, 1)
        return Numbers(min(self.step, other.step), bound, error)

    def product(self, other: "Numbers") -> "Numbers":
        bound = self.bound * other.bound
        error = self.error * other.bound + other.error * (self.bound + self.error)
        return Numbers(self.step * other.step, bound, self._error(error, bound, 1))

    def mean(self, count: int, is_whole: bool) -> "Numbers":
        """Means of `count` of them, or of up to as many where not `is_whole`."""
        is_exact = count & (count - 1) == 0 and (is_whole or count <= 4)
        if is_exact and not self.error:
            return self.times(1.0 / count, 1.0)
        error = self.error + (count + 4) * self.bound * _ROUNDING
        return Numbers(self.step, self.bound, error)

    def either(self, other: "Numbers") -> "Numbers":
        """Some of these and some of those."""
        return Numbers(
            min(self.step, other.step),
            max(self.bound, other.bound),
            max(self.error, other.error),
        )

    def limited(self, activation: str) -> "Numbers":
        bound = min(self.bound, _LIMITS.get(activation, math.inf))
        return Numbers(min(self.step, 1.0), bound, self.error)

    @staticmethod
    def _error(inherited: float, bound: float, roundings: int) -> float:
        """What exact numbers give is exact; see `fit`."""
        return inherited + bound * roundings * _ROUNDING if inherited else 0.0


SIGNS = Numbers(1.0, 1.0)
