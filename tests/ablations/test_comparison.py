"""Means, spreads and the paired test, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from r2b_keras.ablations import chart, tables
from r2b_keras.ablations.comparison import compare, paired_test, summarise
from r2b_keras.ablations.runs import Outcome


def outcomes():
    values = {
        "baseline": {0: 0.80, 1: 0.81, 2: 0.79},
        "gate": {0: 0.82, 1: 0.82, 2: 0.82, 3: 0.99},
        "all": {0: 0.85},
    }
    return [
        Outcome(row, "real", seed, top1 + 0.01, top1, None, 1000, 10.0)
        for row, seeds in values.items()
        for seed, top1 in seeds.items()
    ]


def test_means_and_spreads():
    baseline, gate, whole = summarise(outcomes())
    assert (baseline.row, baseline.seeds) == ("baseline", (0, 1, 2))
    assert baseline.binary_weights == pytest.approx(0.80)
    assert baseline.real_weights == pytest.approx(0.81)
    # sqrt((0 + 0.01^2 + 0.01^2) / 2)
    assert baseline.binary_weights_spread == pytest.approx(0.01)
    assert gate.seeds == (0, 1, 2, 3)
    assert math.isnan(whole.binary_weights_spread)


def test_rows_are_compared_on_common_seeds():
    by_pair = {(c.first, c.second): c for c in compare(outcomes())}
    assert set(by_pair) == {("baseline", "all"), ("baseline", "gate"), ("gate", "all")}
    # Differences 0.02, 0.01, 0.03: mean 0.02, standard error 0.01 / sqrt(3).
    gate = by_pair["baseline", "gate"]
    assert gate.num_seeds == 3
    assert gate.difference == pytest.approx(0.02)
    # The 97.5 % point of Student's t with 2 degrees of freedom is 4.302653.
    assert gate.interval == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    # t = 2 sqrt(3); with 2 degrees of freedom p = 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert gate.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-9)
    assert by_pair["gate", "all"].num_seeds == 1
    assert math.isnan(by_pair["gate", "all"].p_value)


def test_a_test_of_no_difference_is_fair():
    """Of pairs from one distribution, one in twenty has p below 0.05."""
    generator = np.random.default_rng(0)
    p_values = [paired_test(generator.normal(size=3))[2] for _ in range(4000)]
    # 4,000 draws: the share's standard error is 0.0034.
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.012)


def test_equal_differences():
    assert paired_test([0.25, 0.25]) == (0.25, 0.0, 0.0)
    assert paired_test([0.0, 0.0]) == (0.0, 0.0, 1.0)


def test_tables_and_csv():
    found = outcomes()
    text = tables.to_markdown(summarise(found), compare(found))
    lines = text.splitlines()
    assert lines[2] == (
        "| strong baseline | 81.00 ± 1.00 | 80.00 ± 1.00 |  |  | 3 | 72.1 -> 69.6 |"
    )
    assert lines[3] == (
        "| + G alone | 87.25 ± 8.50 | 86.25 ± 8.50 | +2.00 ± 2.48 | 0.074 | 4 "
        "| 72.0 -> 70.9 |"
    )
    assert "| Real-to-Binary (all) | 86.00 | 85.00 | +5.00 |  | 1 |" in lines[4]
    csv = tables.to_csv(found).splitlines()
    assert csv[0].startswith("row,downsample,seed,real_weights,binary_weights,valid")
    assert csv[1] == "baseline,real,0,0.81,0.8,,1000,10"
    with pytest.raises(ValueError, match="nothing to write"):
        tables.to_csv([])


def test_the_chart_shows_every_seed_and_mean():
    found = outcomes()
    summaries = summarise(found)
    (axes,) = chart.draw(summaries, found, "Rows").axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[1] == "+ G alone, real downsample"
    shown = [len(points.get_offsets()) for points in axes.collections]
    # For each row: seeds and mean, with real and with binary weights.
    assert shown == [3, 1, 3, 1, 4, 1, 4, 1, 1, 1, 1, 1]
    means = [points.get_offsets()[0][0] for points in axes.collections[3::4]]
    np.testing.assert_allclose(means, [80.0, 86.25, 85.0])
    assert chart.to_png(summaries, found, "Rows").startswith(b"\x89PNG")
