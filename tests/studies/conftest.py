"""Studies are programs and no package: they are loaded by path.

Some take functions from the one beside them, as a program finds it.
"""

import importlib.util
import pathlib
import types

import pytest

FOLDER = pathlib.Path(__file__).parent.parent.parent / "studies"


@pytest.fixture(scope="session")
def load():
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(FOLDER)

    def load(name: str) -> types.ModuleType:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    patch.undo()
