"""How all figures are drawn: sizes, colours, type, and the PNG at the end."""

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from r2b_keras.reports.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Twice what a page shows, so that phones and printers draw sharp lines.
DOTS_PER_INCH = 192
# CSS pixels are 96 to an inch, points 72.
SCALE = 96 / DOTS_PER_INCH
_PIXELS_PER_POINT = 96 / 72

# Colours that colour-blind readers tell apart too (Okabe and Ito).
BLACK, GREEN = "#1b1f24", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
SOFT, LINE = "#57606a", "#d0d7de"
# Even steps of lightness, made for colour-blind readers (Nuñez et al., 2018).
COLOUR_MAP = "cividis"

# Points: what is read, and what may be smaller in pictures that are not shrunk.
FONT_SIZE, SMALL = 10.5, 8.5
_FONT = "DejaVu Sans"  # comes with matplotlib: the same everywhere


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> "Figure":
    """An empty figure.

    Args:
      width: in CSS pixels of the page.
      height: the same.
      layout: how matplotlib arranges what is in it; None for places of one's own.
    """
    # Without pyplot: no window system, and nothing of the caller's is changed.
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 96, height / 96), layout=layout)


def draw(name: str, figure: "Figure", alt: str) -> Picture:
    """Draws a figure; the same figure gives the same bytes.

    Args:
      name: the picture's file name.
      figure: what to draw.
      alt: what it shows, for those who do not see it.
    """
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context({"font.family": _FONT}):
        figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return Picture(name, content.getvalue(), alt, SCALE, _smallest_text(figure))


def _smallest_text(figure: "Figure") -> float | None:
    """CSS pixels of the smallest type in a figure that has been drawn."""
    from matplotlib.text import Text

    sizes = [
        float(found.get_fontsize())
        for found in figure.findobj(Text)
        if isinstance(found, Text) and found.get_visible() and found.get_text().strip()
    ]
    return min(sizes) * _PIXELS_PER_POINT if sizes else None


def ink_on(colour: Sequence[float]) -> str:
    """Black or white, whichever is told from a colour more easily.

    The better of the two has a contrast of at least 4.58, the root of 21, as WCAG 2.1
    defines contrast.

    Args:
      colour: red, green and blue, 0 to 1 in sRGB.
    """
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]
    ]
    weights = (0.2126, 0.7152, 0.0722)
    luminance = sum(w * c for w, c in zip(weights, linear, strict=True))
    on_white, on_black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return "white" if on_white > on_black else "black"


def tidy(axes: "Axes") -> None:
    """Takes off what carries no number."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=SOFT, labelsize=FONT_SIZE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def drawable(words: str, length: int = 24) -> str:
    """Text that matplotlib draws as it stands: short, and of characters it has."""
    if len(words) > length:
        words = words[: length - 1] + "\u2026"
    known = "".join(c if ord(c) in _characters() else "\u25a1" for c in words)
    return known.replace("$", r"\$")  # or it is taken for mathematics


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(_FONT))
    return frozenset(font.get_charmap())
