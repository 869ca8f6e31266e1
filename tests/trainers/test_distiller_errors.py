"""What a distiller cannot be made of: one sentence that says why."""

import pytest
from small_distillers import TAPS, student_network, taught
from small_networks import IMAGE_SHAPE, NUM_CLASSES

from r2b_keras.converters import convert
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import Distiller

layers = tf.keras.layers


def keras_3_model():
    """As Keras 3 has it, without the seconds that its import takes."""
    kind = type("Functional", (), {"__module__": "keras.src.models.functional"})
    return type("Functional", (kind,), {})()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            keras_3_model(),
            "is a model of Keras 3 .Functional., expected one of Keras 2",
        ),
        ("model.keras", "is of the type str, expected a Keras model"),
        (None, "is of the type NoneType, expected a Keras model"),
    ],
)
def test_what_is_no_model_of_keras_2(model, words):
    with pytest.raises(InputError, match=f"The student {words}"):
        Distiller(model)
    with pytest.raises(InputError, match=f"The model {words}"):
        convert(model)
    if model is not None:
        with pytest.raises(InputError, match=f"The teacher {words}"):
            Distiller(student_network(), model, logit_weight=1.0)


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
        ({"logit_weight": -1.0}, "logit_weight is -1.0, expected a number of"),
        ({"attention_weight": -0.5}, "attention_weight is -0.5, expected a number of"),
        ({"cross_entropy_weight": -2}, "cross_entropy_weight is -2, expected a number"),
        ({"label_smoothing": 1}, "label_smoothing is 1, expected a number of"),
        ({"attention_form": "cosine"}, "attention_form is 'cosine', expected one of"),
        ({"temperature": 0.0}, "temperature is 0.0, expected a positive number"),
        ({"l2": -1e-5}, "l2 is -1e-05, expected a number of at least 0"),
    ],
)
def test_what_does_not_fit_is_an_input_error(options, message):
    with pytest.raises(InputError, match=message):
        taught(**options)


@pytest.mark.parametrize("part", ["attention", "logit"])
def test_teachers_losses_need_a_teacher(part):
    with pytest.raises(InputError, match=f"loss {part}.*there is no teacher"):
        taps = TAPS if part == "attention" else ()
        Distiller(student_network(), taps=taps, **{f"{part}_weight": 1.0})


def test_a_teacher_to_whom_no_loss_listens():
    """Else the student would be trained with labels alone, without a word."""
    with pytest.raises(InputError, match="a teacher but no loss that listens to it: g"):
        Distiller(student_network(), student_network())
    with pytest.raises(InputError, match="taps tap_1, tap_2 but attention_weight is 0"):
        Distiller(student_network(), student_network(), TAPS, logit_weight=1.0)


def test_no_loss_at_all():
    with pytest.raises(InputError, match="All weights of losses are 0"):
        Distiller(student_network(), cross_entropy_weight=0.0)


def test_teacher_of_other_classes():
    other = tf.keras.Model(
        (inputs := layers.Input(IMAGE_SHAPE)),
        layers.Dense(NUM_CLASSES + 1)(layers.Flatten()(inputs)),
    )
    with pytest.raises(InputError, match=r"\(None, 3\).*\(None, 4\).*as many classes"):
        Distiller(student_network(), other, logit_weight=1.0)


def test_student_without_a_graph_of_layers():
    with pytest.raises(InputError, match="no graph of layers"):
        Distiller(tf.keras.Sequential([layers.Dense(3)]))


@pytest.mark.parametrize("name", ["loss", "metrics"])
def test_compile_refuses_what_it_would_not_use(name):
    distiller = Distiller(student_network())
    with pytest.raises(InputError, match=name):
        distiller.compile("adam", **{name: "mse"})


def ending(*last, name="probable"):
    """Two layers of weights and what is put after them."""
    first = [layers.Input(IMAGE_SHAPE), layers.Flatten(), layers.Dense(5)]
    return tf.keras.Sequential([*first, *last], name=name)


def dense(activation=None, name="scores"):
    return layers.Dense(NUM_CLASSES, activation, name=name)


def functional(function):
    """A function of TensorFlow on Keras tensors, which becomes a layer."""
    logits = ending(dense())
    return tf.keras.Model(logits.inputs, function(logits.output), name="probable")


class OwnSoftmax(layers.Dense):
    def call(self, inputs):
        return tf.nn.softmax(super().call(inputs))


SQUASHED = [
    (lambda: ending(dense("softmax")), "softmax", "scores"),
    (lambda: ending(dense("sigmoid")), "sigmoid", "scores"),
    (lambda: ending(dense("hard_sigmoid")), "hard_sigmoid", "scores"),
    (lambda: ending(dense("tanh")), "tanh", "scores"),
    (lambda: ending(dense(tf.nn.softmax)), "softmax", "scores"),
    (lambda: ending(dense(), layers.Softmax(name="p")), "softmax", "p"),
    (lambda: ending(dense(), layers.Activation("softmax", name="p")), "softmax", "p"),
    (
        lambda: ending(
            dense("softmax"),
            layers.Activation("linear", dtype="float32"),
            layers.Reshape([NUM_CLASSES]),
            layers.Dropout(0.1),
        ),
        "softmax",
        "scores",
    ),
    (lambda: ending(ending_of_five("softmax")), "softmax", "inner_scores"),
    (lambda: functional(tf.nn.softmax), "softmax", "tf.nn.softmax"),
    (
        lambda: ending(dense(), layers.Lambda(lambda x: tf.nn.softmax(x), name="p")),
        "softmax",
        "p",
    ),
    (lambda: ending(OwnSoftmax(NUM_CLASSES, name="p")), "softmax", "p"),
    (
        lambda: functional(lambda x: tf.cast(tf.sigmoid(x), tf.float32)),
        "sigmoid",
        "tf.math.sigmoid",
    ),
]


def ending_of_five(activation):
    last = dense(activation, name="inner_scores")
    return tf.keras.Sequential([layers.Input([5]), last], name="inner")


@pytest.mark.parametrize(("make", "function", "layer"), SQUASHED)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_probabilities_are_not_taken_for_logits(make, function, layer, role):
    networks = {"student": student_network(), "teacher": student_network()}
    networks[role] = make()
    with pytest.raises(InputError) as error:
        Distiller(**networks, logit_weight=1.0)
    assert f"The {role} 'probable' ends in the {function} of its layer" in str(
        error.value
    )
    assert f"'{layer}" in str(error.value)
    assert f"with {role}_logits=" in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ending(dense()),
        lambda: ending(dense(), layers.Activation("linear")),
        lambda: ending(dense(), layers.Activation("log_softmax")),
        lambda: ending(layers.Activation("softmax"), dense()),
        lambda: functional(lambda x: 3.0 * tf.nn.softmax(x)),
        lambda: ending(dense(), layers.Lambda(lambda x: x * 2)),
        lambda: ending(ending_of_five(None)),
    ],
)
def test_logits_are_taken(make):
    Distiller(make(), make(), logit_weight=1.0)


def test_a_layer_that_is_named_must_give_logits_too():
    network = ending(dense(), layers.Softmax(name="p"), layers.Dropout(0.5))
    Distiller(network, student_logits="scores")
    with pytest.raises(InputError, match="softmax of its layer 'p'"):
        Distiller(network, student_logits="p")


def test_probabilities_of_a_teacher_whose_logits_are_not_matched():
    teacher = student_network()
    softmax = layers.Softmax()(teacher.output)
    teacher = tf.keras.Model(teacher.inputs, softmax)
    Distiller(student_network(), teacher, taps=TAPS, attention_weight=1.0)


def test_one_number_for_each_image_is_refused():
    """Its cross-entropy would be 0, whatever the label."""
    one = ending(layers.Dense(1, "sigmoid"))
    with pytest.raises(InputError, match="student 'probable' gives one number"):
        Distiller(one)


def test_a_loss_that_is_a_tensor_of_the_students_graph():
    student = student_network()
    student.add_loss(tf.reduce_mean(student.output))
    with pytest.raises(InputError, match="was given a loss as a tensor"):
        Distiller(student)
