"""What a distiller cannot be made of: one sentence that says why."""

import pytest
from small_distillers import TAPS, student_network, taught
from small_networks import IMAGE_SHAPE, NUM_CLASSES

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import Distiller

layers = tf.keras.layers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"taps": ()}, "attention loss has a weight but no taps"),
        ({"taps": TAPS[:1]}, "1 taps and the teacher 2"),
        ({"teacher_taps": ["first"]}, "2 taps and the teacher 1"),
        ({"taps": ["tap_1", "tap_3"]}, "'student' has no layer named 'tap_3'"),
        ({"teacher_taps": None}, "'teacher' has no layer named 'tap_1'"),
        ({"taps": TAPS[::-1]}, r"'tap_2' of student.*\(None, 3, 4, 5\).*'first'"),
        ({"taps": ["tap_1", "dense"]}, r"'dense' of student.*expected taps \[B, H"),
        ({"student_logits": "tap_1"}, r"logits \[B, K\] of as many classes"),
        ({"teacher_logits": "logit"}, "'teacher' has no layer named 'logit'"),
        ({"logit_weight": -1.0}, "weight of logit_matching is -1.0"),
        ({"attention_weight": -0.5}, "weight of attention is -0.5"),
        ({"cross_entropy_weight": -2}, "weight of cross_entropy is -2"),
        ({"l2": -1e-5}, "weight of l2 is -1e-05"),
    ],
)
def test_what_does_not_fit_is_an_input_error(options, message):
    with pytest.raises(InputError, match=message):
        taught(**options)


@pytest.mark.parametrize("part", ["attention", "logit"])
def test_teachers_losses_need_a_teacher(part):
    with pytest.raises(InputError, match=f"loss {part}.*there is no teacher"):
        Distiller(student_network(), taps=TAPS, **{f"{part}_weight": 1.0})


def test_no_loss_at_all():
    with pytest.raises(InputError, match="All loss weights are 0"):
        Distiller(student_network(), cross_entropy_weight=0.0)


def test_teacher_of_other_classes():
    other = tf.keras.Model(
        (inputs := layers.Input(IMAGE_SHAPE)),
        layers.Dense(NUM_CLASSES + 1)(layers.Flatten()(inputs)),
    )
    with pytest.raises(InputError, match=r"\(None, 3\).*\(None, 4\).*as many classes"):
        Distiller(student_network(), other, logit_weight=1.0)


def test_unknown_attention_form():
    with pytest.raises(InputError, match="'cosine'"):
        taught(attention_form="cosine")


def test_temperature_that_is_not_positive():
    with pytest.raises(InputError, match="Temperature is 0"):
        taught(temperature=0.0)


def test_student_without_a_graph_of_layers():
    with pytest.raises(InputError, match="no graph of layers"):
        Distiller(tf.keras.Sequential([layers.Dense(3)]))


@pytest.mark.parametrize("name", ["loss", "metrics"])
def test_compile_refuses_what_it_would_not_use(name):
    distiller = Distiller(student_network())
    with pytest.raises(InputError, match=name):
        distiller.compile("adam", **{name: "mse"})
