"""Numbers on the page, against NumPy or worked out by hand."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special

from r2b_keras import data, models, recipes
from r2b_keras.environment import tf
from r2b_keras.reports import (
    attention,
    curves,
    gates,
    history,
    mistakes,
    operations,
    predictions,
    provenance,
)
from r2b_keras.trainers.trained import load_student
from r2b_keras.trainers.workdir import Workdir
from tests.networks import build_model


def test_worst_mistakes():
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(200, 5), scale=30).astype(np.float32)
    labels = generator.integers(0, 5, 200)
    logs = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    losses = -logs[np.arange(200), labels]
    wrong = [i for i in range(200) if logits[i].argmax() != labels[i]]
    ranked = sorted(wrong, key=lambda i: -losses[i])
    found = mistakes.worst(logits, labels, 7)
    assert [mistake.index for mistake in found] == ranked[:7]
    for mistake in found:
        i = mistake.index
        assert mistake.true == labels[i] and mistake.predicted == logits[i].argmax()
        assert mistake.loss == pytest.approx(losses[i], rel=1e-12)
        shares = np.exp(logs[i])
        assert mistake.true_probability == pytest.approx(shares[labels[i]])
        assert mistake.predicted_probability == pytest.approx(shares.max())
    assert len(mistakes.worst(logits, labels, 1000)) == len(wrong)
    assert mistakes.worst(logits, logits.argmax(1), 3) == []


def test_confused_pairs_by_hand():
    confusion = np.array([[5, 2, 0], [3, 4, 2], [0, 0, 9]])
    assert mistakes.most_confused(confusion, 2) == [(1, 0, 3), (0, 1, 2)]
    assert mistakes.most_confused(np.diag([3, 4]), 2) == []


def test_gate_means_by_class(monkeypatch):
    """Over two batches; no image is of class 2."""
    generator = np.random.default_rng(4)
    values = generator.uniform(size=(50, 1, 1, 6)).astype(np.float32)
    labels = generator.choice([0, 1, 3], 50)

    class Network:
        def predict_on_batch(self, places):
            return {"gate": values[places], predictions.OUTPUT: np.eye(4)[[0]]}

    batches = [
        (places, np.eye(4)[labels[places]]) for places in np.split(np.arange(50), [20])
    ]
    dataset = SimpleNamespace(
        num_classes=4,
        broken_image_is_named=contextlib.nullcontext,
        test=lambda batch: SimpleNamespace(as_numpy_iterator=lambda: iter(batches)),
    )
    monkeypatch.setattr(predictions, "with_intermediates", lambda *a, **k: Network())
    predicted = predictions.predict(None, dataset, ["gate"])
    found = predicted.gates["gate"]
    np.testing.assert_array_equal(predicted.labels, labels)
    for k in (0, 1, 3):
        expected = values[labels == k].astype(np.float64).mean(axis=0).ravel()
        np.testing.assert_allclose(found[k], expected, rtol=1e-12)
    assert np.isnan(found[2]).all()
    order = gates.channel_order(found)
    spread = np.std(found[[0, 1, 3]], axis=0)
    assert (np.diff(spread[order]) <= 0).all() and sorted(order) == list(range(6))


@pytest.mark.slow
def test_gates_of_a_trained_network(finished):
    """Sec. 4.3 in NumPy, from the batch-normalised maps and the file's weights."""
    student = load_student(Workdir(finished[0]), 3)
    dataset = data.load(recipes.get("digits").data)
    names = gates.gate_names(student)
    assert names == ["block_1a_gate", "block_1b_gate", "block_2a_gate", "block_2b_gate"]
    answers = predictions.predict(student, dataset, names)
    ((images, targets),) = dataset.test(359).as_numpy_iterator()
    np.testing.assert_array_equal(answers.labels, targets.argmax(1))
    np.testing.assert_allclose(
        answers.logits, student.predict(images, verbose=0), rtol=1e-4, atol=1e-4
    )
    for name in names:
        normalised = tf.keras.Model(
            student.inputs,
            student.get_layer(name.replace("gate", "batch_norm")).output,
        )(images, training=False).numpy()
        reduce, expand = (w.numpy()[0, 0] for w in student.get_layer(name).weights)
        hidden = np.maximum(normalised.mean(axis=(1, 2), dtype=np.float64) @ reduce, 0)
        gate = scipy.special.expit(hidden @ expand)
        expected = [gate[answers.labels == k].mean(axis=0) for k in range(10)]
        # Float32 in the network, float64 here; gates are of size 1.
        np.testing.assert_allclose(answers.gates[name], expected, atol=1e-5)


def test_distances_of_maps_by_hand():
    """Of norm 1 each: opposite corners, the same map, and half of two."""
    student = np.array([[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0.6, 0.8], [0, 0]]])
    teacher = np.array([[[0, 0], [0, 1]], [[0, 1], [0, 0]], [[0.6, 0], [0.8, 0]]])
    found = attention.distances(student, teacher)
    assert found == pytest.approx([2**0.5, 0, 0.8 * 2**0.5])


def test_maps_are_those_that_are_matched(monkeypatch):
    """Student and teacher are one network here: a block is equal to itself alone."""
    changes = ["stages.*.student.blocks=3", "stages.1.losses.taps=block_1=block_2"]
    recipe = recipes.apply_overrides(recipes.get("digits"), changes)
    shape = recipe.data.image_shape
    network = models.build_network(recipe.stages[0].student, shape, 10)
    drawn = []
    monkeypatch.setattr(
        attention, "picture", lambda *arguments: drawn.append(arguments[2])
    )
    dataset = data.load(recipe.data)
    ((_, targets),) = dataset.test(359).as_numpy_iterator()
    found = SimpleNamespace(labels=targets.argmax(1))
    record = SimpleNamespace(recipe=recipe, results=[0, 1])
    attention.section(record, lambda number: network, dataset, found, 1)
    (taps,) = drawn
    assert list(taps) == ["block_1=block_2", "block_2", "block_3"]
    distances = {tap: attention.distances(*both)[0] for tap, both in taps.items()}
    assert distances["block_1=block_2"] > 0.01
    assert distances["block_2"] == distances["block_3"] == 0


def test_maps_are_of_a_stage_and_its_teacher(monkeypatch):
    """Of stage 1, whose teacher is stage 0; a number stands for a network."""
    asked, recipe = [], recipes.get("digits")
    monkeypatch.setattr(
        attention, "attention_maps", lambda *given: asked.append(given[:2]) or {}
    )
    dataset = data.load(recipe.data)
    found = SimpleNamespace(labels=np.zeros(359, int))
    record = SimpleNamespace(recipe=recipe, results=[0, 1])
    attention.section(record, lambda number: number, dataset, found, 1)
    assert asked == [(1, 0)]


def test_names_of_a_pair_are_written_above_its_maps():
    maps = np.ones((1, 4, 4)) / 4
    taps = {"block_1=block_2": (maps, maps), "block_3": (maps, maps)}
    image = np.zeros((4, 4, 3), np.uint8)
    pair = attention.picture("pair", image, taps, 0)
    plain = attention.picture("plain", image, {"block_3": (maps, maps)}, 0)
    assert "block_1=block_2 0.00, block_3 0.00" in pair.alt
    assert pair.shown_size[1] == plain.shown_size[1] + attention.HEAD


def test_test_images_are_those_of_their_numbers():
    dataset = data.load(recipes.get("digits").data)
    ((images, targets),) = dataset.test(359).as_numpy_iterator()
    wanted = [358, 3, 250, 249]
    found = predictions.test_images(dataset, wanted)
    assert sorted(found) == sorted(wanted)
    for index in wanted:
        np.testing.assert_array_equal(found[index], images[index])
    config = dataset.config
    shown = config.normalisation.pixels(images)
    raw = (images * np.array(config.std) + np.array(config.mean)) * 255
    assert shown.dtype == np.uint8 and np.abs(shown - raw).max() <= 0.5 + 1e-3
    labels = targets.argmax(1)
    chosen = predictions.representatives(labels, 4)
    assert [labels[i] for i in chosen] == [0, 2, 5, 7]
    assert all(i == np.flatnonzero(labels == labels[i])[0] for i in chosen)


def test_representatives_by_hand():
    labels = np.array([2, 2, 0, 1, 2])
    assert predictions.representatives(labels, 3) == [2, 3, 0]
    assert predictions.representatives(labels, 4) == [2, 3, 0, 1]
    assert predictions.representatives(labels, 99) == [2, 3, 0, 1, 4]


def test_operations_of_the_papers_network():
    """1.676e9 binary operations (Sec. 4.1's table), to the last one."""
    model = build_model("real_to_binary18", "binary", (224, 224, 3), 1000)
    parts = {part.name: part for part in operations.count(model)}
    whole, size = operations.total(list(parts.values())), models.model_size(model)
    binary = parts["convolutions, one-bit weights"]
    assert binary.binary_macs == whole.binary_macs == 1_676_279_808
    assert binary.real_macs == 0 and binary.bits == binary.parameters == 10_985_472
    assert whole.parameters == size.parameters
    assert -(-whole.bits // 8) == size.bytes
    assert whole.real_macs == size.macs - size.binary_macs
    assert parts["stem"].real_macs == 112 * 112 * 7 * 7 * 3 * 64
    assert parts["classifier"].real_macs == 512 * 1000
    shortcuts = 28**2 * 64 * 128 + 14**2 * 128 * 256 + 7**2 * 256 * 512
    assert parts["shortcuts"].real_macs == shortcuts
    assert parts["gates"].bits == 32 * parts["gates"].parameters
    assert "convolutions, real weights" not in parts


def test_operations_of_real_weights():
    model = build_model("resnet18", "real", (8, 8, 1), 10, width=4, stem="cifar")
    parts = {part.name: part for part in operations.count(model)}
    assert "convolutions, one-bit weights" not in parts and "gates" not in parts
    # Per group: four convolutions of C to C at its size, the first of a half as many.
    real = sum(9 * (8 >> g) ** 2 * (4 << g) ** 2 * (3.5 if g else 4) for g in range(4))
    assert parts["convolutions, real weights"].real_macs == real
    assert operations.total(list(parts.values())).binary_macs == 0


METRICS = """stage,epoch,loss,accuracy,val_loss,flipped_weights
0,1,2.0,0.5,1.5,
0,2,1.0,0.75,,
0,x,1.0,0.75,0.5,
1,1,1.0
1,2,0.5,0.9,0.6,0.25
1,4,0.4,0.9,0.6,0.125,7
1,5,0.4,0.9,0.6,0.125
"""


def test_damaged_metrics_are_left_out_and_named(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS)
    metrics = history.read(path)
    (problem,) = metrics.problems
    assert "lines 4, 5, 7 cannot be read and are left out" in problem
    first, second = metrics.stages[0], metrics.stages[1]
    assert first.epochs == (1, 2) and first.values["loss"] == (2.0, 1.0)
    assert first.has("val_loss") and np.isnan(first.values["val_loss"][1])
    assert not first.has(history.FLIPS) and not first.has("attention")
    assert second.epochs == (2, 5) and second.values[history.FLIPS] == (0.25, 0.125)
    assert "epochs 1, 3, 4 of 5" in history.missing(second, 5)
    assert history.missing(first, 2) is None
    assert "no row of this stage" in history.missing(None, 5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no metrics.csv"),
        (b"", "holds no table"),
        (b"\xff\0\x01binary", "holds no table"),
        (b"a,b\n1,2\n", "holds no table"),
        (b"stage,epoch,loss\n0,1,\0\n", "line 2 cannot be read and is left out"),
        (b"stage,epoch,loss\n0,0,1\n-1,1,1\n0,1.5,1\n", "lines 2 to 4"),
    ],
)
def test_metrics_that_are_no_table(tmp_path, content, words):
    path = tmp_path / "metrics.csv"
    if content is not None:
        path.write_bytes(content)
    metrics = history.read(path)
    assert metrics.stages == {} and words in metrics.problems[0]


def test_ranges_by_hand():
    assert history.in_ranges([1, 2, 3, 7, 9, 10]) == "1 to 3, 7, 9, 10"
    assert history.in_ranges([4]) == "4"


def test_loss_parts_have_the_weights_of_the_sum():
    stage = recipes.get("digits").stages[2]
    assert curves.part_weights(stage) == {
        "loss": 1.0,
        "cross_entropy": 1.0,
        "attention": 1.0,
        "logit_matching": 1.0,
        "l2": 1e-5,
    }


def test_figures_repeat_to_the_byte(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS)
    stage, epochs = recipes.get("digits").stages[3], history.read(path).stages[1]
    first, second = (curves.draw_stage(3, stage, epochs) for _ in range(2))
    assert [picture.name for picture in first] == [
        "stage_3_loss",
        "stage_3_accuracy",
        "stage_3_flips",
    ]
    assert first == second
    assert "25.000% in the first shown and 12.500% in the last" in first[2].alt


def test_empty_cells_of_the_last_epoch_are_not_told(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "stage,epoch,loss,accuracy,val_loss,val_accuracy,flipped_weights\n"
        "3,1,2.0,0.5,1.5,0.4,0.25\n3,2,1.5,0.6,1.2,0.5,0.125\n3,3,1.0,0.75,,,\n"
    )
    stage, epochs = recipes.get("digits").stages[3], history.read(path).stages[3]
    loss, accuracy, flips = (each.alt for each in curves.draw_stage(3, stage, epochs))
    assert loss.endswith(" 3 epochs. At the end 1 on training images.")
    assert accuracy.endswith(" 3 epochs. At the end 75.00% on training images.")
    assert flips.endswith(" 25.000% in the first shown and 12.500% in the last.")


def test_commands_can_be_pasted():
    line = provenance.command_line({"command": ["train.py", "--workdir=a b"]})
    assert line == "python -m r2b_keras.train '--workdir=a b'"
    other = provenance.command_line({"command": ["mine.py", "7"]})
    assert other == "mine.py 7"
    assert provenance.command_line({}) == "(not recorded)"
    long = ["train.py", *(f"--override=stages.{n}.epochs=100" for n in range(4))]
    lines = provenance.command_line({"command": long}).splitlines()
    assert lines[0] == "python -m r2b_keras.train \\" and len(lines) == 5
    assert lines[1] == "    --override=stages.0.epochs=100 \\"
    assert lines[4] == "    --override=stages.3.epochs=100"


@pytest.mark.parametrize(
    ("images", "num_images", "is_told"),
    [(0, 359, False), (1, 359, False), (2, 359, True), (10, 10_000, False)]
    + [(11, 10_000, True), (-11, 10_000, True)],
)
def test_a_network_that_is_not_the_recorded_one_is_told(images, num_images, is_told):
    recorded = 0.9
    found = recorded + images / num_images
    told = mistakes.num_changed(found, recorded, num_images)
    assert told == (abs(images) if is_told else 0)


def test_an_epoch_that_was_trained_again_has_its_last_row(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("stage,epoch,loss\n0,1,3\n0,2,2\n0,2,1\n")
    metrics = history.read(path)
    assert metrics.problems == ()
    assert metrics.stages[0].epochs == (1, 2)
    assert metrics.stages[0].values["loss"] == (3.0, 1.0)


def test_shares_of_confused_pairs_are_of_the_true_class(monkeypatch):
    """Three of four images of class 0, and one of ten of class 1."""
    labels = np.repeat([0, 1], [4, 10])
    answers = np.array([1, 1, 1, 0, 0, *[1] * 9])
    found = predictions.Predictions(np.eye(2)[answers], labels, {})
    monkeypatch.setattr(mistakes, "_worst", lambda *args: [])
    record = SimpleNamespace(results={3: SimpleNamespace(top1=10 / 14)})
    dataset = SimpleNamespace(class_names=("cat", "dog"))
    section = mistakes.section(record, 3, dataset, found)
    assert section["pairs"] == [
        ["cat", "dog", 3, "75.0 %"],
        ["dog", "cat", 1, "10.0 %"],
    ]
    assert (section["top1"], section["changed"]) == (10 / 14, 0)
