"""What a recipe refuses, each with its sentence, and what its stages rest on."""

import dataclasses
import math

import pytest
from chains import SMALL, chain, network, recipe, stage

from r2b_keras.errors import InputError
from r2b_keras.networks import Network
from r2b_keras.recipes import Expected, Losses, Optimizer, Schedule

TAUGHT = Losses(attention=1.0)


def step(*epochs):
    return Schedule("step", drop_epochs=epochs)


def recipe_of_one(**fields):
    return recipe(stage(), **fields)


TINY, BIG = 5e-324, 1.7e308
ABOVE_1, BELOW_1 = math.nextafter(1, 2), math.nextafter(1, 0)
FROM_0_TO_1 = "a number from 0 to 1"
AT_LEAST_0 = "a number of at least 0"
POSITIVE = "a positive number"
BELOW = "a number of at least 0 and below 1"
COUNT = "a whole number of at least 1"
FORMS = "one of norm, squared_mean, max_normalised"
SCHEDULES = "one of constant, step, cosine, linear"

# What has the field, a refused value, the nearest right one, and what is expected.
FIELDS = [
    (Optimizer, "optimizer.name", "lion", "sgd", "one of adam, sgd"),
    (Optimizer, "optimizer.decay", "l1", "l2", "one of l2, decoupled"),
    (Optimizer, "optimizer.learning_rate", 0.0, TINY, POSITIVE),
    (Optimizer, "optimizer.learning_rate", math.inf, BIG, POSITIVE),
    (Optimizer, "optimizer.learning_rate", True, 1, POSITIVE),
    (Optimizer, "optimizer.weight_decay", -TINY, 0.0, AT_LEAST_0),
    (Optimizer, "optimizer.weight_decay", math.nan, BIG, AT_LEAST_0),
    (Optimizer, "optimizer.momentum", 1.0, BELOW_1, BELOW),
    (Optimizer, "optimizer.momentum", -TINY, 0, BELOW),
    (Optimizer, "optimizer.clip_norm", -TINY, 0, AT_LEAST_0),
    (Losses, "losses.label_smoothing", 1.0, BELOW_1, BELOW),
    (Losses, "losses.label_smoothing", -TINY, 0, BELOW),
    (Schedule, "schedule.kind", "steps", "linear", SCHEDULES),
    (Schedule, "schedule.drop_factor", 0.0, TINY, POSITIVE),
    (Schedule, "schedule.drop_factor", ABOVE_1, 1, FROM_0_TO_1),
    (Schedule, "schedule.final_fraction", ABOVE_1, 1, FROM_0_TO_1),
    (Schedule, "schedule.final_fraction", -TINY, 0, FROM_0_TO_1),
    (Schedule, "schedule.warmup_epochs", -TINY, 0, AT_LEAST_0),
    (Losses, "losses.cross_entropy", -TINY, TINY, AT_LEAST_0),
    (Losses, "losses.attention", -TINY, 0, AT_LEAST_0),
    (Losses, "losses.logit_matching", math.nan, 0.0, AT_LEAST_0),
    (Losses, "losses.attention_form", "l2", "squared_mean", FORMS),
    (Losses, "losses.temperature", 0.0, TINY, POSITIVE),
    (Losses, "losses.temperature", 1e6 + 1, 1e6, "a number from 0 to 1000000.0"),
    (stage, "epochs", 0, 1, COUNT),
    (stage, "epochs", 1.0, 1, COUNT),
    (stage, "epochs", 2**31, 2**31 - 1, "a whole number of at most 2147483647"),
    (stage, "batch_size", 0, 1, COUNT),
    (stage, "batch_size", True, 1, COUNT),
    (stage, "absorb_magnitude", 1, False, "true or false"),
    (recipe_of_one, "name", "", "x", "a name"),
    (recipe_of_one, "name", 5, "x", "a name"),
]


@pytest.mark.parametrize(("make", "field", "bad", "good", "expected"), FIELDS)
def test_fields_end_where_their_sentence_says(make, field, bad, good, expected):
    name = field.split(".")[-1]
    with pytest.raises(InputError) as error:
        make(**{name: bad})
    assert str(error.value) == f"{field} is {bad!r}, expected {expected}."
    make(**{name: good})


RISING = "expected positive, rising epochs."
FOR_STEPS = "expected epochs for the kind 'step' and none for any other."
BOTH_SIDES = "expected fractions to both sides of 0.9, or None twice."
TO_BINARY = (
    "absorb_magnitude is true, expected false for a stage without start_from or with "
    "real weights: it is for a binary student that starts from real weights."
)
EARLIER = "expected an earlier stage (0 to {}), a file or none."
GROUPS = "expected PATTERN:RATE or PATTERN:RATE:DECAY, such as 'logits/*:10'."


def measured(low, high):
    return Expected(0.9, "measured", low=low, high=high)


def grouped(text):
    return Optimizer(groups=(text,))


def absorbing(before="binary_activations", start_from=0, **student):
    """A recipe of two stages, whose second takes over the size of the weights."""
    second = stage(
        student=network("binary", **student),
        start_from=start_from,
        absorb_magnitude=True,
    )
    return recipe(stage(student=network(before, **student)), second)


def followed(**fields):
    """A stage, and one that goes on from it or listens to it."""
    return recipe(stage(), stage(**fields))


# What several fields say together: a wrong one, its sentence, the nearest right one.
TOGETHER = [
    *(
        (
            lambda tap=tap: Losses(taps=(tap,)),
            f"losses.taps is {tap!r}, expected STUDENT=TEACHER, two names of layers.",
            lambda: Losses(taps=("block_1=block_1",)),
        )
        for tap in ("block_1", "=block_1", "block_1=")
    ),
    *(
        (
            lambda bad=bad: grouped(bad),
            f"optimizer.groups is {bad!r}, {GROUPS}",
            lambda good=good: grouped(good),
        )
        for bad, good in (
            *(("logits", "logits:1"), ("logits:fast", "logits:10"), (":1", "*:1")),
            *(("a:1:1:1", "a:1:1"), ("", "a:1")),
        )
    ),
    *(
        (
            lambda bad=bad: grouped(bad),
            f"A factor of optimizer.groups {bad!r} is {value}, expected {AT_LEAST_0}.",
            lambda good=good: grouped(good),
        )
        for bad, value, good in (("a:-1", "-1.0", "a:0"), ("a:1:nan", "nan", "a:1:0"))
    ),
    (
        lambda: step(5, 5),
        f"schedule.drop_epochs is (5, 5), {RISING}",
        lambda: step(5, 6),
    ),
    (
        lambda: step(0, 5),
        f"schedule.drop_epochs is (0, 5), {RISING}",
        lambda: step(1, 5),
    ),
    (lambda: step(), f"schedule.drop_epochs is (), {FOR_STEPS}", lambda: step(1)),
    (
        lambda: Schedule("cosine", drop_epochs=(5,)),
        f"schedule.drop_epochs is (5,), {FOR_STEPS}",
        lambda: Schedule("cosine", drop_epochs=()),
    ),
    (
        lambda: Losses(cross_entropy=0.0),
        "All weights of losses are 0, expected at least one above 0: there is nothing "
        "to train with.",
        lambda: Losses(cross_entropy=0.0, logit_matching=TINY),
    ),
    (
        lambda: Expected(ABOVE_1, "paper"),
        f"expected.top1 is {ABOVE_1}, expected a fraction in (0, 1].",
        lambda: Expected(1.0, "paper"),
    ),
    (
        lambda: Expected(0.0, "paper"),
        "expected.top1 is 0.0, expected a fraction in (0, 1].",
        lambda: Expected(TINY, "paper"),
    ),
    (
        lambda: Expected(0.654, ""),
        "expected.source is '', expected a source.",
        lambda: Expected(0.654, "x"),
    ),
    *(
        (
            lambda ends=ends: measured(*ends),
            f"expected.low and high is {ends}, {BOTH_SIDES}",
            lambda: measured(0.9, 0.9),
        )
        for ends in ((0.91, 0.95), (0.85, 0.89), (math.nan, 0.95), (0.9, None))
    ),
    (
        lambda: stage(losses=TAUGHT),
        "A stage has weights for attention or logit matching but no teacher: name the "
        "teacher's stage, or set both weights to 0.",
        lambda: stage(losses=TAUGHT, teacher=0),
    ),
    (lambda: absorbing(start_from=None), TO_BINARY, absorbing),
    (
        lambda: stage(start_from=0, absorb_magnitude=True),
        TO_BINARY,
        lambda: stage("binary", start_from=0, absorb_magnitude=True),
    ),
    *(
        (
            lambda kind=kind: absorbing(rescaling=kind),
            f"absorb_magnitude is true, expected false for the rescaling '{kind}', "
            "which has no factor that could take over the size of the weights: set "
            "absorb_magnitude to false, or the rescaling of this stage and of those "
            "that it starts from to 'gate_and_scale' (Eq. 3).",
            lambda: absorbing(rescaling="channel_scale"),
        )
        for kind in ("none", "gate")
    ),
    (
        lambda: absorbing("binary"),
        "stages.1.absorb_magnitude is true, expected false: the weights of stage 0, "
        "which it starts from, are binary already, and its factors have their size.",
        lambda: absorbing("soft"),
    ),
    (
        lambda: stage(schedule=Schedule(warmup_epochs=10.5)),
        "schedule.warmup_epochs is 10.5, expected at most the stage's 10 epochs.",
        lambda: stage(schedule=Schedule(warmup_epochs=10)),
    ),
    (
        lambda: stage(schedule=step(5, 10)),
        "schedule.drop_epochs is (5, 10), expected all to be before the end of the "
        "stage at epoch 10.",
        lambda: stage(schedule=step(5, 9)),
    ),
    (
        lambda: recipe(),
        "stages is (), expected at least one stage.",
        lambda: recipe(stage()),
    ),
    (
        lambda: recipe(stage(teacher=0)),
        "stages.0.teacher is 0, expected a file or none.",
        lambda: recipe(stage(teacher=None)),
    ),
    (
        lambda: followed(start_from=1),
        f"stages.1.start_from is 1, {EARLIER.format(0)}",
        lambda: followed(start_from=0),
    ),
    (
        lambda: recipe(stage(), stage(), stage(teacher=-1)),
        f"stages.2.teacher is -1, {EARLIER.format(1)}",
        lambda: recipe(stage(), stage(), stage(teacher=1)),
    ),
    (
        lambda: followed(teacher=False),
        f"stages.1.teacher is False, {EARLIER.format(0)}",
        lambda: followed(teacher=0),
    ),
    (
        lambda: followed(student=network(width=16), start_from=0),
        "stages.1.student.width is 16, expected 8 as in stage 0, its start_from: give "
        "both stages the same.",
        lambda: followed(student=network(width=8), start_from=0),
    ),
    (
        lambda: followed(student=network(blocks=(2, 2)), teacher=0, losses=TAUGHT),
        "stages.1.student.blocks is (2, 2), expected (1, 1) as in stage 0, its "
        "teacher: give both stages the same.",
        lambda: followed(student=network(width=16), teacher=0, losses=TAUGHT),
    ),
    (
        lambda: Network("real_to_binary", "binary"),
        "Network.name is 'real_to_binary', expected one of resnet18, "
        "real_to_binary18, strong_baseline18; did you mean 'real_to_binary18'?",
        lambda: Network("real_to_binary18", "binary"),
    ),
]


@pytest.mark.parametrize(("make", "message", "make_right"), TOGETHER)
def test_what_cannot_train_is_refused_in_one_sentence(make, message, make_right):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value) == message
    make_right()


def test_everything_in_a_recipe_is_frozen():
    whole = chain()
    first = whole.stages[0]
    for value in (whole, first, first.optimizer, first.schedule, first.losses):
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_a_teacher_may_be_wider_and_taught_by_logits_it_may_be_deeper():
    wide = stage("real", student=network("real", width=32))
    deep = stage("real", student=network("real", blocks=(2, 2)))
    recipe(wide, stage(teacher=0, losses=TAUGHT))
    recipe(deep, stage(teacher=0, losses=Losses(logit_matching=1.0)))


LINKS = [
    (network(), network(rescaling="gate_and_scale"), None),
    (network(), Network("strong_baseline18", "binary", **SMALL), "rescaling"),
    (network(rescaling="gate"), network(rescaling="gate_and_scale"), "rescaling"),
    (network(), network(reduction=4), "reduction"),
    (network(rescaling="none"), network(rescaling="none", reduction=4), None),
    (network("real"), network("binary"), "name"),
    (network("real"), network("binary", rescaling="none"), "name"),
    # What a real ResNet ignores makes no difference.
    (network("real", rescaling="gate"), network("real", downsample="binary"), None),
]


@pytest.mark.parametrize(("first", "then", "field"), LINKS)
def test_weights_are_handed_over_between_equal_layouts(first, then, field):
    stages = stage(student=first), stage(student=then, start_from=0)
    if field is None:
        recipe(*stages)
        return
    with pytest.raises(InputError, match=rf"stages\.1\.student\.{field} is"):
        recipe(*stages)


def test_what_is_empty_is_named_as_it_is_filled_in():
    baseline = Network("strong_baseline18", "binary", **SMALL)
    with pytest.raises(InputError) as error:
        recipe(stage(student=baseline), stage("binary", start_from=0))
    assert str(error.value) == (
        "stages.1.student.rescaling is 'gate_and_scale', expected 'channel_scale' as "
        "in stage 0, its start_from: give both stages the same."
    )


@pytest.mark.parametrize(
    ("number", "needed"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 1, 2, 3])]
)
def test_a_stage_rests_on_its_teachers_teachers(number, needed):
    assert chain().stages_needed(number) == needed


def test_stages_that_nothing_rests_on_are_not_needed():
    logits = Losses(logit_matching=1.0)
    forked = recipe(
        stage("real"),
        stage(),
        stage(teacher=0, losses=logits),
        stage("binary", start_from=1),
        stage("binary", start_from=2, teacher=0, losses=logits),
    )
    assert forked.stages_needed(3) == [1, 3]
    assert forked.stages_needed(4) == [0, 2, 4]


def test_a_teacher_without_a_loss_is_not_needed():
    assert recipe(stage(), stage(teacher=0)).stages_needed(1) == [1]


def test_a_deeper_teacher_needs_taps():
    def taught(*taps):
        deep = dataclasses.replace(stage().student, blocks=(3, 3))
        losses = Losses(attention=1.0, taps=taps)
        student = dataclasses.replace(deep, blocks=(2, 2))
        return recipe(
            stage(student=deep), stage(student=student, teacher=0, losses=losses)
        )

    with pytest.raises(InputError, match="student.blocks is"):
        taught()
    pairs = taught("block_2=block_3", "block_4=block_6").stages[1].losses.tap_pairs
    assert pairs == [("block_2", "block_3"), ("block_4", "block_6")]
