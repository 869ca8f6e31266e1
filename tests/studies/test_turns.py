"""Comparisons in turns: who takes them, in which order, and what a table says."""

import csv
import time

import pytest


def test_another_one_is_first_in_every_round(load):
    order = []

    def turn(name):
        def take():
            order.append(name)
            return f"{name}{len(order)}"

        return take

    found = load("turns").take_turns([turn("a"), turn("b"), turn("c")], 4)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    # What each has measured is in its own place.
    assert found == [
        ("a1", "b2", "c3"),
        ("a6", "b4", "c5"),
        ("a8", "b9", "c7"),
        ("a10", "b11", "c12"),
    ]


def test_threads_are_compared_within_a_round(load, tmp_path, capsys):
    """The second round is twice as slow, which moves no ratio."""
    pairs = [(10.0, 6.0), (20.0, 12.0), (10.0, 5.0), (10.0, 7.0)]
    row = load("threads").to_row("litert", "idle", pairs)
    assert (row["one_ms"], row["two_ms"], row["rounds"]) == (10.0, 6.5, 4)
    # Of 0.5, 0.6, 0.6 and 0.7 the quartiles are 0.525, 0.6 and 0.675.
    quartiles = (row["ratio_lower_quartile"], row["ratio"], row["ratio_upper_quartile"])
    assert quartiles == pytest.approx((0.525, 0.6, 0.675))
    path = tmp_path / "new" / "threads.csv"
    load("turns").keep([row], path)
    (written,) = csv.DictReader(path.read_text().splitlines())
    assert written == {name: str(value) for name, value in row.items()}
    assert "engine litert  situation idle  rounds 4" in capsys.readouterr().out


def test_the_median_inference_is_timed_without_the_first(load, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    class Interpreter:
        seconds = iter((9.0, 9.0, 0.002, 0.004, 0.003))

        def invoke(self):
            clock[0] += next(self.seconds)

    assert load("threads").median_ms(Interpreter(), 3) == pytest.approx(3.0)


@pytest.mark.parametrize("wrong", ["--rounds=1", "--runs=0"])
def test_too_few_rounds_are_told_at_once(load, monkeypatch, wrong):
    turns = load("turns")
    monkeypatch.setattr("sys.argv", ["study.py", "folder"])
    given = turns.rounds_of("A study.", turns.pathlib.Path("out.csv"))
    assert (given.rounds, given.runs, given.output.name) == (20, 20, "out.csv")
    monkeypatch.setattr("sys.argv", ["study.py", "folder", wrong])
    name, _, number = wrong.partition("=")
    with pytest.raises(SystemExit, match=f"{name} (is )?{number}.* at least 2"):
        turns.rounds_of("A study.", turns.pathlib.Path("out.csv"))
