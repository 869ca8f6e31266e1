"""Random numbers that are the same on every platform and with every NumPy.

NumPy promises that of the raw words of a bit generator, not of its distributions.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np


class SteadyNumbers:
    """A stream of numbers, one for each name."""

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode()).digest()
        self._generator = np.random.PCG64(int.from_bytes(digest[:16], "little"))
        self._drawn: list[int] = []

    def words(self, *shape: int) -> np.ndarray:
        """All values of uint32, each as likely as another."""
        count = int(np.prod(shape, dtype=np.int64))
        raw = self._generator.random_raw(count // 2 + 1)
        return raw.astype("<u8").view("<u4")[:count].reshape(shape)

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        if not self._drawn:
            self._drawn = self.words(256).tolist()
        return self._drawn.pop() * limit >> 32

    def pick(self, values: Sequence[Any]) -> Any:
        return values[self.below(len(values))]

    def whole(self, lowest: int, highest: int, *shape: int) -> np.ndarray:
        """Whole numbers, the ends included, as int64."""
        words = self.words(*shape).astype(np.int64)
        return lowest + (words * (highest - lowest + 1) >> 32)

    def floats(self, lowest: float, highest: float, *shape: int) -> np.ndarray:
        """float32 of 24 random bits, in steps that are exact."""
        parts = (self.words(*shape) >> 8).astype(np.float64) * 2.0**-24
        return (lowest + parts * (highest - lowest)).astype(np.float32)
