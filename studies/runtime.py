"""Times the runtime against LCE, for the files under results/runtime.

    python studies/conversion.py build/conversion --quicknet
    python studies/runtime.py build/conversion

Beside the networks of that folder, the trained one that comes along. Each file is of a
call of `python -m r2b_keras.benchmark`, where all engines take turns.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from trainings import ROOT

from r2b_keras import files

LARGE, QUICKNET = "plain_float32.tflite", "quicknet.tflite"
TRAINED = ROOT / "pretrained" / "cifar100_small.tflite"
OURS, CSV = "r2b_runtime", "benchmark.csv"


def benchmark(model: pathlib.Path, *flags: str) -> dict[str, bytes]:
    """Runs the command; returns the files that it wrote, by name.

    Args:
      model: the flatbuffer.
      *flags: of the command.
    """
    command = [sys.executable, "-m", "r2b_keras.benchmark", f"--model={model}", *flags]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, f"--output_dir={folder}"], check=True)
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of the converted networks")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("results/runtime")
    )
    given = parser.parse_args()
    large = given.folder / LARGE
    for path in (large, given.folder / QUICKNET):
        if not path.exists():
            sys.exit(f"There is no {path}: make it as the head of {__file__} says.")
    measured = benchmark(large, "--float_baseline")
    measured["quicknet.csv"] = benchmark(given.folder / QUICKNET)[CSV]
    measured["cifar100_small.csv"] = benchmark(TRAINED)[CSV]
    given.output.mkdir(parents=True, exist_ok=True)
    for name, content in measured.items():
        with files.written_whole(given.output / name) as aside:
            aside.write_bytes(content)


if __name__ == "__main__":
    main()
