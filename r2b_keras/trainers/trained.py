"""What a run has trained, and what it rests on: networks, files and images."""

import hashlib
import pathlib

from r2b_keras import data, models
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import larq_zoo
from r2b_keras.models.saved import is_weights_only
from r2b_keras.normalisation import Normalisation
from r2b_keras.recipes import Recipe
from r2b_keras.recipes.schema import TO_BE_NAMED
from r2b_keras.trainers.workdir import Workdir


def load_trained(
    workdir: Workdir, reference: int | str, image_shape: tuple[int, int, int]
) -> tf.keras.Model:
    """Loads the network that a recipe refers to.

    Args:
      workdir: where the run's own stages are.
      reference: number of a finished stage, path of a saved network, or path of
        larq-zoo's Real-to-Binary weights.
      image_shape: (H, W, C) of the images, for those weights.

    Raises:
      InputError: the file is missing, damaged, or no network; the message names it.
    """
    if isinstance(reference, int):
        return load_student(workdir, reference)
    if is_weights_only(reference):
        return larq_zoo.load_weights(reference, image_shape)
    return models.load(reference)


def normalisation_of(path: str) -> Normalisation | None:
    """How the images of a saved network's training were normalised.

    Args:
      path: of the file; it is known of RUN/stage_K/model.keras alone, as training
        leaves it, whose run has a recipe.

    Raises:
      InputError: that recipe is damaged.
    """
    stage = pathlib.Path(path).absolute().parent
    workdir = Workdir(stage.parent)
    if not stage.name.startswith("stage_") or not workdir.has_recipe:
        return None
    return workdir.recipe().data.normalisation


def load_student(workdir: Workdir, number: int) -> tf.keras.Model:
    """Loads the finished student of a stage.

    Raises:
      InputError: the file is missing or damaged; the message names it.
    """
    path = workdir.model(number)
    workdir.require_model(number)
    if not path.exists():
        raise InputError(
            f"Stage {number} is not trained in {workdir.path} ({path} is missing): run "
            f"the training with --stage={number} first."
        )
    try:
        return models.load(path)
    except InputError as error:
        raise InputError(
            f"{error} Delete the folder {path.parent} to train that stage again."
        ) from error


def load_images(workdir: Workdir, data_dir: str | None = None) -> data.ImageDataset:
    """Loads the images that a run was trained with.

    Args:
      workdir: the run's folder.
      data_dir: where they lie, None for the source's own places.

    Raises:
      InputError: they are missing, damaged, or not those of the run. (Of sets that are
        kept in memory the classes may have other names, in the same order.)
    """
    config, wanted = workdir.recipe().data, workdir.identity().get("data_fingerprint")
    dataset = data.load(config, data_dir)
    if wanted is not None and dataset.fingerprint != wanted:
        raise InputError(
            f"The images of {config.source} have the fingerprint "
            f"{dataset.fingerprint[:12]}, expected {str(wanted)[:12]} as in "
            f"{workdir.path}: give the --data_dir that the run was trained with. If "
            "pictures were added, removed or changed since, use its networks by "
            f"`convert --model={workdir.path}/stage_K/model.keras "
            f"--recipe={workdir.path}/recipe.json`."
        )
    return dataset


def files_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """What tells the files that stages start from or are taught by from others.

    Returns:
      Under "files" the SHA-256 of each by its path; nothing where there are none, as in
      folders that know no files.

    Raises:
      InputError: one cannot be read.
    """
    paths = [path for stage in recipe.stages for path in stage.files]
    return {"files": {path: _fingerprint(path) for path in paths}} if paths else {}


def _fingerprint(path: str) -> str:
    if path == TO_BE_NAMED:
        raise InputError(
            "This recipe goes on from a trained network, and none is named: give its "
            "file with --start_from=FILE, or --override=stages.K.start_from=FILE where "
            "there is no such flag, such as pretrained/cifar100_small.keras."
        )
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}), expected a network saved as "
            ".keras, to start from or to be taught by."
        ) from error
