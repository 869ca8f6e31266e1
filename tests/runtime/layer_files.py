"""Files of some steps and a layer over them, held against LiteRT by every kernel."""

from collections.abc import Sequence

import delegate_runs
import numpy as np
from delegate_runs import Setting
from graph_files import GraphFile
from steady_numbers import SteadyNumbers

KERNELS = delegate_runs.kernels()
SETTINGS = [*map(Setting, KERNELS), Setting(KERNELS[-1], threads=2)]
UNFUSED = Setting(KERNELS[-1], fuse=False)
CHANNELS = 3
Step = tuple[str, "float | np.ndarray | None"]


class LayerFile(GraphFile):
    """Steps, one after the other, and a layer over what they give."""

    def step(
        self,
        name: str,
        x: int,
        constant: float | np.ndarray | None = None,
        constant_first: bool = False,
        shape: Sequence[int] | None = None,
        **options: object,
    ) -> int:
        shape = shape or tuple(self.graph.tensors[x].shape)
        inputs = [x]
        if constant is not None:
            inputs.append(self.constant("float", np.asarray(constant)))
        return self.builtin(
            name,
            inputs[::-1] if constant_first else inputs,
            self.tensor("float", shape),
            **options,
        )

    def steps(self, x: int, steps: Sequence[Step], constant_first: bool = False) -> int:
        for name, constant in steps:
            x = self.step(name, x, constant, constant_first)
        return x

    def layer(self, x: int, weights: np.ndarray, same: bool = True) -> int:
        """The convolution; its stride is 1."""
        batch, height, width, _ = self.graph.tensors[x].shape
        out, kernel, *_ = weights.shape
        lost = 0 if same else kernel - 1
        inputs = [self.constant("float", weights)]
        inputs.append(self.constant("float", np.zeros(out)))
        return self.builtin(
            "CONV_2D",
            [x, *inputs],
            self.tensor("float", (batch, height - lost, width - lost, out)),
            padding=int(not same),
            **{"strideH": 1, "strideW": 1},
        )

    def files(self, y: int) -> tuple[bytes, bytes]:
        """One that LiteRT alone can run, and one for the delegate."""
        shape = tuple(self.graph.tensors[y].shape)
        plain = self.content(y)
        packed = self.tensor("packed", (*shape[:-1], -(-shape[-1] // 32)))
        return plain, self.content(y, self.custom("LceQuantize", [y], packed))


def identity(channels: int = CHANNELS) -> np.ndarray:
    return np.eye(channels).reshape(channels, 1, 1, channels)


def neighbourhoods(kernel: int = 3) -> np.ndarray:
    numbers = SteadyNumbers("neighbourhoods")
    return numbers.whole(-63, 63, 5, kernel, kernel, CHANNELS).astype(np.float32)


def check(
    files: tuple[bytes, bytes],
    image: np.ndarray,
    wanted: np.ndarray | None = None,
    is_integer: bool = True,
) -> np.ndarray:
    """Every kernel gives the bits of LiteRT, which are the ones that are wanted."""
    (litert,) = delegate_runs.alone(files[0], [image])
    if wanted is not None:
        np.testing.assert_array_equal(litert, wanted)
    for setting in (*SETTINGS, UNFUSED):
        found, steps = delegate_runs.explained(files[1], [[image]], setting)
        np.testing.assert_array_equal(found[0], litert, err_msg=str(setting))
        assert ("integer" in steps) == (is_integer and setting.fuse), (setting, steps)
    return litert
