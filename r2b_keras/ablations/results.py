"""Writes what an ablation has found so far: tables and chart."""

from r2b_keras import files, locks
from r2b_keras.ablations import chart, comparison, tables
from r2b_keras.ablations.runs import Ablation

FILES = ("runs.csv", "comparisons.csv", "table.md", "ablation.png")


def write(ablation: Ablation) -> str:
    """Writes tables and chart of all runs that are over.

    Returns:
      The table, as Markdown.

    Raises:
      InputError: a result is damaged, or matplotlib is not installed.
    """
    # Held from reading on, so that no process replaces another's newer table.
    with locks.held(ablation.path / ".results.lock"):
        outcomes = ablation.outcomes()
        summaries = comparison.summarise(outcomes)
        compared = comparison.compare(outcomes)
        table = tables.to_markdown(summaries, compared, ablation.failures())
        for name, items in (("runs.csv", outcomes), ("comparisons.csv", compared)):
            if items:
                files.write_text(ablation.path / name, tables.to_csv(items))
        files.write_text(ablation.path / "table.md", table)
        if outcomes:
            title = f"Rows of Table 3 on {ablation.recipe.name}"
            picture = chart.to_png(summaries, outcomes, title)
            with files.written_whole(ablation.path / "ablation.png") as aside:
                aside.write_bytes(picture)
    return table
