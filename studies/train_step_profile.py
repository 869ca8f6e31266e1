"""Where the time of our training step goes, by kind of operation.

    python studies/train_step_profile.py --stage=2 \
        --width=64 --size=64 --batch=32 --output=results/train_step/profile.csv

The network is that of studies/train_step.py. TensorFlow's profiler gives the time
of each operation; they run side by side on several threads, so that shares and not sums
are what to look at, and a busy machine stretches all of them.
"""

import argparse
import collections
import pathlib
import tempfile

import train_step
from turns import keep

from r2b_keras.environment import tf

PARTS = {
    "convolutions, forward": ("Conv2D", "FusedConv2D"),
    "convolutions, gradient of weights": ("Conv2DBackpropFilter",),
    "convolutions, gradient of inputs": ("Conv2DBackpropInput",),
    "BatchNorm": ("FusedBatchNormV3", "FusedBatchNormGradV3"),
    "optimizer": ("ResourceApplyAdam", "ResourceApplyKerasMomentum"),
    "L2": ("L2Loss",),
    "dense layers and gates": ("MatMul", "FusedMatMul"),
}


def operation_times(step: tf.types.experimental.GenericFunction, steps: int) -> dict:
    """Milliseconds a step and calls a step, by operation."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                step()
        path = next(pathlib.Path(folder).rglob("*.xplane.pb"))
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                scope, _, operation = name.rpartition(":")
                # "layer/operation:Kind"; the whole step has no layer.
                if "/" in scope:
                    kind = operation.removeprefix("_MklNative").removeprefix("_Mkl")
                    found[kind][0] += event.duration_ps / 1e9 / steps
                    found[kind][1] += 1 / steps
    return found


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("stage", 2), ("width", 64), ("size", 64), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="CSV to write")
    options = parser.parse_args()
    model = train_step.ours(options.stage, options)
    batch = next(iter(train_step.feed(options, one_hot=True)))
    compiled = tf.function(model.train_step)
    for _ in range(3):
        compiled(batch)
    times = operation_times(lambda: compiled(batch), options.steps)
    total = sum(milliseconds for milliseconds, _ in times.values())
    part_of = {kind: part for part, kinds in PARTS.items() for kind in kinds}
    rows = [
        {
            "part": part_of.get(kind, "element by element, sums and the rest"),
            "operation": kind,
            "calls": round(calls),
            "milliseconds": f"{milliseconds:.2f}",
            "share": f"{milliseconds / total:.4f}",
        }
        for kind, (milliseconds, calls) in times.items()
    ]
    rows.sort(key=lambda row: -float(row["share"]))
    shares: dict[str, float] = collections.defaultdict(float)
    for row in rows:
        shares[row["part"]] += float(row["share"])
    for part, share in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"{share:6.1%}  {part}")
    keep(rows, options.output)


if __name__ == "__main__":
    main()
