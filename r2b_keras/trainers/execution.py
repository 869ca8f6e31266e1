"""How steps are executed, and on what.

No number depends on it but by rounding, and by BatchNorm where there are several
replicas: each has the statistics of its own images, unless they are synchronized.
"""

from dataclasses import dataclass
from typing import Any

from r2b_keras.board import machine
from r2b_keras.checks import require_count
from r2b_keras.environment import tf
from r2b_keras.trainers.workers import Workers


@dataclass(frozen=True)
class Execution:
    """How the steps of a run are executed.

    Attributes:
      xla: XLA compiles the step, for any precision. For GPUs: it made a step several
        times slower on CPUs.
      steps_per_execution: steps that a device takes before the host looks at it again.
        More save the host's time where steps are short; Ctrl-C waits for all of them.

    Raises:
      InputError: fewer than one step.
    """

    xla: bool = False
    steps_per_execution: int = 1

    def __post_init__(self) -> None:
        """Refuses what executes nothing."""
        require_count("steps_per_execution", self.steps_per_execution)


def device_names(workers: Workers) -> list[str]:
    """The devices that this process computes on, each as TYPE:NUMBER (what it is)."""
    strategy = workers.strategy
    if strategy is tf.distribute.get_strategy():
        gpus = tf.config.list_logical_devices("GPU")
        used = (gpus or tf.config.list_logical_devices("CPU"))[:1]
        return [_describe(device.name) for device in used]
    return [_describe(name) for name in strategy.extended.worker_devices]


def _describe(device: str) -> str:
    kind, _, number = device.rpartition("device:")[2].partition(":")
    name = f"{kind}:{number}"
    if kind == "CPU":
        return f"{name} ({machine.cpu_name()}, {machine.num_cores()} cores)"
    physical = tf.config.list_physical_devices(kind)
    if not number.isdigit() or int(number) >= len(physical):
        return name
    details = tf.config.experimental.get_device_details(physical[int(number)])
    return f"{name} ({details['device_name']})" if "device_name" in details else name


def facts(strategy: str, workers: Workers, execution: Execution) -> dict[str, Any]:
    """What the manifest says about a run's execution."""
    return {
        "strategy": strategy,
        "devices": device_names(workers),
        "replicas": workers.strategy.num_replicas_in_sync,
        "workers": workers.task.count,
        "xla": execution.xla,
        "steps_per_execution": int(execution.steps_per_execution),
    }


def sentence(workers: Workers) -> str:
    """The same for people: "2 replicas on GPU:0 (...), GPU:1 (...)"."""
    replicas = workers.strategy.num_replicas_in_sync
    count = "1 replica" if replicas == 1 else f"{replicas} replicas"
    names = ", ".join(device_names(workers))
    if workers.task.count == 1:
        return f"{count} on {names}"
    place = f"worker {workers.task.index + 1} of {workers.task.count}"
    return f"{count} in all, {place} on {names}"
