"""Binary networks beside those that somebody would take instead of them.

    python studies/conversion.py build/conversion --quicknet
    runtime/tests/arm_userland build/arm dist/r2b_runtime-*_aarch64.whl
    python studies/alternatives.py build/conversion --arm=build/arm

Makes the files of `peers.py` beside those of `conversion.py`, in float32 and with 8-bit
integers, then times all of them in one run of `python -m r2b_keras.benchmark`, in
turns, one thread: binary networks by `r2b_runtime`, all others by stock LiteRT. With
`--arm` it counts the instructions of an inference on 64-bit Arm without dot product
(Cortex-A72, a Raspberry Pi 4) and with it (Cortex-A76, a Raspberry Pi 5); without,
those counted before stay. Writes under results/alternatives: `benchmark.csv`,
`instructions.csv`, and of both `alternatives.csv` and `alternatives.png`.
"""

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from r2b_keras import drawing, files
from r2b_keras.converters.benchmark_report import number
from runtime import CSV, OURS, benchmark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LITERT = "litert"
CORES = {"cortex-a72": "no dot product", "cortex-a76": "dot product"}
COUNTER = (
    pathlib.Path(__file__).parent.parent / "runtime" / "tests" / "arm_instructions"
)
INSTRUCTIONS, TABLE, CHART = "instructions.csv", "alternatives.csv", "alternatives.png"
# Arithmetic, and how it is drawn.
KINDS: dict[str, dict[str, Any]] = {
    "binary": {"color": drawing.VERMILLION, "marker": "D"},
    "int8": {"color": drawing.BLUE, "marker": "o"},
    "float32": {"color": drawing.GREEN, "marker": "s"},
}
# Where a point's name stands; those of variants elsewhere, as points are close.
ABOVE: dict[str, Any] = {"xytext": (0, 5), "ha": "center", "va": "bottom"}
VARIANTS: dict[str, dict[str, Any]] = {
    "binary": {"xytext": (0, -5), "ha": "center", "va": "top"},
    "int8": {"xytext": (-5, 0), "ha": "right", "va": "center"},
}
# Pixels of the chart.
HEIGHT = 520


@dataclasses.dataclass(frozen=True)
class Network:
    """A row of the table.

    Attributes:
      title: the network's name for people.
      kind: its arithmetic, one of `KINDS`.
      file: name of its `.tflite` file.
      top1: published accuracy on ImageNet in percent, None where there is none.
      source: where it is published.
    """

    title: str
    kind: str
    file: str
    top1: float | None
    source: str

    @property
    def engine(self) -> str:
        """What runs it."""
        return OURS if self.kind == "binary" else LITERT


def networks() -> list[Network]:
    """All rows: the binary networks, then the others, with their files' names."""
    import peers

    # Files and accuracy are of larq-zoo's layout; the paper has 65.4 with its own.
    name, zoo = "Real-to-Binary ResNet-18", peers.LARQ_ZOO
    found = [
        Network(
            *(f"{name}, integers", "binary", "integer_int8.tflite"),
            *(65.0, f"{zoo}, of the next row"),
        ),
        Network(name, "binary", "plain_int8.tflite", 65.0, zoo),
        Network("QuickNet", "binary", "quicknet.tflite", 63.3, zoo),
    ]
    for peer in peers.PEERS:
        stem = peer.title.lower().replace(" ", "_")
        integers = peer.int8_source or (peer.source if peer.int8_top1 else "")
        found += [
            Network(
                *(peer.title, "int8", f"{stem}_int8.tflite"),
                *(peer.int8_top1, integers),
            ),
            Network(
                peer.title, "float32", f"{stem}_float32.tflite", peer.top1, peer.source
            ),
        ]
    return found


def write_peers(folder: pathlib.Path) -> None:
    """Writes the files of `peers.py` that are not there yet."""
    import peers
    from conversion import save

    missing = {each.file for each in networks() if not (folder / each.file).exists()}
    for peer in peers.PEERS:
        stem = peer.title.lower().replace(" ", "_")
        forms = {"float32": peers.to_float, "int8": peers.to_int8}
        wanted = [kind for kind in forms if f"{stem}_{kind}.tflite" in missing]
        if wanted:
            model = peers.build(peer)
            for kind in wanted:
                save(folder / f"{stem}_{kind}.tflite", forms[kind](model))


def measure(folder: pathlib.Path, found: Sequence[Network]) -> bytes:
    """Times all in turns; the command's CSV.

    Each real-valued network is there twice, in LiteRT with our delegate and without:
    the delegate takes nothing of it, and both times are the same.
    """
    first, *others = [folder / network.file for network in found]
    models = [f"--model={path}" for path in others]
    return benchmark(first, *models, f"--engines={LITERT},{OURS}")[CSV]


def count_instructions(
    userland: pathlib.Path, folder: pathlib.Path, found: Sequence[Network]
) -> list[dict[str, str]]:
    """Executed instructions of an inference, in millions: a row for each file and core.

    Args:
      userland: what `arm_userland` made, with our wheel in it.
      folder: of the files.
      found: the networks.
    """
    rows = []
    for core in CORES:
        printed = subprocess.run(
            [COUNTER, userland, *(folder / network.file for network in found)],
            env={**os.environ, "QEMU_CPU": core},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for line in printed.splitlines()[1:]:
            file, million = line.rsplit(maxsplit=1)
            rows.append({"file": file.strip(), "core": core, "million": million})
    return rows


def table(
    found: Sequence[Network],
    times: Sequence[Mapping[str, str]],
    counts: Sequence[Mapping[str, str]],
) -> list[dict[str, str]]:
    """Joins what was measured, a row for each network in their order.

    Args:
      found: the networks.
      times: rows of the benchmark.
      counts: rows of `count_instructions`.

    Raises:
      KeyError: a network was not measured.
    """
    timed = {(row["model"], row["engine"]): row for row in times}
    counted = {(row["file"], row["core"]): row["million"] for row in counts}
    rows = []
    for network in found:
        measured = timed[network.file, network.engine]
        rows.append(
            {
                "network": network.title,
                "arithmetic": network.kind,
                "top1": "" if network.top1 is None else f"{network.top1:.1f}",
                "source": network.source,
                "engine": network.engine,
                "ms": number(float(measured["median_ms"])),
                **{core: counted[network.file, core] for core in CORES},
                "mb": f"{float(measured['size_kib']) * 1024 / 1e6:.1f}",
            }
        )
    return rows


def draw(rows: Sequence[Mapping[str, str]]) -> "Figure":
    """Published accuracy against the time here, and against instructions on Arm."""
    figure = drawing.new_figure(drawing.WIDTH, HEIGHT)
    axes = figure.subplots(1, 3, sharey=True)
    titles = {"ms": "ms, one thread of this x86-64 machine"}
    titles |= {
        core: f"million instructions, {core.title()}\n({words})"
        for core, words in CORES.items()
    }
    for place, (column, title) in zip(axes, titles.items(), strict=True):
        _draw_points(place, rows, column)
        place.set_xlabel(title, fontsize=9)
    axes[0].set_ylabel("published top-1 on ImageNet, %", fontsize=9)
    marks = axes[0].get_legend_handles_labels()
    figure.legend(*marks, loc="outside lower center", ncols=len(KINDS), frameon=False)
    return figure


def _draw_points(axes: "Axes", rows: Sequence[Mapping[str, str]], column: str) -> None:
    """A point for each network whose accuracy is published."""
    for kind, look in KINDS.items():
        own = [row for row in rows if row["arithmetic"] == kind and row["top1"]]
        places = [(float(row[column]), float(row["top1"])) for row in own]
        axes.scatter(*zip(*places, strict=True), label=kind, **look)
        for row, place in zip(own, places, strict=True):
            name = _short(row["network"])
            beside = VARIANTS.get(kind, ABOVE) if "\n" in name else ABOVE
            axes.annotate(name, place, textcoords="offset points", fontsize=7, **beside)
    axes.margins(0.18)
    axes.set_xlim(left=0)
    drawing.open_frame(axes)


def _short(title: str) -> str:
    """A name that fits beside its point."""
    words = title.replace("MobileNet", "").replace("EfficientNet-", "")
    words = words.replace("Real-to-Binary ResNet-18", "Real-to-Binary")
    return words.replace(" minimalistic", "\nmini").replace(", ", ",\n")


def main() -> None:
    """Makes what is missing, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of the converted networks")
    parser.add_argument("--arm", type=pathlib.Path, help="what arm_userland made")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("results/alternatives")
    )
    given = parser.parse_args()
    found, counted = networks(), given.output / INSTRUCTIONS
    for network in found:
        if network.kind == "binary" and not (given.folder / network.file).exists():
            sys.exit(
                f"There is no {given.folder / network.file}: make it as the head of "
                f"{__file__} says."
            )
    if not (given.arm or counted.exists()):
        sys.exit(f"There is no {counted}: count instructions too, with --arm.")
    given.output.mkdir(parents=True, exist_ok=True)
    write_peers(given.folder)
    if given.arm:
        counts = count_instructions(given.arm, given.folder, found)
        files.write_csv(counted, counts)
    files.write_bytes(given.output / CSV, measure(given.folder, found))
    times = files.read_csv(given.output / CSV)
    rows = table(found, times, files.read_csv(counted))
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    files.write_csv(given.output / TABLE, rows)
    files.write_bytes(given.output / CHART, drawing.to_png(draw(rows)))


if __name__ == "__main__":
    main()
