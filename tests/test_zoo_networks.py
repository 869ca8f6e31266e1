"""A network of the zoo's kind, in code of one's own, trained, converted and run."""

import pathlib
import re
import runpy
import sys
import types

import numpy as np
import pytest

from r2b_keras import converters, data, models, recipes
from r2b_keras.converters import engines
from r2b_keras.environment import lq, tf
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.workdir import Workdir
from tests.networks import build_model

layers = tf.keras.layers
SIGN = lq.quantizers.SteSign(clip_value=1.25)
BINARY = {
    "input_quantizer": SIGN,
    "kernel_quantizer": SIGN,
    "kernel_constraint": lq.constraints.WeightClip(1.25),
    "pad_values": 1.0,
}


def quicknet(input_shape=(8, 8, 1), filters=(32, 64), num_blocks=1):
    """Two convolutions to begin with, and ReLU and BatchNorm behind binary ones."""
    image = tf.keras.Input(input_shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9, scale=False, center=False)(x)
    x = layers.Conv2D(filters[0], 1, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    for width in filters:
        if x.shape[-1] != width:
            x = layers.MaxPool2D(2, strides=2)(layers.ReLU()(x))
            x = layers.Conv2D(width, 1, use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
        for _ in range(num_blocks):
            options = {"padding": "same", "use_bias": False, "activation": "relu"}
            y = lq.layers.QuantConv2D(width, 3, **options, **BINARY)(x)
            x = x + layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(y)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    scores = layers.Dense(10, name="logits")(x)
    return tf.keras.Model(image, layers.Softmax()(scores), name="quicknet")


@pytest.fixture(scope="module")
def trained(finished):
    """Under the real network that a chain begins with; how well it does, too."""
    tf.keras.utils.set_random_seed(0)
    student = quicknet()
    teacher = models.load(Workdir(finished[0]).model(0))
    digits = data.load(recipes.get("digits").data)
    distiller = Distiller(student, teacher, student_logits="logits", logit_weight=1.0)
    distiller.compile(tf.keras.optimizers.Adam(0.005))
    batches = digits.train(64, data.Augmentation(), seed=0, epochs=5)
    steps = digits.steps_per_epoch(64)
    distiller.fit(batches, epochs=5, steps_per_epoch=steps, verbose=0)
    logs = distiller.evaluate(digits.test(250), verbose=0, return_dict=True)
    images = np.concatenate([x for x, _ in digits.test(250).as_numpy_iterator()])
    return student, images, logs["accuracy"]


def test_it_learns_converts_and_runs(trained):
    student, images, accuracy = trained
    assert accuracy > 0.7
    flatbuffer = converters.convert(student)
    assert converters.count_operators(flatbuffer)["LceBconv2d"] == 2
    expected = student.predict_on_batch(images)
    for engine in ("lce_indirect", "r2b_runtime"):
        found = converters.verify(student, flatbuffer, images, engine)
        assert found.accepted and found.agreement > 0.99, found.to_text()
        scores = engines.load(flatbuffer, engine).predict(images)
        assert np.mean(scores.argmax(1) == expected.argmax(1)) > 0.99


def test_weights_of_another_training_are_refused(trained):
    student, images, _ = trained
    tf.keras.utils.set_random_seed(1)
    other = converters.convert(quicknet())
    assert not converters.verify(student, other, images[:50]).accepted


@pytest.mark.slow
def test_the_page_about_them(tmp_path, monkeypatch, capsys):
    """Its code as it stands, one epoch of it, with the network above for the zoo's."""
    page = pathlib.Path(__file__).parent.parent / "docs" / "own_network.md"
    code = re.findall(r"```py\n(.*?)```", page.read_text("utf-8"), re.DOTALL)[0]
    (tmp_path / "zoo.py").write_text(code.replace("epochs=20", "epochs=1"))

    def build(input_shape, num_classes, weights):
        assert num_classes == 10 and weights is None
        return quicknet(input_shape)

    zoo = types.SimpleNamespace(
        sota=types.SimpleNamespace(), literature=types.SimpleNamespace(QuickNet=build)
    )
    monkeypatch.setitem(sys.modules, "larq_zoo", zoo)
    monkeypatch.setattr(sys, "argv", ["zoo.py", "QuickNet"])
    monkeypatch.chdir(tmp_path)
    teacher = build_model("resnet18", "real", (32, 32, 1), 10, width=4, blocks=(1,))
    folder = tmp_path / "runs" / "digits_32" / "stage_0"
    folder.mkdir(parents=True)
    teacher.save(folder / "model.keras")
    runpy.run_path("zoo.py")
    assert capsys.readouterr().out.rstrip().endswith("accepted")
    assert engines.load((tmp_path / "QuickNet.tflite").read_bytes(), "r2b_runtime")
