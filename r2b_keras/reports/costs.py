"""What the networks cost: operations, bytes, and the latency of converted files."""

from r2b_keras.converters import benchmark_report
from r2b_keras.converters.benchmark_report import number
from r2b_keras.reports import deployed
from r2b_keras.reports.deployed import Deployed
from r2b_keras.reports.facts import Facts, binary_parts, kibibytes, percent
from r2b_keras.reports.operations import Part, total
from r2b_keras.reports.page import Column, Html, Page, element, notice, paragraph, table


def add_operations(page: Page, facts: Facts, parts: dict[int, list[Part]]) -> None:
    """Operations and sizes of each finished stage, and the last one's parts."""
    if not parts:
        page.add("cost", "Operations and size", notice("No stage is finished yet."))
        return
    columns = (
        Column("Stage", True),
        Column("Binary"),
        Column("Binary MACs", True),
        Column("Real MACs", True),
        Column("Parameters", True),
        Column("Packed", True),
    )
    rows = []
    for stage, found in parts.items():
        all_of_it = total(found)
        binarization = facts.results[stage].binarization
        rows.append([stage, binary_parts(binarization), *_cells(all_of_it)])
    last = max(parts)
    by_part = [
        [part.name, *_cells(part)] for part in (*parts[last], total(parts[last]))
    ]
    page.add(
        "cost",
        "Operations and size",
        paragraph(
            "Multiply-accumulates (MACs) of one image. Binary ones have one-bit inputs "
            "and one-bit weights. Packed is the size of the weights alone, those of "
            "one bit at one bit and all others at 32, BatchNorm as the scale and "
            "offset that remain of it; a file has its graph and names besides."
        ),
        table("Operations and size by stage", columns, rows),
        element("h3", f"Parts of stage {last}"),
        table(
            "Operations and size by part",
            (Column("Part"), *columns[2:]),
            by_part,
        ),
    )


def _cells(part: Part) -> list[str]:
    return [
        f"{part.binary_macs:,}",
        f"{part.real_macs:,}",
        f"{part.parameters:,}",
        f"{part.bits / 8 / 1024:,.1f}\u00a0KiB",
    ]


def add_deployed(
    page: Page, facts: Facts, files: list[Deployed], problems: list[str]
) -> None:
    """Each converted file: what it is, and how fast it runs here.

    Args:
      page: takes the section in.
      facts: of the run.
      files: what was measured.
      problems: sentences about engines that were not.
    """
    if not files:
        folder = facts.workdir.path
        page.add(
            "deployed",
            "Converted files",
            notice("No .tflite file lies in the folder or was given with --model."),
            element(
                "pre",
                f"python -m r2b_keras.convert --workdir={folder} "
                f"--output={folder}/model.tflite",
            ),
        )
        return
    content = [_facts_table(files), *_strangers(facts, files)]
    content += [notice(problem) for problem in problems]
    if any(file.latencies for file in files):
        content += [element("h3", "Latency"), _latency_table(files)]
        machine = benchmark_report.describe_machine()
        content.append(
            paragraph(
                "One image on one thread, all rows in turns in one run. Spread: a "
                "tenth of the inferences were faster, a tenth slower. ",
                machine.to_text().replace("\n", "; "),
                ".",
            )
        )
    page.add("deployed", "Converted files", *content)


def _facts_table(files: list[Deployed]) -> Html:
    columns = (
        Column("File"),
        Column("Bytes", True),
        Column("Real weights"),
        Column("Recipe"),
        Column("Stage", True),
        Column("Top-1 in Keras", True),
        Column("Input"),
        Column("Classes", True),
        Column("Binary convolutions", True),
        Column("Operators", True),
    )
    return table("Converted files", columns, map(_file_cells, files))


def _file_cells(file: Deployed) -> list[object]:
    card, none = file.card, "\u2013"
    kinds = dict(file.operators)
    tail = [kinds.get("LceBconv2d", 0), sum(kinds.values())]
    size = f"{file.num_bytes:,}"
    if card is None:
        return [file.name, size, "no model card", *([none] * 5), *tail]
    return [
        file.name,
        size,
        card.real_weights,
        card.recipe or none,
        none if card.stage is None else card.stage,
        none if card.accuracy is None else percent(card.accuracy),
        " \u00d7 ".join(map(str, card.image_shape)),
        len(card.class_names),
        *tail,
    ]


def _strangers(facts: Facts, files: list[Deployed]) -> list[Html]:
    """Sentences about files that are not of this run, as far as their cards tell."""
    found = (deployed.mismatch(file, facts) for file in files)
    return [notice(sentence) for sentence in found if sentence]


def _latency_table(files: list[Deployed]) -> Html:
    columns = (
        Column("File"),
        Column("Engine"),
        Column("Median, ms", True),
        Column("10 to 90 %, ms", True),
        Column("Inferences", True),
        Column("Cores", True),
    )
    rows = (
        [
            file.name,
            row.engine,
            number(row.median_ms),
            f"{number(row.p10_ms)} to {number(row.p90_ms)}",
            f"{row.num_inferences:,}",
            f"{row.cores_used:.2f}",
        ]
        for file in files
        for row in file.latencies
    )
    return table("Latency", columns, rows)


def key_figures(
    facts: Facts, parts: dict[int, list[Part]], files: list[Deployed]
) -> list[tuple[str, str]]:
    """The figures of the last finished stage that stand at the top.

    Size and latency are of one file, the fastest of those that were made of this stage.

    Args:
      facts: of the run.
      parts: of each finished stage.
      files: what was measured.
    """
    last = facts.last
    if last is None:
        return []
    macs = total(parts[last.stage])
    kind, value = (
        ("binary", macs.binary_macs) if macs.binary_macs else ("real", macs.real_macs)
    )
    found = [
        ("test top-1", percent(last.top1)),
        (f"{kind} MACs an image", _large(value)),
        ("weights, packed", kibibytes(last.bytes)),
    ]
    measured = [
        (row.median_ms, file, row.engine)
        for file in files
        if deployed.is_of_run(file, facts) and _stage(file) == last.stage
        for row in file.latencies
    ]
    if measured:
        median, file, engine = min(measured, key=lambda each: each[0])
        found += [
            (f"size of {file.name}", kibibytes(file.num_bytes)),
            (f"median latency of {file.name}, {engine}", f"{number(median)}\u00a0ms"),
        ]
    return found


def _stage(file: Deployed) -> int | None:
    return None if file.card is None else file.card.stage


def _large(value: int) -> str:
    for power, name in ((9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.1f}\u00a0{name}"
    return str(value)
