"""The command `r2b` and what it hands to the modules that it stands for."""

import os
import pathlib
import subprocess
import sys

import pytest

import r2b_keras
from r2b_keras import __main__ as r2b

PACKAGE = pathlib.Path(r2b.__file__).parent


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs it in this process: what ran (module, arguments), exit and output."""

    def run(*arguments):
        ran = []
        monkeypatch.setattr(sys, "argv", ["r2b", *arguments])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(sys, "path", ["bin", *sys.path])
        monkeypatch.setattr(
            r2b.runpy,
            "run_module",
            lambda name, **options: ran.append((name, sys.argv[1:], options)),
        )
        try:
            r2b.main()
            left = None
        except SystemExit as exit:
            left = exit.code
        return ran, left, capsys.readouterr().out

    return run


def test_every_command_is_listed(run):
    modules = {
        path.stem
        for path in PACKAGE.glob("*.py")
        if "\ndef start() -> NoReturn" in path.read_text()
    }
    assert modules == set(r2b.COMMANDS)
    assert (
        run("--help") == run("-h") == run("help") == ([], None, r2b.overview() + "\n")
    )
    assert run() == ([], r2b.overview(), "")
    assert run("--version") == ([], None, f"r2b_keras {r2b_keras.__version__}\n")
    for name in modules:
        (line,) = (x for x in r2b.overview().splitlines() if x.startswith(f"  {name} "))
        assert len(line) <= 80 and line[13:].strip()


def test_a_command_gets_its_arguments_and_the_folder_for_imports(run):
    found = run("convert", "--import=layers", "--help")
    options = {"run_name": "__main__", "alter_sys": True}
    assert found == (
        [("r2b_keras.convert", ["--import=layers", "--help"], options)],
        None,
        "",
    )
    assert sys.path[0] == os.getcwd()


@pytest.mark.parametrize(
    ("name", "end"), [("trian", "; did you mean 'train'?"), ("--recipe=digits", ".")]
)
def test_there_is_no_such_command(run, name, end):
    ran, message, out = run(name)
    assert (ran, out) == ([], "")
    assert message == (
        f"There is no command {name!r}, expected one of {', '.join(r2b.COMMANDS)}{end}"
    )


def python(*arguments):
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["predict", "--help"], 0, "--model: Converted network"),
        (["train", "--lst"], 1, "Unknown command line flag 'lst'"),
        (["predict"], 1, "--model is missing"),
    ],
)
def test_it_does_what_the_module_does(arguments, code, words):
    found = python("-m", "r2b_keras", *arguments)
    name, *rest = arguments
    assert found == python("-m", f"r2b_keras.{name}", *rest)
    assert found[0] == code and words in found[1] + found[2]


def test_the_list_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from r2b_keras.__main__ import main\n"
        "sys.argv[1:] = ['--help']\n"
        "main()\n"
        "print(sorted({'tensorflow', 'numpy', 'absl'} & set(sys.modules)))"
    )
    assert python("-c", code)[1].endswith("--help\n[]\n")
