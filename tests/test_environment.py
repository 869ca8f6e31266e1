"""The environment's checks, in an interpreter of their own where imports matter."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from r2b_keras import environment

ROOT = Path(__file__).parent.parent

# As sitecustomize.py: makes one installed module look as if it were not installed.
HIDE_MODULE = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == {!r} else found(name, *rest)
"""


def run_python(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs this Python from the root of the sources, with no Keras chosen."""
    environ = {k: v for k, v in os.environ.items() if k != environment.KERAS_VARIABLE}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


KERAS = ("tensorflow", "tf_keras", "keras", "larq", "larq_compute_engine")
CONVERTERS = ("binary_operators", "card", "engines", "real_weights", "tflite_file")


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (["r2b_keras"], (*KERAS, "numpy", "sklearn")),
        (["r2b_keras.data", "r2b_keras.data.config"], (*KERAS, "numpy")),
        # What `predict` takes.
        ([f"r2b_keras.converters.{name}" for name in CONVERTERS], KERAS),
        (["r2b_runtime"], (*KERAS, "numpy", "PIL", "ai_edge_litert", "r2b_keras")),
    ],
)
def test_imports_are_light(modules, heavy):
    code = f"import sys, {', '.join(modules)}\nprint(*{set(heavy)} & set(sys.modules))"
    result = run_python("-c", code)
    assert (result.stdout, result.stderr) == ("\n", "")


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 7), (3, 12, 99)])
def test_supported_pythons_pass(version):
    environment.check_python(version)


@pytest.mark.parametrize(
    "version", [(2, 7, 18), (3, 9, 1), (3, 13, 0), (3, 13, 1), (4, 0, 0)]
)
def test_other_pythons_are_refused_with_both_versions(version):
    with pytest.raises(environment.EnvironmentProblem) as problem:
        environment.check_python(version)
    sentence = str(problem.value)
    assert "Python 3.10, 3.11 and 3.12" in sentence
    assert f"this is Python {'.'.join(map(str, version))}" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("arguments", [["-m", "r2b_keras.train"], ["-c", "pass"]])
def test_wrong_python_shows_a_traceback_only_in_an_import(
    monkeypatch, capsys, arguments
):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    monkeypatch.setattr(sys, "argv", arguments)
    expected = SystemExit if arguments[0] == "-m" else environment.EnvironmentProblem
    with pytest.raises(expected, match=r"this is Python 3\.9\.1"):
        environment.check_at_import()


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("module", "package"),
    [("tensorflow", "tensorflow"), ("tf_keras", "tf-keras"), ("larq", "larq")],
)
def test_command_without_a_package_ends_in_one_sentence(
    tmp_path, command, module, package
):
    (tmp_path / "sitecustomize.py").write_text(HIDE_MODULE.format(module))
    result = run_python(
        "-m",
        f"r2b_keras.{command}",
        f"--workdir={tmp_path / 'run'}",
        PYTHONPATH=str(tmp_path),
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"The package {package} is not installed")
    assert f"pip install {package}" in result.stderr
    assert result.stderr.count("\n") == 1, "one line, no traceback"
    assert not (tmp_path / "run").exists()


# As absl: something that a command imports before it runs.
CTRL_C = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize("words", [("r2b_keras.train",), ("r2b_keras", "train")])
def test_ctrl_c_while_a_command_is_imported(tmp_path, words):
    (tmp_path / "absl.py").write_text(CTRL_C)
    result = run_python("-m", *words, PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stdout) == (-signal.SIGINT, "")
    assert result.stderr == "Stopped by Ctrl-C.\n"


@pytest.mark.parametrize("words", [("-m", "theirs.main"), ("-c", "import theirs.main")])
def test_an_import_leaves_exceptions_and_signals_alone(tmp_path, words):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import r2b_keras\n")
    (tmp_path / "theirs" / "main.py").write_text(
        "import signal, sys\n"
        "print(sys.excepthook is sys.__excepthook__)\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )
    result = run_python(*words, PYTHONPATH=str(tmp_path))
    assert (result.stdout, result.stderr) == ("True\nTrue\n", "")


@pytest.mark.slow
def test_larq_is_importable_after_a_bare_import():
    result = run_python(
        "-c",
        "import r2b_keras, larq, tensorflow as tf\n"
        "print(tf.keras.layers.Dense.__module__)",
    )
    assert result.stdout.startswith("tf_keras."), result.stderr


@pytest.mark.slow
def test_tensorflow_with_keras_3_before_us_is_told():
    result = run_python(
        "-c",
        "import tensorflow, r2b_keras\n"
        "try:\n"
        "    from r2b_keras.environment import tf\n"
        "except r2b_keras.environment.EnvironmentProblem as problem:\n"
        "    print(problem)",
    )
    assert result.stdout.startswith("TensorFlow was imported before r2b_keras")
    assert "import r2b_keras first" in result.stdout
    assert "TF_USE_LEGACY_KERAS=1" in result.stdout


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_tensorflow_with_keras_2_before_us_is_accepted(monkeypatch, value):
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.setenv(environment.KERAS_VARIABLE, value)
    environment.check_keras()
    monkeypatch.setenv(environment.KERAS_VARIABLE, "0")
    with pytest.raises(environment.EnvironmentProblem, match="uses Keras 3"):
        environment.check_keras()


def test_legacy_keras_is_chosen_only_while_it_still_helps(monkeypatch):
    monkeypatch.delenv(environment.KERAS_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    environment.choose_legacy_keras()
    assert environment.KERAS_VARIABLE not in os.environ
    monkeypatch.delitem(sys.modules, "tensorflow")
    environment.choose_legacy_keras()
    assert os.environ[environment.KERAS_VARIABLE] == "1"
