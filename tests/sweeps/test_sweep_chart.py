"""The chart: what is drawn where."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from small_sweeps import failed, finished, make_sweep

from r2b_keras import drawing
from r2b_keras.sweeps import sweep_chart
from r2b_keras.sweeps.axes import make_axes
from r2b_keras.sweeps.results import RUNNING, TrialRow

RUNS = TrialRow(9, RUNNING, failed(9).values)
ROWS = [
    finished(0, 0.90, rate="0.001", temperature="1"),
    failed(1, rate="0.1", temperature="8"),
    finished(2, 0.95, rate="0.01", temperature="2"),
    RUNS,
]


def scatters(axes) -> dict[str, np.ndarray]:
    return {item.get_label(): item.get_offsets() for item in axes.collections}


def test_axes():
    rate, temperature = make_axes(make_sweep().settings.space, ROWS)
    assert [rate.place(v) for v in (1e-3, 1e-2, 1e-1)] == pytest.approx([0, 0.5, 1])
    assert [text for _, text in rate.ticks()] == [
        "0.001",
        "0.0032",
        "0.01",
        "0.032",
        "0.1",
    ]
    assert temperature.ticks() == [(0, "1"), (1, "2"), (2, "8")]
    assert [temperature.place(index) for index in range(3)] == pytest.approx(
        [1 / 6, 1 / 2, 5 / 6]
    )
    # Points of one choice lie apart, and nearer to it than to any other.
    places = [temperature.spread(finished(n, 0.9, temperature="2")) for n in range(20)]
    assert len(set(places)) == 20 and all(0.7 <= place <= 1.3 for place in places)


def test_lines_go_through_the_values():
    figure = sweep_chart.draw(make_sweep(), ROWS)
    lines, *_ = figure.axes
    drawn = [line for line in lines.lines if len(line.get_xdata()) == 3]
    ends = {round(line.get_ydata()[0], 6): line for line in drawn}
    assert set(ends) == {0.0, 0.5}
    # Accuracy from 90 to 95 with a margin of 0.5 points.
    assert ends[0.0].get_ydata()[2] == pytest.approx(0.5 / 6)
    assert ends[0.5].get_ydata()[2] == pytest.approx(5.5 / 6)
    assert ends[0.5].get_linewidth() > ends[0.0].get_linewidth()
    # The failed one ends before the accuracy; the running one is not drawn.
    (dashed,) = [line for line in lines.lines if line.get_linestyle() == "--"]
    assert list(dashed.get_xdata()) == [0, 1] and dashed.get_ydata()[0] == 1.0
    names = [label.get_text() for label in lines.get_xticklabels()]
    assert names == [
        "optimizer.\nlearning_rate",
        "losses.\ntemperature",
        "validation top-1 (%)",
    ]
    assert lines.get_title() == (
        "digits, stage 3: 4 trials of random search, 1 failed; best: trial 2"
    )


def test_points_show_accuracy_over_the_field():
    figure = sweep_chart.draw(make_sweep(), ROWS)
    _, rate, temperature = figure.axes
    assert rate.get_xscale() == "log" and temperature.get_xscale() == "linear"
    points = scatters(rate)
    np.testing.assert_allclose(points["finished"], [(0.01, 95.0), (0.001, 90.0)])
    np.testing.assert_allclose(points["best"], [(0.01, 95.0)])
    ((x, y),) = points["failed"]
    assert x == 0.1 and rate.get_ylim()[0] < y < 89.5
    low, high = rate.get_xlim()
    assert low < 1e-3 and high > 1e-1
    labels = [label.get_text() for label in temperature.get_xticklabels()]
    assert labels == ["1", "2", "8"]


def test_the_legend_says_what_is_drawn():
    def words(rows):
        figure = sweep_chart.draw(make_sweep(), rows)
        return [text.get_text() for legend in figure.legends for text in legend.texts]

    best = finished(2, 0.95)
    every = [
        "finished, coloured by top-1",
        "the recipe's own setting",
        "best",
        "failed",
    ]
    assert words(ROWS) == every
    assert words([finished(0, 0.9), best]) == every[:3]
    assert words([finished(1, 0.9), best]) == [every[0], "best"]
    assert words([failed(0)]) == ["failed"] and words([RUNS]) == []


def test_the_recipes_own_value_may_lie_outside_of_the_space():
    own = finished(0, 0.93, rate="0.5", temperature="4")
    figure = sweep_chart.draw(make_sweep(), [own, *ROWS[1:]])
    _, rate, temperature = figure.axes
    np.testing.assert_allclose(scatters(rate)["own"], [(0.5, 93.0)])
    assert rate.get_xlim()[1] > 0.5
    labels = [label.get_text() for label in temperature.get_xticklabels()]
    assert labels == ["1", "2", "8", "4"]
    # A logarithm has no place for 0: its lower end takes it.
    zero = finished(0, 0.93, rate="0", temperature="4")
    figure = sweep_chart.draw(make_sweep(), [zero, *ROWS[1:]])
    np.testing.assert_allclose(scatters(figure.axes[1])["own"], [(0.001, 93.0)])


def test_colour_is_accuracy():
    figure = sweep_chart.draw(make_sweep(), ROWS)
    (points,) = [c for c in figure.axes[1].collections if c.get_label() == "finished"]
    better, worse = map(to_hex, points.get_facecolors())
    assert better != worse


def test_hyperband_has_an_axis_of_epochs():
    rows = [
        TrialRow(
            row.number, row.status, row.values | {"stage.epochs": epochs}, row.result
        )
        for row, epochs in zip(ROWS[:3], ("7", "3", "20"), strict=True)
    ]
    figure = sweep_chart.draw(make_sweep(tuner="hyperband"), rows)
    ticks = [label.get_text() for label in figure.axes[3].get_xticklabels()]
    assert figure.axes[3].get_xlabel() == "epochs" and ticks == ["3", "7", "20"]


@pytest.mark.parametrize(
    "rows", [[finished(0, 0.9)], [failed(0)], [RUNS], [failed(0), finished(1, 0.9)]]
)
def test_few_trials(rows):
    assert sweep_chart.draw(make_sweep(), rows).axes


@pytest.mark.parametrize(("count", "height"), [(1, 840), (3, 840), (4, 1160)])
def test_size_follows_the_number_of_fields(count, height):
    numbers = ("temperature", "logit_matching", "cross_entropy")
    content = {
        "stage.student.activation_binarizer": {"choice": ["ste_sign"]},
        **{f"stage.losses.{name}": {"choice": [1, 2]} for name in numbers[: count - 1]},
    }
    sweep = make_sweep(content=content)
    values = {name: str(ranges["choice"][0]) for name, ranges in content.items()}
    rows = [TrialRow(0, "finished", values, ROWS[0].result)]
    image = Image.open(io.BytesIO(drawing.to_png(sweep_chart.draw(sweep, rows))))
    assert image.format == "PNG" and image.size == (1300, height)


def test_a_linear_axis_reaches_a_recipe_s_own_zero():
    name = "stage.losses.logit_matching"
    space = make_sweep(content={name: {"linear": [0.5, 3]}}).settings.space
    rows = [TrialRow(0, RUNNING, {name: "0"}), TrialRow(1, RUNNING, {name: "2"})]
    (axis,) = make_axes(space, rows)
    assert (axis.low, axis.high) == (0.0, 3.0)
    assert [axis.value(row) for row in rows] == [0.0, 2.0]
