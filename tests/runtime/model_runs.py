"""Runs the networks of a folder with the delegate; needs nothing of TensorFlow.

    python tests/runtime/model_runs.py FOLDER

writes what the best kernel of this machine answers to NAME.npy, beside what
`model_files.py` wrote: other machines are compared with it.
"""

import dataclasses
import pathlib
import sys
from dataclasses import dataclass

import delegate_runs
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from delegate_runs import Setting
from model_list import CLAIMED, EXACT


@dataclass(frozen=True)
class StoredModel:
    """A file, images `[N, H, W, C]`, and LCE's scores `[N, K]` for batches of some."""

    name: str
    content: bytes
    images: np.ndarray
    scores: np.ndarray
    batch: int

    def operators(self) -> set[str]:
        """Names of the operators of the file."""
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.content, 0))
        names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
        codes = [
            model.operatorCodes[operator.opcodeIndex]
            for graph in model.subgraphs
            for operator in graph.operators
        ]
        return {
            code.customCode.decode()
            if code.customCode
            else names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            for code in codes
        }

    def is_claimed_whole(self) -> bool:
        """Whether the delegate computes all of it, so that all machines agree."""
        return self.operators() <= CLAIMED and not self.is_int8()

    def is_int8(self) -> bool:
        """Whether activations are int8 throughout: sums are whole numbers."""
        return self.images.dtype == np.int8

    def same_everywhere(self, kernel: str) -> Setting:
        """How a network is run whose scores are compared with another machine's.

        LiteRT's kernels of int8 round otherwise on Arm, its plain ones do not.
        """
        return Setting(kernel, rest="plain" if self.is_int8() else "xnnpack")

    def limit(self) -> float:
        """How far the delegate's scores may be from those of another machine.

        LiteRT's own kernels add real numbers in an order that depends on the machine:
        as far as from Larq Compute Engine's, whose sums have yet another order.
        """
        return 0.0 if self.is_claimed_whole() else self.distance()

    def distance(self) -> float:
        """How far scores may be from Larq Compute Engine's.

        What rounds at most once is equal to the bit. Sums of real numbers (first layer,
        gates, classifier) run in another order: each is a few parts in 10^7 of its
        largest term off, and no sign of an activation is near enough to 0 to turn.
        """
        if self.operators() <= EXACT or self.is_int8():
            return 0.0
        return 3e-6 * max(1.0, float(np.abs(self.scores).max()))

    @staticmethod
    def same_classes(one: np.ndarray, other: np.ndarray) -> bool:
        """Whether the best class of every image is the same."""
        return bool((one.argmax(axis=-1) == other.argmax(axis=-1)).all())

    def run(self, setting: Setting) -> np.ndarray:
        """Scores of all images."""
        if self.is_int8() and setting.rest == "xnnpack":
            # Its products of int8 are rounded otherwise than everybody else's.
            setting = dataclasses.replace(setting, rest="litert")
        interpreter = delegate_runs.load(self.content, setting)
        batches = np.split(self.images, len(self.images) // self.batch)
        delegate_runs.resize(interpreter, batches[:1])
        interpreter.allocate_tensors()
        return np.concatenate(
            [delegate_runs.run(interpreter, [batch])[0] for batch in batches]
        )


def stored(folder: pathlib.Path, name: str) -> StoredModel:
    content = (folder / f"{name}.tflite").read_bytes()
    with np.load(folder / f"{name}.npz") as arrays:
        images, scores, batch = (arrays[key] for key in ("images", "scores", "batch"))
    return StoredModel(name, content, images, scores, int(batch))


def with_batch(model: StoredModel, batch: int) -> StoredModel:
    """The same file, run with another number of images at a time."""
    return dataclasses.replace(model, batch=batch)


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.npz"))


def main(folder: pathlib.Path) -> None:
    kernel = delegate_runs.kernels()[-1]
    for name in names(folder):
        model = stored(folder, name)
        np.save(folder / f"{name}.npy", model.run(model.same_everywhere(kernel)))
    print(f"{len(names(folder))} networks run with the kernel {kernel}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
