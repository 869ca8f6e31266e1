"""The processes of a run: one, or one on each machine that TF_CONFIG lists."""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from r2b_keras.data.shares import Share
from r2b_keras.environment import tf
from r2b_keras.errors import InputError, WorkerLostError

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
# A folder of a network file system may show what another machine wrote a little later.
PATIENCE_SECONDS = 60.0

# What TensorFlow raises in a process whose peer has gone; only looked at where there
# are peers. The first two come from the network alone.
_LOST = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError)
# These come from anywhere, a full disk or a GPU's library for example: the message must
# speak of a peer, in the words of TensorFlow's collectives, its coordination service
# and gRPC.
_PERHAPS_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)
_OF_A_PEER = (
    "remote target",
    "incarnation",
    "heartbeat",
    "coordination service",
    "connection reset",
    "socket closed",
    "broken pipe",
    "failed to connect",
)
# What TensorFlow puts before and around the line that says what has happened.
_FRAME = ("Graph execution error", "Detected at node", "Node: ")


@dataclass(frozen=True)
class Task:
    """Which process this is.

    Attributes:
      index: counted from 0, which is the chief.
      count: processes in all.
    """

    index: int = 0
    count: int = 1


def read_task(text: str | None) -> Task:
    """Reads TF_CONFIG.

    Args:
      text: its value, None where it is not set.

    Returns:
      This process's place among all.

    Raises:
      InputError: it is not set, or describes no cluster of workers.
    """
    if not text:
        raise InputError(
            f"The variable {VARIABLE} is not set, and --strategy=multi_worker needs it "
            f"in every process: for example {_EXAMPLE}, or take --strategy=mirrored "
            "for the GPUs of one machine."
        )
    try:
        values = json.loads(text)
        cluster, task = values["cluster"], values["task"]
        kind, index = task["type"], task["index"]
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        hosts = {"chief": chiefs, "worker": workers}.get(kind)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_variable(text) from error
    if (
        set(cluster) - {"chief", "worker"}
        or not all(isinstance(each, list) for each in (chiefs, workers))
        or not _are_addresses([*chiefs, *workers])
        or len(chiefs) > 1
        or hosts is None
        or type(index) is not int
        or not 0 <= index < len(hosts)
    ):
        raise _bad_variable(text)
    place = index + (len(chiefs) if kind == "worker" else 0)
    return Task(place, len(chiefs) + len(workers))


def _are_addresses(hosts: list[Any]) -> bool:
    unique = len(set(map(str, hosts))) == len(hosts)
    return unique and all(
        isinstance(host, str) and host.rpartition(":")[2].isdigit() for host in hosts
    )


def _bad_variable(text: str) -> InputError:
    return InputError(
        f"The variable {VARIABLE} is {text!r}, expected the addresses of all workers "
        f"and which of them this process is: for example {_EXAMPLE}."
    )


class Workers:
    """What the processes of a run do together; nothing where there is only one.

    Args:
      strategy: the run's.
      task: which process this is.
    """

    def __init__(self, strategy: tf.distribute.Strategy, task: Task) -> None:
        """Stores both."""
        self.strategy = strategy
        self.task = task

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.task.index == 0

    def shared(
        self, make: Callable[..., tf.data.Dataset], batch_size: int
    ) -> tf.data.Dataset:
        """Batches of which every process prepares its own part alone.

        Args:
          make: makes the dataset of a `share` of each batch.
          batch_size: images of a batch, over all processes.

        Returns:
          What `fit` takes.
        """
        if self.task.count == 1:
            return make()

        def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
            share = Share(context.input_pipeline_id, context.num_input_pipelines)
            batches = make(share=share)
            return batches.rebatch(context.get_per_replica_batch_size(batch_size))

        return self.strategy.distribute_datasets_from_function(own)

    def wait(self) -> None:
        """Returns once every process has come here."""
        self.require_equal(0, "")

    def require_equal(self, number: int, what: str) -> None:
        """Waits for every process, and compares a number of theirs.

        Args:
          number: at most some millions, so that all sums are exact.
          what: what it counts, for the message.

        Raises:
          InputError: it is not the same in all of them.
        """
        if self.task.count == 1:
            return
        values = tf.constant([1.0, number, number**2], tf.float64)

        def add_up() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

        sums = self.strategy.experimental_local_results(self.strategy.run(add_up))
        count, total, squares = (float(value) for value in sums[0])
        # By Cauchy and Schwarz only equal numbers reach it.
        if count * squares != total**2:
            raise InputError(
                f"This worker has {number} {what} and others have more or fewer, "
                "expected as many in all: give all of them the same command and one "
                "--workdir on a file system that they share."
            )

    def wait_for(self, path: os.PathLike[str]) -> None:
        """Waits until a file that the chief has written is to be seen here.

        Raises:
          InputError: it does not appear.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while not os.path.exists(path):
            if time.monotonic() > end:
                raise InputError(
                    f"The chief has written {os.fspath(path)}, which this worker does "
                    "not see: give all workers one --workdir on a file system that "
                    "they share."
                )
            time.sleep(0.2)

    @contextlib.contextmanager
    def lost_is_told(self) -> Iterator[None]:
        """Turns TensorFlow's error about a peer that is gone into a sentence.

        Raises:
          WorkerLostError: another process has ended or cannot be reached.
        """
        try:
            yield
        except (*_LOST, *_PERHAPS_LOST) as error:
            if self.task.count == 1 or not _speaks_of_a_peer(error):
                raise
            raise WorkerLostError(
                f"Another of the {self.task.count} workers has stopped or cannot be "
                f"reached ({_first_line(error.message)}): start the same command again "
                "in all of them; finished epochs are kept."
            ) from error


def _speaks_of_a_peer(error: tf.errors.OpError) -> bool:
    message = error.message.lower()
    return isinstance(error, _LOST) or any(word in message for word in _OF_A_PEER)


def _first_line(message: str) -> str:
    """The line of a message that says what has happened, without its traceback."""
    lines = [
        line
        for line in re.sub(r"\{\{.*?\}\}", "", message).splitlines()
        if line.strip() and not line.startswith((*_FRAME, "  ", "\t"))
    ]
    return lines[0].partition(" [[")[0].strip().rstrip(".:") if lines else "no reason"
