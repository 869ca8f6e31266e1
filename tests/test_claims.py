"""The rule of all claims, worked out by hand, and its file."""

import math

import pytest

from r2b_keras import claims
from r2b_keras.claims import Claim
from r2b_keras.errors import InputError

# Of Student's t with 4 and 9 degrees of freedom, 0.5 % lie above these (tables).
T4, T9 = 4.6041, 3.2498


def claim(**changes):
    values = {"claim": "a: b", "value": 0.9, "low": 0.8, "high": 0.95}
    values |= {"seeds": 5, "runs": 1, "command": "python -m x --y=1,2"}
    return Claim(**{**values, **changes})


@pytest.mark.parametrize(
    ("values", "runs", "t"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1, T4),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 5, T4),
        ([1.0, 2.0, 3.0, 4.0, 5.0] * 2, 1, T9),
    ],
)
def test_interval_of_new_runs(values, runs, t):
    # The squared distances to the mean 3 sum to 10 for five values.
    deviation = math.sqrt(2 * len(values) / (len(values) - 1))
    half = t * deviation * math.sqrt(1 / len(values) + 1 / runs)
    low, high = claims.interval(values, runs, unit=0.001)
    assert (low, high) == pytest.approx((3 - half, 3 + half), abs=2e-4)


def test_an_interval_is_at_least_a_unit_to_either_side():
    found = claims.interval([0.5] * 5, 1, unit=1 / 359)
    assert found == pytest.approx((0.5 - 1 / 359, 0.5 + 1 / 359), rel=1e-12)


def test_both_ends_belong_to_the_interval():
    words = {0.8: "as claimed", 0.95: "as claimed", 0.8 - 2e-9: "below"}
    words |= {0.95 + 2e-9: "above", 0.0: "below", 1.0: "above", 0.9: "as claimed"}
    assert {value: claims.place(value, 0.8, 0.95) for value in words} == words
    assert claims.place(math.nan, 0.8, 0.95) == "below"


@pytest.mark.parametrize(
    "changes",
    [
        *({"seeds": 4}, {"runs": 0}, {"low": 0.91}, {"high": 0.89}),
        *({"low": -math.inf}, {"high": math.inf}, {"low": math.nan}),
    ],
)
def test_what_is_no_claim(changes):
    with pytest.raises(InputError, match="'a: b' has"):
        claim(**changes)


def test_claims_come_back_as_they_were(tmp_path):
    path = tmp_path / "claims.csv"
    first, second = claim(), claim(claim="c", value=1 / 3, low=-0.1, seeds=10, runs=5)
    claims.write(path, [first, second])
    assert claims.read(path) == {"a: b": first, "c": second}
    head = path.read_text().splitlines()[0]
    assert head == "claim,value,low,high,seeds,runs,command"
    claims.write(path, [])
    assert claims.read(path) == {}


def test_what_is_no_table_of_claims(tmp_path):
    path = tmp_path / "claims.csv"
    with pytest.raises(InputError, match="There is no file .*claims.csv"):
        claims.read(path)
    for text in (
        "a,b\n1,2\n",
        "claim,value,low,high,seeds,runs,command\na,0.1,x,1,5,1,c\n",
    ):
        path.write_text(text)
        with pytest.raises(InputError, match="claims.csv is no table of claims"):
            claims.read(path)
