"""Fashion-MNIST, from wherever this machine has it."""

import os
from pathlib import Path

from r2b_keras.data.config import DataConfig
from r2b_keras.data.sources import Source, idx
from r2b_keras.errors import InputError

TFDS_FOLDER = "~/tensorflow_datasets"
NAME = "fashion_mnist"


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Takes tfds's prepared copy, else IDX files.

    Both are looked for in `data_dir` if it is given, otherwise in tfds's own folder and
    in Debian's. The images are the same, but tfds keeps them in another order, so
    that the validation part is another one too.

    Args:
      config: gives the image shape.
      data_dir: folder with IDX files, or tfds's data folder.

    Raises:
      InputError: there is neither, or the files are broken.
    """
    tfds_folder = Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.expanduser(TFDS_FOLDER)
    )
    idx_folder = Path(data_dir or idx.DEBIAN_FOLDER)
    if (tfds_folder / NAME).is_dir():
        # Imported here, as tensorflow_datasets takes seconds to import.
        from r2b_keras.data.sources import prepared_tfds

        return prepared_tfds.open_named(NAME, config, tfds_folder)
    if idx.has_files(idx_folder):
        return idx.open_source(config, idx_folder)
    raise InputError(
        f"Fashion-MNIST was found neither in {tfds_folder / NAME} (as tfds prepares "
        f"it) nor in {idx_folder} (as IDX files): run `apt install "
        "dataset-fashion-mnist`, or give the folder with its four IDX files as "
        "--data_dir."
    )
