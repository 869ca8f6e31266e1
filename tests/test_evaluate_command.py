"""`python -m r2b_keras.evaluate --model`: a flatbuffer on the recipe's test set."""

import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from r2b_keras import data, evaluate, recipes
from r2b_keras.board.card import NAME, ModelCard
from r2b_keras.converters import (
    card,
    engines,
    rounded_verification,
    tflite_edit,
    tflite_file,
    verification,
)
from r2b_keras.converters.flatbuffer import to_tables
from r2b_keras.converters.float32 import other_types
from r2b_keras.converters.real_weights import shrink
from r2b_keras.data import imagenet
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import build_network
from r2b_keras.recipes.measured import FINGERPRINTS
from r2b_keras.trainers import evaluation, trained
from r2b_keras.trainers.trained import load_student
from r2b_keras.trainers.workdir import Workdir
from tests.commands import flags_of, refusal, run
from tests.converters import mutations, small_flatbuffers
from tests.converters.binary_networks import randomize
from tests.networks import build_model

# In the recipe `digits`.
DIGITS = ModelCard(tuple("0123456789"), (8, 8, 1), (0.305,), (0.376,), recipe="digits")


@pytest.fixture
def model_given():
    with flags_of("evaluate", "--model=m.tflite"):
        yield


@pytest.fixture(scope="module")
def test_part():
    """All 359 images, and their classes."""
    dataset = data.load(recipes.get("digits").data)
    ((images, labels),) = dataset.test(359).as_numpy_iterator()
    return images, np.argmax(labels, axis=1)


@pytest.fixture(scope="module")
def without_card(converted):
    """The flatbuffer with no card."""
    model = tflite_file.parse(converted[0].read_bytes())
    buffer = tflite_edit.remove_metadata(model, NAME)
    tflite_edit.take_buffer(model, buffer)
    return tflite_file.serialize(model)


def accuracy(flatbuffer, test_part, engine=None):
    images, labels = test_part
    scores = engines.load(flatbuffer, engine).predict(images)
    return np.mean(scores.argmax(axis=1) == labels)


def test_json_is_one_object_beside_keras(finished, converted, test_part):
    """As a user runs it: the file, its stage, and how they agree."""
    path, _ = converted
    result = run("evaluate", f"--model={path}", f"--workdir={finished[0]}", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["top1"] == accuracy(path.read_bytes(), test_part)
    assert found["keras_top1"] == Workdir(finished[0]).result(3).top1
    # The whole test set: at least 99.9 % of the images, and within 0.1 point.
    assert found["agreement"] >= 0.999
    assert abs(found["top1"] - found["keras_top1"]) <= 0.001
    assert found["engine"] == "r2b_runtime" and found["num_images"] == 359
    confusion = np.array(found["confusion"])
    assert confusion.sum() == 359
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(test_part[1]))
    assert np.trace(confusion) / 359 == found["top1"]
    assert list(found["per_class"]) == list("0123456789")


@pytest.mark.parametrize("engine", ["lce", "lce_indirect", "lce_reference"])
def test_the_card_names_the_recipe(converted, test_part, engine):
    path, _ = converted
    code, printed, errors = run("evaluate", f"--model={path}", f"--engine={engine}")
    assert (code, errors) == (0, "")
    first, second, third, *_ = printed.splitlines()
    assert first == f"{path}, digits, test set, engine {engine}"
    keras = card.read(path.read_bytes()).accuracy
    top1 = accuracy(path.read_bytes(), test_part, engine)
    expected = f"top-1 of the Keras model {keras:.2%}, of this file {top1:.2%}"
    assert second == expected
    assert third.startswith(f"top-1 {top1:.2%}   top-5 ")
    assert "agreement" not in printed


def test_engine_and_threads_are_heard(converted, monkeypatch):
    asked, load = [], engines.load

    def loading(content, name, num_threads):
        asked.append((name, num_threads))
        return load(content, name, num_threads)

    monkeypatch.setattr(engines, "load", loading)
    flags = (f"--model={converted[0]}", "--engine=r2b_runtime", "--threads=2")
    assert run("evaluate", *flags)[0] == 0
    assert asked == [("r2b_runtime", 2)]


def test_agreement_with_a_stage_in_words(finished, converted):
    code, printed, _ = run(
        "evaluate", f"--model={converted[0]}", f"--workdir={finished[0]}"
    )
    assert code == 0
    assert "359 images, engine r2b_runtime: top-1 agreement 100.00%" in printed
    assert "accepted" in printed.splitlines()
    # Another stage is another network.
    code, printed, errors = run(
        "evaluate", f"--model={converted[0]}", f"--workdir={finished[0]}", "--stage=0"
    )
    keras = Workdir(finished[0]).result(0).top1
    assert f"top-1 of the Keras model {keras:.2%}" in printed
    assert code == 1 and "REJECTED" in printed.splitlines()
    assert "does not do what the network of" in errors and errors.count("\n") == 1


def test_the_card_names_the_stage_to_compare_with(finished, converted, tmp_path):
    """The last one is for files that do not say."""
    content = converted[0].read_bytes()
    path = tmp_path / "model.tflite"
    own = dataclasses.replace(card.read(content), stage=0)
    path.write_bytes(card.attach(content, own))
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    keras = Workdir(finished[0]).result(0).top1
    assert code == 1 and f"top-1 of the Keras model {keras:.2%}" in printed


def test_a_folder_of_another_recipe_is_not_what_the_file_is_of(finished, model_given):
    other = dataclasses.replace(DIGITS, recipe="digits/integers", stage=4)
    workdir = Workdir(finished[0])
    with pytest.raises(InputError, match="'digits/integers', and .* of 'digits': give"):
        evaluate._student(workdir, other)


def test_a_stage_of_mixed_precision_is_compared_in_float32(finished, monkeypatch):
    """As it was converted."""
    options = {"width": 4, "blocks": (1,), "stem": "small"}
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = build_model("real_to_binary18", "binary", (8, 8, 1), 3, **options)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    monkeypatch.setattr(trained, "load_student", lambda workdir, stage: mixed)
    with flags_of("evaluate", "--stage=3"):
        student = evaluate._student(Workdir(finished[0]), None)
    assert other_types(mixed) == ["bfloat16"] and other_types(student) == []


def test_a_defect_shows(finished, converted, tmp_path):
    """A wrong bit with a card that fits it, as a converter with a defect would make."""
    path = tmp_path / "model.tflite"
    own = card.read(converted[0].read_bytes())
    path.write_bytes(
        card.attach(mutations.with_filter_bit(converted[0].read_bytes(), 0, 0, 1), own)
    )
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    assert code == 1 and "REJECTED" in printed.splitlines()


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_rounded_weights_are_judged_by_their_classes(
    finished, converted, tmp_path, test_part, kind
):
    path = tmp_path / "model.tflite"
    path.write_bytes(small_flatbuffers.shrunk(converted[0].read_bytes(), kind))
    code, printed, _ = run(
        "evaluate", f"--model={path}", f"--workdir={finished[0]}", "--json"
    )
    found = json.loads(printed)
    assert code == 0 and 0.95 < found["agreement"] <= 1
    assert found["top1"] == accuracy(path.read_bytes(), test_part)


def test_rounded_weights_are_judged_by_the_right_answers(
    finished, converted, tmp_path, monkeypatch
):
    """By a bound that no file keeps."""
    monkeypatch.setattr(rounded_verification, "MOST_ACCURACY", -2.0)
    path = tmp_path / "model.tflite"
    path.write_bytes(small_flatbuffers.shrunk(converted[0].read_bytes(), "float16"))
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    assert code == 1 and "REJECTED: of 359 images rounding spoils 0 right" in printed


def negated_classifier(flatbuffer):
    """The same card, and every score the other way round."""
    classifier = mutations.real_constants(flatbuffer)[-1]
    wrong = mutations.with_real_constant(flatbuffer, classifier, "negated")
    return card.attach(wrong, card.read(flatbuffer))


@pytest.mark.parametrize(
    ("change", "stage"),
    [(lambda exact: exact, ["--stage=0"]), (negated_classifier, [])],
    ids=["another stage", "negated classifier"],
)
def test_rounded_weights_of_another_network_are_refused(
    finished, converted, tmp_path, change, stage
):
    path = tmp_path / "rounded.tflite"
    path.write_bytes(
        small_flatbuffers.shrunk(change(converted[0].read_bytes()), "int8")
    )
    code, printed, errors = run(
        "evaluate", f"--model={path}", f"--workdir={finished[0]}", *stage
    )
    (verdict,) = (x for x in printed.splitlines() if x.startswith("REJECTED: "))
    assert code == 1 and " the float32 file" in verdict
    assert "does not do what the network of" in errors and errors.count("\n") == 1


def written(path, model, kind, normalisation=None):
    """What `convert` writes for a network of the digits, of stage 3."""
    tables = shrink(to_tables(model, normalisation), kind)
    described = dataclasses.replace(
        DIGITS,
        stage=3,
        real_weights=kind,
        input_type="float32" if normalisation is None else "uint8",
    )
    path.write_bytes(card.write(tables, described))
    return path


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("real_layers", ["float", "integer"])
def test_rounded_weights_of_files_that_take_pixels(
    finished, tmp_path, monkeypatch, kind, real_layers
):
    student, path = load_student(Workdir(finished[0]), 3), tmp_path / "m.tflite"
    normalisation = recipes.get("digits").data.normalisation
    if real_layers == "integer":
        network = dataclasses.replace(
            Workdir(finished[0]).recipe().stages[3].student, real_layers="integer"
        )
        student = randomize(build_network(network, (8, 8, 1), 10, normalisation))
        monkeypatch.setattr(trained, "load_student", lambda workdir, stage: student)
        # Of weights that were not trained, many answers may change.
        monkeypatch.setattr(rounded_verification, "MOST_LOST", 1.0)
    written(path, student, kind, normalisation)
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    assert code == 0 and "accepted" in printed.splitlines()


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_rounded_weights_of_a_network_much_like_it_are_refused(
    finished, tmp_path, kind
):
    """Its answers are as good: another seed's may be."""
    student = load_student(Workdir(finished[0]), 3)
    kernel = student.layers[-1].kernel
    kernel.assign(kernel * 1.01)
    path = written(tmp_path / "model.tflite", student, kind)
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    (verdict,) = (x for x in printed.splitlines() if x.startswith("REJECTED: "))
    (agreement,) = re.findall(r"agreement ([0-9.]+)%", printed)
    assert code == 1 and float(agreement) > 95
    assert verdict.endswith("' is not what the float32 file has")


def test_a_wrong_bit_beside_rounded_weights_shows(finished, converted, tmp_path):
    rounded = small_flatbuffers.shrunk(converted[0].read_bytes(), "int8")
    wrong = mutations.with_filter_bit(rounded, 2, 0, 1)
    path = tmp_path / "model.tflite"
    path.write_bytes(card.attach(wrong, card.read(rounded)))
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    (verdict,) = (x for x in printed.splitlines() if x.startswith("REJECTED: "))
    assert code == 1 and verdict.endswith("' is not what the float32 file has")


def test_a_file_without_a_card(without_card, tmp_path, test_part):
    path = tmp_path / "foreign.tflite"
    path.write_bytes(without_card)
    message = refusal("evaluate", f"--model={path}")
    assert "does not say which recipe it is from: give --recipe" in message
    code, printed, _ = run("evaluate", f"--model={path}", "--recipe=digits", "--json")
    found = json.loads(printed)
    assert (code, found["keras_top1"]) == (0, None)
    assert found["top1"] == accuracy(without_card, test_part)
    assert "agreement" not in found
    # The same data and another recipe: this file's accuracy in Keras is not known.
    _, printed, _ = run(
        "evaluate", f"--model={path}", "--recipe=digits/strong_baseline"
    )
    assert "Keras" not in printed and f"top-1 {found['top1']:.2%}" in printed


def test_of_other_images_keras_has_no_accuracy_here():
    """A recipe of folders names no images, plain MNIST has the files of another set."""
    digits = recipes.get("digits").data
    for source, fingerprint, known in (
        ("digits", FINGERPRINTS["digits"], True),
        ("digits", "0" * 64, False),
        ("folder", FINGERPRINTS["digits"], False),
        ("tfds:cifar100", "0" * 64, True),
    ):
        config = dataclasses.replace(digits, source=source)
        images = SimpleNamespace(config=config, fingerprint=fingerprint)
        assert evaluate._is_known(images) == known


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": (0.5,)}, "was made for mean (0.5,), and the recipe has (0.305,)"),
        ({"std": (0.5,)}, "was made for std (0.5,), and the recipe has (0.376,)"),
        (
            {"framing": "center"},
            "made for framing 'center', and the recipe has 'whole'",
        ),
        ({"image_shape": (28, 28, 1)}, "shape (8, 8, 1) and has 10 outputs, expected"),
        ({"class_names": tuple("012345678")}, "expected (8, 8, 1) and 9, one for"),
        ({"class_names": tuple("0123456789a")}, "expected (8, 8, 1) and 11, one for"),
        ({"class_names": tuple("0123456798")}, "a class '9', and the recipe has '8'"),
        ({"recipe": "fashion"}, "'fashion'"),
        ({"recipe": None}, "give --recipe"),
    ],
)
def test_cards_of_other_data_are_refused(without_card, tmp_path, change, words):
    path = tmp_path / "model.tflite"
    path.write_bytes(card.attach(without_card, dataclasses.replace(DIGITS, **change)))
    assert words in refusal("evaluate", f"--model={path}")


def test_files_of_other_shapes_are_refused(without_card, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(small_flatbuffers.dense(num_inputs=64))
    message = refusal("evaluate", f"--model={path}", "--recipe=digits")
    assert "image_shape (1, 64, 1), and the recipe has (8, 8, 1)" in message
    assert "give the --workdir that it was trained in, or the --recipe of" in message


@pytest.mark.parametrize(
    ("given", "unused"),
    [
        (["--workdir=run"], ["--recipe=digits", "--engine=lce", "--threads=2"]),
        (["--workdir=run"], ["--threads=2"]),
        (["--workdir=run", "--model=m.tflite"], ["--recipe=digits"]),
        (["--model=m.tflite"], ["--stage=0"]),
    ],
)
def test_flags_without_a_meaning(given, unused):
    for flag in unused:
        message = refusal("evaluate", *given, flag)
        assert message.startswith(f"{flag.split('=')[0]} is ")
        assert message.endswith(": leave it out.")


def test_imagenets_classes_by_name_or_number(model_given):
    """Folders and tfds have WordNet's numbers, cards have names."""
    numbers, names = zip(*list(imagenet.names().items())[:3], strict=True)
    config = recipes.get("digits").data
    engine = SimpleNamespace(input_shape=(1, 8, 8, 1), num_classes=3)
    dataset = SimpleNamespace(config=config, num_classes=3, class_names=numbers)
    for own in (names, numbers):
        evaluate._check_fits(
            ModelCard(own, (8, 8, 1), (0.305,), (0.376,)), engine, dataset
        )
    other = ModelCard(names[::-1], (8, 8, 1), (0.305,), (0.376,))
    with pytest.raises(InputError, match="a class 'great white shark', and.* 'tench'"):
        evaluate._check_fits(other, engine, dataset)


@pytest.mark.parametrize("defect", [False, True])
def test_no_more_than_a_batch_of_images_is_held(
    finished, converted, tmp_path, monkeypatch, test_part, defect
):
    """And what is said of images that differ is what all of them at once give."""
    sizes = []
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 50)
    predict, read = engines.Engine.predict, evaluate._Images.__getitem__

    def noted(method):
        def call(self, argument):
            result = method(self, argument)
            sizes.append(len(result))
            return result

        return call

    monkeypatch.setattr(engines.Engine, "predict", noted(predict))
    monkeypatch.setattr(evaluate._Images, "__getitem__", noted(read))
    flatbuffer, own = converted[0].read_bytes(), card.read(converted[0].read_bytes())
    if defect:
        flatbuffer = card.attach(mutations.with_filter_bit(flatbuffer, 0, 0, 1), own)
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer)
    code, printed, _ = run("evaluate", f"--model={path}", f"--workdir={finished[0]}")
    assert code == defect and max(sizes) == 50 and sizes[:8] == [50] * 7 + [9]
    assert (len(sizes) > 8) == defect
    monkeypatch.undo()
    student = load_student(Workdir(finished[0]), 3)
    whole = verification.verify(student, flatbuffer, test_part[0]).to_text()
    assert whole in printed


def test_images_by_number(monkeypatch, test_part):
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 50)
    dataset = data.load(recipes.get("digits").data)
    images = evaluate._Images(dataset)
    assert len(images) == 359
    # On, on within a batch, to the last one, and back.
    for numbers in ([0, 3], [49, 50, 358], [358], [7, 120], slice(None)):
        np.testing.assert_array_equal(images[numbers], test_part[0][numbers])


def test_what_cannot_be_evaluated(converted, tmp_path):
    path, _ = converted
    assert "There is no file none.tflite" in refusal("evaluate", "--model=none.tflite")
    assert "is a folder" in refusal("evaluate", f"--model={tmp_path}")
    assert "There is no engine 'gpu'" in refusal(
        "evaluate", f"--model={path}", "--engine=gpu"
    )
    message = refusal("evaluate", f"--model={path}", "--engine=litert")
    assert "The engine litert cannot run" in message
    assert "'no_such'" in refusal("evaluate", f"--model={path}", "--recipe=no_such")
    message = refusal("evaluate", f"--model={path}", f"--workdir={tmp_path}")
    assert "holds no recipe.json" in message
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(path.read_bytes()[:-200])
    assert "damaged" in refusal("evaluate", f"--model={damaged}")
    damaged.write_bytes(mutations.with_filter_bit(path.read_bytes(), 0, 0, 1))
    assert "does not match its checksum" in refusal("evaluate", f"--model={damaged}")


def test_a_cards_accuracy_is_of_its_own_recipe(converted):
    """The same test images, but that accuracy is of another network."""
    given = (f"--model={converted[0]}", "--recipe=digits/strong_baseline")
    code, printed, _ = run("evaluate", *given)
    assert code == 0 and "top-1 " in printed and "Keras" not in printed
