"""What the tests of larq-zoo's weights share: names, files of zeros, refusals."""

import numpy as np
import pytest
from larq_zoo_weights import read_fixture, write_file

from r2b_keras.errors import InputError
from r2b_keras.models import larq_zoo

FIXTURE = read_fixture()
SHAPES = FIXTURE["shapes"]
STEM = "r2b_bnn_block_1_conv2d/kernel"
REDUCE = "r2b_bnn_block_4a_scaling_dense_reduce/kernel"
KERNEL, BIAS = "r2b_bnn_block_10_logits/kernel", "r2b_bnn_block_10_logits/bias"
WITHOUT_TOP = {name: SHAPES[name] for name in SHAPES if name not in (KERNEL, BIAS)}


def in_their_shape(name, weight):
    """A weight of ours; larq-zoo's gate is of dense layers, not of convolutions."""
    values = np.array(weight)
    return values[0, 0] if "_scaling_dense_" in name else values


def our_values(model):
    named = larq_zoo.named_weights(model)
    return {name: in_their_shape(name, named[name]) for name in named}


def sparse_file(tmp_path, shapes, **values):
    """A file of zeros, but for a few arrays; zeros take no room in it."""
    path = tmp_path / "weights.h5"
    write_file(path, {**shapes, **values})
    return path


def refused(path, *arguments, **options):
    """The message of the `InputError`: one sentence that names the file."""
    with pytest.raises(InputError) as caught:
        larq_zoo.load_weights(path, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message
