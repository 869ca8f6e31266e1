"""How pixels become a network's input, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2b_keras.checks import is_number, require

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Normalisation:
    """A pixel p of 0 to 255 reaches the network as (p / 255 - mean) / std.

    Attributes:
      mean: one number per channel, in units of pixel / 255.
      std: one positive number per channel, in units of pixel / 255.

    Raises:
      InputError: not as many of the one as of the other, or no positive std.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Lists, as JSON has them, become tuples; numbers are checked."""
        for name in ("mean", "std"):
            value = getattr(self, name)
            several = isinstance(value, list | tuple) and all(map(is_number, value))
            require(several, name, value, "several numbers")
            object.__setattr__(self, name, tuple(map(float, value)))
        same = len(self.mean) == len(self.std) > 0
        require(same, "std", self.std, f"one number for each of the mean {self.mean}")
        require(all(map(math.isfinite, self.mean)), "mean", self.mean, "numbers")
        positive = all(0 < value < math.inf for value in self.std)
        require(positive, "std", self.std, "numbers above 0")

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """The nearest pixels of what a network sees.

        Args:
          images: `[..., C]` float32, normalised.

        Returns:
          The same shape, uint8.
        """
        import numpy as np  # recipes are read without it

        levels = (images * np.array(self.std) + np.array(self.mean)) * 255
        return np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)
