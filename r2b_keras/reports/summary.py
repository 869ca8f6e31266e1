"""The head of the page, the table of stages and the curves."""

from r2b_keras.claims import LEVEL
from r2b_keras.recipes import Stage
from r2b_keras.reports import curves, history
from r2b_keras.reports.facts import Facts, binary_parts, kibibytes, percent, points
from r2b_keras.reports.page import (
    Column,
    Html,
    Page,
    definitions,
    element,
    join,
    notice,
    paragraph,
    table,
)
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

# Words come with a sign and a colour: neither is needed to understand them.
_SIGNS = {
    ON_TRACK: ("good", "\u2713"),
    BELOW: ("bad", "\u25bc"),
    ABOVE: ("unknown", "\u25b2"),
}


def head(facts: Facts, key_figures: list[tuple[str, str]]) -> Html:
    """Title, result in one sentence, and the figures that matter most."""
    data, last = facts.recipe.data, facts.last
    shape = " \u00d7 ".join(map(str, data.image_shape))
    lines = [
        paragraph("Real-to-Binary, report of a run", class_="kicker"),
        element("h1", facts.recipe.name),
        paragraph(facts.recipe.summary, class_="summary")
        if facts.recipe.summary
        else "",
        paragraph(sentence(facts), class_="result"),
    ]
    if key_figures:
        lines.append(element("div", definitions(key_figures), class_="key"))
    network = facts.recipe.stages[last.stage if last else -1].student
    blocks = ", ".join(map(str, network.blocks))
    facts_of_it = (
        ("Network", f"{network.name}, width {network.width}, blocks {blocks}"),
        ("Data", f"{data.source}, {shape}, {facts.num_test:,} test images"),
        ("Folder", facts.workdir.path),
    )
    lines.append(element("div", definitions(facts_of_it), class_="facts"))
    return join(lines, "\n")


def sentence(facts: Facts) -> str:
    """What came of the run, in a sentence or two."""
    last, count = facts.last, len(facts.recipe.stages)
    if last is None:
        return f"None of the {count} stages is finished yet."
    so_far = f"the last finished of {count} stages, " if last.stage < count - 1 else ""
    binary = binary_parts(last.binarization).replace(", ", " and ")
    of_what = (
        f" with {binary} of one bit" if last.binarization.startswith("binary") else ""
    )
    return (
        f"Stage {last.stage}, {so_far}{last.network}{of_what}, classifies "
        f"{percent(last.top1)} of {facts.num_test:,} test images correctly. "
        f"{judged(facts.verdict(last.stage))}"
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


def add_stages(page: Page, facts: Facts) -> None:
    """The table of stages; what matters most comes first, for narrow screens."""
    columns = (
        Column("Stage", True),
        Column("Test", True),
        Column("Expected", True),
        Column("Margin", True),
        Column("Verdict"),
        Column("Binary"),
        Column("Interval", True),
        Column("Source", minor=True),
        Column("Network", minor=True),
        Column("Epochs", True, minor=True),
        Column("Seconds", True, minor=True),
        Column("Packed", True),
    )
    rows = [
        _finished(facts, number) if number in facts.results else _open(facts, number)
        for number in range(len(facts.recipe.stages))
    ]
    rules = map(paragraph, _rules(facts))
    page.add("stages", "Stages", table("Stages", columns, rows), *rules)


def _finished(facts: Facts, number: int) -> list[object]:
    result, verdict = facts.results[number], facts.verdict(number)
    none, expected = "\u2013", verdict.expected
    return [
        number,
        percent(result.top1),
        percent(expected.top1) if expected else none,
        none if verdict.margin is None else points(verdict.margin),
        _mark(verdict),
        binary_parts(result.binarization),
        none if verdict.word in (UNJUDGED, UNKNOWN) else interval(expected),
        expected.source if expected else none,
        result.network,
        result.epochs,
        f"{result.seconds:,.0f}",
        kibibytes(result.bytes),
    ]


def _open(facts: Facts, number: int) -> list[object]:
    stage = facts.recipe.stages[number]
    expected = expectation(facts.recipe, number, facts.identity)
    done = facts.epochs_done(number)
    state = "in progress" if done else "not begun"
    none = "\u2013"
    return [
        number,
        none,
        percent(expected.top1) if expected else none,
        none,
        element("span", state, class_="verdict"),
        binary_parts(stage.student.binarization),
        none,
        expected.source if expected else none,
        stage.student.name,
        f"{done} of {stage.epochs}",
        none,
        none,
    ]


def _mark(verdict: Verdict) -> Html:
    kind, sign = _SIGNS.get(verdict.word, ("unknown", ""))
    shown = element("span", sign, aria_hidden="true") if sign else ""
    return element("span", shown, verdict.word, class_=f"verdict {kind}")


def _rules(facts: Facts) -> list[str]:
    """How verdicts are made: paragraphs, only of what this page needs."""
    told = [
        f"Test is the share of the {facts.num_test:,} test images that get their own "
        "class (top-1); the margin is in points of it. Packed is the size of the "
        "weights alone, binary ones at one bit and all others at 32."
    ]
    words = [facts.verdict(number).word for number in facts.results]
    if set(words) & {ON_TRACK, BELOW, ABOVE}:
        told.append(
            "A stage is on track if it lies in the interval: of good runs with other "
            f"seeds or on other machines, {LEVEL:.0%} do, judged by the spread over "
            "the seeds that were measured."
        )
    if UNJUDGED in words:
        told.append(
            "Where there is no interval, the expected value is a single number of its "
            "source: how far another good run may be from it is not known, and nothing "
            "is judged."
        )
    if words and set(words) == {UNKNOWN}:
        told.append(
            "Nothing is expected of these stages: nobody has measured this recipe."
        )
    return told


def add_training(page: Page, facts: Facts) -> None:
    """The curves of every stage that has any."""
    content: list[Html] = [notice(problem) for problem in facts.metrics.problems]
    for number, stage in enumerate(facts.recipe.stages):
        epochs = facts.metrics.stages.get(number)
        result = facts.results.get(number)
        if epochs is None and result is None:
            continue
        parts = binary_parts(stage.student.binarization)
        title = f"Stage {number}: {stage.student.name}, binary: {parts}"
        content.append(element("h3", title))
        if epochs is not None:
            drawn = [
                page.figure(picture)
                for picture in curves.pictures(number, stage, epochs)
            ]
            content.append(element("div", *drawn, class_="figures curves"))
        gap = history.missing(epochs, result.epochs) if result else None
        if gap and not (epochs is None and facts.metrics.problems):
            content.append(notice(gap))
        if _lacks_flips(stage, epochs):
            content.append(
                paragraph(
                    "This run did not log how many binary weights flip in an epoch."
                )
            )
    if not content:
        content.append(notice("No epoch is finished yet."))
    page.add("training", "Training", *content)


def _lacks_flips(stage: Stage, epochs: history.History | None) -> bool:
    binary = stage.student.binarization == "binary"
    return binary and epochs is not None and not epochs.has(history.FLIPS)
