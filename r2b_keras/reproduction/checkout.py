"""Which code makes results: that of one version, for recording committed and pinned."""

import hashlib
import pathlib
import subprocess
from typing import Any

from r2b_keras import files, folders, own_code
from r2b_keras.board import machine
from r2b_keras.checks import some
from r2b_keras.errors import InputError
from r2b_keras.trainers.manifest import PACKAGES

ROOT = pathlib.Path(__file__).parent.parent.parent
PACKAGE = "r2b_keras"
CONSTRAINTS = "constraints.txt"
# In a folder of runs: the name of the code that made them.
CODE = "code.txt"
_MANIFEST = "manifest.json"


def check(root: pathlib.Path, results: pathlib.Path) -> None:
    """Refuses to record what nobody could make again.

    Args:
      root: the checkout.
      results: folder that recording itself changes; what changed in it does not count.

    Raises:
      InputError: no checkout, changes that are not committed, or other versions than
        those in constraints.txt.
    """
    if not (root / ".git").exists():
        raise InputError(
            f"{root} is no checkout, expected one: results are recorded with the "
            "revision that made them."
        )
    _check_committed(root, results)
    _check_versions((root / CONSTRAINTS).read_text(encoding="utf-8"))


def _check_committed(root: pathlib.Path, results: pathlib.Path) -> None:
    # Quoted names would be of no use in a message. What was moved has left a place.
    options = ("--porcelain=v1", "-uall", "--no-renames")
    listed = _git(root, "-c", "core.quotePath=off", "status", *options)
    names = [line[3:].strip('"') for line in listed.splitlines()]
    own = results.resolve()
    changed = [name for name in names if own not in (root / name).resolve().parents]
    if changed:
        raise InputError(
            f"The checkout has changes that are not committed ({some(changed)}), "
            "expected none: commit them or put them away, then record."
        )


def _check_versions(constraints: str) -> None:
    from r2b_keras.environment import tf

    different = []
    for line in constraints.splitlines():
        # What follows a semicolon says for which Python; others do not install it.
        text = line.partition("#")[0].partition(";")[0].strip()
        if not text:
            continue
        name, _, wanted = text.partition("==")
        # A build may be installed under another name, such as tensorflow-cpu.
        found = (
            machine.package_version(name) if name != "tensorflow" else tf.__version__
        )
        if found is not None and found != wanted:
            different.append(f"{name} {found}, not {wanted}")
    if different:
        raise InputError(
            f"Other versions are installed than {CONSTRAINTS} has "
            f"({some(different)}), expected those: make the environment anew with "
            "`make clean test`, then record."
        )


def check_run(folder: pathlib.Path) -> None:
    """Refuses a finished run under whose commands the package was changed.

    Raises:
      InputError: its manifest says so.
    """
    for revision in _revisions(folder):
        revision = revision or "none"
        if revision == "none" or revision.endswith("-dirty"):
            raise InputError(
                f"{folder} was trained with the revision {revision}, expected one that "
                "is committed: delete that folder, then record again."
            )


def is_of_this_revision(root: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether a kept run was made by the very revision that is checked out.

    Args:
      root: the checkout, with nothing changed: see `check`.
      folder: of the run, or of what was kept of it; it need not exist.
    """
    if not (folder / _MANIFEST).exists():
        return False
    return set(_revisions(folder)) == {_git(root, "rev-parse", "HEAD").strip()}


def _revisions(folder: pathlib.Path) -> list[str | None]:
    """The revisions of the commands that made a run, None for code in no checkout."""
    manifest: Any = files.read_json(folder / _MANIFEST)
    return [run["git_revision"] for run in manifest["runs"]]


def code_name(root: pathlib.Path) -> str:
    """A short name of the package's modules, committed or not, and what they rest on.

    Args:
      root: the folder that the package lies in, a checkout or not.
    """
    versions = [f"{name} {machine.package_version(name)}\n" for name in PACKAGES]
    modules = root / PACKAGE
    # The board's modules lie behind a link, which `rglob` does not enter.
    paths = {*modules.rglob("*.py"), *modules.glob("*/*.py")}
    whole = "".join(versions) + own_code.digest(root, paths)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def hold(workdir: pathlib.Path, code: str) -> None:
    """Gives a folder of runs to this code, which alone may reuse what is in it.

    Args:
      workdir: the folder; it need not exist yet.
      code: see `code_name`.

    Raises:
      InputError: it has runs of other code, or other files, or cannot be made.
    """
    folders.require_new_or_marked(workdir, CODE)
    path = workdir / CODE
    if not path.exists():
        folders.make(workdir)
        files.write_text(path, code + "\n")
    elif (found := path.read_text(encoding="utf-8").strip()) != code:
        raise InputError(
            f"{workdir} holds runs of another version of the package or of "
            f"{', '.join(PACKAGES)} ({found}), expected this one's ({code}): go on "
            "with the code that made them, or move that folder elsewhere."
        )


def _git(root: pathlib.Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise InputError(
            "There is no git, expected it: results are recorded with the revision "
            "that made them."
        ) from error
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"git {' '.join(arguments)} failed in {root} ({error.stderr.strip()}), "
            "expected a checkout with a commit."
        ) from error
    return result.stdout
