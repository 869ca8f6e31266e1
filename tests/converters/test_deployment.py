"""From a trained network to a flatbuffer, its card and what is said of it."""

import dataclasses

import numpy as np
import pytest

from r2b_keras.converters import card, deployment, engines, sources, tflite_file
from r2b_keras.converters.real_weights import bytes_by_part


@pytest.fixture(scope="module")
def source(finished):
    return sources.from_workdir(finished[0], limit=50)


@pytest.fixture(scope="module")
def deployed(source):
    return deployment.deploy(source, real_weights="int8")


@pytest.mark.slow
def test_the_file_has_its_card(source, deployed):
    found = card.read(deployed.flatbuffer)
    network = found.network
    expected = dataclasses.replace(source.card, real_weights="int8", network=network)
    assert found == expected
    assert network == {**source.card.network, "blocks": [1, 1]}


@pytest.mark.slow
def test_operators_are_those_of_the_two_conversions(deployed):
    before, after = deployed.operators_before, deployed.operators
    assert after == tflite_file.count_operators(deployed.flatbuffer)
    assert before["LceBconv2d"] == after["LceBconv2d"] == 4
    # A BatchNorm before a sign and a gate is a MUL and an ADD, a threshold an ADD.
    assert before["MUL"] - after["MUL"] == 4 and before["ADD"] == after["ADD"]
    assert before["DEQUANTIZE"] == 0 < after["DEQUANTIZE"]


@pytest.mark.slow
def test_both_steps_are_verified(deployed):
    exact, small = deployed.verifications
    assert (exact.real_weights, small.real_weights) == ("float32", "int8")
    assert exact.num_images == small.num_images == 50
    assert exact.accepted
    assert exact.largest_difference < small.largest_difference
    assert deployed.accepted == small.accepted
    refused = dataclasses.replace(exact, agreement=0.5)
    for checks in ((refused, small), (exact, dataclasses.replace(small, agreement=0))):
        assert not dataclasses.replace(deployed, verifications=checks).accepted


@pytest.mark.slow
def test_the_text_has_all_numbers(deployed):
    lines = deployed.to_text().splitlines()
    words = [line.split() for line in lines]
    before, after = deployed.operators_before, deployed.operators
    for kind in before | after:
        assert [kind, str(before[kind]), str(after[kind])] in words
    assert ["total", str(before.total()), str(after.total())] in words
    parts = bytes_by_part(deployed.flatbuffer)
    assert sum(parts.values()) == len(deployed.flatbuffer)
    for part, size in [*parts.items(), ("total", len(deployed.flatbuffer))]:
        assert [*part.split(), f"{size:,}"] in words
    assert "real weights float32" in lines and "real weights int8" in lines
    assert sum(line in ("accepted", "REJECTED") for line in lines) == 2


@pytest.mark.slow
def test_without_simplification(source):
    plain = deployment.deploy(source, simplify=False)
    assert plain.operators == plain.operators_before
    (exact,) = plain.verifications
    assert plain.accepted and exact.agreement == 1.0
    assert card.read(plain.flatbuffer).real_weights == "float32"
    scores = engines.load(plain.flatbuffer).predict(source.images)
    expected = source.model.predict_on_batch(source.images)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())
