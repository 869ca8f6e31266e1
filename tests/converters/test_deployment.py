"""From a trained network to a flatbuffer, its card and what is said of it."""

import dataclasses
import json

import numpy as np
import pytest

from r2b_keras.converters import (
    card,
    deployment,
    engines,
    rounded_verification,
    sources,
    tflite_file,
)
from r2b_keras.converters.real_weights import bytes_by_part
from r2b_keras.errors import InputError
from r2b_runtime import model_file


@pytest.fixture(scope="module")
def source(finished):
    return sources.from_workdir(finished[0], limit=50)


@pytest.fixture(scope="module")
def deployed(source):
    return deployment.deploy(source, real_weights="int8")


@pytest.fixture(scope="module")
def plain(source):
    return deployment.deploy(source)


def test_the_file_has_its_card(source, deployed):
    """As the commands read it, and as a board does."""
    described = dataclasses.asdict(source.card) | {"real_weights": "int8"}
    # JSON has lists for the tuples in the network's options.
    described["network"] = json.loads(json.dumps(source.card.network))
    assert described["network"]["blocks"] == [1, 1]
    for read in (card.read, model_file.read_card):
        assert dataclasses.asdict(read(deployed.flatbuffer)) == described


def test_both_steps_are_verified_in_every_engine(deployed):
    names = list(engines.names_for(deployed.flatbuffer))
    assert len(names) == 5 and names[-1] == "r2b_runtime" and deployed.unable == ()
    checks = deployed.verifications
    assert [(check.real_weights, check.engine) for check in checks] == [
        (kind, name) for kind in ("float32", "int8") for name in names
    ]
    for exact, small in zip(checks[:5], checks[5:], strict=True):
        assert exact.num_images == small.num_images == 50
        assert exact.accepted
        assert exact.largest_difference < small.largest_difference
    accepted = [
        dataclasses.replace(check, problem=None) if check in checks[5:] else check
        for check in checks
    ]
    assert dataclasses.replace(deployed, verifications=accepted).accepted
    refused = (
        dataclasses.replace(checks[0], num_different=1, differences=()),
        dataclasses.replace(checks[-1], problem="wrong"),
    )
    for check in refused:
        verifications = (*accepted, check)
        assert not dataclasses.replace(deployed, verifications=verifications).accepted


def test_rounded_files_are_judged_by_the_known_classes(source, monkeypatch):
    """By a bound that no file keeps."""
    monkeypatch.setattr(rounded_verification, "MOST_ACCURACY", -2.0)
    monkeypatch.setattr(engines, "names_for", lambda flatbuffer: ("r2b_runtime",))
    unknown, known = (
        deployment.deploy(given, real_weights="float16").verifications[-1]
        for given in (dataclasses.replace(source, labels=None), source)
    )
    assert unknown.accepted
    assert known.problem.startswith("of 50 images rounding spoils 0 right answers")


def test_an_engine_that_does_not_load_the_file_is_named(source, plain, monkeypatch):
    load = engines.load

    def converted(model, normalisation):
        return tflite_file.parse(plain.flatbuffer)

    monkeypatch.setattr(deployment.flatbuffer, "to_tables", converted)

    def refusing(flatbuffer, name=None, *rest):
        if name != "r2b_runtime":
            raise InputError(f"{name} refuses.")
        return load(flatbuffer, name, *rest)

    monkeypatch.setattr(deployment.engines, "load", refusing)
    found = deployment.deploy(source)
    assert [check.engine for check in found.verifications] == ["r2b_runtime"]
    assert found.unable[0] == "lce refuses." and len(found.unable) == 4
    assert found.accepted and found.to_text().endswith("lce_reference refuses.")
    monkeypatch.setattr(deployment.engines, "names_for", lambda flatbuffer: ("lce",))
    with pytest.raises(InputError, match="lce refuses"):
        deployment.deploy(source)


def test_the_text_has_all_numbers(deployed):
    lines = deployed.to_text().splitlines()
    words = [line.split() for line in lines]
    counts = tflite_file.count_operators(deployed.flatbuffer)
    assert deployed.operators == counts
    assert counts["LceBconv2d"] == 4 and counts["DEQUANTIZE"] > 0
    for kind, count in [*counts.items(), ("total", counts.total())]:
        assert [kind, str(count)] in words
    parts = bytes_by_part(deployed.flatbuffer)
    assert sum(parts.values()) == len(deployed.flatbuffer)
    for part, size in [*parts.items(), ("total", len(deployed.flatbuffer))]:
        assert [*part.split(), f"{size:,}"] in words
    assert "real weights float32" in lines and "real weights int8" in lines
    assert (
        sum(line == "accepted" or line.startswith("REJECTED") for line in lines) == 10
    )


def test_float32_is_one_step(source, plain):
    assert plain.accepted
    assert {check.agreement for check in plain.verifications} == {1.0}
    assert card.read(plain.flatbuffer).real_weights == "float32"
    scores = engines.load(plain.flatbuffer).predict(source.images)
    expected = source.model.predict_on_batch(source.images)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())
