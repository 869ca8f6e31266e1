"""Which stages a run trains, without training any."""

import random

import numpy as np
import pytest
from small_workdirs import finished

from r2b_keras import data, files, recipes
from r2b_keras.environment import tf
from r2b_keras.errors import InputError, MemoryLackError
from r2b_keras.trainers import chain
from r2b_keras.trainers import stage as of_stages
from r2b_keras.trainers.chain import stages_to_train
from r2b_keras.trainers.library import StageLibrary
from r2b_keras.trainers.workdir import Workdir

DIGITS = recipes.get("digits")


@pytest.mark.parametrize(
    ("done", "stage", "expected"),
    [
        ((), 3, [0, 1, 2, 3]),
        ((), 0, [0]),
        ((0, 1), 3, [2, 3]),
        ((0, 2), 3, [1, 3]),
        ((0, 1, 2, 3), 3, []),
        ((0, 1, 2, 3), 1, []),
    ],
)
def test_missing_stages_in_order(tmp_path, done, stage, expected):
    assert stages_to_train(DIGITS, stage, finished(tmp_path, *done)) == expected


def test_only_trains_one_stage(tmp_path):
    workdir = finished(tmp_path, 0)
    assert stages_to_train(DIGITS, 1, workdir, only=True) == [1]
    assert stages_to_train(DIGITS, 0, workdir, only=True) == []


def test_only_names_teacher_and_start_weights(tmp_path):
    with pytest.raises(InputError, match=r"teacher \(stage 2\) and its start weights"):
        stages_to_train(DIGITS, 3, Workdir(tmp_path), only=True)


def test_only_needs_no_grandparents(tmp_path):
    """Stage 3 rests on stage 2 alone once that is finished."""
    assert stages_to_train(DIGITS, 3, finished(tmp_path, 2), only=True) == [3]


@pytest.mark.parametrize("deleted", [0, 2])
def test_only_leaves_a_finished_stage_as_it_is(tmp_path, deleted):
    """Whatever became of what it rested on."""
    workdir = finished(tmp_path, *{0, 1, 2, 3} - {deleted})
    assert stages_to_train(DIGITS, 3, workdir, only=True) == []


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "OOM when allocating tensor",
            MemoryLackError,
            "^Stage 0 does not fit into memory: in a new --workdir, lower .*--library",
        ),
        ("/x: No space left on device", OSError, "No space left on device"),
        ("events.out; Disk quota exceeded", OSError, "Disk quota exceeded"),
        ("/x; Too many open files", OSError, "Too many open files"),
    ],
)
def test_full_memory_and_a_full_disk_are_said(tmp_path, monkeypatch, said, kind, words):
    def train_stage(run, number):
        raise tf.errors.ResourceExhaustedError(None, None, said)

    monkeypatch.setattr(chain, "train_stage", train_stage)
    with pytest.raises(kind, match=words):
        chain.train_chain(DIGITS, 0, Workdir(tmp_path))


def test_a_network_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    def build(run, network):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(of_stages, "_build", build)
    words = (
        r"^The network of stage 0 does .* lower its width, stages\.0\.student\.width="
    )
    with pytest.raises(MemoryLackError, match=words):
        chain.train_chain(DIGITS, 0, Workdir(tmp_path))


def test_what_another_process_has_finished_meanwhile_is_not_trained(
    tmp_path, monkeypatch
):
    """While this one read its images, or waited for the folder."""
    claim, numbers = chain._claim, []

    def waiting(*arguments):
        claim(*arguments)
        finished(tmp_path, 0)

    monkeypatch.setattr(chain, "_claim", waiting)
    monkeypatch.setattr(chain, "train_stage", lambda run, n: numbers.append(n))
    chain.train_chain(DIGITS, 1, Workdir(tmp_path))
    assert numbers == [1]


def test_a_library_gets_the_stages_that_were_there_before_it(tmp_path, monkeypatch):
    """But for one that was cut off, which has a key and no result."""
    trained = []

    def train(run, number):
        trained.append(number)
        finished(run.workdir.path, number)

    monkeypatch.setattr(chain, "train_stage", train)
    workdir, library = Workdir(tmp_path / "run"), StageLibrary(tmp_path / "library")
    chain.train_chain(DIGITS, 1, workdir)
    (workdir.stage(0) / "result.json").unlink()
    chain.train_chain(DIGITS, 1, workdir, only=True, library=library)
    keys = [workdir.key(number) for number in (0, 1)]
    assert {path.name for path in library.path.iterdir()} == {keys[1]}
    chain.train_chain(DIGITS, 1, workdir, library=library)
    assert trained == [0, 1, 0]
    folders = {path.name for path in library.path.iterdir() if path.is_dir()}
    assert folders == {*keys}


@pytest.fixture
def untrained(monkeypatch):
    """Stages that are finished at once, with what they draw."""
    drawn = []

    def train(run, number):
        tf.keras.utils.set_random_seed(run.seed)
        drawn.append((random.random(), np.random.rand()))
        finished(run.workdir.path, number)

    monkeypatch.setattr(chain, "train_stage", train)
    return drawn


def test_a_notebook_s_random_numbers_go_on(tmp_path, untrained):
    """A search would try the same rate for ever."""
    random.seed(1)
    np.random.seed(1)
    expected = [random.random(), np.random.rand()]
    random.seed(1)
    np.random.seed(1)
    chain.train_chain(DIGITS, 0, Workdir(tmp_path))
    assert [random.random(), np.random.rand()] == expected
    assert untrained and list(untrained[0]) != expected


def test_numbers_of_numpys_are_taken(tmp_path, untrained):
    execution = chain.Execution(steps_per_execution=np.int64(2))
    for number, seed in ((0, 3), (np.int64(0), np.int64(3))):
        workdir = Workdir(tmp_path / type(seed).__name__)
        chain.train_chain(DIGITS, number, workdir, seed=seed, execution=execution)
    first, second = (
        files.read_json(tmp_path / name / "recipe.json") for name in ("int", "int64")
    )
    assert first == second


def test_an_interrupted_run_lets_go_of_its_folder(tmp_path, monkeypatch):
    """A notebook keeps the error, and with it what the run was made of."""

    def interrupted(run, number):
        raise KeyboardInterrupt

    monkeypatch.setattr(chain, "train_stage", interrupted)
    first, second = Workdir(tmp_path), Workdir(tmp_path)
    for workdir in (first, second, first):
        with pytest.raises(KeyboardInterrupt):
            chain.train_chain(DIGITS, 0, workdir)


@pytest.mark.parametrize(
    ("recipe", "folder", "words"),
    [
        ("digits", Workdir, "The recipe is 'digits', expected a Recipe, such as"),
        (DIGITS, str, "The workdir is '.*run', expected a Workdir, such as"),
    ],
)
def test_arguments_of_another_kind(tmp_path, recipe, folder, words):
    with pytest.raises(InputError, match=words):
        chain.train_chain(recipe, 0, folder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_images_that_were_loaded_otherwise_are_refused(tmp_path):
    """Nothing that is kept of the run would tell how they were normalised."""
    images = data.load(DIGITS.data)
    other = recipes.apply_overrides(DIGITS, ["data.mean=0.9"])
    with pytest.raises(
        InputError, match=r"mean=\(0.*expected the recipe's .*mean=\(0\.9"
    ):
        chain.train_chain(other, 0, Workdir(tmp_path / "run"), dataset=images)
    assert not (tmp_path / "run").exists()


def test_the_scope_of_a_strategy_is_refused(tmp_path):
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        with pytest.raises(InputError, match="in the scope of a strategy"):
            chain.train_chain(DIGITS, 0, Workdir(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", [-1, 4])
def test_stage_out_of_range(tmp_path, stage):
    with pytest.raises(InputError, match="0 to 3"):
        stages_to_train(DIGITS, stage, Workdir(tmp_path))


def test_the_precision_is_that_of_the_training_alone():
    """Whatever the caller builds afterwards, or after an error, is as it was before."""
    before = tf.keras.mixed_precision.global_policy().name
    with pytest.raises(InputError), chain._computing_in("bfloat16"):
        assert tf.keras.layers.Dense(1).compute_dtype == "bfloat16"
        raise InputError("It stops.")
    assert tf.keras.mixed_precision.global_policy().name == before == "float32"
