"""The section that says where the numbers come from and how to make them again."""

import json

from r2b_keras.reports import provenance
from r2b_keras.reports.facts import Facts
from r2b_keras.reports.page import (
    Html,
    Page,
    definitions,
    element,
    notice,
    paragraph,
)


def add_provenance(page: Page, facts: Facts) -> None:
    """All that is needed to run it again."""
    runs = facts.manifest.get("runs", [])
    saved = provenance.from_recipe_file(facts.workdir, facts.recipe, facts.identity)
    content = [
        paragraph("The commands that made this folder:"),
        *(_command(provenance.command_line(run)) for run in runs),
        paragraph("The same chain from the saved recipe, in a new folder:"),
        _command(saved),
    ]
    if not runs:
        content[0] = notice("There is no manifest.json: the commands are not known.")
    content += _changes(facts)
    identity = facts.identity
    content.append(
        definitions(
            (
                ("Seed", identity.get("seed")),
                ("Precision", identity.get("precision")),
                ("Deterministic", "yes" if identity.get("deterministic") else "no"),
                ("Data fingerprint, SHA-256", identity.get("data_fingerprint")),
                *_of_last_run(runs),
            )
        )
    )
    page.add("again", "Run it again", *content)


def _command(line: str) -> Html:
    """A command; what is too wide for the page scrolls within itself."""
    return element("pre", line, tabindex="0")


def _changes(facts: Facts) -> list[Html]:
    found = provenance.changes(facts.recipe)
    name = facts.recipe.name
    if found is None:
        return [notice(f"This version has no recipe named {name}: use the saved one.")]
    if not found:
        return [paragraph(f"The recipe is {name} as this version has it.")]
    return [
        paragraph(f"Changes against the recipe {name} of this version:"),
        element("ul", *(element("li", element("code", line)) for line in found)),
    ]


def _of_last_run(runs: list[dict[str, object]]) -> list[tuple[str, object]]:
    """Versions and machine of the last run, and of others where they differ."""
    shown: list[tuple[str, object]] = []
    seen: list[str] = []
    for index, run in enumerate(runs, 1):
        facts = {key: run.get(key) for key in ("git_revision", "machine", "versions")}
        text = json.dumps(facts, sort_keys=True)
        if text in seen:
            continue
        seen.append(text)
        which = "" if len(runs) == 1 else f", run {index}"
        machine = _in_words(run.get("machine"))
        shown += [
            (f"Git revision{which}", run.get("git_revision") or "not in a checkout"),
            (f"Machine{which}", machine),
            (f"Versions{which}", _in_words(run.get("versions"))),
        ]
    return shown


def _in_words(values: object) -> str:
    if not isinstance(values, dict):
        return "not recorded"
    return ", ".join(f"{name} {value}" for name, value in values.items())
