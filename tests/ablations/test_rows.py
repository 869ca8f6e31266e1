"""What each row keeps of a recipe, against Table 3 read by hand."""

import dataclasses
import pathlib

import pytest

from r2b_keras import recipes
from r2b_keras.ablations import rows
from r2b_keras.errors import InputError
from r2b_keras.models import build_network
from r2b_keras.recipes import Schedule

RESULTS = pathlib.Path(__file__).parent.parent.parent / "results"
# The recipe of docs/ablation.md, whose stage 2 starts from stage 1.
FASHION = recipes.get(str(RESULTS / "ablation" / "recipe.json"))
FOUR_STAGES = [name for name in recipes.names() if len(recipes.get(name).stages) == 4]


def made(name, downsample="real", recipe=FASHION):
    (row,) = rows.find([name], recipe)
    return rows.make_recipe(recipe, row, downsample)


# Row: re-scaling, stages trained, teacher of stage 2, weights of attention and logits
# in stage 2, of logits in stage 3, whose teacher is the real network but in one row.
EXPECTED = {
    "baseline": ("channel_scale", [2, 3], None, 0.0, 0.0, 0.0),
    "attention": ("channel_scale", [0, 2, 3], 0, 0.3, 0.0, 0.0),
    "attention_logits": ("channel_scale", [0, 2, 3], 0, 0.3, 1.0, 1.0),
    "gate": ("gate_and_scale", [2, 3], None, 0.0, 0.0, 0.0),
    "progressive": ("channel_scale", [0, 1, 2, 3], 1, 0.3, 1.0, 1.0),
    "all": ("gate_and_scale", [0, 1, 2, 3], 1, 0.3, 1.0, 1.0),
    "gate_attention": ("gate_and_scale", [0, 2, 3], 0, 0.3, 0.0, 0.0),
    "analytic": ("analytic", [2, 3], None, 0.0, 0.0, 0.0),
    "analytic_attention": ("analytic", [0, 2, 3], 0, 0.3, 0.0, 0.0),
    "gamma_attention": ("outer_product_scale", [0, 2, 3], 0, 0.3, 0.0, 0.0),
    "all_kept_magnitude": ("gate_and_scale", [0, 1, 2, 3], 1, 0.3, 1.0, 1.0),
    "all_taught_by_stage_2": ("gate_and_scale", [0, 1, 2, 3], 1, 0.3, 1.0, 1.0),
}
LAST = {"all_kept_magnitude": (0, False), "all_taught_by_stage_2": (2, True)}


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_differ_as_table_3_says(name):
    rescaling, needed, teacher, attention, logits, last_logits = EXPECTED[name]
    recipe = made(name)
    middle, last = recipe.stages[2], recipe.stages[3]
    students = [stage.student for stage in recipe.stages[1:]]
    assert {student.rescaling for student in students} == {rescaling}
    assert recipe.stages_needed(3) == needed
    assert middle.teacher == teacher
    assert (middle.losses.attention, middle.losses.logit_matching) == (
        attention,
        logits,
    )
    assert (last.losses.attention, last.losses.logit_matching) == (0.0, last_logits)
    assert (last.teacher, last.absorb_magnitude) == LAST.get(
        name, (0 if last_logits else None, True)
    )
    assert last.start_from == 2
    assert all(stage.losses.cross_entropy == 1.0 for stage in recipe.stages)
    assert recipe.stages[0] == FASHION.stages[0]


def test_every_row_is_expected():
    assert list(EXPECTED) == [row.name for row in rows.ROWS]


def test_all_is_the_recipe_itself():
    stages = made("all").stages
    for ours, theirs in zip(stages, FASHION.stages, strict=True):
        assert (
            dataclasses.replace(
                ours,
                expected=theirs.expected,
                student=dataclasses.replace(
                    ours.student, rescaling=theirs.student.rescaling
                ),
            )
            == theirs
        )


@pytest.mark.parametrize("name", EXPECTED)
def test_students_of_all_rows_train_equally_long(name):
    recipe = made(name)
    trained = [n for n in recipe.stages_needed(3) if n > 0]
    assert sum(recipe.stages[n].epochs for n in trained) == 2 + 3 + 5


@pytest.mark.parametrize(
    ("recipe", "epochs"), [("fashion", {10}), ("digits", {35, 45})]
)
def test_epochs_of_the_students_of_all_rows(recipe, epochs):
    chain = FASHION if recipe == "fashion" else recipes.get(recipe)
    assert {rows.student_epochs(chain, row) for row in rows.ROWS} == epochs


def test_where_stages_start_anew_they_keep_their_epochs():
    recipe = recipes.get("cifar100")
    assert recipe.stages[2].start_from is None
    assert made("baseline", recipe=recipe).stages[2].epochs == recipe.stages[2].epochs


def test_steps_of_the_learning_rate_move_with_the_epochs():
    middle = dataclasses.replace(
        FASHION.stages[2], schedule=Schedule("step", drop_epochs=(1, 2))
    )
    recipe = dataclasses.replace(
        FASHION, stages=(*FASHION.stages[:2], middle, FASHION.stages[3])
    )
    assert made("baseline", recipe=recipe).stages[2].schedule.drop_epochs == (2, 3)


@pytest.mark.parametrize("downsample", rows.DOWNSAMPLES)
def test_downsampling_is_the_students(downsample):
    recipe = made("all", downsample)
    assert {s.student.downsample for s in recipe.stages[1:]} == {downsample}
    assert recipe.name == f"fashion_mnist/all_{downsample}"


@pytest.mark.parametrize("name", FOUR_STAGES)
def test_every_chain_has_every_row(name):
    recipe = recipes.get(name)
    for row in rows.find([], recipe):
        for downsample in rows.DOWNSAMPLES:
            made = rows.make_recipe(recipe, row, downsample)
            assert made.name == f"{name}/{row.name}_{downsample}"


@pytest.mark.parametrize("name", FOUR_STAGES)
def test_no_row_is_another_one_twice(name):
    """Two that are alike would make noise that is estimated from both too small."""
    recipe = recipes.get(name)
    found = rows.find([], recipe)
    chains = [rows.make_recipe(recipe, row, "real") for row in found]
    assert len({repr(chain.stages) for chain in chains}) == len(found)
    left_out = [row for row in rows.ROWS if row not in found]
    whole = rows.make_recipe(recipe, rows.find(["all"], recipe)[0], "real")
    for row in left_out:
        assert rows.make_recipe(recipe, row, "real").stages == whole.stages
        with pytest.raises(
            InputError, match=f"'{row.name}' trains what row 'all' does"
        ):
            rows.find(["baseline", row.name], recipe)


@pytest.mark.parametrize(
    ("overrides", "copies"),
    [
        (
            ["stages.*.losses.attention=0"],
            {"attention", "gate_attention", "analytic_attention"},
        ),
        # The tanh stage, which has it, is none of these rows'.
        (
            ["stages.2.losses.attention=0"],
            {"attention", "gate_attention", "analytic_attention"},
        ),
        (
            ["stages.3.losses.logit_matching=0", "stages.3.teacher=none"],
            {"all_taught_by_stage_2"},
        ),
        (["stages.3.absorb_magnitude=false"], {"all_kept_magnitude"}),
    ],
)
def test_what_overrides_make_alike_is_trained_once(overrides, copies):
    recipe = recipes.apply_overrides(recipes.get("cifar100_small"), overrides)
    assert {row.name for row in rows.ROWS} - {
        row.name for row in rows.find([], recipe)
    } == copies
    with pytest.raises(InputError, match="trains what row"):
        rows.find([min(copies)], recipe)


def test_a_row_that_a_recipe_cannot_have_stands_in_no_other_s_way():
    """Without labels, rows without a teacher have nothing to train with."""
    override = ["stages.3.losses.cross_entropy=0"]
    recipe = recipes.apply_overrides(recipes.get("cifar100_small"), override)
    (row,) = rows.find(["all"], recipe)
    assert rows.make_recipe(recipe, row, "real").stages[3].losses.needs_teacher
    (row,) = rows.find(["baseline"], recipe)
    with pytest.raises(InputError, match="nothing to train with"):
        rows.make_recipe(recipe, row, "real")


def test_the_paper_s_teacher_is_no_row_of_the_paper_s_recipe():
    names = [row.name for row in rows.find([], recipes.get("cifar100"))]
    assert names == [name for name in EXPECTED if name != "all_taught_by_stage_2"]
    names = [row.name for row in rows.find([], recipes.get("cifar100_small"))]
    assert names == list(EXPECTED)


@pytest.mark.parametrize("name", ["analytic", "gamma_attention"])
def test_networks_of_open_rows_are_built(name):
    student = made(name, "binary").stages[3].student
    small = dataclasses.replace(student, width=4)
    assert build_network(small, (28, 28, 1), 10).output_shape == (None, 10)


def test_other_recipes_are_refused():
    baseline = recipes.get("digits/strong_baseline")
    with pytest.raises(InputError, match="take one of the four-stage recipes"):
        made("all", recipe=baseline)
    with pytest.raises(InputError, match="Downsampling is 'half', expected some of"):
        made("all", "half")
    with pytest.raises(InputError, match="Unknown row 'gates', expected some of base"):
        rows.find(["gates"], FASHION)


def test_the_paper_s_table_is_whole():
    """Table 3, after the last but one and the last stage; the other rows are ours."""
    printed = {
        row.name: tuple(100 * top1 for pair in row.paper.values() for top1 in pair)
        for row in rows.ROWS
        if row.paper
    }
    assert all(list(r.paper) in ([], ["real", "binary"]) for r in rows.ROWS)
    expected = {
        "baseline": (72.1, 69.6, 69.3, 68.0),
        "attention": (74.3, 72.6, 72.2, 71.1),
        "attention_logits": (75.4, 73.9, 73.1, 71.9),
        "gate": (72.0, 70.9, 67.2, 66.2),
        "progressive": (75.7, 74.6, 73.8, 72.3),
        "all": (76.5, 76.2, 75.0, 73.5),
    }
    assert printed == {name: pytest.approx(row) for name, row in expected.items()}
