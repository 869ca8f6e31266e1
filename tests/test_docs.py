"""Pages: every figure is from a file, and a page that differs is told."""

import importlib
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from r2b_keras import recipes

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def render(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("render")


@pytest.fixture
def figures(render):
    return render.figures


def test_pages_are_what_templates_and_results_give():
    command = [sys.executable, str(ROOT / "docs" / "render.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_changed_figure_is_told_and_made_anew(
    render, figures, monkeypatch, tmp_path, capsys
):
    (tmp_path / "docs" / "templates").mkdir(parents=True)
    results = tmp_path / "results" / "run" / "stage_0"
    results.mkdir(parents=True)
    (results / "result.json").write_text(json.dumps({"top1": 0.92534}))
    (tmp_path / "docs" / "templates" / "README.md").write_text(
        'It reaches {{ percent(top1("run", 0)) }}.\n'
    )
    monkeypatch.setattr(render, "ROOT", tmp_path)
    monkeypatch.setattr(render, "TEMPLATES", tmp_path / "docs" / "templates")
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
    page = tmp_path / "README.md"
    assert render.main(["--check"]) == 1
    assert render.main([]) == 0
    made = "<!-- Made of docs/templates/README.md by docs/render.py. -->\n"
    assert page.read_text() == f"{made}It reaches 92.53 %.\n"
    assert render.main(["--check"]) == 0
    page.write_text("It reaches 92.54 %.\n")
    capsys.readouterr()
    assert render.main(["--check"]) == 1
    assert "README.md is not what its template in docs" in capsys.readouterr().err
    assert page.read_text() == "It reaches 92.54 %.\n"
    assert render.main(["--chek"]) == 1
    assert "--chek came, expected --check or nothing" in capsys.readouterr().err
    assert page.read_text() == "It reaches 92.54 %.\n"
    (results / "result.json").unlink()
    assert render.main([]) == 1
    assert "README.md, line 1: {{ percent(top1(" in capsys.readouterr().err
    assert page.read_text() == "It reaches 92.54 %.\n"


def test_rows_are_unique_and_numbers_are_found(figures):
    with pytest.raises(figures.PageError, match="has 8 rows of {}, not 1"):
        figures.row("runtime/benchmark.csv")
    with pytest.raises(figures.PageError, match="has 0 rows"):
        figures.row("runtime/benchmark.csv", engine="none")
    with pytest.raises(figures.PageError, match="no line of results"):
        figures.count("runtime/arm_instructions.txt", "none.tflite")
    assert figures.count("runtime/arm_instructions.txt", "real_float32.tflite") > 600


def test_a_row_of_a_converted_file(figures, monkeypatch, tmp_path):
    def evaluated(name, engine, size, top1, agreement):
        found = {"engine": engine, "bytes": size, "top1": top1, "agreement": agreement}
        (tmp_path / "run" / f"{name}.json").write_text(json.dumps(found))

    (tmp_path / "run").mkdir()
    evaluated("int8", "lce", 123456, 0.5432, 1.0)
    evaluated("ours", "r2b_runtime", 123456, 0.5431, 0.9999)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert figures.converted("run", "int8", "ours") == (
        "| `int8` | 123,456 | 54.32 % | 100.00 % | 54.31 % | 99.99 % |"
    )
    with pytest.raises(figures.PageError, match="lce"):
        figures.converted("run", "int8", "int8")
    evaluated("ours", "r2b_runtime", 123457, 0.5431, 0.9999)
    with pytest.raises(figures.PageError, match="bytes"):
        figures.converted("run", "int8", "ours")


def test_cells_of_a_training_step(figures, monkeypatch, tmp_path):
    (tmp_path / "train_step").mkdir()
    (tmp_path / "train_step" / "width_64.csv").write_text(
        "stage,precision,ours_images_per_second,ratio,ratio_lower_quartile,"
        "ratio_upper_quartile,ours_to_ours\n"
        "1,float32,99.6,1.046,0.978,1.123,0.976\n"
        "1,bfloat16,141.8,1.39,1.319,1.44,0.993\n"
    )
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert figures.step(1, "float32") == "100 | 1.05 (0.98 to 1.12) | 0.98"
    assert figures.step(1, "bfloat16") == "142 | 1.39 (1.32 to 1.44) | 0.99"
    with pytest.raises(figures.PageError, match="has 0 rows"):
        figures.step(2, "float32")


def test_differences_of_rows_have_the_sign_of_the_first(
    render, figures, monkeypatch, tmp_path
):
    (tmp_path / "ablation").mkdir()
    (tmp_path / "ablation" / "comparisons.csv").write_text(
        "first,second,downsample,difference,interval,p_value,p_holm_all_pairs\n"
        "baseline,gate,real,0.00453,0.01363,0.289,1\n"
        "baseline,gate,binary,0.0007,0.00474,0.59,1\n"
    )
    of_rows = render.ablation_figures
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert (
        of_rows.versus("ablation", "gate", "baseline")
        == "+0.45 ± 1.36 (p 0.29, Holm 1.00)"
    )
    assert (
        of_rows.versus("ablation", "baseline", "gate")
        == "-0.45 ± 1.36 (p 0.29, Holm 1.00)"
    )
    binary = of_rows.versus("ablation", "gate", "baseline", "binary")
    assert binary == "+0.07 ± 0.47 (p 0.59, Holm 1.00)"
    with pytest.raises(figures.PageError, match="not compare gate with all, real"):
        of_rows.versus("ablation", "gate", "all")
    (tmp_path / "ablation" / "runs.csv").write_text(
        "row,downsample,seed,binary_weights\n"
        "baseline,real,0,0.8\nbaseline,real,1,0.81\nbaseline,binary,0,0.7\n"
        "gate,real,0,0.82\ngate,real,1,0.8\ngate,binary,0,0.73\n"
    )
    assert of_rows.by_seed("ablation", "gate", "baseline") == "+2.00, -1.00"
    assert of_rows.by_seed("ablation", "gate", "baseline", "binary") == "+3.00"
    assert (
        of_rows.by_seed("ablation", "gate", "baseline", "binary", "binary") == "+3.00"
    )
    # Equally many, but not the same.
    runs = tmp_path / "ablation" / "runs.csv"
    runs.write_text(runs.read_text().replace("gate,real,1", "gate,real,2"))
    with pytest.raises(figures.PageError, match=r"seeds \[0, 2\] of gate and \[0, 1\]"):
        of_rows.by_seed("ablation", "gate", "baseline")
    names = {"first": "baseline", "second": "gate"}
    assert of_rows.not_shown("ablation/comparisons.csv", **names) == "Not shown"
    (tmp_path / "ablation" / "interactions.csv").write_text(
        "part,downsample,difference\ngate,real,-0.0029\ngate,binary,0.0037\n"
    )
    assert of_rows.gain("ablation", "gate", "difference") == "-0.29"
    assert of_rows.gain("ablation", "gate", "difference", "binary") == "+0.37"
    file = "ablation/comparisons.csv"
    path = tmp_path / file
    path.write_text(path.read_text().replace(",0.59,1", ",0.001,0.049"))
    with pytest.raises(figures.PageError, match="p_holm_all_pairs is 0.049"):
        of_rows.not_shown(file, **names)
    path.write_text(path.read_text().replace(",0.001,0.049", ",0.59,1"))
    assert figures.column(file, "p_value", first="baseline") == [0.289, 0.59]
    with pytest.raises(figures.PageError, match="has no row of"):
        figures.column(file, "p_value", first="gate")


def test_what_a_page_says_of_the_better_row(render, figures, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "comparisons.csv").write_text(
        "first,second,downsample,difference,interval,p_value,p_holm_all_pairs\n"
        "baseline,gate,real,0.02,0.01,0.001,0.049\n"
        "baseline,all,real,0.03,0.01,0.0001,0.051\n"
        "gate,all,real,-0.03,0.01,0.0001,0.001\n"
        "all,none,real,0.01,0.01,0.051,0.06\n"
    )
    above = render.ablation_figures.above
    assert above("study", "gate", "baseline") == "+2.00 ± 1.00"
    assert above("study", "gate", "all") == "+3.00 ± 1.00"
    for name, other in (("all", "baseline"), ("baseline", "gate"), ("all", "gate")):
        with pytest.raises(figures.PageError, match=f"not show {name} above {other}"):
            above("study", name, other)
    likely = render.ablation_figures.likely
    assert likely("study", "all", "baseline") == "+3.00 ± 1.00 (p < 0.005, Holm 0.0510)"
    # Shown, the worse one, and neither.
    for name, other in (("gate", "baseline"), ("baseline", "all"), ("none", "all")):
        with pytest.raises(figures.PageError, match=f"{name} above {other} is not"):
            likely("study", name, other)
    text = render.ablation_figures.versus("study", "all", "gate")
    assert text == "-3.00 ± 1.00 (p < 0.005, Holm < 0.005)"


def test_families_that_are_joined_have_larger_p_values(render, figures):
    of_rows = render.ablation_figures
    table, last = "cifar100_ablation", "cifar100_last_stage"
    for study, *pair in (
        (table, "all", "progressive"),
        (table, "gate", "baseline"),
        (last, "all", "all_taught_by_stage_2"),
    ):
        own = of_rows.in_one_family((study,), *pair)
        # By the file that `ablate` wrote.
        assert of_rows.versus(study, *pair).endswith(f"Holm {own})")
        both = of_rows.in_one_family((table, last), *pair)
        assert float(both) > float(own)
        assert both == of_rows.in_one_family((last, table), *reversed(pair))


def test_runs_less_others_of_a_file(render, figures, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "study").mkdir()
    head = "row,downsample,seed,binary_weights\n"
    runs, other = tmp_path / "study" / "runs.csv", tmp_path / "study" / "rate.csv"
    runs.write_text(f"{head}a,real,0,0.9\na,real,1,0.8\na,binary,0,0.1\nb,real,0,0\n")
    other.write_text(f"{head}c,real,1,0.81\nc,real,0,0.5\n")
    by_seed_above = render.ablation_figures.by_seed_above
    assert by_seed_above("study/rate.csv", "study", "a") == "+40.00, -1.00"
    with pytest.raises(figures.PageError, match="has not the seeds of b in study"):
        by_seed_above("study/rate.csv", "study", "b")


def test_means_over_other_seeds(figures, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "seeds.csv").write_text(
        "experiment,number,seed,value\none,top-1,0,0.5\none,top-1,1,0.7\n"
        "other,top-1,3,0.65\n"
    )
    assert figures.above_mean("one: top-1", "other: top-1") == "-5.00"


def test_what_a_page_says_of_all_runs(render, figures, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    path = tmp_path / "study" / "runs.csv"
    path.parent.mkdir()
    head = "row,downsample,seed,real_weights,binary_weights\n"
    path.write_text(f"{head}a,real,0,0.8,0.9\nb,real,0,0.7,0.7\n")
    of_rows = render.ablation_figures
    assert of_rows.seeds("study") == "one seed"
    with pytest.raises(figures.PageError, match="several rows of {} of one seed"):
        of_rows.each_percent("study/runs.csv")
    assert of_rows.each_percent("study/runs.csv", row="b") == "70.00 %"
    pair = ("binary_weights", "real_weights")
    assert of_rows.runs_above("study", *pair) == "1 of 2 runs"
    path.write_text(path.read_text() + "a,real,1,0.8,0.9\n")
    with pytest.raises(figures.PageError, match="not all rows have the same seeds"):
        of_rows.seeds("study")
    path.write_text(path.read_text() + "b,real,1,0.8,0.9\n")
    assert of_rows.seeds("study") == "2 seeds"
    assert of_rows.each_percent("study/runs.csv", row="b") == "70.00, 90.00 %"
    path.write_text(path.read_text() + "b,binary,0,0.1,0.1\n")
    assert of_rows.mean_top1("study", "b") == "80.00 ± 14.14"


def test_a_p_value_says_on_which_side_of_0_05_it_lies(render):
    values = (0.0049, 0.0051, 0.0496, 0.0504, 0.056, 1.0)
    told = [render.ablation_figures._p_value(value) for value in values]
    assert told == ["< 0.005", "0.01", "0.0496", "0.0504", "0.06", "1.00"]


def test_what_a_page_says_of_fine_tuning(figures, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    path = tmp_path / "fine_tuning" / "fine_tuning.csv"
    path.parent.mkdir()
    lines = ["pictures,start,seed,top1"]
    lines += [
        f"{n},{start},{seed},0.5" for n in (10, 50) for start in "ab" for seed in "01"
    ]
    path.write_text("\n".join(lines))
    assert figures.fine_tuning_seeds() == "2 seeds"
    path.write_text("\n".join(lines[:-1]))  # a run has failed
    with pytest.raises(figures.PageError, match="not all cells have the same seeds"):
        figures.fine_tuning_seeds()


def test_what_a_page_says_of_later_options(figures, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "student_options.csv").write_text(
        "option,after,seed,top1,held_out\n"
        "none,,0,0.50,0.49\nnone,,1,0.52,0.51\n"
        "one,a,0,0.51,0.49\none,a,1,0.50,0.51\nother,b,1,0.53,0.5\n"
    )
    assert figures.student_options().splitlines()[2:] == [
        "| one | a | 2 | -0.50 (-2.00 to +1.00) | +0.00 (+0.00 to +0.00) |",
        "| other | b | 1 | +1.00 | -1.00 |",
    ]
    assert figures.chain_of_options() == "51.00 % (2 seeds, 50.00 to 52.00)"
    assert figures.none_gains(1.1) == "None"
    with pytest.raises(figures.PageError, match=r"other gains \+1\.00 points"):
        figures.none_gains(1.0)


ROWS = """experiment,number,seed,value
a,top-1,0,0.90
a,top-1,1,0.92
a,top-1,2,0.91
b,top-1,0,0.80
b,top-1,1,0.84
b,top-1,2,0.81
c,top-1,1,0.91
d,top-1,5,0.91
e,top-1,0,0.90
e,top-1,1,0.80
e,top-1,2,0.83
f,top-1,0,0.89
f,top-1,1,0.91
f,top-1,2,0.90
"""
CLAIMS = """claim,value,low,high,seeds,runs,command
a: top-1,0.91,0.85,0.97,5,1,x
"""


def test_images_of_an_experiment(figures):
    assert figures._num_images("digits") == 359
    assert figures._num_images("fashion_mnist") == 10_000


def test_a_page_calls_larger_only_what_is_shown(figures, monkeypatch, tmp_path):
    """Differences of 10, 8 and 10 points: s = 1.155, t of two degrees 4.303."""
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(figures, "_num_images", {"a": 100, "b": 100, "c": 100}.get)
    (tmp_path / "seeds.csv").write_text(ROWS)
    (tmp_path / "claims.csv").write_text(CLAIMS)
    a, b, c, e = (f"{name}: top-1" for name in "abce")
    told = "+9.33 points (95 % interval +6.46 to +12.20, 3 seeds)"
    assert figures.difference(a, b) == figures.shown(a, b) == told
    told = "-9.33 points (95 % interval -12.20 to -6.46, 3 seeds)"
    assert figures.shown(b, a) == told
    # 0, 12 and 8 points.
    told = "+6.67 points (95 % interval -8.51 to +21.84, which holds 0, 3 seeds)"
    assert figures.difference(a, e) == told
    assert figures.difference(a, c) == "+1.00 points (one seed, which shows nothing)"
    assert figures.difference(c, a) == "-1.00 points (one seed, which shows nothing)"
    # Equal ones are known to a rounding: 4.303 sqrt(2 / 12) images of 100.
    told = "+1.00 points (95 % interval -0.76 to +2.76, which holds 0, 3 seeds)"
    assert figures.difference(a, "f: top-1") == told
    assert figures.mean_of(b) == "81.67 % (3 seeds, 80.00 to 84.00)"
    assert figures.mean_of(c) == "91.00 % (one seed)"
    assert figures.no_gain(a, e, b, a) == "no gain"
    with pytest.raises(figures.PageError, match=r"^a: top-1 is above b: top-1: \+9"):
        figures.no_gain(a, e, a, b)
    assert figures.runs_told(a) == "3 runs"
    assert figures.runs_told(c) == "a single run, which shows nothing"
    for pair in ((a, e), (a, c)):
        with pytest.raises(figures.PageError, match="differ by"):
            figures.shown(*pair)
    with pytest.raises(figures.PageError, match="no seed of a: top-1 and d: top-1"):
        figures.difference(a, "d: top-1")
    assert figures.over_seeds(a) == "85.0 % to 97.0 %"
    assert (figures.over_seeds(b), figures.over_seeds(c)) == ("3 seeds", "one seed")
    assert figures.claimed(a)["seeds"] == "5"
    with pytest.raises(figures.PageError, match="has 0 rows"):
        figures.claimed(b)


def test_how_long_recorded_runs_were_trained(render, figures, monkeypatch, tmp_path):
    times = render.time_figures
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    with pytest.raises(figures.PageError, match="results/long has no stages"):
        times.hours("long")
    for name, seconds in (("long", (3600, 3329)), ("short", (3569,))):
        for number, each in enumerate(seconds):
            (tmp_path / name / f"stage_{number}").mkdir(parents=True)
            path = tmp_path / name / f"stage_{number}" / "result.json"
            path.write_text(json.dumps({"seconds": each}))
        recipe = recipes.get("digits" if name == "long" else "digits/strong_baseline")
        saved = {"recipe": recipes.to_dict(recipe)}
        (tmp_path / name / "recipe.json").write_text(json.dumps(saved))
    assert times.hours("long") == "1 h 55 min"
    assert times.hours("short") == "59 min"
    # 10 + 15 + 20 epochs behind a teacher's 10, and a student's alone.
    assert (figures.epochs("long"), figures.epochs("short")) == (45, 55)
    with pytest.raises(figures.PageError, match="long, short have {45, 55} epochs"):
        figures.epochs("long", "short")


def test_stages_that_experiments_share_are_trained_once(
    render, figures, monkeypatch, tmp_path
):
    found = render.time_figures.experiments.EXPERIMENTS
    chain, baseline = (
        next(each for each in found if each.name == name)
        for name in ("cifar100_small", "cifar100_small_strong_baseline")
    )
    monkeypatch.setattr(render.time_figures.experiments, "EXPERIMENTS", (chain,))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "claims.csv").write_text((ROOT / "results/claims.csv").read_text())
    with pytest.raises(figures.PageError, match="small has no stages"):
        render.time_figures.reproduction_hours()
    for name, times in ((chain.name, (3600, 7200)), (baseline.name, (3600, 1800))):
        for number, seconds in enumerate(times):
            folder = tmp_path / name / f"stage_{number}"
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps({"seconds": seconds}))
    assert render.time_figures.reproduction_hours() == "3"
    both = (chain, baseline)
    monkeypatch.setattr(render.time_figures.experiments, "EXPERIMENTS", both)
    # Their difference is claimed, of five seeds: 5 * (1 + 2 + 0.5), not 5 * 4.5.
    assert render.time_figures.reproduction_hours() == "18"


def test_parts_of_the_profile_are_all_of_it(render, figures):
    names = ["stem", *(f"binary {group}" for group in range(4)), "downsampling"]
    names += ["pools", "gates", "classifier"]
    times = [float(render.time_figures.part(name).split(" | ")[0]) for name in names]
    last = figures.text("runtime/profile.txt").splitlines()[-1].split()
    # Each of nine is rounded to 0.01.
    assert sum(times) == pytest.approx(float(last[0]), abs=0.05)


def test_no_figure_is_typed_into_the_readme():
    """Percentages and times have a digit after the point, or are of a command."""
    template = (ROOT / "docs" / "templates" / "README.md").read_text()
    typed = re.sub(r"\{\{.+?\}\}", "", template)
    assert re.findall(r"\d[\d.]* (?:%|ms|KiB|MB)", typed) == []


def test_every_time_of_a_network_and_engine_has_one_source():
    """The same time measured twice would be two figures for one thing."""
    sources = {}
    for template in (ROOT / "docs" / "templates").glob("*.md"):
        found = re.findall(
            r"ms\('(.+?)', model='(.+?)', engine='(.+?)'\)", template.read_text()
        )
        for file, model, engine in found:
            sources.setdefault((model, engine), set()).add(file)
    assert len(sources) > 4
    assert {key: files for key, files in sources.items() if len(files) > 1} == {}


@pytest.fixture
def fruit():
    path = ROOT / "docs" / "fruit.py"
    spec = importlib.util.spec_from_file_location("fruit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fruit_of_the_tutorial(fruit, monkeypatch, tmp_path):
    monkeypatch.setattr(fruit, "NUM_PICTURES", 2)
    for folder in ("photos", "again"):
        monkeypatch.setattr(sys, "argv", ["fruit.py", str(tmp_path / folder)])
        fruit.main()
    names = {path.name for path in (tmp_path / "photos").iterdir()}
    assert names == {"apple", "banana", "lime"}
    for path in (tmp_path / "photos").glob("*/*"):
        again = tmp_path / "again" / path.relative_to(tmp_path / "photos")
        assert again.read_bytes() == path.read_bytes()
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((96, 96), "RGB")
            colours = np.asarray(image).reshape(-1, 3)
        # Pixels of the fruit's colour: many, but less than half of the picture.
        wanted = np.array(fruit.COLOURS[path.parent.name])
        near = np.abs(colours - wanted.astype(float)).max(axis=1) < 60
        assert 0.02 < near.mean() < 0.5, path
    monkeypatch.setattr(sys, "argv", ["fruit.py"])
    with pytest.raises(SystemExit, match="usage: "):
        fruit.main()
