"""How a stage is trained: student, teacher, distiller, fit, record.

`train_stage` is the whole of it, top to bottom; a chain calls it stage by stage.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from r2b_keras import data, models
from r2b_keras.checks import some
from r2b_keras.environment import tf
from r2b_keras.errors import InputError, MemoryLackError
from r2b_keras.files import written_whole
from r2b_keras.models import build_network, larq_zoo
from r2b_keras.models.integers import picture_layer
from r2b_keras.models.saved import is_weights_only
from r2b_keras.networks import BINARIZATIONS, Network
from r2b_keras.normalisation import Normalisation
from r2b_keras.recipes import Recipe, Stage
from r2b_keras.trainers import (
    averaging,
    checkpoints,
    evaluation,
    handover,
    optimizers,
)
from r2b_keras.trainers.attention_images import NUM_IMAGES, AttentionImages
from r2b_keras.trainers.best_epoch import BestEpoch
from r2b_keras.trainers.callbacks import ProgressReport, SaveEpoch, StopOnNonFiniteLoss
from r2b_keras.trainers.distiller import Distiller
from r2b_keras.trainers.execution import Execution, sentence
from r2b_keras.trainers.replicas import ShareMeans
from r2b_keras.trainers.stage_distiller import class_weights, make_distiller
from r2b_keras.trainers.trained import load_trained, normalisation_of
from r2b_keras.trainers.weight_flips import WeightFlips
from r2b_keras.trainers.workdir import StageResult, Workdir
from r2b_keras.trainers.workers import Workers

# Those that NumPy's generator knows.
_NUM_SEEDS = 2**32


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


def train_stage(run: Run, number: int) -> StageResult:
    """Trains stage `number` to its end, resuming at its last finished epoch.

    Order of initialisation: seed, student, start weights, teacher, optimizer,
    checkpoint. The order matters for equal results.

    Raises:
      InputError: the teacher or the start weights are missing or do not fit, the
        checkpoint or `metrics.csv` is damaged, or a picture is broken.
      NonFiniteLossError: the loss left the reals.
    """
    stage, dataset = run.recipe.stages[number], run.dataset
    steps_per_epoch = dataset.steps_per_epoch(stage.batch_size)
    run.workdir.metrics(number)  # a damaged file would cost the epoch before it
    run.workdir.stage(number).mkdir(exist_ok=True)
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(_seed(run, number) % _NUM_SEEDS)
    with run.workers.strategy.scope():
        student = _make_student(run, stage)
        teacher = None
        if stage.losses.needs_teacher and stage.teacher is not None:
            teacher = _load(run, stage.teacher)
        distiller = make_distiller(
            *(stage, student, teacher, steps_per_epoch, run.execution),
            preprocess=dataset.normalise,
            class_counts=dataset.class_counts,
        )
        progress = _restore(run, number, distiller)
    run.workers.require_equal(progress.epochs, "finished epochs")
    best = None
    if stage.keep == "best":
        done, chief = progress.epochs, run.workers.is_chief
        best = BestEpoch(run.workdir, number, done, stage.patience, write=chief)
    with dataset.broken_image_is_named():
        if progress.epochs < stage.epochs and not (best and best.is_over):
            progress = _fit(run, number, distiller, teacher, progress, best)
        return _record(run, number, distiller, progress, best)


def _seed(run: Run, number: int) -> int:
    """Each stage's own seed: it is the same trained alone or as part of a chain."""
    return run.seed * 1000 + number


def _make_student(run: Run, stage: Stage) -> tf.keras.Model:
    """Builds the student, with the weights that it starts from."""
    student = _build(run, stage.student)
    if stage.start_from is not None:
        new = _start(run, stage, stage.start_from, student)
        if isinstance(stage.start_from, str) and run.workers.is_chief:
            print(f"It starts from {stage.start_from}. {new}".rstrip(), flush=True)
    return student


def _build(run: Run, network: Network) -> tf.keras.Model:
    """A network for the run's images and classes."""
    config, num_classes = run.recipe.data, run.dataset.num_classes
    return build_network(network, config.image_shape, num_classes, config.normalisation)


def _load(run: Run, reference: int | str) -> tf.keras.Model:
    """The trained network of a stage or of a file.

    Raises:
      InputError: it is missing or damaged, or was trained on images that were
        normalised otherwise: what it makes of these would be wrong.
    """
    config = run.recipe.data
    model = load_trained(run.workdir, reference, config.image_shape)
    known = None
    if layer := picture_layer(model):
        known = layer.normalisation
    elif isinstance(reference, str):
        known = normalisation_of(reference)
        if known is None and is_weights_only(reference):
            known = Normalisation(larq_zoo.MEAN, larq_zoo.STD)
    if known is not None and known != config.normalisation:
        raise InputError(
            f"{reference} was trained on images with {known}, expected that of the "
            f"images here, {config.normalisation}: change data.mean and data.std to "
            "its own."
        )
    return model


def _start(
    run: Run, stage: Stage, reference: int | str, student: tf.keras.Model
) -> str:
    """Gives the student its start weights; returns what starts anew, in a sentence."""
    source = _load(run, reference)
    of_a_file = isinstance(reference, str)
    new = handover.hand_over(source, student, new_classifier=of_a_file)
    if stage.absorb_magnitude:
        handover.require_real_weights(source)
        handover.absorb_magnitude(student)
    return new


def check_fit(run: Run, numbers: Sequence[int]) -> None:
    """Refuses what does not fit a stage's network or classes, before any stage trains.

    Raises:
      InputError: a network cannot be built, a file is none or does not fit, groups fit
        no weights or taps no layers, or the classes have other numbers; the message
        names the stage.
      MemoryLackError: a network does not fit into memory.
    """
    num_classes, counts = run.dataset.num_classes, run.dataset.class_counts
    built: set[Network] = set()
    for number in numbers:
        stage = run.recipe.stages[number]
        try:
            class_weights(stage.losses, num_classes, counts)
            if stage.files or stage.optimizer.groups or stage.losses.taps:
                _check_networks(run, stage)
            elif stage.student not in built:
                _build(run, stage.student)
            built.add(stage.student)
        except InputError as error:
            raise InputError(f"Stage {number}: {error}") from error
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryLackError(
                f"The network of stage {number} does not fit into memory: lower its "
                f"width, stages.{number}.student.width={stage.student.width}."
            ) from error


def _check_networks(run: Run, stage: Stage) -> None:
    student = _build(run, stage.student)
    if isinstance(stage.start_from, str):
        _start(run, stage, stage.start_from, student)
    optimizers.freeze(stage.optimizer, student)
    if stage.losses.needs_teacher and stage.teacher is not None:
        teacher = _teacher_to_be(run, stage.teacher)
        counts = run.dataset.class_counts
        make_distiller(
            *(stage, student, teacher, 1, run.execution), class_counts=counts
        )


def _teacher_to_be(run: Run, reference: int | str) -> tf.keras.Model:
    """The network that will teach, of an earlier stage before it is trained."""
    if isinstance(reference, int):
        return _build(run, run.recipe.stages[reference].student)
    return _load(run, reference)


def _restore(run: Run, number: int, distiller: Distiller) -> checkpoints.Progress:
    path = run.workdir.checkpoint(number)
    if not path.exists():
        return checkpoints.Progress()
    progress = checkpoints.restore(path, distiller)
    epochs = run.recipe.stages[number].epochs
    told = f"stage {number} resumes after epoch {progress.epochs}/{epochs}"
    if names := checkpoints.random_layers(distiller.student):
        told += (
            f"; layers that draw random numbers ({some(names)}) draw others than "
            "without a break, so it ends otherwise"
        )
    print(told, flush=True)
    return progress


def _fit(
    run: Run,
    number: int,
    distiller: Distiller,
    teacher: tf.keras.Model | None,
    progress: checkpoints.Progress,
    best: BestEpoch | None,
) -> checkpoints.Progress:
    """Trains the epochs that are left; every one is saved."""
    stage, dataset = run.recipe.stages[number], run.dataset
    batches = _batches(run, number, progress.epochs, stage.epochs)
    validation = None
    if dataset.num_validation:
        validation = dataset.validation(evaluation.BATCH_SIZE, normalised=False)
    if run.workers.is_chief:
        print(_announcement(run, number), flush=True)
    save = SaveEpoch(run.workdir, number, progress, write=run.workers.is_chief)
    distiller.fit(
        run.workers.shared(batches, stage.batch_size),
        initial_epoch=progress.epochs,
        epochs=stage.epochs,
        steps_per_epoch=dataset.steps_per_epoch(stage.batch_size),
        validation_data=validation,
        callbacks=[
            *_watchers(run, number, teacher),
            *([best] if best else []),
            save,
            # Last: where nobody reads what it prints, the epoch is saved nevertheless.
            *_report(run, number),
        ],
        verbose=0,
    )
    return save.progress


def _batches(
    run: Run, number: int, initial_epoch: int, epochs: int
) -> Callable[..., tf.data.Dataset]:
    """What gives a stage's batches, by whose share of them a worker has."""
    stage = run.recipe.stages[number]
    return functools.partial(
        run.dataset.train,
        stage.batch_size,
        stage.augmentation,
        seed=_seed(run, number),
        initial_epoch=initial_epoch,
        epochs=epochs,
        normalised=False,
    )


def _announcement(run: Run, number: int) -> str:
    """What is trained now, with how many images, and on what."""
    stage, dataset = run.recipe.stages[number], run.dataset
    student = stage.student
    binary = BINARIZATIONS[student.binarization].binary_parts
    held_out = f", {dataset.num_validation} held out" if dataset.num_validation else ""
    return (
        f"stage {number}: {student.name}, binary: {binary}; {stage.epochs} epochs of "
        f"{dataset.steps_per_epoch(stage.batch_size)} steps of {stage.batch_size} "
        f"images; {dataset.num_train} images to train on{held_out}, "
        f"{dataset.num_test} to test on; {sentence(run.workers)}"
    )


def _watchers(
    run: Run, number: int, teacher: tf.keras.Model | None
) -> list[tf.keras.callbacks.Callback]:
    """What acts on each epoch before it is saved, in this order; the chief reports."""
    dataset, logs = run.dataset, run.workdir.stage(number) / "tensorboard"
    watchers: list[tf.keras.callbacks.Callback] = []
    if run.workers.strategy.num_replicas_in_sync > 1:
        watchers.append(ShareMeans())
    watchers.append(StopOnNonFiniteLoss(number))
    if teacher is not None and dataset.num_validation:
        first = dataset.validation(NUM_IMAGES, normalised=False).take(1)
        ((pixels, _),) = first.as_numpy_iterator()
        images, folder = dataset.normalise(pixels).numpy(), logs / "attention"
        watchers.append(AttentionImages(folder, teacher, images, pixels / 255.0))
    if not run.workers.is_chief:
        return [*watchers, WeightFlips()]
    board = tf.keras.callbacks.TensorBoard(str(logs), write_graph=False)
    return [*watchers, WeightFlips(), board]


def _report(run: Run, number: int) -> list[ProgressReport]:
    """What prints an epoch's numbers, in the chief."""
    if not run.workers.is_chief:
        return []
    batch_size = run.recipe.stages[number].batch_size
    images_per_epoch = run.dataset.steps_per_epoch(batch_size) * batch_size
    return [ProgressReport(number, images_per_epoch)]


def _record(
    run: Run,
    number: int,
    distiller: Distiller,
    progress: checkpoints.Progress,
    best: BestEpoch | None,
) -> StageResult:
    """Has the chief record the stage; every process returns what it recorded."""
    student = _final_student(run, number, distiller, best)
    if run.workers.is_chief:
        with written_whole(run.workdir.model(number)) as aside:
            student.save(aside)
        kept = best.epoch if best else None
        run.workdir.save_result(_result(run, number, student, progress, kept))
    run.workers.wait()
    run.workers.wait_for(run.workdir.stage(number) / "result.json")
    result = run.workdir.result(number)
    if result is None:
        raise InputError(
            f"{run.workdir.stage(number)} has lost its result.json: run the same "
            "command again."
        )
    return result


def _final_student(
    run: Run, number: int, distiller: Distiller, best: BestEpoch | None
) -> tf.keras.Model:
    """The student with the weights that the stage ends with, on one device."""
    stage, dataset, student = run.recipe.stages[number], run.dataset, distiller.student
    if best:
        run.workers.wait()  # until the chief has written them
        if not run.workers.is_chief:
            run.workers.wait_for(best.path)
        best.restore(student)
    if stage.average:
        averaging.take_average(distiller.optimizer, student)
    student = _on_one_device(run, number, student)
    if stage.average:
        optimizers.freeze(stage.optimizer, student)
        batches = _batches(run, number, stage.epochs - 1, stage.epochs)()
        images = (dataset.normalise(x) for x, *_ in batches.take(averaging.NUM_BATCHES))
        averaging.measure_statistics(student, images)
    student.trainable = True  # frozen weights were so for this stage
    return student


def _on_one_device(run: Run, number: int, student: tf.keras.Model) -> tf.keras.Model:
    """The student with plain variables and BatchNorm, whatever trained it.

    All processes take part: some variables are the mean of what each of them has. A
    finished network has no use for BatchNorm's synchronised kind.
    """
    network = run.recipe.stages[number].student
    one = run.workers.strategy.num_replicas_in_sync == 1
    if one and not network.synchronized_batch_norm:
        return student
    network = dataclasses.replace(network, synchronized_batch_norm=False)
    plain = _build(run, network)
    plain.set_weights(student.get_weights())
    return plain


def _result(
    run: Run,
    number: int,
    student: tf.keras.Model,
    progress: checkpoints.Progress,
    kept_epoch: int | None,
) -> StageResult:
    """Tests the finished student, once."""
    dataset, network = run.dataset, run.recipe.stages[number].student

    def evaluate(part: tf.data.Dataset) -> evaluation.Report:
        return evaluation.evaluate(student, part, dataset.class_names)

    validation = None
    if dataset.num_validation:
        validation = evaluate(dataset.validation(evaluation.BATCH_SIZE)).top1
    report = evaluate(dataset.test(evaluation.BATCH_SIZE))
    size = models.model_size(student)
    return StageResult(
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
        kept_epoch=kept_epoch,
    )
