"""Writes what an ablation has found so far: tables and chart."""

from typing import Any

from r2b_keras import drawing, files, locks
from r2b_keras.ablations import comparison, row_chart, rows, tables
from r2b_keras.ablations.runs import Ablation, Outcome
from r2b_keras.trainers import manifest

FILES = (
    "runs.csv",
    "comparisons.csv",
    "interactions.csv",
    "table.md",
    "ablation.png",
    "manifest.json",
)
_MADE_WITH = ("command", "versions", "git_revision", "machine")


def write(ablation: Ablation) -> str:
    """Writes tables and chart of all runs that are over.

    Returns:
      The table, as Markdown.

    Raises:
      InputError: a result is damaged.
    """
    # Held from reading on, so that no process replaces another's newer table.
    with locks.held(ablation.path / ".results.lock"):
        outcomes = ablation.outcomes()
        summaries = comparison.summarise(outcomes)
        compared = comparison.compare(outcomes)
        matched = comparison.interactions(outcomes)
        failures = ablation.failures()
        table = tables.to_markdown(summaries, compared, failures, matched)
        for name, items in (
            ("runs.csv", outcomes),
            ("comparisons.csv", compared),
            ("interactions.csv", matched),
        ):
            if items:
                files.write_text(ablation.path / name, tables.to_csv(items))
        files.write_text(ablation.path / "table.md", table)
        if outcomes:
            figure = row_chart.draw(summaries, outcomes, _title(ablation, outcomes))
            files.write_bytes(ablation.path / "ablation.png", drawing.to_png(figure))
            files.write_json(ablation.path / "manifest.json", _manifest(ablation))
    return table


def _title(ablation: Ablation, outcomes: list[Outcome]) -> str:
    recipe = ablation.recipe
    names = {outcome.row for outcome in outcomes}
    found = {rows.student_epochs(recipe, row) for row in rows.ROWS if row.name in names}
    epochs = " or ".join(map(str, sorted(found)))
    width = recipe.stages[rows.BINARY_WEIGHTS].student.width
    return (
        f"Rows of Table 3 on {recipe.name}: width {width}, {epochs} epochs of students"
    )


def _manifest(ablation: Ablation) -> dict[str, Any]:
    """With what the runs were made, each command and machine once."""
    found: list[dict[str, Any]] = []
    for path in sorted((ablation.path / "runs").glob("*/manifest.json")):
        for run in manifest.runs_of(path):
            own = {name: run.get(name) for name in _MADE_WITH}
            if own not in found:
                found.append(own)
    # Of finished stages alone: one that is being copied lies in a hidden folder.
    stages = (ablation.path / "stages").glob("stage_*/result.json")
    seconds = sum(files.read_json(path)["seconds"] for path in stages)
    return {"training_seconds": round(seconds), "made_with": found}
