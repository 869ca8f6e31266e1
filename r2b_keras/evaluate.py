"""Evaluates a stage: `python -m r2b_keras.evaluate --workdir=DIR --stage=3`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from absl import flags

from r2b_keras import command
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.trainers.evaluation import Report
    from r2b_keras.trainers.workdir import Workdir

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string("workdir", None, "Folder of a training run.")
    flags.DEFINE_integer(
        "stage", None, "Stage to evaluate, the last finished if unset."
    )
    flags.DEFINE_string("data_dir", None, "Folder with the images.")
    flags.DEFINE_bool("json", False, "Print one JSON object instead of text.")


def main() -> int:
    """Evaluates on the test set and prints the report; returns the exit code."""
    if FLAGS.workdir is None:
        raise InputError(
            "--workdir is missing, expected the folder of a training run: "
            "--workdir=runs/digits, for example."
        )
    from r2b_keras.trainers.workdir import Workdir

    workdir = Workdir(FLAGS.workdir)
    stage = _stage(workdir)
    report = evaluate_stage(workdir, stage, FLAGS.data_dir)
    if FLAGS.json:
        print(json.dumps({"stage": stage, **report.to_dict()}))
    else:
        print(f"{workdir.path}, stage {stage}, test set\n{report.to_text()}")
    return 0


def _stage(workdir: Workdir) -> int:
    """The stage that was asked for, or the last one that is complete."""
    count = len(workdir.recipe().stages)
    finished = [number for number in range(count) if workdir.result(number)]
    stage = FLAGS.stage
    if stage is None and finished:
        return finished[-1]
    if stage is not None and not 0 <= stage < count:
        raise InputError(
            f"--stage={stage} is out of range, the recipe of {workdir.path} has stages "
            f"0 to {count - 1}."
        )
    if stage not in finished:
        wanted = "No stage" if stage is None else f"Stage {stage}"
        complete = ", ".join(map(str, finished)) or "none"
        raise InputError(
            f"{wanted} is complete in {workdir.path} (complete: {complete}): train it "
            "first with `python -m r2b_keras.train`."
        )
    return stage


def evaluate_stage(workdir: Workdir, stage: int, data_dir: str | None = None) -> Report:
    """Evaluates the finished student of a stage on the test set.

    Args:
      workdir: the run's folder.
      stage: a complete stage.
      data_dir: where the images lie, None for the source's own places.

    Raises:
      InputError: the model or the data is missing or damaged.
    """
    from r2b_keras import data
    from r2b_keras.trainers import evaluation
    from r2b_keras.trainers.stage import EVALUATION_BATCH, load_student

    student = load_student(workdir, stage)
    dataset = data.load(workdir.recipe().data, data_dir)
    if student.output_shape[-1] != dataset.num_classes:
        raise InputError(
            f"Stage {stage} of {workdir.path} knows {student.output_shape[-1]} "
            f"classes and the data has {dataset.num_classes}: give the --data_dir it "
            "was trained with."
        )
    test = dataset.test(EVALUATION_BATCH)
    return evaluation.evaluate(student, test, dataset.class_names)


if __name__ == "__main__":
    define_flags()
    sys.exit(command.run(main))
