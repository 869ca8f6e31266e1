"""Stages that runs share: whose keys are equal, and what is fetched and published."""

import contextlib
import dataclasses
import errno
import pathlib
import stat
import sys
from types import SimpleNamespace

import pytest
from small_workdirs import finished

from r2b_keras import own_code, recipes
from r2b_keras.data import config as data_config
from r2b_keras.recipes import Losses, Schedule
from r2b_keras.trainers import chain, library
from r2b_keras.trainers.library import StageLibrary, stage_key
from r2b_keras.trainers.workdir import Workdir

DIGITS = recipes.get("digits")
IDENTITY = {
    "seed": 0,
    "precision": "float32",
    "deterministic": True,
    "data_fingerprint": "abc",
}


def key(number, *overrides, **identity):
    recipe = recipes.apply_overrides(DIGITS, overrides)
    whole = {**IDENTITY, **identity, "recipe": recipes.to_dict(recipe)}
    return stage_key(whole, recipe, number)


def test_key_is_the_same_for_the_same_training():
    # What comes after a stage, and what is said about it, does not change it.
    assert key(1) == key(1, "stages.3.epochs=3", "stages.2.optimizer.learning_rate=1")


def test_a_number_has_one_spelling():
    """Recipes have whole numbers where overrides and files have 5.0."""
    whole, other = (
        dataclasses.replace(
            DIGITS,
            stages=tuple(
                dataclasses.replace(
                    stage, schedule=Schedule("cosine", warmup_epochs=warmup)
                )
                for stage in DIGITS.stages
            ),
        )
        for warmup in (1, 1.0)
    )
    assert whole == other
    assert stage_key(IDENTITY, whole, 2) == stage_key(IDENTITY, other, 2)
    assert key(2, "stages.2.epochs=1") != key(2, "stages.2.epochs=2")


def test_key_follows_code_of_one_s_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "own_images.py"

    def key_of(code):
        source.write_text(code)
        sys.modules.pop("own_images", None)
        return key(1, "stages.1.augmentation.others=noise:2")

    code = "def noise(images, *_):\n    return images"
    change = data_config.Change("own_images:noise", high=9)
    monkeypatch.setitem(data_config.AUGMENTATIONS, "noise", change)
    first = key_of(code)
    assert key_of(f"{code} + 1") != first
    assert key_of(code) == first
    # What was imported trains on, whatever becomes of its file.
    source.write_text(f"{code} + 2")
    assert key(1, "stages.1.augmentation.others=noise:2") == first
    # Two functions of one file.
    both = f"{code}\n\ndef blur(images, *_):\n    return 2 * images"
    first = key_of(both)
    change = data_config.Change("own_images:blur", high=9)
    monkeypatch.setitem(data_config.AUGMENTATIONS, "noise", change)
    assert key_of(both) != first


def test_key_follows_the_packages_own_code(monkeypatch):
    """Its version stays while a checkout changes."""
    first = key(1)
    monkeypatch.setattr(own_code, "of_training", lambda: "of another revision")
    assert key(1) != first


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("trainers/losses.py", True),
        ("data/sources/digits.py", True),
        ("networks.py", True),
        ("recipes/digits.py", False),
        ("converters/engines.py", False),
    ],
)
def test_modules_that_train_count(tmp_path, changed, counts):
    trees = tmp_path / "one", tmp_path / "other"
    for tree in trees:
        path = tree / changed
        (tree / "trainers").mkdir(parents=True)
        (tree / "trainers" / "chain.py").write_text("1\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NAME = {tree.name!r}\n")
    one, other = map(own_code.of_training, trees)
    assert (one != other) == counts


def test_all_modules_that_train_are_found():
    root = pathlib.Path(own_code.__file__).parent
    for name in own_code._TRAINING:
        assert (root / name).exists(), name


@pytest.mark.parametrize(
    "override",
    [
        "stages.2.epochs=3",
        "stages.1.epochs=3",
        "stages.0.student.width=8",
        "stages.1.student.pad_value=1",
        "stages.2.student.weight_binarizer=approx_sign",
        "data.validation_size=0",
    ],
)
def test_key_follows_all_that_the_stage_rests_on(override):
    assert key(2) != key(2, override)


def test_key_follows_the_run():
    other = (1, "bfloat16", False, "abd")
    for name, value in zip(IDENTITY, other, strict=True):
        assert key(2) != key(2, **{name: value}), name


def test_key_follows_the_replicas():
    """Of several each has its BatchNorm."""
    whole = {**IDENTITY, "recipe": recipes.to_dict(DIGITS)}
    keys = [stage_key(whole, DIGITS, 2, replicas) for replicas in (1, 2, 4)]
    assert keys[0] == key(2) and len(set(keys)) == 3


@pytest.fixture
def trained(monkeypatch):
    """Numbers of the stages that were trained, and not fetched."""
    numbers = []

    def train(run, number):
        numbers.append(number)
        finished(run.workdir.path, number)

    monkeypatch.setattr(chain, "train_stage", train)
    return numbers


WHOLE = {**IDENTITY, "recipe": recipes.to_dict(DIGITS)}


def run_of(workdir, replicas=1):
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    workers = SimpleNamespace(strategy=strategy, is_chief=True)
    return SimpleNamespace(recipe=DIGITS, workdir=workdir, workers=workers)


def train_second(workdir, stages, replicas=1):
    """Brings a workdir that has stage 0 up to stage 1, by a library."""
    chain._train_or_fetch(run_of(workdir, replicas), 1, stages, WHOLE)


def noted(path, key):
    """A workdir whose stage 0 rests on what a key says."""
    workdir = finished(path, 0)
    workdir.note_key(0, key)
    return workdir


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_stage_is_sought_under_the_key_of_its_replicas(tmp_path, trained, replicas):
    stages, source = StageLibrary(tmp_path / "library"), finished(tmp_path / "a", 1)
    first, second = (stage_key(WHOLE, DIGITS, n, replicas) for n in (0, 1))
    stages.publish(second, source, 1)
    target = noted(tmp_path / "b", first)
    train_second(target, stages, replicas)
    assert target.result(1) == source.result(1) and not trained
    assert target.key(1) == second
    # Of the other number it is trained, and added.
    other = 3 - replicas
    target = noted(tmp_path / "c", stage_key(WHOLE, DIGITS, 0, other))
    train_second(target, stages, other)
    assert trained == [1] and (stages.path / target.key(1)).is_dir()


@pytest.mark.parametrize("before", [None, stage_key(WHOLE, DIGITS, 0, 2), "other code"])
def test_a_stage_that_rests_on_something_else_is_not_shared(tmp_path, trained, before):
    """On one that was trained by other code, or on more devices than this one."""
    stages = StageLibrary(tmp_path / "library")
    stages.publish(stage_key(WHOLE, DIGITS, 1), finished(tmp_path / "a", 1), 1)
    target = noted(tmp_path / "b", before)
    train_second(target, stages)
    assert trained == [1]
    assert len([path for path in stages.path.iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize("before", [None, "other code", "the same"])
def test_a_stage_that_began_otherwise_is_not_shared(tmp_path, trained, before, capsys):
    """Its checkpoint may be of other code, or of more devices, which is said."""
    stages = StageLibrary(tmp_path / "library")
    target = noted(tmp_path / "b", stage_key(WHOLE, DIGITS, 0))
    key = stage_key(WHOLE, DIGITS, 1)
    target.note_key(1, key if before == "the same" else before)
    target.stage(1).mkdir(exist_ok=True)
    target.checkpoint(1).write_bytes(b"of a run that was cut off")
    train_second(target, stages)
    assert trained == [1]
    assert target.key(1) == (key if before == "the same" else None)
    assert (stages.path / key).is_dir() == (before == "the same")
    said = "Stage 1 goes on with other code" in capsys.readouterr().out
    assert said == (before == "other code")


def test_going_on_with_another_revision_is_told(tmp_path, trained, capsys, monkeypatch):
    stages, target = StageLibrary(tmp_path / "library"), finished(tmp_path / "b", 0)
    monkeypatch.setattr(own_code, "of_training", lambda: "of the revision before")
    for number in (0, 1):
        target.note_key(number, stage_key(WHOLE, DIGITS, number))
    target.stage(1).mkdir(exist_ok=True)
    target.checkpoint(1).write_bytes(b"of a run that was cut off")
    monkeypatch.undo()
    monkeypatch.setattr(chain, "train_stage", lambda run, number: None)
    train_second(target, stages)
    assert "Stage 1 goes on with other code" in capsys.readouterr().out
    assert target.key(1) is None


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        ("own", "own", {0, 1}),
        ("own", None, {0}),
        ("other code", "own", set()),
        (None, "own", set()),
    ],
)
def test_stages_that_were_finished_without_it_are_added(
    tmp_path, first, second, published
):
    """Or by a run that was killed between the two; a second time changes nothing."""
    stages = StageLibrary(tmp_path / "library")
    workdir = finished(tmp_path / "a", 0, 1)
    for number, noted_key in enumerate((first, second)):
        own = stage_key(WHOLE, DIGITS, number)
        workdir.note_key(number, own if noted_key == "own" else noted_key)
    for _ in range(2):
        chain._publish(run_of(workdir), [0, 1], stages, WHOLE)
    found = {path.name for path in stages.path.glob("*")}
    assert found == {stage_key(WHOLE, DIGITS, number) for number in published}


def test_key_ignores_a_teacher_that_is_not_heard():
    stages = list(DIGITS.stages)
    alone = dataclasses.replace(stages[1], losses=Losses(), teacher=None)
    unheard = dataclasses.replace(alone, teacher=0)
    keys = []
    for stage in (alone, unheard):
        recipe = dataclasses.replace(DIGITS, stages=(stages[0], stage, *stages[2:]))
        keys.append(stage_key({**IDENTITY, "recipe": {}}, recipe, 1))
    assert keys[0] == keys[1]


@pytest.mark.parametrize("role", ["teacher", "start_from"])
def test_key_knows_a_file_by_its_content(role):
    stages = list(DIGITS.stages)

    def key_with(path, content):
        stage = dataclasses.replace(stages[1], **{role: path})
        recipe = dataclasses.replace(DIGITS, stages=(stages[0], stage, *stages[2:]))
        return stage_key({**IDENTITY, "files": {path: content}}, recipe, 1)

    known = key_with("a.keras", "abc")
    assert key_with("moved/b.keras", "abc") == known
    assert key_with("a.keras", "abd") != known


def test_published_stages_are_fetched(tmp_path):
    library = StageLibrary(tmp_path / "library")
    source, target = finished(tmp_path / "a", 1), Workdir(tmp_path / "b")
    assert not library.fetch("stage_1-k", target, 1)
    assert target.result(1) is None
    with library.claimed("stage_1-k"):
        library.publish("stage_1-k", source, 1)
        library.publish("stage_1-k", source, 1)
    target.stage(1).mkdir(parents=True)
    for left in (target.checkpoint(1), target.best(1, 4)):
        left.write_bytes(b"of a run that was cut off")
    assert library.fetch("stage_1-k", target, 1)
    assert target.result(1) == source.result(1)
    assert target.model(1).read_bytes() == b"weights"
    assert not target.checkpoint(1).exists() and not target.best(1, 4).exists()
    assert [p.name for p in library.path.glob("*") if p.is_dir()] == ["stage_1-k"]


def test_shared_files_survive_their_origin(tmp_path):
    library = StageLibrary(tmp_path / "library")
    source = finished(tmp_path / "a", 1)
    library.publish("stage_1-k", source, 1)
    # Trained again there: the library keeps what it has.
    source.model(1).unlink()
    source.model(1).write_bytes(b"other")
    target = Workdir(tmp_path / "b")
    library.fetch("stage_1-k", target, 1)
    assert target.model(1).read_bytes() == b"weights"


def test_shared_files_are_not_to_be_written(tmp_path):
    """In place, that is, which would change them in all folders."""
    stages, source = StageLibrary(tmp_path / "library"), finished(tmp_path / "a", 1)
    stages.publish("stage_1-k", source, 1)
    target = Workdir(tmp_path / "b")
    stages.fetch("stage_1-k", target, 1)
    for model in (source.model(1), target.model(1)):
        assert not stat.S_IMODE(model.stat().st_mode) & 0o222


def test_who_may_read_a_file_stays_as_it_was(tmp_path):
    stages, source = StageLibrary(tmp_path / "library"), finished(tmp_path / "a", 1)
    source.model(1).chmod(0o640)
    stages.publish("stage_1-k", source, 1)
    published = stages.path / "stage_1-k" / "model.keras"
    assert stat.S_IMODE(published.stat().st_mode) == 0o440


def test_who_waits_for_another_run_says_so(tmp_path, monkeypatch, capsys):
    one, other = StageLibrary(tmp_path), StageLibrary(tmp_path)
    with one.claimed("stage_1-k"), other.claimed("stage_2-k"):
        assert capsys.readouterr().out == ""
        monkeypatch.setattr(library.locks, "held", contextlib.nullcontext)
        with other.claimed("stage_1-k"):
            said = f"Waiting for another run to train stage_1-k in {tmp_path}.\n"
            assert capsys.readouterr().out == said


def test_who_trains_a_stage_holds_it(tmp_path):
    one, other = StageLibrary(tmp_path), StageLibrary(tmp_path)
    assert not other.is_claimed("stage_1-k")
    with one.claimed("stage_1-k"):
        assert other.is_claimed("stage_1-k") and not other.is_claimed("stage_2-k")
    assert not other.is_claimed("stage_1-k")


def fails_for(monkeypatch, name):
    """The disk is full when a file of this name is to be shared."""
    share = library._share

    def sharing(source, target):
        if target.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        share(source, target)

    monkeypatch.setattr(library, "_share", sharing)


def test_a_stage_that_cannot_be_published_whole_is_not_there(tmp_path, monkeypatch):
    stages, source = StageLibrary(tmp_path / "library"), finished(tmp_path / "a", 1)
    fails_for(monkeypatch, "result.json")
    with pytest.raises(OSError, match="No space left"):
        stages.publish("stage_1-k", source, 1)
    assert list(stages.path.iterdir()) == []


def test_a_stage_that_was_fetched_in_part_is_not_complete(tmp_path, monkeypatch):
    stages, source = StageLibrary(tmp_path / "library"), finished(tmp_path / "a", 1)
    stages.publish("stage_1-k", source, 1)
    fails_for(monkeypatch, "model.keras")
    target = Workdir(tmp_path / "b")
    with pytest.raises(OSError, match="No space left"):
        stages.fetch("stage_1-k", target, 1)
    assert target.result(1) is None


def test_what_is_fetched_takes_the_place_of_a_file_and_does_not_change_it(tmp_path):
    """The one that was there may be the same file as another folder's."""
    stages, source = StageLibrary(tmp_path / "library"), finished(tmp_path / "a", 1)
    stages.publish("stage_1-k", source, 1)
    target, other = Workdir(tmp_path / "b"), tmp_path / "other.keras"
    other.write_bytes(b"other")
    target.stage(1).mkdir(parents=True)
    target.model(1).hardlink_to(other)
    assert stages.fetch("stage_1-k", target, 1)
    assert target.model(1).read_bytes() == b"weights"
    assert other.read_bytes() == b"other"


def lines(path):
    return (path / "metrics.csv").read_text().splitlines()


def test_a_fetched_stage_brings_its_rows_of_the_metrics(tmp_path):
    library = StageLibrary(tmp_path / "library")
    source, target = finished(tmp_path / "a", 1), Workdir(tmp_path / "b")
    source.append_metrics(0, 1, {"loss": 9.0, "l2": 1.0})
    source.append_metrics(1, 1, {"loss": 2.0, "flipped_weights": 0.25})
    source.append_metrics(1, 2, {"loss": 1.5, "flipped_weights": 0.125})
    source.append_metrics(2, 1, {"loss": 7.0, "attention": 1.0})
    library.publish("stage_1-k", source, 1)
    # The target has a later stage, and a run of this one that was cut off.
    target.path.mkdir()
    target.append_metrics(1, 1, {"loss": 8.0, "attention": 3.0})
    target.append_metrics(2, 1, {"loss": 3.0, "attention": 4.0})
    assert library.fetch("stage_1-k", target, 1)
    assert lines(target.path) == [
        "stage,epoch,loss,flipped_weights,attention",
        "1,1,2,0.25,",
        "1,2,1.5,0.125,",
        "2,1,3,,4",
    ]
    target.append_metrics(0, 1, {"loss": 5.0})
    assert [line[:3] for line in lines(target.path)[1:]] == ["0,1", "1,1", "1,2", "2,1"]


def test_a_library_without_metrics_leaves_those_of_the_workdir(tmp_path):
    library = StageLibrary(tmp_path / "library")
    library.publish("stage_1-k", finished(tmp_path / "a", 1), 1)
    assert not (library.path / "stage_1-k" / "metrics.csv").exists()
    empty, other = Workdir(tmp_path / "b"), Workdir(tmp_path / "c")
    assert library.fetch("stage_1-k", empty, 1)
    assert not (empty.path / "metrics.csv").exists()
    other.path.mkdir()
    other.append_metrics(0, 1, {"loss": 5.0})
    assert library.fetch("stage_1-k", other, 1)
    assert lines(other.path) == ["stage,epoch,loss", "0,1,5"]
