"""How all figures are drawn: sizes, colours, type, and the PNG at the end."""

import functools
import io
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Twice what a page shows, so that phones and printers draw sharp lines.
DOTS_PER_INCH = 192
SCALE = 0.5

# Colours that colour-blind readers tell apart too (Okabe and Ito).
BLACK, ORANGE, SKY, GREEN = "#1b1f24", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
SOFT, LINE = "#57606a", "#d0d7de"
# Even steps of lightness, made for colour-blind readers (Nuñez et al., 2018).
COLOUR_MAP = "cividis"

FONT_SIZE = 10
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


def to_png(figure: "Figure") -> bytes:
    """Draws a figure; the same figure gives the same bytes."""
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context({"font.family": _FONT}):
        figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


def tidy(axes: "Axes") -> None:
    """Takes off what carries no number."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=SOFT, labelsize=FONT_SIZE - 1)
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
