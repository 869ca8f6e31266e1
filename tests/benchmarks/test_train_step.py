"""The comparison of training steps: who takes turns, in which order."""

import pytest


@pytest.fixture(scope="module")
def train_step(load):
    return load("train_step")


def test_another_one_is_first_in_every_round(train_step):
    order = []

    def turn(name):
        def take():
            order.append(name)
            return f"{name}{len(order)}"

        return take

    found = train_step.take_turns([turn("a"), turn("b"), turn("c")], 4)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    # What each has measured is in its own place.
    assert found == [
        ("a1", "b2", "c3"),
        ("a6", "b4", "c5"),
        ("a8", "b9", "c7"),
        ("a10", "b11", "c12"),
    ]
