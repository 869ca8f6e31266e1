"""How all pictures are drawn: figures without a window system, colours, type, PNG."""

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Sizes are in pixels as CSS has them.
PIXELS_PER_INCH = 96
PIXELS_PER_POINT = PIXELS_PER_INCH / 72
# Pixels: a chart that stands alone.
WIDTH = 1000

# Told apart by colour-blind readers too (Okabe and Ito).
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
PURPLE, SKY, VERMILLION = "#CC79A7", "#56B4E9", "#D55E00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
BLACK, SOFT, LINE = "#1b1f24", "#57606a", "#d0d7de"
# Even steps of lightness, made for colour-blind readers (Nuñez et al., 2018).
COLOUR_MAP = "cividis"
_FONT = "DejaVu Sans"  # comes with matplotlib: the same everywhere


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> "Figure":
    """An empty figure of this size in pixels.

    Args:
      width: in pixels.
      height: the same.
      layout: how matplotlib arranges what is in it; None for places of one's own.
    """
    # Without pyplot: no window system, and nothing of the caller's is changed.
    from matplotlib.figure import Figure

    size = (width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    return Figure(figsize=size, dpi=PIXELS_PER_INCH, layout=layout)


def to_png(figure: "Figure", sharpness: int = 1) -> bytes:
    """The picture of a figure; the same figure gives the same bytes.

    Args:
      figure: what to draw.
      sharpness: dots of the picture to a pixel of the figure, along each side.
    """
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context({"font.family": _FONT}):
        figure.savefig(content, format="png", dpi=sharpness * PIXELS_PER_INCH)
    return content.getvalue()


def open_frame(axes: "Axes", *sides: str) -> None:
    """Takes the frame off at these sides, as it carries no number there."""
    axes.spines[list(sides or ("top", "right"))].set_visible(False)
    axes.set_axisbelow(True)


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
