"""Every committed recipe: complete, buildable, and linked as Sec. 4.2 says."""

import dataclasses
import subprocess
import sys

import pytest

from r2b_keras import recipes
from r2b_keras.errors import InputError
from r2b_keras.models import build_network
from r2b_keras.trainers.handover import absorb_magnitude, hand_over

SETS = (
    *("digits", "fashion_mnist"),
    *("cifar10", "cifar100", "cifar100_small", "imagenet"),
)
BASELINES = tuple(f"{name}/strong_baseline" for name in SETS)


def test_every_set_has_its_recipe_and_its_strong_baseline():
    assert {*SETS, *BASELINES} <= set(recipes.names())
    for name in recipes.names():
        assert recipes.get(name).name == name
        assert recipes.get(name).summary


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(InputError) as error:
        recipes.get("cifar-100")
    assert str(error.value) == (
        f"Unknown recipe 'cifar-100', expected one of {', '.join(recipes.names())}; "
        "did you mean 'cifar100'?"
    )
    for name in ("nope", ""):
        with pytest.raises(InputError) as error:
            recipes.get(name)
        assert str(error.value) == (
            f"Unknown recipe {name!r}, expected one of {', '.join(recipes.names())}."
        )


@pytest.mark.parametrize("name", SETS)
def test_four_stages_are_linked_as_in_the_paper(name):
    recipe = recipes.get(name)
    links = [(s.student.name, s.student.binarization, s.teacher) for s in recipe.stages]
    assert links == [
        ("resnet18", "real", None),
        ("real_to_binary18", "soft", 0),
        ("real_to_binary18", "binary_activations", 1),
        # Ours: the better teacher, of which nothing but logits is matched.
        ("real_to_binary18", "binary", 0 if name == "cifar100_small" else 2),
    ]
    assert recipe.stages[3].start_from == 2
    assert [s.losses.cross_entropy for s in recipe.stages] == [1.0] * 4
    assert [s.losses.attention > 0 for s in recipe.stages] == [False, True, True, False]
    assert [s.losses.logit_matching > 0 for s in recipe.stages] == [False] + [True] * 3
    assert [s.absorb_magnitude for s in recipe.stages] == [False] * 3 + [True]
    assert recipe.stages_needed(3) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet"])
def test_the_papers_first_three_stages_start_from_scratch(name):
    starts = [stage.start_from for stage in recipes.get(name).stages]
    assert starts == [None, None, None, 2]


@pytest.mark.parametrize("name", BASELINES)
def test_strong_baselines_have_two_stages_with_labels_only(name):
    recipe = recipes.get(name)
    assert [
        (s.student.name, s.student.binarization, s.teacher, s.start_from)
        for s in recipe.stages
    ] == [
        ("strong_baseline18", "binary_activations", None, None),
        ("strong_baseline18", "binary", None, 0),
    ]
    assert [s.losses for s in recipe.stages] == [recipes.Losses()] * 2
    assert recipe.stages_needed(1) == [0, 1]


@pytest.mark.parametrize("name", SETS)
def test_a_strong_baseline_differs_in_network_and_losses_only(name):
    chain, baseline = recipes.get(name), recipes.get(f"{name}/strong_baseline")
    assert baseline.data == chain.data
    for of_chain, of_baseline in zip(chain.stages[2:], baseline.stages, strict=True):
        with_gates = dataclasses.replace(of_baseline.student, name="real_to_binary18")
        assert with_gates == of_chain.student
        for field in ("optimizer", "batch_size", "augmentation"):
            of_both = getattr(of_baseline, field), getattr(of_chain, field)
            if (name, of_chain.start_from, field) == ("cifar100_small", 2, "optimizer"):
                # Ours: each at the rate that is better for it.
                assert [each.learning_rate for each in of_both] == [3e-3, 1e-3]
                of_both = (dataclasses.replace(e, learning_rate=1.0) for e in of_both)
            assert len({*of_both}) == 1


@pytest.mark.parametrize(
    "name, teachers", [("digits", 0), ("fashion_mnist", 0), ("cifar100_small", 1)]
)
def test_where_both_are_run_here_they_have_equal_epochs(name, teachers):
    """CIFAR-100's teacher is none of the students."""
    chain, baseline = recipes.get(name), recipes.get(f"{name}/strong_baseline")
    students = chain.stages[teachers:]
    assert sum(s.epochs for s in baseline.stages) == sum(s.epochs for s in students)


def test_half_the_width_has_the_same_teacher_and_settings():
    quarter, half = (
        recipes.get(name) for name in ("cifar100_small", "cifar100_small/half_width")
    )
    assert half.data == quarter.data
    first = dataclasses.replace(half.stages[0], expected=quarter.stages[0].expected)
    assert first == quarter.stages[0]  # trained once for both
    for narrow, wide in zip(quarter.stages[1:], half.stages[1:], strict=True):
        assert (narrow.student.width, wide.student.width) == (16, 32)
        # Of the first 16 or 32 channels, the same eight units.
        assert (narrow.student.reduction, wide.student.reduction) == (2, 4)
        alike = dataclasses.replace(wide, student=narrow.student, epochs=narrow.epochs)
        assert alike == dataclasses.replace(narrow, expected=wide.expected)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar100_small"])
def test_integers_go_on_with_the_last_network_at_a_lower_rate(name):
    chain, longer = recipes.get(name).stages, recipes.get(f"{name}/integers").stages
    assert longer[:-1] == chain
    last, added = (dataclasses.asdict(each) for each in (chain[-1], longer[-1]))
    assert added["optimizer"].pop("learning_rate") == 1e-4
    assert last["optimizer"].pop("learning_rate") > 1e-4
    assert last["student"].pop("real_layers") == "float"
    assert added["student"].pop("real_layers") == "integer"
    changed = {field for field in last if last[field] != added[field]}
    assert changed <= {"epochs", "start_from", "absorb_magnitude", "expected"}
    assert (added["start_from"], added["absorb_magnitude"]) == (3, False)


@pytest.mark.parametrize("name", recipes.names())
def test_binary_weights_have_no_decay_no_warm_up_and_no_jitter(name):
    """Sec. 4.1, whatever the other numbers of a recipe are."""
    for stage in recipes.get(name).stages:
        if stage.student.binarization == "binary":
            assert stage.optimizer.weight_decay == 0.0
            assert stage.schedule.warmup_epochs == 0
            assert stage.augmentation.color_jitter == 0.0
        else:
            # Where nothing is binary, a small set has a stronger one, ours.
            is_real = stage.student.binarization in ("real", "soft")
            ours = name.startswith("cifar100_small") and is_real
            assert stage.optimizer.weight_decay == (5e-4 if ours else 1e-5)
            assert stage.schedule.warmup_epochs > 0


@pytest.mark.parametrize("name", ["cifar100", "cifar100/strong_baseline"])
def test_the_last_stage_takes_over_the_weights_of_the_one_before(name):
    last = recipes.get(name).stages[-1]
    first = recipes.get(name).stages[last.start_from]
    source, target = (
        build_network(
            dataclasses.replace(stage.student, width=4, blocks=(1, 1)), (8, 8, 3), 10
        )
        for stage in (first, last)
    )
    hand_over(source, target)
    # 2 blocks of 2 binary convolutions.
    assert absorb_magnitude(target) == 4


def test_recipes_are_read_changed_and_printed_without_tensorflow():
    code = (
        "import sys; from r2b_keras import recipes\n"
        "for name in recipes.names():\n"
        "    overrides = ['stages.*.batch_size=2']\n"
        "    recipe = recipes.apply_overrides(recipes.get(name), overrides)\n"
        "    assert recipes.from_dict(recipes.to_dict(recipe)) == recipe\n"
        "    assert recipes.describe(recipe)\n"
        "for module in ('tensorflow', 'tf_keras', 'keras', 'larq', 'numpy'):\n"
        "    assert module not in sys.modules, module\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
