"""Converts larq-zoo's QuickNet at 224x224 with LCE's converter, as others would.

    pip install --target build/larq_zoo --no-deps larq-zoo==2.4.0 zookeeper==1.4.0 \
        typeguard click
    PYTHONPATH=build/larq_zoo python benchmarks/quicknet.py build/conversion
    python -m r2b_keras.benchmark --model=build/conversion/quicknet.tflite

A network that is not ours: one-padding, BatchNorm after the convolutions, depthwise
parts. Its weights are random: latency does not depend on them.
"""

import pathlib
import sys

from conversion import NUM_CLASSES, SHAPE, randomize

from r2b_keras import files


def main(folder: pathlib.Path) -> None:
    """Writes the file."""
    import larq_compute_engine as lce

    try:
        from larq_zoo.sota import QuickNet
    except ImportError as error:
        sys.exit(
            f"larq-zoo is not installed ({error}): the head of {__file__} says how to "
            "have it for this command alone."
        )
    folder.mkdir(parents=True, exist_ok=True)
    model = QuickNet(input_shape=SHAPE, weights=None, num_classes=NUM_CLASSES)
    randomize(model)
    content = lce.convert_keras_model(model)
    with files.written_whole(folder / "quicknet.tflite") as aside:
        aside.write_bytes(content)
    print(f"{folder / 'quicknet.tflite'}: {len(content):,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder to write to: python benchmarks/quicknet.py DIR")
    main(pathlib.Path(sys.argv[1]))
