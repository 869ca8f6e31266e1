"""The sources of images, by the name that a recipe gives."""

import os
from dataclasses import dataclass
from typing import Any

from r2b_keras.checks import require_code
from r2b_keras.data.config import DataConfig
from r2b_keras.errors import InputError


@dataclass(frozen=True)
class Source:
    """What a source gives.

    Attributes:
      train: the training part; what is held out for validation is taken from it.
      test: the test part.
      class_names: one name per class.
      validation: the validation part, of a set that keeps one.
    """

    train: Any
    test: Any
    class_names: tuple[str, ...]
    validation: Any = None


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens the source that `config` names; its module is imported only then.

    Raises:
      InputError: files are missing or broken, or the registry names no code; the
        message names them.
    """
    entry = config.entry
    opens = require_code(f"The code of the source {config.source!r}", entry.opens)
    try:
        source: Source = opens(config, data_dir)
    except OSError as error:
        raise InputError(
            f"{error.filename or data_dir} cannot be read ({error.strerror or error}): "
            "check that it exists and that you may read it."
        ) from error
    return source
