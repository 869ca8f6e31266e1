"""The head of the page, the table of stages and what trained them."""

from typing import Any

from r2b_keras.claims import LEVEL
from r2b_keras.networks import BINARIZATIONS
from r2b_keras.reports import curves, history
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.tables import kibibytes, percent
from r2b_keras.trainers.expectations import (
    ABOVE,
    BELOW,
    ON_TRACK,
    UNJUDGED,
    UNKNOWN,
    Verdict,
    expectation,
    interval,
)

_NONE = "\u2013"


def facts(record: RunRecord) -> list[tuple[str, object]]:
    """What the run is of, as names and values."""
    data, last = record.recipe.data, record.last
    network = record.recipe.stages[last.stage if last else -1].student
    blocks = ", ".join(map(str, network.blocks))
    shape = " \u00d7 ".join(map(str, data.image_shape))
    return [
        ("Network", f"{network.name}, width {network.width}, blocks {blocks}"),
        ("Data", f"{data.source}, {shape}, {record.num_test:,} test images"),
        ("Folder", record.workdir.path),
    ]


def sentence(record: RunRecord) -> str:
    """What came of the run, in a sentence or two."""
    last, count = record.last, len(record.recipe.stages)
    if last is None:
        return f"None of the {count} stages is finished yet."
    so_far = f"the last finished of {count} stages, " if last.stage < count - 1 else ""
    binary = BINARIZATIONS[last.binarization].binary_parts.replace(", ", " and ")
    of_what = (
        f" with {binary} of one bit" if last.binarization.startswith("binary") else ""
    )
    return (
        f"Stage {last.stage}, {so_far}{last.network}{of_what}, classifies "
        f"{percent(last.top1)} of {record.num_test:,} test images correctly. "
        f"{judged(record.verdict(last.stage))}"
    )


def judged(verdict: Verdict) -> str:
    """A verdict as a sentence."""
    expected = verdict.expected
    if verdict.margin is None or expected is None:
        return "Nothing was expected of it beforehand."
    margin = f"{100 * abs(verdict.margin):.2f} points"
    side = "above" if verdict.margin > 0 else "below"
    than = f"what was expected ({expected.source})"
    told = (
        f"That is just {than}"
        if margin == "0.00 points"
        else f"That is {margin} {side} {than}"
    )
    if verdict.word == UNJUDGED:
        return f"{told}; how far a good run may be from it is not known."
    where = "within" if verdict.word == ON_TRACK else "outside of"
    return f"{told}, {where} the interval {interval(expected)}: {verdict.word}."


def table(record: RunRecord) -> list[list[Any]]:
    """A row of each stage; what matters most comes first, for narrow screens."""
    return [_row(record, number) for number in range(len(record.recipe.stages))]


def _row(record: RunRecord, number: int) -> list[Any]:
    """A stage's cells; of one that is not finished, how far it is."""
    stage, result = record.recipe.stages[number], record.results.get(number)
    network = result or stage.student
    expected = expectation(record.recipe, number, record.identity)
    test = margin = between = seconds = size = _NONE
    if result is None:
        done = record.epochs_done(number)
        word, epochs = (
            "in progress" if done else "not begun",
            f"{done} of {stage.epochs}",
        )
    else:
        verdict = record.verdict(number)
        word, epochs, test = verdict.word, str(result.epochs), percent(result.top1)
        margin = _NONE if verdict.margin is None else _points(verdict.margin)
        if word not in (UNJUDGED, UNKNOWN):
            between = interval(expected)
        seconds, size = f"{result.seconds:,.0f}", kibibytes(result.bytes, ",.0f")
    return [
        number,
        test,
        percent(expected.top1) if expected else _NONE,
        margin,
        word,
        BINARIZATIONS[network.binarization].binary_parts,
        between,
        expected.source if expected else _NONE,
        result.network if result else stage.student.name,
        epochs,
        seconds,
        size,
    ]


def _points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    words = f"{100 * difference:+.2f}"
    return "0.00" if words[1:] == "0.00" else words.replace("-", "\u2212")


def rules(record: RunRecord) -> dict[str, Any]:
    """Which rules of the verdicts this page needs."""
    words = {record.verdict(number).word for number in record.results}
    return {
        "level": f"{LEVEL:.0%}",
        "some_judged": bool(words & {ON_TRACK, BELOW, ABOVE}),
        "some_unjudged": UNJUDGED in words,
        "all_unknown": words == {UNKNOWN},
    }


def training(record: RunRecord) -> list[dict[str, Any]]:
    """The curves of every stage that has any, and what is missing of them."""
    found = []
    for number, stage in enumerate(record.recipe.stages):
        epochs = record.metrics.stages.get(number)
        result = record.results.get(number)
        if epochs is None and result is None:
            continue
        gap = history.missing(epochs, result.epochs) if result else None
        is_binary = stage.student.binarization == "binary"
        found.append(
            {
                "number": number,
                "network": stage.student.name,
                "binary": BINARIZATIONS[stage.student.binarization].binary_parts,
                "pictures": curves.draw_stage(number, stage, epochs) if epochs else [],
                # Where the file is no table, its problem says it for all stages.
                "gap": None if epochs is None and record.metrics.problems else gap,
                "lacks_flips": is_binary and epochs and not epochs.has(history.FLIPS),
            }
        )
    return found
