"""Flags that take paths: `~` is the home folder, as a shell has it.

Shells expand it at the start of a word only, and so not in `--workdir=~/run`.
"""

from __future__ import annotations

import os
import pathlib

from absl import flags

from r2b_keras.errors import InputError


class _PathParser(flags.ArgumentParser):
    """Takes a path as the user means it."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        """The path, its `~` expanded.

        Raises:
          ValueError: nothing came, or the home of a user who has none.
        """
        if not argument:
            raise ValueError("nothing came, expected a path")
        expanded = os.path.expanduser(argument)
        if expanded.startswith("~"):
            user = expanded.split("/")[0]
            raise ValueError(
                f"{user} is the home of no user of this machine, expected ~ or a "
                f"path; a folder of that name is ./{user}"
            )
        return expanded


def define(name: str, default: str | None, description: str) -> None:
    """Declares a flag that takes one path, and is given once."""
    flags.DEFINE(_PathParser(), name, default, description, allow_overwrite=False)


def define_multi(name: str, description: str) -> None:
    """Declares a flag that takes a path and may be given several times."""
    flags.DEFINE_multi(
        _PathParser(), flags.ArgumentSerializer(), name, None, description
    )


def require_outside(
    flag: str, path: str | os.PathLike[str] | None, source: str, data_dir: str | None
) -> None:
    """Refuses a folder in that of the pictures, of which it would become a class.

    Args:
      flag: that names it.
      path: the folder, which need not exist, if any.
      source: of the images, see `DataConfig`; only "folder" has such classes.
      data_dir: that of the images, in which hidden folders are passed over.

    Raises:
      InputError: it lies there.
    """
    if path is None or source != "folder" or data_dir is None:
        return
    inner, outer = (pathlib.Path(os.path.realpath(x)) for x in (path, data_dir))
    if not inner.is_relative_to(outer):
        return
    first = inner.relative_to(outer).parts[:1]
    if not (first and first[0].startswith(".")):
        raise InputError(
            f"--{flag}={os.fspath(path)} lies in --data_dir={data_dir}, expected a "
            "folder elsewhere: it would be taken for a class of pictures."
        )
