"""A re-scaling, a binarizer, a source and an augmentation from outside the package."""

import pathlib
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from r2b_keras import converters, data, models, networks, recipes
from r2b_keras.data import config
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.workdir import Workdir
from tests import own_parts

ROOT = pathlib.Path(__file__).parent.parent
NETWORK = {
    "width": 8,
    "blocks": (1, 1),
    "stem": "cifar",
    "rescaling": "factor",
    "activation_binarizer": "narrow_sign",
    "weight_binarizer": "narrow_sign",
}


@pytest.fixture(autouse=True)
def _entries(monkeypatch):
    """One entry each, and nothing else."""
    name = own_parts.__name__
    for registry, key, entry in (
        (
            networks.RESCALINGS,
            "factor",
            networks.Rescaling(f"{name}:rescale", absorbs_magnitude=True),
        ),
        (networks.BINARIZERS, "narrow_sign", f"{name}:NarrowSign"),
        (config.SOURCES, "stripes", config.SourceEntry(f"{name}:open_stripes")),
        (config.AUGMENTATIONS, "brighten", config.Change(f"{name}:brighten")),
    ):
        monkeypatch.setitem(registry, key, entry)


def own_recipe():
    bright = config.Augmentation(flip=True, others=("brighten:0.25",))
    real, binary = (
        networks.Network("real_to_binary18", binarization, **NETWORK)
        for binarization in ("binary_activations", "binary")
    )
    options = {"epochs": 4, "batch_size": 16, "augmentation": bright}
    return recipes.Recipe(
        "stripes",
        "",
        config.DataConfig("stripes", (8, 8, 1), (0.5,), (0.5,), validation_size=0),
        (
            recipes.Stage(real, **options),
            recipes.Stage(binary, start_from=0, absorb_magnitude=True, **options),
        ),
    )


@pytest.mark.slow
def test_they_are_trained_saved_and_converted(tmp_path):
    workdir = Workdir(tmp_path)
    results = train_chain(own_recipe(), 1, workdir)
    assert [result.top1 for result in results] == [1.0, 1.0]
    model = models.load(workdir.model(1))
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(own_parts.Factor) == 4
    convolution = model.get_layer("block_1a_conv")
    for quantizer in (convolution.input_quantizer, convolution.kernel_quantizer):
        assert isinstance(quantizer, own_parts.NarrowSign)
    images = np.stack([images for images, _ in data.load(own_recipe().data).test(1)])
    report = converters.verify(model, converters.convert(model), images[:, 0])
    assert report.accepted, report.to_text()


def test_they_are_written_read_and_overridden():
    recipe = own_recipe()
    assert recipes.from_dict(recipes.to_dict(recipe)) == recipe
    changed = recipes.apply_overrides(
        recipe,
        ["stages.*.augmentation.others=brighten:0.5", "stages.0.student.rescaling=gate"]
        + ["stages.1.student.rescaling=gate", "stages.1.absorb_magnitude=false"],
    )
    assert [stage.augmentation.others for stage in changed.stages] == [
        ("brighten:0.5",)
    ] * 2


def test_the_page_about_them(tmp_path):
    text = (ROOT / "docs" / "own_network.md").read_text("utf-8")
    page = text.partition("## A part of your own")[2]
    blocks = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    (block,) = blocks
    (tmp_path / "my_parts.py").write_text(block)
    command = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[-1]
    name, *words = shlex.split(command.replace("\\\n", " "))
    assert name == "r2b"
    words = [sys.executable, "-m", "r2b_keras", *words]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rescaling: my_scale") == 4
    assert done.stdout.count("others: my_noise:0.1") == 4


@pytest.mark.parametrize(
    ("registry", "key", "entry"),
    [
        (networks.RESCALINGS, "factor", networks.Rescaling),
        (
            networks.RESCALINGS,
            "factor",
            lambda code: networks.Rescaling(weight_binarizer=code),
        ),
        (networks.BINARIZERS, "narrow_sign", str),
        (config.AUGMENTATIONS, "brighten", config.Change),
        (config.SOURCES, "stripes", config.SourceEntry),
    ],
)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("nowhere:rescale", "No module named 'nowhere'."),
        ("tests.own_parts:nothing", "has no attribute 'nothing'."),
        ("tests own_parts", "invalid format: 'tests own_parts'."),
        ("tests.own_parts:__doc__", "can be imported."),
    ],
)
def test_names_of_no_code_are_told_before_anything_is_trained(
    tmp_path, monkeypatch, registry, key, entry, code, reason
):
    """Of the last stage's as well."""
    recipe = own_recipe()
    real = networks.Network("resnet18", "real", width=8, blocks=(1, 1), stem="cifar")
    first = replace(recipe.stages[0], student=real, augmentation=config.Augmentation())
    last = replace(
        recipe.stages[1],
        start_from=None,
        absorb_magnitude=False,
        teacher=0,
        losses=recipes.Losses(logit_matching=1.0),
    )
    recipe = replace(recipe, stages=(first, last))
    monkeypatch.setitem(registry, key, entry(code))
    with pytest.raises(InputError) as error:
        train_chain(recipe, 1, Workdir(tmp_path))
    message = str(error.value)
    assert repr(key) in message and f" is {code!r}, expected" in message
    assert message.count(", expected ") == 1 and message.endswith(reason)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("darken:0.5", "'darken', and there is 'brighten'"),
        ("brighten", "others has 'brighten', expected NAME:STRENGTH, for example"),
        ("brighten:1.5", "others is 1.5, expected a number from 0.0 to 1.0"),
    ],
)
def test_another_augmentation_that_there_is_not(other, words):
    with pytest.raises(InputError, match=words):
        config.Augmentation(others=(other,))


def test_seeds_of_ones_own_augmentations_are_as_promised(monkeypatch):
    seeds = []

    def keep(images, strength, seed):
        seeds.append(seed)
        return images

    monkeypatch.setattr(data.augmentation, "_imported", lambda _: keep)
    batch, seed = tf.zeros([2, 3, 3, 1], tf.uint8), tf.constant([1, 2], tf.int64)
    others = config.Augmentation(others=("brighten:1", "brighten:1"))
    data.augmentation.augment(batch, others, seed)
    assert [(each.dtype, each.shape) for each in seeds] == [(tf.int64, (2,))] * 2
    assert (seeds[0] != seeds[1]).numpy().any()


def test_augmentations_of_ones_own_have_draws_of_their_own():
    batch = tf.constant(np.full((40, 3, 3, 1), 100, np.uint8))
    seed = tf.constant([1, 2], tf.int64)
    once, twice = (
        data.augmentation.augment(
            batch, config.Augmentation(others=("brighten:1",) * count), seed
        ).numpy()
        for count in (1, 2)
    )
    first, second = once[:, 0, 0, 0] / 100, twice[:, 0, 0, 0] / once[:, 0, 0, 0]
    assert first.min() >= 1 and first.max() > 1.9 and len(np.unique(first)) > 30
    # No pixel leaves its range.
    dim = (twice < 255).all((1, 2, 3))
    assert dim.any() and not dim.all() and twice.max() == 255
    assert (abs(first - second)[dim] > 0.01).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"labels": np.arange(160) % 3},
            "part of stripes has a label 2, expected 0 to 1",
        ),
        ({"labels": np.arange(160) % 2 - 1}, "has a label -1, expected 0 to 1, as the"),
        ({"labels": np.zeros(160, np.int32)}, "labels of a source are int32 of shape"),
        ({"labels": np.zeros(9, np.int64)}, r"\(9,\), expected int64 \[160\], one for"),
        (
            {"images": np.zeros((160, 8, 8, 1))},
            "are float64 of shape .*, expected uint8",
        ),
        (
            {"images": np.zeros((160, 8, 8), np.uint8)},
            "images of a source are uint8 of",
        ),
    ],
)
def test_images_and_labels_of_a_source_that_are_none(monkeypatch, change, words):
    made = own_parts.ArrayExamples

    def changed(images, labels, *rest):
        given = {"images": images, "labels": labels} | change
        return made(given["images"], given["labels"], *rest)

    monkeypatch.setattr(own_parts, "ArrayExamples", changed)
    with pytest.raises(InputError, match=words):
        data.load(data.DataConfig("stripes", (8, 8, 1), (0.5,), (0.5,), 16))
