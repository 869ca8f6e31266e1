"""What pictures look like: scales, contrast, legends, and the size of their text."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from r2b_keras import drawing, recipes
from r2b_keras.reports import attention, curves, gates, mistakes, pictures
from r2b_keras.reports.history import FLIPS, History

# WCAG 2.1, success criterion 1.4.3.
LEAST_CONTRAST = 4.5


def luminance(colour):
    c = np.asarray(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def history(*names):
    values = {name: (1.0, 0.5, 0.25) for name in names}
    return History((1, 2, 3), values)


ALL = history(
    *(prefix + name for prefix in ("", "val_") for name in (*curves.PARTS, "accuracy")),
    FLIPS,
)


@pytest.fixture
def drawn(monkeypatch):
    """Figures that are kept instead of drawn."""
    figures = []
    monkeypatch.setattr(
        pictures, "draw", lambda name, figure, alt: figures.append(figure)
    )
    return figures


@pytest.mark.parametrize("name", [drawing.COLOUR_MAP, "Blues"])
def test_ink_is_read_on_every_colour(name):
    for colour in matplotlib.colormaps[name](np.linspace(0, 1, 256)):
        ink = drawing.ink_on(colour)
        assert contrast(ink, colour[:3]) >= LEAST_CONTRAST


def test_text_of_the_page_is_read_on_white():
    for colour in (drawing.BLACK, drawing.SOFT):
        assert contrast(colour, "white") >= LEAST_CONTRAST


def test_colours_of_gates_span_what_there_is():
    assert gates.colour_scale(np.array([[0.1, np.nan], [0.7, 0.4]])) == pytest.approx(
        (0.1, 0.7)
    )
    for values, scale in (
        ([0.48, 0.52], (0.4, 0.6)),
        ([0.5, 0.5], (0.4, 0.6)),
        ([0.0, 0.02], (0.0, 0.2)),
        ([0.95, 1.0], (0.8, 1.0)),
        ([0.0, 1.0], (0.0, 1.0)),
    ):
        assert gates.colour_scale(np.array(values)) == pytest.approx(scale)


def test_values_of_gates_are_read_and_their_scale_is_told():
    values = np.linspace(0.45, 0.55, 30).reshape(5, 6)
    names = tuple("abcde")
    figure = gates.draw_overall(values, list("123456"), names)
    axes = figure.axes[0]
    (image,) = axes.images
    assert image.get_clim() == pytest.approx((0.4, 0.6))
    assert len(axes.texts) == 30
    inks = set()
    for text, value in zip(axes.texts, values.ravel(), strict=True):
        assert text.get_text() == f"{value:.2f}"
        colour = image.cmap(image.norm(value))
        assert contrast(text.get_color(), colour[:3]) >= LEAST_CONTRAST
        inks.add(text.get_color())
    assert inks == {"black", "white"}
    by_gate = {f"block_{n}a_gate": values[:, [n]] for n in range(6)}
    (_, overall), (_, last) = gates.draw_both(by_gate, names)
    assert overall.endswith("colours from 0.40, dark, to 0.60, bright")
    low, high = gates.colour_scale(values[:, 5])
    assert last.endswith(f"colours from {low:.2f}, dark, to {high:.2f}, bright")


def test_lines_of_a_legend_are_told_apart():
    weights = dict.fromkeys(curves.PARTS, 1.0)
    (legend,) = curves.draw_losses(weights, ALL).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        words for words, _ in curves.PARTS.values()
    ]
    # None beside them that is the same but for its shade of grey.
    assert len({line.get_color() for line in legend.get_lines()}) == len(curves.PARTS)
    assert legend.get_title().get_text() == "full lines: training; dashed: validation"
    (alone,) = curves.draw_losses(weights, history("loss")).legends
    assert alone.get_title().get_text() == "full lines: training"


def test_pictures_know_their_smallest_text():
    figure = drawing.new_figure(200, 100)
    figure.text(0.1, 0.1, "small", fontsize=6)
    figure.text(0.1, 0.5, "large", fontsize=12)
    figure.text(0.1, 0.9, " ", fontsize=1)
    figure.text(0.1, 0.9, "hidden", fontsize=2, visible=False)
    picture = pictures.draw("text", figure, "two words")
    assert picture.smallest_text == pytest.approx(6 * 96 / 72)
    assert (picture.size, picture.scale) == ((400, 200), 0.5)
    assert pictures.draw("none", drawing.new_figure(9, 9), "").smallest_text is None


def test_pictures_are_as_wide_as_they_are_read():
    """Shrunk to a phone's 358 pixels, or a third of paper's 688: 9 pixels are left."""
    stage = recipes.get("digits").stages[2]
    drawn = curves.draw_stage(2, stage, ALL)
    assert len(drawn) == 3
    for picture in drawn:
        width = picture.size[0] * picture.scale
        assert 300 <= width <= 400
        assert picture.smallest_text * (688 - 2 * 16) / 3 / width >= 9
    names = tuple("0123456789")
    matrix = mistakes.confusion_picture(30 * np.eye(10, dtype=int), names)
    assert matrix.smallest_text * 358 / (matrix.size[0] * matrix.scale) >= 9


def test_gates_are_averaged_over_their_channels(monkeypatch):
    """Gates of unlike width, by class: 0.1 and 0.5 are 0.3, and so on."""
    drawn = []
    monkeypatch.setattr(
        gates,
        "draw_overall",
        lambda values, *rest: drawn.append(values) or drawing.new_figure(99, 99),
    )
    by_gate = {
        "block_1a_gate": np.array([[0.1, 0.5], [0.2, 0.4], [0.9, 0.7]]),
        "block_1b_gate": np.array([[0.0], [0.5], [1.0]]),
    }
    gates.draw_both(by_gate, ("a", "b", "c"))
    np.testing.assert_allclose(drawn[0], [[0.3, 0.0], [0.3, 0.5], [0.8, 1.0]])


def test_channels_of_the_last_gate_are_in_order(drawn):
    """The second one first: it differs between the classes, the first one does not."""
    by_class = np.array([[0.5, 0.1], [0.5, 0.9]])
    gates.draw_both({"block_1a_gate": by_class}, ("a", "b"))
    (image,) = drawn[1].axes[0].images
    np.testing.assert_array_equal(image.get_array(), [[0.1, 0.5], [0.9, 0.5]])


def test_rows_of_the_confusion_matrix_are_true_classes(drawn):
    """Square roots of shares of each row, and its counts."""
    mistakes.confusion_picture(np.array([[5, 3], [0, 4]]), ("a", "b"))
    (axes,) = drawn[0].axes
    shares = np.square(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[5 / 8, 3 / 8], [0, 1]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    # By column and row.
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "5", (1, 0): "3", (1, 1): "4"}


def test_maps_have_their_names(drawn):
    """The teacher's, above, and the student's: in unlike corners."""
    student, teacher = np.zeros((2, 1, 2, 2))
    student[0, 1, 1] = teacher[0, 0, 0] = 1
    image = np.zeros((4, 4, 3), np.uint8)
    attention.picture("maps", image, {"block_1": (student, teacher)}, 0)
    named = {text.get_text(): axes for axes in drawn[0].axes for text in axes.texts}
    for name, maps in (("teacher", teacher), ("student", student)):
        np.testing.assert_array_equal(named[name].images[0].get_array(), maps[0])
    above, below = (named[name].get_position() for name in ("teacher", "student"))
    assert above.y0 > below.y1
