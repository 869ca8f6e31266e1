"""Files of small graphs: half blocks of binary networks, as converters leave them.

BatchNorm before (MUL, ADD), LceQuantize, LceBconv2d, a gate (MUL), PRELU and the skip
connection (ADD). Each step is a single rounding, so engines must agree to the bit,
however they merge the steps.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from graph_files import GraphFile, num_words
from operator_files import Case, Convolution


@dataclass(frozen=True)
class HalfBlocks(Case):
    """One or two half blocks of `channels`, one after the other.

    `before` is the normalization, `gate` where the factors of a gate come from:
    "vector" and "map" are constants `[C]` and `[1, 1, 1, C]`, "input" is an input of
    the graph, `[N, 1, 1, C]`. `outputs` of the graph are the last block's or all.
    """

    kind = "block"
    size: tuple[int, int, int]
    channels: int
    kernel: tuple[int, int]
    padding: str
    before: str
    gate: str
    prelu: bool
    skip: bool
    blocks: int
    outputs: str

    NORMALIZATIONS: ClassVar = {"none": (), "shift": ("ADD",), "both": ("MUL", "ADD")}

    @property
    def batch(self) -> int:
        return self.size[0]

    def convolution(self, block: int) -> Convolution:
        """The convolution of a block; those of two blocks have different filters."""
        return Convolution(
            self.sizes()[block],
            self.channels,
            self.channels,
            self.kernel,
            (1, 1),
            (1, 1),
            1,
            self.padding,
            "float",
            "none",
            "mixed",
            ("random", "rare")[block],
        )

    def sizes(self) -> list[tuple[int, int, int]]:
        """Sizes of the maps before, between and after the blocks."""
        lost = np.subtract(self.kernel, 1) if self.padding == "valid" else (0, 0)
        batch, height, width = self.size
        return [
            (batch, height - int(lost[0]) * block, width - int(lost[1]) * block)
            for block in range(self.blocks + 1)
        ]

    def normalization(self, block: int) -> list[tuple[str, np.ndarray]]:
        """Operators before the signs, and their constants `[C]`."""
        return [
            (name, self.numbers(f"{name} {block}").floats(-1, 1, self.channels))
            for name in self.NORMALIZATIONS[self.before]
        ]

    def constant_gates(self, block: int) -> list[np.ndarray]:
        if self.gate not in ("vector", "map"):
            return []
        gate = self.numbers(f"gate {block}").floats(0, 1, self.channels)
        return [gate if self.gate == "vector" else gate.reshape(1, 1, 1, -1)]

    def slopes(self, block: int) -> np.ndarray:
        slopes = self.numbers(f"slopes {block}").floats(-0.25, 0.75, self.channels)
        return slopes.reshape(1, 1, -1)

    def inputs(self) -> list[np.ndarray]:
        numbers = self.numbers("input")
        image = numbers.floats(-2, 2, *self.size, self.channels)
        gates = [
            numbers.floats(0, 1, self.size[0], 1, 1, self.channels)
            for _ in range(self.blocks if self.gate == "input" else 0)
        ]
        return [image, *gates]

    def content(self, batch: int | None = None) -> bytes:
        batch = batch or self.size[0]
        file, found = GraphFile(), []
        image = file.input("float", (batch, *self.size[1:], self.channels))
        gates = [
            file.input("float", (batch, 1, 1, self.channels))
            for _ in range(self.blocks if self.gate == "input" else 0)
        ]
        for block in range(self.blocks):
            gates_here = gates[block : block + 1]
            image = self._write(file, block, batch, image, gates_here)
            found.append(image)
        return file.content(*(found if self.outputs == "all" else found[-1:]))

    def _write(
        self, file: GraphFile, block: int, batch: int, image: int, gates: list[int]
    ) -> int:
        """Adds a block and returns its output."""
        before, after = (
            (batch, *size[1:], self.channels)
            for size in self.sizes()[block : block + 2]
        )
        x = image
        for name, values in self.normalization(block):
            x = _arithmetic(file, name, x, file.constant("float", values), before)
        packed = file.tensor("packed", (*before[:3], num_words(self.channels)))
        file.custom("LceQuantize", [x], packed)
        x = self.convolution(block).write(file, packed, batch)
        for gate in self.constant_gates(block):
            gates = [file.constant("float", gate)]
        for gate in gates:
            x = _arithmetic(file, "MUL", x, gate, after)
        if self.prelu:
            slopes = file.constant("float", self.slopes(block))
            x = file.builtin("PRELU", [x, slopes], file.tensor("float", after))
        return _arithmetic(file, "ADD", image, x, after) if self.skip else x


def _arithmetic(
    file: GraphFile, name: str, one: int, other: int, shape: tuple[int, ...]
) -> int:
    return file.builtin(name, [one, other], file.tensor("float", shape))
