"""A benchmark's worker as seen from the process that asks it."""

import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from r2b_keras.errors import InputError

# What an engine prints, even while it is imported, must not get among the answers. The
# worker finds the modules where this process finds them.
_START = (
    "import json, os, sys; answers = os.dup(1); os.dup2(2, 1); "
    "engine, threads, sys.path = json.loads(sys.argv[1]); "
    "from r2b_keras.converters import benchmark_worker; "
    "benchmark_worker.main(engine, threads, answers)"
)
_SECONDS_TO_DIE = 10


@dataclasses.dataclass(frozen=True)
class Visit:
    """What a worker measured while it had the machine for itself.

    Attributes:
      nanoseconds: of each inference that counts.
      elapsed_ns: wall-clock time of all of them.
      cpu_ns: processor time of all threads in it.
      peak_bytes: highest memory since loading, above that before loading; None where
        the system does not tell.
    """

    nanoseconds: tuple[int, ...]
    elapsed_ns: int = 0
    cpu_ns: int = 0
    peak_bytes: int | None = None

    def __post_init__(self) -> None:
        """Makes a list, as JSON has it, a tuple."""
        object.__setattr__(self, "nanoseconds", tuple(self.nanoseconds))


class WorkerProcess:
    """One model on one engine, in a process that waits whenever it is not asked.

    Used as a context: its end ends the process.

    Attributes:
      model: the model's name.
      engine: the engine's name.
    """

    def __init__(self, model: str, engine: str, threads: int) -> None:
        """Starts the process, which begins to import the engine; see `load`."""
        self.model, self.engine = model, engine
        self._errors = tempfile.TemporaryFile()
        setup = [engine, threads, list(map(str, sys.path))]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> "WorkerProcess":
        """Nothing is left to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass  # what a dead worker has not read is of no use to anybody

    def wait_until_ready(self) -> None:
        """Waits until the engine is imported.

        Raises:
          InputError: the engine is not installed, or the process died.
        """
        self._answer()

    def load(self, flatbuffer: bytes) -> None:
        """Loads the model.

        Raises:
          InputError: the engine cannot run it, or the process died.
        """
        self._ask({"do": "load", "num_bytes": len(flatbuffer)}, flatbuffer)

    def warm_up(self, seconds: float) -> Visit:
        """Runs inferences that do not count.

        Raises:
          InputError: the process died.
        """
        return Visit(**self._ask({"do": "warm_up", "seconds": seconds}))

    def measure(self, num_inferences: int) -> Visit:
        """Runs some inferences, after a few that do not count.

        Raises:
          InputError: the process died.
        """
        return Visit(**self._ask({"do": "measure", "num_inferences": num_inferences}))

    def _ask(self, request: dict[str, Any], content: bytes = b"") -> dict[str, Any]:
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(json.dumps(request).encode() + b"\n" + content)
                pipe.flush()
        except BrokenPipeError:
            pass  # `_answer` tells why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        pipe = self._process.stdout
        line = pipe.readline() if pipe is not None else b""
        if not line:
            raise InputError(
                f"The engine {self.engine} died on model {self.model} "
                f"({self._cause_of_death()}): leave one of them out, or look at what "
                "this machine has to spare."
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InputError(f"Model {self.model}: {answer['error']}")
        return answer

    def _cause_of_death(self) -> str:
        """The signal that ended the process, or its exit code and last words."""
        try:
            code = self._process.wait(_SECONDS_TO_DIE)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if code < 0:
            return signal.Signals(-code).name
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"exit code {code}" + (f", {words[-1][:200]}" if words else "")
