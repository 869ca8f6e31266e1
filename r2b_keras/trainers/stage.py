"""Trains one stage of a recipe in a workdir, from wherever it stands."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from r2b_keras import data, models
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.files import written_whole
from r2b_keras.models.registry import build_network
from r2b_keras.networks import BINARY_PARTS
from r2b_keras.recipes import Recipe, Stage
from r2b_keras.trainers import checkpoints, evaluation, handover, optimizers, schedules
from r2b_keras.trainers.attention_images import NUM_IMAGES, AttentionImages
from r2b_keras.trainers.callbacks import ProgressReport, SaveEpoch, StopOnNonFiniteLoss
from r2b_keras.trainers.distiller import Distiller
from r2b_keras.trainers.execution import Execution, sentence
from r2b_keras.trainers.weight_flips import WeightFlips
from r2b_keras.trainers.workdir import StageResult, Workdir
from r2b_keras.trainers.workers import Workers


@dataclasses.dataclass(frozen=True)
class Run:
    """What every stage of a run shares.

    Attributes:
      recipe: the chain.
      workdir: where results go.
      dataset: loaded images.
      seed: for weights, order and augmentation.
      workers: where the variables live, and which of several processes this is.
      execution: how steps are executed.
    """

    recipe: Recipe
    workdir: Workdir
    dataset: data.ImageDataset
    seed: int
    workers: Workers
    execution: Execution


def load_student(workdir: Workdir, number: int) -> tf.keras.Model:
    """Loads the finished student of a stage.

    Raises:
      InputError: the file is missing or damaged; the message names it.
    """
    path = workdir.model(number)
    if not path.exists():
        raise InputError(
            f"Stage {number} is not trained in {workdir.path} ({path} is missing): run "
            f"the training with --stage={number} first."
        )
    models.layers  # noqa: B018 - registers the layers that the file names
    try:
        return models.load(path)
    except InputError as error:
        raise InputError(
            f"{error} Delete the folder {path.parent} to train that stage again."
        ) from error


def train_stage(run: Run, number: int) -> StageResult:
    """Trains stage `number` to its end, resuming at its last finished epoch.

    Order of initialisation: seed, student, start weights, teacher, optimizer,
    checkpoint. The order matters for equal results.

    Raises:
      InputError: the teacher or the start weights are missing or do not fit, the
        checkpoint is damaged, or a picture is broken.
      NonFiniteLossError: the loss left the reals.
    """
    stage = run.recipe.stages[number]
    run.workdir.stage(number).mkdir(exist_ok=True)
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(_seed(run, number))
    with run.workers.strategy.scope():
        model = _make_distiller(run, stage)
        progress = _restore(run, number, model)
    run.workers.require_equal(progress.epochs, "finished epochs")
    with run.dataset.broken_image_is_named():
        if progress.epochs < stage.epochs:
            progress = _fit(run, number, model, progress)
        return _finish(run, number, model.student, progress)


def _seed(run: Run, number: int) -> int:
    """Each stage's own seed: it is the same trained alone or as part of a chain."""
    return run.seed * 1000 + number


def _make_distiller(run: Run, stage: Stage) -> Distiller:
    dataset = run.dataset
    shape = run.recipe.data.image_shape
    student = build_network(stage.student, shape, dataset.num_classes)
    if stage.start_from is not None:
        handover.hand_over(load_student(run.workdir, stage.start_from), student)
        if stage.absorb_magnitude:
            handover.absorb_magnitude(student)
    teacher = None
    if stage.losses.needs_teacher and stage.teacher is not None:
        teacher = load_student(run.workdir, stage.teacher)
    steps_per_epoch = dataset.steps_per_epoch(stage.batch_size)
    return make_distiller(
        stage, student, teacher, steps_per_epoch, run.execution, dataset.normalise
    )


def make_distiller(
    stage: Stage,
    student: tf.keras.Model,
    teacher: tf.keras.Model | None,
    steps_per_epoch: int,
    execution: Execution,
    preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> Distiller:
    """Makes what trains a student as a stage says, its optimizer built.

    Args:
      stage: losses, optimizer and schedule.
      student: the network that is trained.
      teacher: the one that teaches it, None where no loss needs one.
      steps_per_epoch: for the schedule.
      execution: how steps are executed.
      preprocess: see `Distiller`.
    """
    rate = schedules.learning_rate(
        stage.schedule, stage.optimizer.learning_rate, stage.epochs, steps_per_epoch
    )
    coupled = stage.optimizer.decay == "l2"
    model = Distiller(
        student,
        teacher,
        taps=models.intermediate_names(student),
        cross_entropy_weight=stage.losses.cross_entropy,
        attention_weight=stage.losses.attention,
        attention_form=stage.losses.attention_form,
        logit_weight=stage.losses.logit_matching,
        temperature=stage.losses.temperature,
        l2=stage.optimizer.weight_decay if coupled else 0.0,
        l2_variables=optimizers.decayed_variables(student),
        preprocess=preprocess,
    )
    optimizer = optimizers.make_optimizer(stage.optimizer, rate, student)
    model.compile(
        optimizer,
        jit_compile=execution.xla,
        steps_per_execution=execution.steps_per_execution,
    )
    model.optimizer.build(student.trainable_variables)
    return model


def _restore(run: Run, number: int, model: Distiller) -> checkpoints.Progress:
    path = run.workdir.checkpoint(number)
    if not path.exists():
        return checkpoints.Progress()
    progress = checkpoints.restore(path, model)
    epochs = run.recipe.stages[number].epochs
    print(f"stage {number} resumes after epoch {progress.epochs}/{epochs}", flush=True)
    return progress


def _fit(
    run: Run, number: int, model: Distiller, progress: checkpoints.Progress
) -> checkpoints.Progress:
    stage, dataset = run.recipe.stages[number], run.dataset
    steps_per_epoch = dataset.steps_per_epoch(stage.batch_size)
    save = SaveEpoch(run.workdir, number, progress, write=run.workers.is_chief)
    images = run.workers.shared(
        functools.partial(
            dataset.train,
            stage.batch_size,
            stage.augmentation,
            seed=_seed(run, number),
            first_epoch=progress.epochs,
            num_epochs=stage.epochs,
            normalised=False,
        ),
        stage.batch_size,
    )
    validation = None
    if dataset.num_validation:
        validation = dataset.validation(evaluation.BATCH_SIZE, normalised=False)
    if run.workers.is_chief:
        print(_announcement(run, number), flush=True)
    model.fit(
        images,
        initial_epoch=progress.epochs,
        epochs=stage.epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation,
        callbacks=_callbacks(run, number, save),
        verbose=0,
    )
    return save.progress


def _announcement(run: Run, number: int) -> str:
    """What is trained now, with how many images, and on what."""
    stage, dataset = run.recipe.stages[number], run.dataset
    student = stage.student
    binary = BINARY_PARTS[student.binarization]
    held_out = f", {dataset.num_validation} held out" if dataset.num_validation else ""
    return (
        f"stage {number}: {student.name}, binary: {binary}; {stage.epochs} epochs of "
        f"{dataset.steps_per_epoch(stage.batch_size)} steps of {stage.batch_size} "
        f"images; {dataset.num_train} images to train on{held_out}, "
        f"{dataset.num_test} to test on; {sentence(run.workers)}"
    )


def _callbacks(
    run: Run, number: int, save: SaveEpoch
) -> list[tf.keras.callbacks.Callback]:
    """What happens around the epochs, in this order; the chief alone reports."""
    stage = run.recipe.stages[number]
    logs = run.workdir.stage(number) / "tensorboard"
    images_per_epoch = run.dataset.steps_per_epoch(stage.batch_size) * stage.batch_size
    progress = ProgressReport(number, images_per_epoch)
    board = tf.keras.callbacks.TensorBoard(str(logs), write_graph=False)
    chief = run.workers.is_chief
    return [
        StopOnNonFiniteLoss(number),
        *_attention_images(run, logs),
        *([progress] if chief else []),
        WeightFlips(),
        *([board] if chief else []),
        save,
    ]


def _attention_images(run: Run, logs: pathlib.Path) -> list[AttentionImages]:
    """The callback that shows some validation images; none where none are held out."""
    if not run.dataset.num_validation:
        return []
    first = run.dataset.validation(NUM_IMAGES, normalised=False).take(1)
    ((pixels, _),) = first.as_numpy_iterator()
    images = run.dataset.normalise(pixels).numpy()
    return [AttentionImages(logs / "attention", images, pixels / 255.0)]


def _finish(
    run: Run, number: int, student: tf.keras.Model, progress: checkpoints.Progress
) -> StageResult:
    """Has the chief record the stage; every process returns what it recorded."""
    student = _on_one_device(run, number, student)
    if run.workers.is_chief:
        _record(run, number, student, progress)
    run.workers.wait()
    run.workers.wait_for(run.workdir.stage(number) / "result.json")
    result = run.workdir.result(number)
    if result is None:
        raise InputError(
            f"{run.workdir.stage(number)} has lost its result.json: run the same "
            "command again."
        )
    return result


def _on_one_device(run: Run, number: int, student: tf.keras.Model) -> tf.keras.Model:
    """The student with plain variables and BatchNorm, whatever trained it.

    All processes take part: some variables are the mean of what each of them has. A
    finished network has no use for BatchNorm's synchronised kind.
    """
    shape = run.recipe.data.image_shape
    network = run.recipe.stages[number].student
    one = run.workers.strategy.num_replicas_in_sync == 1
    if one and not network.synchronized_batch_norm:
        return student
    network = dataclasses.replace(network, synchronized_batch_norm=False)
    plain = build_network(network, shape, run.dataset.num_classes)
    plain.set_weights(student.get_weights())
    return plain


def _record(
    run: Run, number: int, student: tf.keras.Model, progress: checkpoints.Progress
) -> None:
    """Saves the student, tests it once, and marks the stage complete."""
    dataset = run.dataset
    with written_whole(run.workdir.model(number)) as aside:
        student.save(aside)
    validation = None
    if dataset.num_validation:
        part = dataset.validation(evaluation.BATCH_SIZE)
        validation = evaluation.evaluate(student, part, dataset.class_names).top1
    test = dataset.test(evaluation.BATCH_SIZE)
    report = evaluation.evaluate(student, test, dataset.class_names)
    size = models.model_size(student)
    network = run.recipe.stages[number].student
    result = StageResult(
        stage=number,
        network=network.name,
        binarization=network.binarization,
        top1=report.top1,
        top5=report.top5,
        validation_top1=validation,
        epochs=progress.epochs,
        seconds=progress.seconds,
        bytes=size.bytes,
        parameters=size.parameters,
        binary_parameters=size.binary_parameters,
    )
    run.workdir.save_result(result)
