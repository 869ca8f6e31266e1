"""The head of the page, the table of stages and the curves."""

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
from r2b_keras.reports.verdicts import (
    BELOW,
    ON_TRACK,
    STANDARD_ERRORS,
    Verdict,
    expectation,
)

# Words come with a sign and a colour: neither is needed to understand them.
_SIGNS = {ON_TRACK: ("good", "\u2713"), BELOW: ("bad", "\u25bc")}


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
    """What came of the run, in one sentence."""
    last, count = facts.last, len(facts.recipe.stages)
    if last is None:
        return f"None of the {count} stages is finished yet."
    so_far = (
        "" if last.stage == count - 1 else f", the last finished of {count} stages,"
    )
    binary = binary_parts(last.precision).replace(", ", " and ")
    of_what = (
        f" with {binary} of one bit" if last.precision.startswith("binary") else ""
    )
    return (
        f"Stage {last.stage}{so_far} {last.network}{of_what}, names "
        f"{percent(last.top1)} of {facts.num_test:,} test images rightly and takes "
        f"{kibibytes(last.bytes)}: {_judged(facts.verdict(last.stage))}."
    ).replace(f"Stage {last.stage} ", f"Stage {last.stage}, ", 1)


def _judged(verdict: Verdict) -> str:
    if verdict.expected is None:
        return "nothing was expected of it beforehand"
    return f"{verdict.word}, where {percent(verdict.expected)} was expected"


def add_stages(page: Page, facts: Facts) -> None:
    """The table of stages."""
    columns = (
        Column("Stage", True),
        Column("Binary"),
        Column("Test top-1", True),
        Column("Verdict"),
        Column("Expected", True),
        Column("Source"),
        Column("Margin", True),
        Column("Tolerance", True),
        Column("Network"),
        Column("Epochs", True),
        Column("Seconds", True),
        Column("Size", True),
    )
    rows = [
        _finished(facts, number) if number in facts.results else _open(facts, number)
        for number in range(len(facts.recipe.stages))
    ]
    page.add(
        "stages", "Stages", table("Stages", columns, rows), paragraph(_rule(facts))
    )


def _finished(facts: Facts, number: int) -> list[object]:
    result, verdict = facts.results[number], facts.verdict(number)
    none = "\u2013"
    return [
        number,
        binary_parts(result.precision),
        percent(result.top1),
        _mark(verdict),
        none if verdict.expected is None else percent(verdict.expected),
        verdict.source or none,
        none if verdict.margin is None else points(verdict.margin),
        none if verdict.tolerance is None else f"{100 * verdict.tolerance:.2f}",
        result.network,
        result.epochs,
        f"{result.seconds:,.0f}",
        kibibytes(result.bytes),
    ]


def _open(facts: Facts, number: int) -> list[object]:
    stage = facts.recipe.stages[number]
    expected = expectation(facts.recipe, number)
    done = facts.epochs_done(number)
    state = "in progress" if done else "not begun"
    none = "\u2013"
    return [
        number,
        binary_parts(stage.student.precision),
        none,
        element("span", state, class_="verdict"),
        percent(expected.top1) if expected else none,
        expected.source if expected else none,
        none,
        none,
        stage.student.name,
        f"{done} of {stage.epochs}",
        none,
        none,
    ]


def _mark(verdict: Verdict) -> Html:
    kind, sign = _SIGNS.get(verdict.word, ("unknown", ""))
    shown = element("span", sign, aria_hidden="true") if sign else ""
    return element("span", shown, verdict.word, class_=f"verdict {kind}")


def _rule(facts: Facts) -> str:
    """How verdicts are made."""
    known = any(facts.verdict(number).tolerance for number in facts.results)
    rule = (
        f"Top-1 is the share of the {facts.num_test:,} test images that get their own "
        "class; margin and tolerance are in points of it. A stage is on track unless "
        "it misses the expected value by more than the tolerance, which is how far "
        f"chance alone may move it: {STANDARD_ERRORS:.0f} standard errors of the share "
        f"of right answers among {facts.num_test:,} images."
    )
    if known or not facts.results:
        return rule
    return (
        f"{rule} Nothing is expected of these stages: nobody has measured this recipe."
    )


def add_training(page: Page, facts: Facts) -> None:
    """The curves of every stage that has any."""
    content: list[Html] = [notice(problem) for problem in facts.metrics.problems]
    for number, stage in enumerate(facts.recipe.stages):
        epochs = facts.metrics.stages.get(number)
        result = facts.results.get(number)
        if epochs is None and result is None:
            continue
        parts = binary_parts(stage.student.precision)
        title = f"Stage {number}: {stage.student.name}, binary: {parts}"
        content.append(element("h3", title))
        if epochs is not None:
            drawn = [
                page.figure(picture, scale=0.5)
                for picture in curves.pictures(number, stage, epochs)
            ]
            content.append(element("div", *drawn, class_="figures"))
        gap = history.missing(epochs, result.epochs) if result else None
        if gap and not (epochs is None and facts.metrics.problems):
            content.append(notice(gap))
        if _lacks_flips(stage, epochs):
            content.append(
                paragraph(
                    "This run did not log how many binary weights turn in an epoch."
                )
            )
    if not content:
        content.append(notice("No epoch is finished yet."))
    page.add("training", "Training", *content)


def _lacks_flips(stage: Stage, epochs: history.History | None) -> bool:
    binary = stage.student.precision == "binary"
    return binary and epochs is not None and not epochs.has(history.FLIPS)
