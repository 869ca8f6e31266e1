"""Training on JPEG files: one's own folder by command, and the ImageNet path at 224."""

import dataclasses
import shutil

import numpy as np
import pytest

from r2b_keras import data, models, recipes
from r2b_keras.environment import tf
from r2b_keras.models import build_network
from r2b_keras.trainers import Distiller, optimizers
from tests.commands import run

CLASSES = ("circle", "square")


def draw(
    name: str, size: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """A bright shape somewhere on a dark, noisy ground, RGB bytes."""
    height, width = size
    picture = generator.integers(0, 60, (height, width, 3), np.uint8)
    radius = min(size) // 4
    row = generator.integers(radius, height - radius)
    column = generator.integers(radius, width - radius)
    rows, columns = np.ogrid[:height, :width]
    if name == "circle":
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    else:
        inside = (abs(rows - row) < radius) & (abs(columns - column) < radius)
    picture[inside] = generator.integers(150, 255, 3, np.uint8)
    return picture


def make_folder(folder, count: int, sizes) -> None:
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = draw(name, sizes[index % len(sizes)], generator)
            content = tf.io.encode_jpeg(picture, quality=90).numpy()
            (folder / name / f"{index:03}.jpg").write_bytes(content)


@pytest.fixture(scope="module")
def own_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "pictures"
    make_folder(folder, 24, [(80, 100), (97, 75), (64, 64)])
    return folder


SMALL = (
    "--recipe=pictures",
    "--override=stages.*.epochs=1",
    "--override=stages.*.student.width=8",
    "--override=stages.*.student.blocks=1,1",
    "--override=stages.*.batch_size=16",
    "--override=data.image_shape=32,32,3",
)


@pytest.mark.slow
def test_own_folder_of_pictures(own_pictures, tmp_path):
    workdir = tmp_path / "run"
    result = run(
        "train",
        *SMALL,
        "--stage=1",
        f"--data_dir={own_pictures}",
        f"--workdir={workdir}",
    )
    assert result.returncode == 0, result.stderr
    assert "stage 1 epoch 1/1" in result.stdout
    result = run("evaluate", f"--workdir={workdir}", f"--data_dir={own_pictures}")
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in CLASSES)


@pytest.mark.slow
def test_broken_picture_is_named_and_nothing_written(own_pictures, tmp_path):
    folder = shutil.copytree(own_pictures, tmp_path / "pictures")
    broken = folder / "square" / "003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    arguments = (f"--data_dir={folder}", f"--workdir={tmp_path / 'run'}")
    result = run("train", *SMALL, *arguments)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    # The JPEG library may add a line of its own before ours.
    assert result.stderr.splitlines()[-1].startswith(f"{broken} is broken")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_imagenet_pipeline_and_one_step_at_224(tmp_path):
    """The recipe's augmentation, networks and losses on JPEGs of ImageNet's size."""
    make_folder(tmp_path / "train", 3, [(375, 500), (500, 333), (240, 240)])
    make_folder(tmp_path / "test", 1, [(375, 500)])
    recipe = recipes.get("imagenet")
    config = dataclasses.replace(recipe.data, source="folder", validation_size=2)
    dataset = data.load(config, str(tmp_path))
    stage = recipe.stages[2]
    batches = dataset.train(
        4, stage.augmentation, seed=0, initial_epoch=0, epochs=stage.epochs
    )
    images, labels = next(iter(batches))
    assert images.shape == (4, 224, 224, 3) and labels.shape == (4, 2)
    assert np.isfinite(images.numpy()).all() and 0.3 < np.std(images) < 3.0

    tf.keras.utils.set_random_seed(0)
    teacher, student = (
        build_network(recipe.stages[number].student, (224, 224, 3), 2)
        for number in (stage.teacher, 2)
    )
    distiller = Distiller(
        student,
        teacher,
        taps=models.intermediate_names(student),
        attention_weight=stage.losses.attention,
        logit_weight=stage.losses.logit_matching,
        l2=stage.optimizer.weight_decay,
        l2_variables=optimizers.decayed_variables(student),
    )
    distiller.compile(optimizers.make_optimizer(stage.optimizer, 1e-3, student))
    before = [variable.numpy() for variable in student.trainable_variables]
    logs = distiller.train_step((images, labels))
    assert np.isfinite(float(logs["loss"]))
    assert 0 < float(logs["attention"]) < 8 * np.sqrt(2)
    moved = [
        not np.array_equal(old, new.numpy())
        for old, new in zip(before, student.trainable_variables, strict=True)
    ]
    assert all(moved)
