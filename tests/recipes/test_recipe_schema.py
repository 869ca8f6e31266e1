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


REFUSED = [
    (lambda: Optimizer("lion"), "optimizer.name is 'lion',"),
    (lambda: Optimizer(decay="l1"), "optimizer.decay is 'l1',"),
    (lambda: Optimizer(learning_rate=0.0), "optimizer.learning_rate is 0.0,"),
    (lambda: Optimizer(learning_rate=math.inf), "optimizer.learning_rate is inf,"),
    (lambda: Optimizer(weight_decay=-1e-5), "optimizer.weight_decay is -1e-05,"),
    (lambda: Optimizer(weight_decay=math.nan), "optimizer.weight_decay is nan,"),
    (lambda: Optimizer(momentum=1.0), "optimizer.momentum is 1.0,"),
    (lambda: Optimizer(clip_norm=-1.0), "optimizer.clip_norm is -1.0,"),
    (lambda: Losses(label_smoothing=1.0), "losses.label_smoothing is 1.0,"),
    *(
        (
            lambda tap=tap: Losses(taps=(tap,)),
            f"losses.taps is {tap!r}, expected STUDENT=TEACHER, two names of layers.",
        )
        for tap in ("block_1", "=block_1", "block_1=")
    ),
    *(
        (
            lambda text=text: Optimizer(groups=(text,)),
            f"optimizer.groups is {text!r}, expected PATTERN:RATE or "
            "PATTERN:RATE:DECAY, such as 'logits/*:10'.",
        )
        for text in ("logits", "logits:fast", ":1", "a:1:1:1", "")
    ),
    (
        lambda: Optimizer(groups=("a:-1",)),
        "A factor of optimizer.groups 'a:-1' is -1.0,",
    ),
    (
        lambda: Optimizer(groups=("a:nan",)),
        "A factor of optimizer.groups 'a:nan' is nan,",
    ),
    (lambda: Schedule("steps"), "schedule.kind is 'steps',"),
    (
        lambda: step(5, 5),
        "schedule.drop_epochs is (5, 5), expected positive, rising epochs.",
    ),
    (
        lambda: step(0, 5),
        "schedule.drop_epochs is (0, 5), expected positive, rising epochs.",
    ),
    (
        lambda: step(),
        "schedule.drop_epochs is (), expected epochs for the kind 'step' and none for "
        "any other.",
    ),
    (
        lambda: Schedule("cosine", drop_epochs=(5,)),
        "schedule.drop_epochs is (5,), expected epochs for the kind 'step' and none "
        "for any other.",
    ),
    (lambda: Schedule(drop_factor=0.0), "schedule.drop_factor is 0.0,"),
    (lambda: Schedule(drop_factor=10), "schedule.drop_factor is 10,"),
    (lambda: Schedule(final_fraction=1.5), "schedule.final_fraction is 1.5,"),
    (lambda: Schedule(warmup_epochs=-1), "schedule.warmup_epochs is -1,"),
    (lambda: Losses(cross_entropy=-1.0), "losses.cross_entropy is -1.0,"),
    (lambda: Losses(attention=-0.5), "losses.attention is -0.5,"),
    (lambda: Losses(logit_matching=math.nan), "losses.logit_matching is nan,"),
    (lambda: Losses(attention_form="l2"), "losses.attention_form is 'l2',"),
    (lambda: Losses(temperature=0.0), "losses.temperature is 0.0,"),
    (
        lambda: Losses(cross_entropy=0.0),
        "All weights of losses are 0, expected at least one above 0: there is nothing "
        "to train with.",
    ),
    (
        lambda: Expected(65.4, "paper"),
        "expected.top1 is 65.4, expected a fraction in (0, 1].",
    ),
    (lambda: Expected(0.654, ""), "expected.source is '', expected a source."),
    (
        lambda: Expected(0.9, "measured", low=0.91, high=0.95),
        "expected.low and high is (0.91, 0.95), expected fractions to both sides of "
        "0.9, or None twice.",
    ),
    (
        lambda: Expected(0.9, "measured", low=float("nan"), high=0.95),
        "expected.low and high is (nan, 0.95), expected fractions to both sides of "
        "0.9, or None twice.",
    ),
    (lambda: stage(epochs=0), "epochs is 0,"),
    (lambda: stage(batch_size=0), "batch_size is 0,"),
    (
        lambda: stage(losses=TAUGHT),
        "A stage has weights for attention or logit matching but no teacher: name the "
        "teacher's stage, or set both weights to 0.",
    ),
    (
        lambda: stage("binary", absorb_magnitude=True),
        "absorb_magnitude is true, expected false for a stage without start_from or "
        "with real weights: it is for a binary student that starts from real weights.",
    ),
    (
        lambda: stage(start_from=0, absorb_magnitude=True),
        "absorb_magnitude is true, expected false for a stage without start_from or "
        "with real weights: it is for a binary student that starts from real weights.",
    ),
    *(
        (
            lambda kind=kind: stage(
                student=network("binary", rescaling=kind),
                start_from=0,
                absorb_magnitude=True,
            ),
            f"absorb_magnitude is true, expected false for the rescaling '{kind}', "
            "which has no factor that could take over the size of the weights: set "
            "absorb_magnitude to false, or the rescaling of this stage and of those "
            "that it starts from to 'gate_and_scale' (Eq. 3).",
        )
        for kind in ("none", "gate")
    ),
    (
        lambda: recipe(
            stage("binary"), stage("binary", start_from=0, absorb_magnitude=True)
        ),
        "stages.1.absorb_magnitude is true, expected false: the weights of stage 0, "
        "which it starts from, are binary already, and its factors have their size.",
    ),
    (
        lambda: stage(schedule=Schedule(warmup_epochs=11)),
        "schedule.warmup_epochs is 11, expected at most the stage's 10 epochs.",
    ),
    (
        lambda: stage(schedule=step(5, 10)),
        "schedule.drop_epochs is (5, 10), expected all to be before the end of the "
        "stage at epoch 10.",
    ),
    (lambda: recipe(stage(), name=""), "name is '', expected a name."),
    (lambda: recipe(), "stages is (), expected at least one stage."),
    (
        lambda: recipe(stage(teacher=0)),
        "stages.0.teacher is 0, expected a file or none.",
    ),
    (
        lambda: recipe(stage(), stage(start_from=1)),
        "stages.1.start_from is 1, expected an earlier stage (0 to 0), a file or none.",
    ),
    (
        lambda: recipe(stage(), stage(), stage(teacher=-1)),
        "stages.2.teacher is -1, expected an earlier stage (0 to 1), a file or none.",
    ),
    (
        lambda: recipe(stage(), stage(student=network(width=16), start_from=0)),
        "stages.1.student.width is 16, expected 8 as in stage 0, its start_from: give "
        "both stages the same.",
    ),
    (
        lambda: recipe(
            stage(),
            stage(student=network(blocks=(2, 2)), teacher=0, losses=TAUGHT),
        ),
        "stages.1.student.blocks is (2, 2), expected (1, 1) as in stage 0, its "
        "teacher: give both stages the same.",
    ),
    (
        lambda: stage(student=Network("real_to_binary", "binary")),
        "Network.name is 'real_to_binary', expected one of resnet18, "
        "real_to_binary18, strong_baseline18; did you mean 'real_to_binary18'?",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_cannot_train_is_refused_in_one_sentence(make, message):
    with pytest.raises(InputError) as error:
        make()
    found = str(error.value)
    # Whole sentences are written out where they are not those of `r2b_keras.checks`.
    assert found.startswith(message) if message.endswith(",") else found == message


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
