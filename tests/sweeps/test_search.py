"""Which process of a sweep this is, by Keras Tuner's variables."""

import pytest

from r2b_keras.errors import InputError
from r2b_keras.sweeps.search import Process, this_process

IP, PORT, ID = (
    "KERASTUNER_ORACLE_IP",
    "KERASTUNER_ORACLE_PORT",
    "KERASTUNER_TUNER_ID",
)


@pytest.mark.parametrize(
    ("environment", "process"),
    [
        ({}, Process("alone", "tuner0")),
        ({ID: "tuner7"}, Process("alone", "tuner7")),
        ({IP: "a", PORT: "1", ID: "chief"}, Process("chief", "chief", "a:1")),
        ({IP: "a", PORT: "1", ID: "my_chief"}, Process("chief", "chief", "a:1")),
        ({IP: "a", PORT: "1", ID: "tuner1"}, Process("worker", "tuner1", "a:1")),
    ],
)
def test_roles(environment, process):
    assert this_process(environment) == process


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({IP: "a", ID: "chief"}, f"{PORT} is not"),
        ({IP: "a", PORT: "1"}, f"{ID} is not"),
        ({IP: "a", PORT: "1", ID: ""}, f"{ID} is not"),
        ({ID: "rack/1"}, "'rack/1', expected a name without '/'"),
        ({IP: "a", PORT: "http", ID: "chief"}, "'http', expected a number"),
    ],
)
def test_variables_that_are_missing(environment, words):
    with pytest.raises(InputError, match=words):
        this_process(environment)
