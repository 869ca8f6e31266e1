"""Scores of a file, held against those of Keras: what rounding may leave apart."""

import numpy as np
import pytest

from r2b_keras.converters import score_comparison, verification
from r2b_keras.errors import InputError

NUM_CLASSES = 4


def scores(num, largest=1024.0):
    """Class 1 is the best one by far, class 0 the last."""
    found = np.zeros((num, NUM_CLASSES), np.float32)
    found[:, 1] = largest
    found[:, 2] = largest / 2
    return found


def test_the_tolerance_is_a_share_of_the_image_s_largest_score():
    """1e-4 of 1024, to the last digit of float32, whatever its sign."""
    limit = np.float32(1e-4 * 1024)
    while float(limit) > 1e-4 * 1024:
        limit = np.nextafter(limit, np.float32(0))
    for value, within in (
        (limit, True),
        (-limit, True),
        (np.nextafter(limit, np.float32(1)), False),
        (-np.nextafter(limit, np.float32(1)), False),
    ):
        for sign in (1, -1):
            converted = sign * scores(3)
            converted[2, 0] = value
            found = score_comparison.differs(sign * scores(3), converted)
            np.testing.assert_array_equal(found, [False, False, not within])


@pytest.mark.parametrize("masked", [-1e9, 1e6])
def test_a_class_that_is_masked_hides_no_other(masked):
    """Its score is the largest of all, and rounded as nothing else is."""
    generator = np.random.default_rng(0)
    expected = generator.normal(size=(20, NUM_CLASSES)).astype(np.float32)
    expected[:, 3] += np.float32(masked)
    near, wrong, wrong_there = (expected.copy() for _ in range(3))
    near *= 1 + np.float32(1e-6)
    wrong[:, :3] *= -1
    wrong_there[:, 3] *= 1.001
    assert not score_comparison.differs(expected, near).any()
    assert score_comparison.differs(expected, wrong).all()
    assert score_comparison.differs(expected, wrong_there).all()


def test_probabilities_that_are_nearly_1_are_no_mask():
    """Those of other classes have its rounding, which is of the sum of all."""
    expected = np.full((5, NUM_CLASSES), 1e-6, np.float32)
    expected[:, 0] -= np.arange(5, dtype=np.float32) * 1e-7
    expected[:, 1] = 1 - expected[:, [0, 2, 3]].sum(axis=1)
    near = expected * (1 + np.float32(1e-3) * (expected < 0.5))
    assert not score_comparison.differs(expected, near).any()


@pytest.mark.parametrize(("factor", "within"), [(1.0019, True), (1.0021, False)])
def test_the_logarithm_of_a_probability_has_the_tolerance_of_a_logit(factor, within):
    """1e-4 of a logit of -20 is 0.2 % of the probability that it becomes."""
    expected = np.tile(np.exp(np.float32([0, -15, -20])), (3, 1))
    for change in (factor, 1 / factor):
        converted = expected.copy()
        converted[1, 2] *= np.float32(change)
        found = score_comparison.differs(expected, converted)
        np.testing.assert_array_equal(found, [False, not within, False])


def test_probabilities_too_small_for_32_bits_are_0():
    expected = np.float32([[0.5, 0.5, 1e-39]])
    for value, within in ((0, True), (1e-38, True), (2e-38, False)):
        converted = np.float32([[0.5, 0.5, value]])
        assert score_comparison.differs(expected, converted) == [not within]


def test_of_a_sigmoid_near_1_nothing_is_left_but_its_rounding():
    """What 1 is more has steps of 6e-8; a small one has all its digits."""

    def of(*ones):
        ones = np.float32(ones)
        return np.stack([1 - ones, ones], axis=1)

    expected = of(1e-9, 1 - 1e-6)
    near, wrong = of(1.001e-9, 1 - 1.2e-6), of(1.01e-9, 1 - 2e-6)
    assert not score_comparison.differs(expected, near).any()
    assert score_comparison.differs(expected, wrong).all()


@pytest.mark.parametrize(("unlike", "refused"), [(3, False), (5, False), (6, True)])
def test_a_network_that_is_two_is_refused(unlike, refused):
    """In a graph and layer by layer; few images may be so by rounding."""
    scores = {"difference": 0.05, "keras_class": 1, "flatbuffer_class": 2}
    found = [
        verification.Difference(
            number,
            **scores,
            num_decisions=int(number >= unlike),
            layer="second",
            margin=1e-7,
            remaining=0,
            explained=True,
        )
        for number in range(10)
    ]
    if not refused:
        verification._require_one_network(found, 10)
        return
    with pytest.raises(InputError, match="^Keras itself gives 6 of 10 images other"):
        verification._require_one_network(found, 10)


def test_images_that_differ_and_were_not_followed_are_not_accepted():
    known = dict(engine="lce", num_images=2, agreement=1.0, differences=())
    known |= dict(largest_difference=1.0, largest_score=1.0)
    assert verification.Verification(**known, num_different=0).accepted
    assert not verification.Verification(**known, num_different=1).accepted


def test_an_image_without_large_scores_has_the_tolerance_of_all():
    """Root mean square of 1024, 512, 0, 0 and of zeros: 405 over two images."""
    expected = np.concatenate([scores(1), np.zeros((1, 4), np.float32)])
    rms = np.sqrt((1024**2 + 512**2) / 8)
    for share, within in ((0.99, True), (1.01, False)):
        converted = expected.copy()
        converted[1, 3] = share * score_comparison.ROUNDING * rms
        assert list(score_comparison.differs(expected, converted)) == [
            False,
            not within,
        ]
    nothing = np.zeros((1, 4))
    assert not score_comparison.differs(nothing, nothing).any()
    assert score_comparison.differs(nothing, np.full((1, 4), 1e-20)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_scores_that_are_no_numbers_differ(value, column):
    converted = scores(3)
    converted[1, column] = value
    found = score_comparison.differs(scores(3), converted)
    np.testing.assert_array_equal(found, [False, True, False])


def test_agreement_of_best_classes():
    converted = scores(10)
    converted[:3, 0] = 2000
    assert score_comparison.agreement(scores(10), converted) == 0.7
