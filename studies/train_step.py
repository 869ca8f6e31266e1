"""One training step of stages 1, 2 and 3: ours against larq-zoo's distillation model.

    python studies/train_step.py --precision float32 bfloat16 \
        --output=results/train_step/width_64.csv
    python studies/train_step.py --width=16 --size=28 --batch=128 \
        --output=results/train_step/width_16.csv

Both train the same network, larq-zoo's Real-to-Binary ResNet-18 (its gate, BatchNorm
and stem), with the same losses, L2 decay and Adam, on the same batch in memory, with
the step that `fit` runs, in one process. They take turns of a step, so that whatever
else the machine does meets both, and who comes first changes from round to round; the
ratio is taken within each round. A second copy of ours takes part too: as far as its
ratio is from 1, this run on this machine tells nothing apart. larq-zoo's own training
computes in float32; `--precision` is ours.

larq-zoo's width is 64; for another one its stem, which is where the width is written,
is made again here.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from turns import keep, ratio_columns, seconds, take_turns

from r2b_keras.environment import tf
from r2b_keras.models import build_network, larq_zoo
from r2b_keras.recipes import Losses, Optimizer, Stage
from r2b_keras.trainers import PRECISIONS
from r2b_keras.trainers.execution import Execution
from r2b_keras.trainers.stage_distiller import make_distiller

NUM_CLASSES = 1000
# Names of a stage's student and teacher: ours, and larq-zoo's factory.
REAL = ("real", "ResNet18FPFactory")
SOFT = ("soft", "RealToBinNetFPFactory")
SIGNED = ("binary_activations", "RealToBinNetBANFactory")
BINARY = ("binary", "RealToBinNetBNNFactory")
STAGES = {1: (SOFT, REAL), 2: (SIGNED, SOFT), 3: (BINARY, SIGNED)}
# larq-zoo's weights of the losses, and its L2 decay: 1e-5 w^2, of real weights.
ATTENTION, LOGITS = {1: 30.0, 2: 30.0, 3: 0.0}, {1: 3.0, 2: 3.0, 3: 0.8}
DECAY = {1: 2e-5, 2: 2e-5, 3: 0.0}
LEARNING_RATE = 1e-3


def ours(number: int, options: argparse.Namespace) -> tf.keras.Model:
    """Our distiller, as a recipe's stage would make it."""
    shape = (options.size, options.size, 3)

    def network(binarization: str) -> Any:
        name = "resnet18" if binarization == "real" else "real_to_binary18"
        return dataclasses.replace(
            larq_zoo.NETWORK, name=name, binarization=binarization, width=options.width
        )

    student, teacher = (network(binarization) for binarization, _ in STAGES[number])
    stage = Stage(
        student=student,
        epochs=1,
        batch_size=options.batch,
        teacher=number - 1,
        optimizer=Optimizer(learning_rate=LEARNING_RATE, weight_decay=DECAY[number]),
        losses=Losses(
            attention=ATTENTION[number],
            attention_form="max_normalised",
            logit_matching=LOGITS[number],
        ),
    )
    built, taught_by = (
        build_network(net, shape, NUM_CLASSES) for net in (student, teacher)
    )
    return make_distiller(stage, built, taught_by, 1000, Execution())


def larq_zoos(number: int, options: argparse.Namespace) -> tf.keras.Model:
    """larq-zoo's own model of teacher, student and losses."""
    from larq_zoo.literature import real_to_bin_nets
    from larq_zoo.training.knowledge_distillation import knowledge_distillation
    from zookeeper import factory

    shape = (options.size, options.size, 3)

    def network(name: str) -> tf.keras.Model:
        base = getattr(real_to_bin_nets, name)
        stem = _stem(options.width, prelu=name != REAL[1])
        kind = factory(type(name, (base,), {"first_block": stem}))
        made = kind if options.width != 64 else base
        return made(input_shape=shape, num_classes=NUM_CLASSES).build()

    student, teacher = (network(name) for _, name in STAGES[number])
    model = knowledge_distillation.TeacherStudentModelFactory(
        teacher_model=teacher,
        student_model=student,
        allow_missing_teacher_weights=True,
        classification_weight=1.0,
        attention_matching_weight=ATTENTION[number],
        attention_matching_volume_names=[f"block_{b}_out" for b in range(2, 10)],
        attention_matching_train_teacher=False,
        output_matching_weight=LOGITS[number],
        output_matching_softmax_temperature=1.0,
        output_matching_train_teacher=False,
        input_shape=shape,
        num_classes=NUM_CLASSES,
    ).build()
    loss = knowledge_distillation.WeightedCrossEntropyLoss(1.0)
    optimizer = tf.keras.optimizers.Adam(LEARNING_RATE)
    model.compile(optimizer, loss=loss, metrics=["accuracy"])
    return model


def _stem(width: int, prelu: bool) -> Callable[..., tf.Tensor]:
    """larq-zoo's first block with another number of channels."""
    layers = tf.keras.layers

    def first_block(self: Any, x: tf.Tensor, use_prelu: bool, name: str) -> tf.Tensor:
        x = layers.Conv2D(
            width,
            7,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.kernel_regularizer,
            name=f"{name}_conv2d",
        )(x)
        x = layers.BatchNormalization(momentum=self.momentum, name=f"{name}_norm")(x)
        x = layers.PReLU(shared_axes=[1, 2])(x) if prelu else layers.ReLU()(x)
        return layers.MaxPool2D(3, strides=2, padding="same")(x)

    return first_block


def feed(options: argparse.Namespace, one_hot: bool) -> tf.data.Dataset:
    """The same batch of random images for ever."""
    generator = np.random.default_rng(0)
    shape = (options.batch, options.size, options.size, 3)
    images = generator.normal(size=shape).astype(np.float32)
    labels = generator.integers(0, NUM_CLASSES, options.batch)
    targets = np.eye(NUM_CLASSES, dtype=np.float32)[labels] if one_hot else labels
    return tf.data.Dataset.from_tensors((images, targets)).repeat().prefetch(4)


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Networks made inside compute in this precision, as `train --precision` has it."""
    tf.keras.mixed_precision.set_global_policy(PRECISIONS[precision])
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


def step_of(model: tf.keras.Model, data: tf.data.Dataset) -> Callable[[], None]:
    """One training step, as `fit` takes it."""
    step, batches = model.make_train_function(), iter(data)
    return lambda: step(batches)


def compare(number: int, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table: images per second of both and their ratio."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(0)
    with computing_in(precision):
        first, again = (
            step_of(ours(number, options), feed(options, one_hot=True))
            for _ in range(2)
        )
        seconds(first, 3)
        seconds(again, 3)
    theirs = step_of(larq_zoos(number, options), feed(options, one_hot=False))
    seconds(theirs, 3)
    timed = [
        functools.partial(seconds, step, options.steps)
        for step in (first, theirs, again)
    ]
    turns = take_turns(timed, options.rounds)
    ratios = [theirs / mine for mine, theirs, _ in turns]
    control = statistics.median(second / mine for mine, _, second in turns)
    ours_seconds, theirs_seconds = (
        statistics.median(column) for column in list(zip(*turns, strict=True))[:2]
    )
    return {
        "stage": number,
        "precision": precision,
        "width": options.width,
        "size": options.size,
        "batch": options.batch,
        "rounds": options.rounds,
        "steps": options.steps,
        "ours_images_per_second": round(options.batch / ours_seconds, 1),
        "larq_zoo_images_per_second": round(options.batch / theirs_seconds, 1),
        **ratio_columns(ratios),
        "ours_to_ours": round(control, 3),
    }


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("width", 64), ("size", 64), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=1, help="steps a turn")
    parser.add_argument(
        "--precision", choices=PRECISIONS, nargs="+", default=["float32"]
    )
    parser.add_argument("--stages", type=int, nargs="+", default=list(STAGES))
    parser.add_argument("--output", type=pathlib.Path, help="CSV to write")
    options = parser.parse_args()
    try:
        import larq_zoo  # noqa: F401
    except ImportError as error:
        sys.exit(
            f"larq-zoo cannot be imported ({error}): install it aside and name the "
            "folder in PYTHONPATH, as studies/README.md says."
        )
    wanted = itertools.product(options.precision, options.stages)
    rows = [compare(number, precision, options) for precision, number in wanted]
    keep(rows, options.output)


if __name__ == "__main__":
    main()
