"""Commands that go on from a run take its own images, wherever they lie, and no others.

Classes are numbered in the order of their folders' names: after one was renamed, the
network's outputs would be given the names of other classes.
"""

import shutil

import numpy as np
import pytest
from PIL import Image

from r2b_keras import data, files, recipes
from r2b_keras.models import build_network
from r2b_keras.trainers.chain import run_identity
from r2b_keras.trainers.trained import load_images
from r2b_keras.trainers.workdir import StageResult, Workdir
from tests.commands import assert_one_sentence, refusal, run
from tests.converters import small_flatbuffers

CHANGES = [
    "stages.*.student.width=4",
    "stages.*.student.blocks=1",
    "data.image_shape=32,32,3",
    "data.validation_size=3",
]
CLASSES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "pictures"
    generator = np.random.default_rng(0)
    for part, name in ((p, n) for p in ("train", "test") for n in CLASSES):
        (folder / part / name).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def workdir(pictures):
    """A run whose first stage is complete, with the weights that it began with."""
    recipe = recipes.apply_overrides(recipes.get("pictures"), CHANGES)
    found = Workdir(pictures.parent / "workdir")
    images = data.load(recipe.data, str(pictures))
    found.claim(run_identity(recipe, 0, "float32", True, images.fingerprint))
    found.stage(0).mkdir()
    build_network(recipe.stages[0].student, (32, 32, 3), 3).save(found.model(0))
    result = (0, "resnet", "real", 0.5, None, None, 1, 1.0, 1, 1, 0)
    found.save_result(StageResult(*result))
    return found


@pytest.fixture
def renamed(pictures, tmp_path):
    """The same pictures, the first class now the last by its name."""
    folder = shutil.copytree(pictures, tmp_path / "renamed")
    for part in ("train", "test"):
        (folder / part / "ant").rename(folder / part / "dog")
    return folder


def test_images_may_have_moved(workdir, pictures, tmp_path):
    moved = shutil.copytree(pictures, tmp_path / "elsewhere")
    assert load_images(workdir, str(moved)).class_names == CLASSES
    result = run("evaluate", f"--workdir={workdir.path}", f"--data_dir={moved}")
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in CLASSES)


@pytest.mark.parametrize(
    ("command", "output"),
    [("evaluate", None), ("convert", "model.tflite"), ("report", "page.html")],
)
def test_a_renamed_class_is_refused(workdir, renamed, tmp_path, command, output):
    written = [] if output is None else [f"--output={tmp_path / output}"]
    given = f"--workdir={workdir.path}", f"--data_dir={renamed}"
    result = run(command, *given, *written)
    assert_one_sentence(
        result,
        "The images of folder have the fingerprint",
        f"as in {workdir.path}: give the --data_dir that the run was trained with",
    )
    assert output is None or not (tmp_path / output).exists()


def test_a_file_beside_its_run_is_refused_them_as_well(
    workdir, pictures, renamed, tmp_path
):
    path = tmp_path / "model.tflite"
    path.write_bytes(small_flatbuffers.dense(num_inputs=64))
    given = (f"--model={path}", f"--workdir={workdir.path}")
    message = refusal("evaluate", *given, f"--data_dir={renamed}")
    assert "The images of folder have the fingerprint" in message
    # The run's own are taken, and the file turns out to be of another network.
    message = refusal("evaluate", *given, f"--data_dir={pictures}")
    assert "made for image_shape (1, 64, 1), and the recipe has (32, 32, 3)" in message


def test_a_run_from_before_fingerprints_were_written_is_read(
    workdir, pictures, tmp_path
):
    old = shutil.copytree(workdir.path, tmp_path / "old")
    identity = files.read_json(old / "recipe.json")
    del identity["data_fingerprint"]
    files.write_json(old / "recipe.json", identity)
    assert load_images(Workdir(old), str(pictures)).class_names == CLASSES
