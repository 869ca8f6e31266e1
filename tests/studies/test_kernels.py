"""The table of kernels: whose times are whose, and what they are compared with."""

import pytest

from r2b_runtime.library import KERNELS


@pytest.fixture(scope="module")
def kernels(load):
    return load("kernels")


def test_each_set_is_compared_with_the_first_of_its_round(kernels):
    # The second round was slow for all: ratios within rounds are not moved by it.
    rounds = [(4.0, 3.0), (40.0, 30.0), (4.0, 2.0)]
    first, second = kernels.to_rows("a.tflite", ("avx2", "avxvnni"), rounds)
    assert (first["kernel"], first["ms"], first["ratio"]) == ("avx2", 4.0, 1.0)
    assert (second["kernel"], second["ms"], second["ratio"]) == ("avxvnni", 3.0, 0.75)
    assert second["model"] == "a.tflite"
    assert second["rounds"] == 3


def test_sets_are_the_librarys(kernels):
    assert set(kernels.KERNELS) <= set(KERNELS)


def test_a_cpu_that_lacks_a_set_is_told(kernels, monkeypatch, tmp_path):
    (tmp_path / kernels.MODELS[0]).write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["kernels.py", str(tmp_path)])

    def lacking(path, kernel):
        raise kernels.InputError(f"kernel={kernel} is not there.")

    monkeypatch.setattr(kernels, "Interpreter", lacking)
    with pytest.raises(SystemExit, match="kernel=avx2 is not there. This study wants"):
        kernels.main()
