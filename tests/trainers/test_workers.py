"""Several processes: who is who, one chief, and a run that outlives a killed worker."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from r2b_keras.environment import tf
from r2b_keras.errors import InputError, WorkerLostError
from r2b_keras.trainers.workers import Task, Workers, read_task
from tests import commands

HOSTS = ["a:1", "b:2"]


def variable(cluster=None, kind="worker", index=0):
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": cluster or {"worker": HOSTS}, "task": task})


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (variable(), Task(0, 2)),
        (variable(index=1), Task(1, 2)),
        (variable({"chief": ["c:3"], "worker": HOSTS}, "chief"), Task(0, 3)),
        (variable({"chief": ["c:3"], "worker": HOSTS}, index=1), Task(2, 3)),
    ],
)
def test_place_among_the_workers(text, task):
    assert read_task(text) == task


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        variable(index=2),
        variable(index=-1),
        variable(index="0"),
        variable(index=True),
        variable(kind="ps"),
        variable({"worker": "a:1"}),
        variable({"worker": ["a"]}),
        variable({"worker": ["a:1", "a:1"]}),
        variable({"worker": HOSTS, "ps": ["c:3"]}),
        variable({"chief": ["c:3", "d:4"], "worker": HOSTS}),
        variable({"worker": [1, 2]}),
        variable({"worker": None}),
        variable({"worker": 5}),
        variable({"chief": None, "worker": HOSTS}),
        variable(kind=["worker"]),
        variable({"worker": {"0": "a:1"}}),
    ],
)
def test_bad_variable_is_one_sentence(text):
    with pytest.raises(InputError) as problem:
        read_task(text)
    assert str(problem.value).startswith(
        f"The variable TF_CONFIG is {text!r}, expected"
    )
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("text", [None, ""])
def test_missing_variable_names_the_other_strategy(text):
    with pytest.raises(InputError, match="TF_CONFIG is not set.*--strategy=mirrored"):
        read_task(text)


def test_the_mean_of_numbers_is_not_all_of_them():
    """1, 2 and 3: the second worker sees thrice its own in all."""
    sums = np.array([3.0, 1 + 2 + 3, 1 + 4 + 9])
    strategy = types.SimpleNamespace(
        run=lambda step: None, experimental_local_results=lambda found: [sums]
    )
    with pytest.raises(InputError, match="has 2 finished epochs and others have more"):
        Workers(strategy, Task(1, 3)).require_equal(2, "finished epochs")


def test_one_process_waits_for_nobody(tmp_path):
    workers = Workers(tf.distribute.get_strategy(), Task())
    assert workers.is_chief
    workers.wait()
    workers.require_equal(3, "epochs")
    workers.wait_for(tmp_path)
    with pytest.raises(tf.errors.UnavailableError), workers.lost_is_told():
        raise tf.errors.UnavailableError(None, None, "gone")


# As TensorFlow 2.21 raises it in a process whose peer is killed: outside of a graph
# and in one.
ABORTED = "Collective ops is aborted by: recvmsg:Connection reset by peer"
REASONS = [
    f"{{{{function_node __wrapped__CollectiveReduceV2}}}} {ABORTED}\n"
    "Additional GRPC error information from remote target /job while "
    "calling /tensorflow.WorkerService/RecvBuf:\n:UNKNOWN:Error received from peer",
    "Graph execution error:\n\nDetected at node CollectiveReduceV2 defined at (most "
    'recent call last):\n  File "<frozen runpy>", line 198, in _run_module_as_main\n\n'
    f"{ABORTED}\n\t [[{{{{node CollectiveReduceV2_3}}}}]] [Op:__inference]",
]


@pytest.mark.parametrize("reason", REASONS)
def test_a_lost_worker_is_one_sentence_with_the_reason(reason):
    workers = Workers(tf.distribute.get_strategy(), Task(1, 3))
    assert not workers.is_chief
    with pytest.raises(WorkerLostError) as problem, workers.lost_is_told():
        raise tf.errors.UnavailableError(None, None, reason)
    assert str(problem.value) == (
        f"Another of the 3 workers has stopped or cannot be reached ({ABORTED}): start "
        "the same command again in all of them; finished epochs are kept."
    )


@pytest.mark.parametrize(
    ("kind", "message", "lost"),
    [
        ("UnavailableError", "", True),
        ("DeadlineExceededError", "Deadline Exceeded", True),
        (
            "FailedPreconditionError",
            "Device /job:worker/replica:0/task:1 current incarnation doesn't match "
            "with one in the group.",
            True,
        ),
        ("InternalError", "The task sent no Heartbeat.", True),
        ("UnknownError", "Socket closed", True),
        ("CancelledError", "RPC\nAdditional GRPC error from remote target /job", True),
        # Collectives end with whatever has ended an operation of this process.
        ("InternalError", "cuDNN launch failure", False),
        ("InternalError", "Collective ops is aborted by: cuDNN launch failure", False),
        ("UnknownError", "Failed to write /shared/a: No space left on device", False),
        ("FailedPreconditionError", "/shared is not a directory", False),
        ("AbortedError", "Operation was aborted", False),
        ("CancelledError", "Iterator was cancelled", False),
        ("ResourceExhaustedError", "No space left on device", False),
    ],
)
def test_only_what_speaks_of_a_peer_is_a_lost_worker(kind, message, lost):
    workers = Workers(tf.distribute.get_strategy(), Task(0, 2))
    error = getattr(tf.errors, kind)
    with pytest.raises(WorkerLostError if lost else error), workers.lost_is_told():
        raise error(None, None, message)


def test_other_errors_pass():
    workers = Workers(tf.distribute.get_strategy(), Task(1, 3))
    with pytest.raises(InputError, match="^mine$"), workers.lost_is_told():
        raise InputError("mine")


def test_a_folder_that_is_not_shared(tmp_path, monkeypatch):
    monkeypatch.setattr("r2b_keras.trainers.workers.PATIENCE_SECONDS", 0.0)
    workers = Workers(tf.distribute.get_strategy(), Task(1, 2))
    with pytest.raises(InputError, match="recipe.json, which this worker does not see"):
        workers.wait_for(tmp_path / "recipe.json")


def free_ports(count):
    with_ports = [socket.socket() for _ in range(count)]
    for one in with_ports:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def start(workdir: pathlib.Path) -> list[subprocess.Popen]:
    """Two processes that train one stage together, their output in files."""
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    command = commands.process(
        "train",
        "--recipe=digits",
        "--stage=0",
        "--strategy=multi_worker",
        "--override=stages.*.epochs=3",
        "--override=stages.*.student.width=4",
        "--override=stages.*.student.blocks=1",
        f"--workdir={workdir}",
    )
    started = []
    for index in range(2):
        config = variable({"worker": addresses}, index=index)
        with output(workdir, index).open("w") as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TF_CONFIG": config},
            )
        started.append(process)
    return started


def output(workdir, index):
    return workdir.with_suffix(f".{index}")


def wait_for_file(path, process):
    end = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


def finish(processes, workdir):
    for index, process in enumerate(processes):
        code = process.wait(timeout=300)
        assert code == 0, output(workdir, index).read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sends signals")
def test_a_killed_worker_costs_an_epoch_and_changes_nothing(tmp_path):
    whole = tmp_path / "whole"
    finish(start(whole), whole)
    cut = tmp_path / "cut"
    chief, other = start(cut)
    wait_for_file(cut / "stage_0" / "checkpoint.npz", chief)
    other.send_signal(signal.SIGKILL)
    assert other.wait(timeout=60) == -signal.SIGKILL
    # Its peer ends by itself, in one sentence.
    assert chief.wait(timeout=300) == 75
    assert re.search(
        r"Another of the 2 workers has stopped or cannot be reached \(.{8,}\): start",
        output(cut, 0).read_text(),
    )
    assert "Traceback" not in output(cut, 0).read_text()
    assert (cut / "stage_0" / "checkpoint.npz").exists()
    finish(start(cut), cut)
    for index in range(2):
        assert "stage 0 resumes after epoch" in output(cut, index).read_text()
    # To the bit: both go on from the same weights and statistics.
    found, expected = (commands.stored_weights(path, 0) for path in (cut, whole))
    assert found.keys() == expected.keys() and found
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert "epoch 3/3" not in output(cut, 1).read_text(), "only the chief reports"
