"""The Python that `make` takes for .venv, among stand-ins that act like some."""

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / ".ci" / "choose_python"
# Asked for its version first, then for the modules of virtual environments.
STAND_IN = """#!/bin/sh
case "$2" in
  *version*) echo "is {version}"; exit {wrong} ;;
  *ensurepip*) exit {without_venv} ;;
esac
"""
KINDS = {
    "good": STAND_IN.format(version="3.12.1", wrong=0, without_venv=0),
    "old": STAND_IN.format(version="3.9.2", wrong=1, without_venv=0),
    "bare": STAND_IN.format(version="3.11.2", wrong=0, without_venv=1),
    "shim": "#!/bin/sh\necho 'not installed' >&2\nexit 127\n",
}


@pytest.mark.parametrize(
    ("machine", "arguments", "chosen", "words"),
    [
        ({"python3": "good"}, [], "python3", ""),
        ({"python3.11": "shim", "python3.10": "good"}, [], "python3.10", ""),
        ({"python3.11": "bare", "python3": "good"}, [], "python3", ""),
        ({"python3.12": "good", "python3.11": "good"}, [], "python3.11", ""),
        ({"python3.11": "good", "mine": "good"}, ["mine"], "mine", ""),
        (
            {"python3.11": "shim", "python3": "old"},
            [],
            "",
            "found none (python3.11 does not run, python3.12 does not run, "
            "python3.10 does not run, python3 is 3.9.2): install one",
        ),
        (
            {"python3.11": "bare", "python3": "old"},
            [],
            "",
            "python3.11 cannot make virtual environments: install its venv module (on "
            "Debian and Ubuntu: apt-get install python3.11-venv)",
        ),
        ({"python3.11": "good", "mine": "old"}, ["mine"], "", "none (mine is 3.9.2)"),
    ],
)
def test_the_first_that_will_do(tmp_path, machine, arguments, chosen, words):
    for name, kind in machine.items():
        (tmp_path / name).write_text(KINDS[kind])
        (tmp_path / name).chmod(0o755)
    result = subprocess.run(
        ["/bin/sh", SCRIPT, *arguments],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.strip() == chosen
    assert words in result.stderr and result.stderr.count("\n") == bool(words)
    assert result.returncode == (0 if chosen else 1)
