"""Times the runtime against LCE, for the files under results/runtime.

    python benchmarks/conversion.py build/conversion
    python benchmarks/quicknet.py build/conversion     # its head says what it needs
    python benchmarks/runtime.py build/conversion \
        --trained=runs/reproduction/fashion_mnist/seed_0/float32.tflite

Each row is a call of `python -m r2b_keras.benchmark`, where all engines take turns.
Threads cannot take turns within one call, so calls with one and two do.
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile

from r2b_keras import files

LARGE, QUICKNET = "simplified_float32.tflite", "quicknet.tflite"
OURS, FASTEST = "r2b_runtime", "lce_indirect_xnnpack"
CSV = "benchmark.csv"


def benchmark(model: pathlib.Path, *flags: str, kernel: str = "") -> dict[str, bytes]:
    """Runs the command; returns the files that it wrote, by name.

    Args:
      model: the flatbuffer.
      *flags: of the command.
      kernel: the runtime's instruction set, the best there is by default.
    """
    settings = {**os.environ, **({"R2B_KERNEL": kernel} if kernel else {})}
    command = [sys.executable, "-m", "r2b_keras.benchmark", f"--model={model}", *flags]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603
            [*command, f"--output_dir={folder}"], env=settings, check=True
        )
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def median_ms(content: bytes) -> float:
    """Median latency of the only row of a table."""
    (row,) = csv.DictReader(content.decode().splitlines())
    return float(row["median_ms"])


def threads(model: pathlib.Path, rounds: int) -> list[dict[str, float]]:
    """Latency with one thread and with two, in turns."""
    rows = []
    for number in range(rounds):
        one, two = (
            median_ms(benchmark(model, f"--engines={OURS}", f"--threads={count}")[CSV])
            for count in (1, 2)
        )
        rows.append({"round": number, "one_ms": one, "two_ms": two, "ratio": two / one})
    return rows


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of the converted networks")
    parser.add_argument(
        "--trained", type=pathlib.Path, required=True, help="Fashion-MNIST, float32"
    )
    parser.add_argument("--rounds", type=int, default=3, help="pairs of thread counts")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("results/runtime")
    )
    given = parser.parse_args()
    large = given.folder / LARGE
    for path in (large, given.folder / QUICKNET, given.trained):
        if not path.exists():
            sys.exit(f"There is no {path}: make it as the head of {__file__} says.")
    both = f"--engines={FASTEST},{OURS}"
    measured = benchmark(large, "--float_baseline")
    measured["benchmark_avx2.csv"] = benchmark(large, both, kernel="avx2")[CSV]
    measured["quicknet.csv"] = benchmark(given.folder / QUICKNET)[CSV]
    measured["fashion_mnist.csv"] = benchmark(given.trained)[CSV]
    rows = threads(large, given.rounds)
    given.output.mkdir(parents=True, exist_ok=True)
    for name, content in measured.items():
        with files.written_whole(given.output / name) as aside:
            aside.write_bytes(content)
    files.write_csv(given.output / "threads.csv", rows)


if __name__ == "__main__":
    main()
