"""Means, spreads and the paired test, against numbers worked out by hand."""

import dataclasses
import math
import pathlib
import typing

import numpy as np
import pytest

from r2b_keras import files, recipes
from r2b_keras.ablations import row_chart, tables
from r2b_keras.ablations.comparison import compare, interactions, summarise
from r2b_keras.ablations.runs import Outcome, plan
from r2b_keras.significance import holm

BASELINE = {0: 0.80, 1: 0.81, 2: 0.79}
VALUES = {
    "baseline": BASELINE,
    "gate": {0: 0.82, 1: 0.82, 2: 0.82, 3: 0.99},
    "all": {0: 0.85},
}


def outcomes(values=VALUES):
    return [
        Outcome(row, "real", seed, top1 + 0.01, top1, None, 1000, 10.0, 1000)
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


def test_what_attention_matching_changes():
    """Gains of the gate by seed: 0.02, 0.01 without matching, 0.05, 0.01 with it."""
    values = {
        "baseline": BASELINE,
        "attention": {0: 0.81, 1: 0.80},
        "gate": {0: 0.82, 1: 0.82},
        "gate_attention": {0: 0.86, 1: 0.81, 3: 0.99},
        "analytic": {0: 0.82},
    }
    found = interactions(outcomes(values))
    (gate,) = found
    assert (gate.part, gate.downsample, gate.num_seeds) == ("gate", "real", 2)
    assert gate.without_matching == pytest.approx(0.015)
    assert gate.with_matching == pytest.approx(0.03)
    # Seed 0 less seed 1 is -0.01, 0.01, 0, 0.05 in the four rows, 0.0125 on average:
    # squares of 0.002075 with 3 degrees of freedom, half of them for a top-1. Of four,
    # over two seeds, the standard error is twice the root of that over two.
    error = 2 * math.sqrt(0.002075 / 2 / 3 / 2)
    assert gate.difference == pytest.approx(0.015)
    assert gate.interval == pytest.approx(3.182446 * error, rel=1e-6)
    slope = 0.015 / error / math.sqrt(3)
    inside = 2 / math.pi * (slope / (1 + slope**2) + math.atan(slope))
    assert gate.p_value == pytest.approx(1 - inside)
    table = tables.to_markdown([], [], interactions=found)
    line = "| + G alone, real downsample | +1.50 | +3.00 | +1.50 ± 8.37 | 0.608 |"
    assert line in table.splitlines()


def test_equal_interactions_are_known_to_four_roundings():
    """A part gains 1 image of 359 alone and 3 with matching, with each of 3 seeds."""
    counts = {"baseline": 300, "gate": 301, "attention": 310, "gate_attention": 313}
    values = {
        row: {seed: (count + seed) / 359 for seed in range(3)}
        for row, count in counts.items()
    }
    found = [
        Outcome(row, "real", seed, 0.5, top1, None, 1, 1.0, 359)
        for row, seeds in values.items()
        for seed, top1 in seeds.items()
    ]
    (gate,) = interactions(found)
    assert gate.difference == pytest.approx(2 / 359)
    # Four errors of the variance 1 / 12: 1 / sqrt(3) image together.
    assert gate.interval == pytest.approx(2.446912 / math.sqrt(3) / 359, rel=1e-6)
    # Student's t with 6 degrees of freedom, t = 2 sqrt(3).
    sine, cosine = math.sqrt(2 / 3), math.sqrt(1 / 3)
    inside = sine * (1 + cosine**2 / 2 + 3 * cosine**4 / 8)
    assert gate.p_value == pytest.approx(1 - inside, rel=1e-9)


def test_pairs_are_corrected_within_their_downsampling():
    values = {
        "baseline": (340, 338, 343),
        "gate": (347, 346, 347),
        "all": (350, 351, 348),
    }
    found = [
        Outcome(row, downsample, seed, 0.5, count / 359, None, 1, 1.0, 359)
        for row, counts in values.items()
        for downsample in ("real", "binary")
        for seed, count in enumerate(counts)
    ]
    compared = compare(found)
    assert len(compared) == 6
    for downsample in ("real", "binary"):
        own = [c for c in compared if c.downsample == downsample]
        assert [c.p_holm_all_pairs for c in own] == holm([c.p_value for c in own])
        assert all(c.p_holm_all_pairs > c.p_value for c in own[:1])
    head = tables.to_csv(compared).splitlines()[0]
    assert head.endswith(",p_value,p_holm_all_pairs")
    # The table corrects for its own two comparisons, to the baseline.
    first, second = (c for c in compared[:3] if c.first == "baseline")
    own = holm([first.p_value, second.p_value])
    assert own != [first.p_holm_all_pairs, second.p_holm_all_pairs]
    lines = tables.to_markdown(summarise(found), compared).splitlines()
    assert "| p | p, Holm |" in lines[0]
    for comparison, corrected in zip((first, second), own, strict=True):
        (line,) = [x for x in lines[:6] if tables.rows.TITLES[comparison.second] in x]
        assert f"| {comparison.p_value:.3f} | {corrected:.3f} |" in line


def test_rows_that_are_alike_rarely_seem_to_differ():
    """Ten equal rows, three seeds, 359 test images: Holm holds over all 45 pairs."""
    generator = np.random.default_rng(0)
    names, ablations = [row.name for row in tables.rows.ROWS[:10]], 150
    misled = 0
    for _ in range(ablations):
        top1s = np.round(generator.normal(0.95, 0.0039, (10, 3)) * 359) / 359
        drawn = [
            Outcome(name, "real", seed, 0.5, float(top1), None, 1, 1.0, 359)
            for name, seeds in zip(names, top1s, strict=True)
            for seed, top1 in enumerate(seeds)
        ]
        compared = compare(drawn)
        assert len(compared) == 45
        misled += min(c.p_holm_all_pairs for c in compared) < 0.05
    # At most 5 %; of 150 draws the share's standard error is 1.8 %, taken twice.
    # Without the floor of the standard error it is 48 %.
    assert misled / ablations <= 0.05 + 2 * 0.018


def test_rows_of_another_last_stage_are_compared_by_their_pair():
    """Such a row varies more, and shares its other stages with the row "all"."""
    plain = {
        "baseline": BASELINE,
        "gate": {0: 0.82, 1: 0.82, 2: 0.82},
        "all": {0: 0.85, 1: 0.86, 2: 0.85},
    }
    unsteady = {"all_kept_magnitude": {0: 0.60, 1: 0.80, 2: 0.70}}
    alone = {(c.first, c.second): c for c in compare(outcomes(plain))}
    found = {(c.first, c.second): c for c in compare(outcomes(plain | unsteady))}
    for pair, comparison in alone.items():
        assert found[pair].interval == comparison.interval
        assert found[pair].p_value == comparison.p_value
    # Differences to "all" 0.25, 0.06, 0.15: deviations 0.0967, -0.0933, -0.0033.
    squares = (0.29 / 3) ** 2 + (0.28 / 3) ** 2 + (0.01 / 3) ** 2
    interval = 4.302653 * math.sqrt(squares / 2 / 3)
    pair = found["all", "all_kept_magnitude"]
    assert pair.difference == pytest.approx(-0.46 / 3)
    assert pair.interval == pytest.approx(interval, rel=1e-6)
    text = tables.to_markdown(summarise(outcomes(plain)), [])
    assert "another last stage" not in text
    text = tables.to_markdown(summarise(outcomes(plain | unsteady)), [])
    assert "their p and intervals are of their pair alone" in text


def test_tables_and_csv():
    found = outcomes()
    text = tables.to_markdown(summarise(found), compare(found))
    lines = text.splitlines()
    assert lines[2] == (
        "| strong baseline | 81.00 ± 1.00 | 80.00 ± 1.00 |  |  |  | 3 | 72.1 -> 69.6 |"
    )
    assert lines[3] == (
        "| + G alone | 87.25 ± 8.50 | 86.25 ± 8.50 | +2.00 ± 2.48 | 0.074 | 0.074 | 4 "
        "| 72.0 -> 70.9 |"
    )
    assert "| Real-to-Binary (all) | 86.00 | 85.00 | +5.00 |  |  | 1 |" in lines[4]
    assert "Holm's correction" in text.replace("\n", " ") and "Failed" not in text
    lines = tables.to_csv(found).splitlines()
    assert lines[0].startswith("row,downsample,seed,real_weights,binary_weights,valid")
    assert lines[1] == "baseline,real,0,0.81,0.8,,1000,10,1000"
    with pytest.raises(ValueError, match="nothing to write"):
        tables.to_csv([])


@pytest.mark.parametrize(
    "folder", ["ablation", "cifar100_ablation", "cifar100_last_stage"]
)
def test_committed_tables_are_what_the_committed_runs_give(folder):
    results = pathlib.Path(__file__).parent.parent.parent / "results" / folder
    kinds = typing.get_type_hints(Outcome) | {"validation": float}
    runs = [
        Outcome(**{name: kinds[name](cell) for name, cell in line.items()})
        for line in files.read_csv(results / "runs.csv")
    ]
    found = {"runs": runs, "comparisons": compare(runs)}
    matched = interactions(runs)
    if matched:
        found["interactions"] = matched
    for name, items in found.items():
        assert tables.to_csv(items) == (results / f"{name}.csv").read_text()
    assert (results / "interactions.csv").exists() == bool(matched)
    if folder != "cifar100_last_stage":  # whose page has a table of its own
        table = tables.to_markdown(summarise(runs), compare(runs), [], matched)
        assert table == (results / "table.md").read_text()


def test_what_has_failed_is_listed():
    run = plan(["gate"], recipes.get("digits"), ["binary"], 3)[2]
    text = tables.to_markdown([], [], [(run, "The loss is nan in stage 2.")])
    expected = "- + G alone, binary downsample, seed 2: The loss is nan in stage 2."
    assert expected in text.splitlines()


def test_the_chart_shows_every_seed_and_mean():
    found = outcomes()
    summaries = summarise(found)
    (axes,) = row_chart.draw(summaries, found, "Rows").axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[1] == "+ G alone"
    shown = [len(points.get_offsets()) for points in axes.collections]
    # For each row: seeds and mean, with real and with binary weights.
    assert shown == [3, 1, 3, 1, 4, 1, 4, 1, 1, 1, 1, 1]
    means = [points.get_offsets()[0][0] for points in axes.collections[3::4]]
    np.testing.assert_allclose(means, [80.0, 86.25, 85.0])
    # With both kinds of downsampling, labels tell them apart.
    binary = [dataclasses.replace(outcome, downsample="binary") for outcome in found]
    both = summarise(found + binary)
    (axes,) = row_chart.draw(both, found + binary, "Rows").axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[1] == "+ G alone, real downsample"
    assert labels[4] == "+ G alone, binary downsample"
