"""The section that says where the numbers come from and how to make them again."""

import json

from r2b_keras.reports import deployed, provenance
from r2b_keras.reports.deployed import Deployed
from r2b_keras.reports.facts import Facts
from r2b_keras.reports.page import (
    Html,
    Page,
    definitions,
    element,
    notice,
    paragraph,
)


def add_provenance(page: Page, facts: Facts, files: list[Deployed]) -> None:
    """All that is needed to run it again.

    Args:
      page: takes the section in.
      facts: of the run.
      files: what was converted.
    """
    runs = facts.manifest.get("runs", [])
    images = provenance.data_dir(facts.manifest)
    saved = provenance.from_recipe_file(
        facts.workdir, facts.recipe, facts.identity, images
    )
    content = [
        paragraph("The commands that made this folder:"),
        *(_command(provenance.command_line(run)) for run in runs),
        paragraph("The same chain from the saved recipe, in a new folder:"),
        _command(saved),
        _recipe_file(facts),
    ]
    if not runs:
        content[0] = notice("There is no manifest.json: the commands are not known.")
    content += _changes(facts)
    content += _conversions(facts, files, images)
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


def _recipe_file(facts: Facts) -> Html:
    """The saved recipe, whole, for a reader who has this page alone."""
    text = (facts.workdir.path / "recipe.json").read_text(encoding="utf-8-sig")
    return element(
        "details",
        element("summary", "recipe.json, the saved recipe, whole"),
        element("pre", text, tabindex="0"),
    )


def _conversions(facts: Facts, files: list[Deployed], images: str | None) -> list[Html]:
    """How each converted file was made, as far as its card tells."""
    if not files:
        return []
    lines = [
        provenance.convert_command(facts.workdir, file.name, file.card, images)
        for file in files
        if file.card is not None and deployed.is_of_run(file, facts)
    ]
    found = [
        notice(
            f"{file.name} has no card of this run: how it was made is not known here."
        )
        for file in files
        if not deployed.is_of_run(file, facts)
    ]
    if lines:
        told = "The converted files again, by what their cards say:"
        found += [paragraph(told), _command("\n\n".join(lines))]
    return found


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
