"""Makes the pages of docs/templates/, with every figure from results/.

    python docs/render.py            # writes the pages
    python docs/render.py --check    # only compares, for CI

In a template, `{{ expression }}` is replaced by its value: a Python expression of the
functions of `figures.py`, `ablation_figures.py` and `time_figures.py`, which read the
files under results/. So a figure of a result changes with the file that has it.
"""

import inspect
import pathlib
import re
import sys

import ablation_figures
import figures
import time_figures
from figures import PageError

from r2b_keras import files

ROOT = pathlib.Path(__file__).parent.parent
TEMPLATES = ROOT / "docs" / "templates"
# Pages that lie elsewhere than in docs/, by their template.
_PLACES = {"README.md": "README.md", "pretrained.md": "pretrained/README.md"}
_EXPRESSION = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
_NAMES = {
    name: item
    for module in (figures, ablation_figures, time_figures)
    for name, item in vars(module).items()
    if inspect.isfunction(item) and not name.startswith("_")
}


def render(template: str, name: str) -> str:
    """Replaces every expression by its value.

    Args:
      template: the text.
      name: of its file, for messages.

    Raises:
      PageError: an expression that cannot be evaluated; the message has its line.
    """

    def evaluate(match: re.Match[str]) -> str:
        line = template.count("\n", 0, match.start()) + 1
        try:
            return str(eval(match[1].strip(), dict(_NAMES)))
        except Exception as error:  # whatever the expression may raise
            raise PageError(
                f"{name}, line {line}: {match[0]} gives no value ({error}): mend the "
                "expression, or the file under results/ that it names."
            ) from error

    return _EXPRESSION.sub(evaluate, template)


def pages() -> dict[pathlib.Path, str]:
    """Every page and what is to be in it."""
    found = {}
    for path in sorted(TEMPLATES.glob("*.md")):
        place = ROOT / _PLACES.get(path.name, f"docs/{path.name}")
        page = render(path.read_text(encoding="utf-8"), path.name)
        made = f"Made of docs/templates/{path.name} by docs/render.py."
        found[place] = f"<!-- {made} -->\n{page}"
    return found


def main(arguments: list[str]) -> int:
    """Writes or compares the pages; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print(
            f"{' '.join(arguments)} came, expected --check or nothing", file=sys.stderr
        )
        return 1
    try:
        made = pages()
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    different = [
        path
        for path, content in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]
    if arguments:
        for path in different:
            print(
                f"{path.relative_to(ROOT)} is not what its template in docs/templates/ "
                "and results/ give: change that, then run `python docs/render.py`.",
                file=sys.stderr,
            )
        return 1 if different else 0
    for path in different:
        files.write_text(path, made[path])
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
