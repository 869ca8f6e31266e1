"""One page of a finished workdir, whose classes have names that are hard to show."""

import pytest

from r2b_keras import data
from r2b_keras.trainers.workdir import Workdir

NAMES = ("<b>0</b>", "a & b", "$x_1$", '"four"', "日本", *(f"n{i}" for i in range(5)))


@pytest.fixture(scope="session")
def named_data():
    """The digits with those names."""

    def load(config, data_dir=None):
        dataset = original(config, data_dir)
        dataset.class_names = NAMES
        return dataset

    original = data.load
    return load


@pytest.fixture(scope="session")
def page(finished, converted, named_data):
    """All sections, with one converted file."""
    from r2b_keras.reports import page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page.data, "load", named_data)
        flatbuffers = {"a<b>.tflite": converted[0].read_bytes()}
        return page.compose(Workdir(finished[0]), flatbuffers=flatbuffers)
