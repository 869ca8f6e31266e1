"""Pictures on a page: figures, and photographs as they are."""

import base64
import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from r2b_keras import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Twice what a page shows, so that phones and printers draw sharp lines.
SHARPNESS = 2
# Points: what is read, and what may be smaller in pictures that are not shrunk.
FONT_SIZE, SMALL = 10.5, 8.5
LABEL: dict[str, Any] = {"color": drawing.SOFT, "fontsize": FONT_SIZE}
# Pixels of the shorter side of a photograph, at least.
SIDE = 160


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows.

    Attributes:
      name: its anchor, unique on the page.
      png: the file's bytes.
      alt: what it shows, for those who do not see it.
      scale: CSS pixels of one of its pixels; narrower places shrink it further.
      smallest_text: CSS pixels of the smallest type in it at that scale, None without
        any.
    """

    name: str
    png: bytes
    alt: str
    scale: float = 1.0
    smallest_text: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the file's header."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        width, height = (round(side * self.scale) for side in self.size)
        return width, height

    @property
    def source(self) -> str:
        """The file as an address, so that a page needs no other file."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


def draw(name: str, figure: "Figure", alt: str) -> Picture:
    """Draws a figure; the same figure gives the same bytes.

    Args:
      name: the picture's, unique on the page.
      figure: what to draw.
      alt: what it shows, for those who do not see it.
    """
    png = drawing.to_png(figure, SHARPNESS)
    return Picture(name, png, alt, 1 / SHARPNESS, _smallest_text(figure))


def _smallest_text(figure: "Figure") -> float | None:
    """CSS pixels of the smallest type in a figure that has been drawn."""
    from matplotlib.text import Text

    sizes = [
        float(found.get_fontsize())
        for found in figure.findobj(Text)
        if isinstance(found, Text) and found.get_visible() and found.get_text().strip()
    ]
    return min(sizes) * drawing.PIXELS_PER_POINT if sizes else None


def write_in_cells(axes: "Axes", words: dict[tuple[int, int], str]) -> None:
    """Writes into the cells of the image that axes show, in ink that is read there.

    Args:
      axes: they show one image.
      words: by row and column.
    """
    (image,) = axes.images
    values = np.ma.filled(image.get_array(), np.nan)
    for (row, column), word in words.items():
        colour = image.cmap(image.norm(values[row, column]))
        axes.text(
            column,
            row,
            word,
            ha="center",
            va="center",
            fontsize=SMALL,
            color=drawing.ink_on(colour),
        )


def photograph(name: str, image: np.ndarray, alt: str) -> Picture:
    """An image as it is, small ones enlarged by repeating pixels.

    Args:
      name: the picture's, unique on the page.
      image: `[H, W, C]` uint8, C of 1 or 3.
      alt: what it shows.
    """
    times = max(1, round(SIDE / min(image.shape[:2])))
    large = image.repeat(times, axis=0).repeat(times, axis=1)
    content = io.BytesIO()
    Image.fromarray(large.squeeze(-1) if large.shape[-1] == 1 else large).save(
        content, format="PNG", optimize=True
    )
    return Picture(name, content.getvalue(), alt)
