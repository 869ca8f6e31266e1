"""scikit-learn's digits: the split, the pixels, the shapes."""

import numpy as np
import pytest
from image_samples import read_all
from sklearn.datasets import load_digits

from r2b_keras.data import DataConfig, load
from r2b_keras.errors import InputError


def digits(shape=(8, 8, 1), **changes):
    channels = shape[2]
    config = DataConfig("digits", shape, (0.0,) * channels, (1.0,) * channels, 143)
    return load(config, **changes)


def test_parts_are_stratified_and_complete():
    dataset = digits()
    assert dataset.class_names == tuple("0123456789")
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (
        *(1295, 143),
        359,
    )
    examples = [dataset._train, dataset._validation, dataset._test]
    images = np.concatenate([part.images[part.rows] for part in examples])[..., 0]
    original = np.round(load_digits().images * 255 / 16)
    assert sorted(map(bytes, images)) == sorted(map(bytes, original.astype(np.uint8)))
    for part, size in zip(examples, (1295, 143, 359), strict=True):
        exact = np.bincount(load_digits().target) * size / 1797
        assert np.all(np.abs(np.bincount(part.labels) - exact) < 2)


def test_the_same_set_every_time():
    assert digits().fingerprint == digits().fingerprint
    assert digits((16, 16, 1)).fingerprint == digits().fingerprint, "the same images"


def test_pictures_that_would_never_be_opened_are_no_digits(tmp_path):
    with pytest.raises(InputError, match="reads no folder: leave it out, or choose a"):
        digits(data_dir=tmp_path)


@pytest.mark.parametrize("shape", [(8, 8, 3), (16, 16, 1), (12, 10, 3)])
def test_other_shapes_are_converted(shape):
    images, _ = read_all(digits(shape).test(359))
    original, _ = read_all(digits().test(359))
    assert images.shape == (359, *shape)
    np.testing.assert_allclose(images.mean(), original.mean(), rtol=0.02)
    if shape[2] == 3:
        np.testing.assert_array_equal(images[..., 0], images[..., 2])
