"""The package's own modules by a digest: two of one version may differ in a checkout.

Imports no TensorFlow.
"""

import functools
import hashlib
import pathlib
from collections.abc import Iterable

_PACKAGE = pathlib.Path(__file__).parent
# What a network is and how it is trained. Not what recipes say, which whoever asks
# knows, nor what comes after training.
_TRAINING = (
    "data",
    "models",
    "trainers",
    "environment.py",
    "networks.py",
    "normalisation.py",
    "recipes/schema.py",
    "recipes/stage_parts.py",
)


def digest(root: pathlib.Path, paths: Iterable[pathlib.Path]) -> str:
    """The SHA-256 of files and their names.

    Args:
      root: the folder that the names are told from.
      paths: the files, in any order.
    """
    found = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        name = path.relative_to(root).as_posix()
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()


@functools.cache  # a file may be edited while what was imported of it trains
def of_training(package: pathlib.Path = _PACKAGE) -> str:
    """The digest of the modules that training depends on.

    Args:
      package: its folder.
    """
    places = [package / name for name in _TRAINING]
    modules = {path for place in places for path in place.rglob("*.py")}
    return digest(package, modules | {path for path in places if path.is_file()})
