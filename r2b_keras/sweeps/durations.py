"""A stage of another length: its schedule's durations keep their share of it."""

from collections.abc import Mapping

from r2b_keras.recipes import Recipe


def schedule_overrides(recipe: Recipe, changes: Mapping[str, str]) -> dict[str, str]:
    """What else must change in a recipe where some stages get other epochs.

    A warm-up or a drop at one third of the stage stays there. Where no drop is left
    (a stage of one epoch), the learning rate is constant. What `changes` names itself
    is left alone.

    Args:
      recipe: the recipe, unchanged.
      changes: override paths and their values, `stages.3.epochs` for example.

    Returns:
      Further overrides, as paths and values.
    """
    found: dict[str, str] = {}
    for number in range(len(recipe.stages)):
        epochs = [
            changes[path]
            for path in (f"stages.{number}.epochs", "stages.*.epochs")
            if path in changes
        ]
        if epochs and epochs[0].isdecimal():
            found |= _of_stage(recipe, number, int(epochs[0]))
    return {
        path: value
        for path, value in found.items()
        if path not in changes and _any_stage(path) not in changes
    }


def _any_stage(path: str) -> str:
    first, _, *rest = path.split(".")
    return ".".join([first, "*", *rest])


def _of_stage(recipe: Recipe, number: int, epochs: int) -> dict[str, str]:
    stage = recipe.stages[number]
    schedule, share = stage.schedule, epochs / stage.epochs
    where = f"stages.{number}.schedule"
    found = {}
    if schedule.warmup_epochs:
        found[f"{where}.warmup_epochs"] = f"{schedule.warmup_epochs * share:.6g}"
    if schedule.kind == "step":
        moved = {max(1, round(drop * share)) for drop in schedule.drop_epochs}
        drops = sorted(drop for drop in moved if drop < epochs)
        found[f"{where}.drop_epochs"] = ",".join(map(str, drops)) or "none"
        if not drops:
            found[f"{where}.kind"] = "constant"
    return found
