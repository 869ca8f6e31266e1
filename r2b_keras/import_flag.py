"""The flag --import: a user's modules, which register layers and parts of networks."""

from __future__ import annotations

import importlib

from absl import flags

from r2b_keras.errors import InputError


def define() -> None:
    """Declares it."""
    flags.DEFINE_multi_string(
        "import", [], "Module that registers layers or parts of your own; repeatable."
    )


def given(values: flags.FlagValues) -> list[str]:
    """Names of the modules."""
    return list(values["import"].value or [])


def import_modules(values: flags.FlagValues) -> None:
    """Imports the modules, so that what they register is known.

    Raises:
      InputError: one cannot be imported.
    """
    for name in given(values):
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a user's module may raise
            raise InputError(
                f"--import={name} cannot be imported ({type(error).__name__}: {error}),"
                f" expected a module that Python finds here, as in `import {name}`."
            ) from error
