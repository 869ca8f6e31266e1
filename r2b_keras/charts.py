"""What all charts share: a figure without a window system, colours, size."""

import io
from typing import TYPE_CHECKING

from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 100
# Pixels.
WIDTH = 1000

# Told apart by colour-blind readers too (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


def check_matplotlib() -> None:
    """Raises `InputError` unless matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Charts need matplotlib, which is not installed: run `pip install "
            "matplotlib`."
        ) from error


def new_figure(width: int, height: int) -> "Figure":
    """An empty figure of this size in pixels.

    Raises:
      InputError: matplotlib is not installed.
    """
    check_matplotlib()
    # Without pyplot: no window system, and nothing of the caller's is changed.
    from matplotlib.figure import Figure

    return Figure(
        figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH),
        dpi=DOTS_PER_INCH,
        layout="constrained",
    )


def to_png(figure: "Figure") -> bytes:
    """The picture of a figure, `DOTS_PER_INCH` dense."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()
