"""Files of larq-zoo's weights: by name or by order, and those that are refused."""

import h5py
import numpy as np
import pytest
from larq_zoo_checks import (
    BIAS,
    KERNEL,
    REDUCE,
    SHAPES,
    STEM,
    WITHOUT_TOP,
    our_values,
    refused,
    sparse_file,
)
from larq_zoo_weights import IMAGE_SHAPE, write_array, write_file, write_group

from r2b_keras.models import larq_zoo


def flat(file, weights):
    for name in weights:
        write_array(file, f"{name}:0", weights[name])


def without_colon(file, weights):
    for name in weights:
        write_array(file, name, weights[name])


def numbered(file, weights):
    """As variables are called of a network that is built a second time."""
    for name in weights:
        layer, weight = name.split("/")
        write_array(file, f"{layer}/{layer}_1/{weight}:0", weights[name])


def model_in_a_model(file, weights):
    for name in weights:
        write_array(file, f"r2b_bnn/{name}:0", weights[name])


def whole_model(file, weights):
    write_group(file.create_group("model_weights"), weights)
    file.create_dataset("optimizer_weights/iteration:0", data=3)


@pytest.mark.usefixtures("built_once")
@pytest.mark.parametrize(
    "layout", [flat, without_colon, numbered, model_in_a_model, whole_model]
)
def test_other_layouts_of_the_same_weights(layout, tmp_path):
    rng = np.random.default_rng(3)
    names = (STEM, REDUCE, BIAS)
    values = {name: rng.random(SHAPES[name], np.float32) for name in names}
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        layout(file, {**SHAPES, **values})
    ours = our_values(larq_zoo.load_weights(path, IMAGE_SHAPE))
    for name in SHAPES:
        np.testing.assert_array_equal(ours[name], values.get(name, 0), err_msg=name)


@pytest.mark.usefixtures("built_once")
def test_double_precision_is_taken_and_rounded(tmp_path):
    bias = np.linspace(0, 1, 1000)
    path = sparse_file(tmp_path, SHAPES, **{BIAS: bias})
    ours = our_values(larq_zoo.load_weights(path, IMAGE_SHAPE))
    np.testing.assert_array_equal(ours[BIAS], bias.astype(np.float32))


def write_few(path, network="r2b_bnn"):
    """A small file with two layers of a network."""
    shapes = {
        f"{network}_block_1_conv2d/kernel": (7, 7, 3, 64),
        f"{network}_block_1_batch_norm/gamma": (64,),
    }
    write_file(path, shapes)


def test_a_missing_file(tmp_path):
    path = tmp_path / "r2b_weights.h5"
    assert refused(path) == (
        f"There is no file {path}: expected weights of larq-zoo as HDF5."
    )
    assert "(Is a directory)" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x89HD", b"<html>not found</html>"])
def test_no_hdf5_file(content, tmp_path):
    path = tmp_path / "r2b_weights.h5"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(f"{path} is damaged, cut short or not an HDF5 file (")
    assert "file signature not found" in message


def test_a_file_that_was_cut_short(tmp_path):
    path = tmp_path / "r2b_weights.h5"
    write_few(path)
    content = path.read_bytes()
    for length in (len(content) - 1, len(content) // 2, 200):
        path.write_bytes(content[:length])
        assert "(Unable to synchronously open file (truncated" in refused(path)


def test_damaged_files(tmp_path):
    """Whatever HDF5 says of wrong bytes, it comes as our sentence."""
    path = tmp_path / "r2b_weights.h5"
    # Of another network: refused as well where the damage spares the names.
    write_few(path, "r2b_fp")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(5)
    num_damaged = 0
    for _ in range(100):
        damaged = content.copy()
        damaged[rng.integers(0, content.size, 8)] = rng.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        num_damaged += "is damaged" in refused(path)
    assert num_damaged > 20


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        ("r2b_fp", "Real-to-Binary net with tanh"),
        ("r2b_ban", "Real-to-Binary net with binary activations and real weights"),
        ("baseline_ban", "strong baseline with binary activations"),
        ("baseline_bnn", "binary strong baseline"),
        ("resnet_fp", "real ResNet-18"),
    ],
)
def test_other_networks_of_larq_zoo_are_told(network, kind, tmp_path):
    path = tmp_path / "weights.h5"
    write_few(path, network)
    message = refused(path)
    assert f"{path} holds '{network}', larq-zoo's {kind}" in message
    assert message.endswith("expected 'r2b_bnn', its binary Real-to-Binary net.")


@pytest.mark.usefixtures("built_once")
def test_foreign_weights(tmp_path):
    path = tmp_path / "weights.h5"
    write_file(path, {f"conv2d_{i}/kernel": (3,) for i in range(7)})
    message = refused(path)
    assert f"{path} holds the weights conv2d_0/kernel, conv2d_1/kernel, " in message
    assert "conv2d_4/kernel and 2 more, expected those" in message
    assert "or others of the same shapes in the order of its layers" in message
    write_file(path, {})
    assert f"{path} holds no weights, expected those" in refused(path)
    with h5py.File(path, "w") as file:
        file["kernel:0"] = 1.0
    assert f"{path} holds the weights kernel, expected those" in refused(path)


@pytest.mark.usefixtures("built_once")
def test_no_classifier(tmp_path):
    path = sparse_file(tmp_path, WITHOUT_TOP)
    message = refused(path)
    assert f"{path} has no classifier, expected larq-zoo's file with one" in message
    assert "larq_zoo.load_weights(new_classifier=...)" in message


# Names as Keras counts them up.
OTHER_NAMES = {
    "kernel": "conv2d_{}/kernel",
    "bias": "dense_{}/bias",
    "alpha": "p_re_lu_{}/alpha",
    "gamma": "batch_normalization_{}/gamma",
    "beta": "batch_normalization_{}/beta",
    "moving_mean": "batch_normalization_{}/moving_mean",
    "moving_variance": "batch_normalization_{}/moving_variance",
}


def renamed(weights):
    """The same weights in the same order, by names that Keras would choose."""
    found, layers = {}, {}
    for name in weights:
        layer, kind = name.split("/")
        number = layers.setdefault(layer, len(layers))
        found[OTHER_NAMES[kind].format(number)] = weights[name]
    return found


@pytest.mark.usefixtures("built_once")
class TestByOrder:
    """As larq-zoo loads: the names do not matter, the order and the shapes do."""

    def test_every_weight_finds_its_place(self, tmp_path):
        """Each holds its own number; those of equal shape could be confused."""
        values = {
            name: np.full(SHAPES[name], number, np.float32)
            for number, name in enumerate(SHAPES)
        }
        path = tmp_path / "weights.h5"
        write_file(path, renamed(values))
        ours = our_values(larq_zoo.load_weights(path, IMAGE_SHAPE))
        for number, name in enumerate(SHAPES):
            assert (ours[name] == number).all(), name

    def test_one_unknown_name_is_enough(self, tmp_path):
        shapes = {
            name.replace("_10_logits", "_10_probs"): SHAPES[name] for name in SHAPES
        }
        path = sparse_file(tmp_path, shapes)
        assert larq_zoo.load_weights(path, IMAGE_SHAPE).output_shape == (None, 1000)

    def test_without_classifier(self, tmp_path):
        path = sparse_file(tmp_path, renamed(WITHOUT_TOP))
        assert "has no classifier" in refused(path, IMAGE_SHAPE)
        for shapes in (WITHOUT_TOP, SHAPES):
            path = sparse_file(tmp_path, renamed(shapes))
            model = larq_zoo.load_weights(path, IMAGE_SHAPE, new_classifier=7)
            assert model.output_shape == (None, 7)

    def test_what_is_in_another_order_is_refused(self, tmp_path):
        names = list(SHAPES)
        gamma = names.index("r2b_bnn_block_2a_batch_norm/gamma")
        for first, second in ((0, 1), (gamma, gamma + 1), (gamma + 4, gamma + 6)):
            swapped = list(names)
            swapped[first], swapped[second] = names[second], names[first]
            path = sparse_file(tmp_path, renamed({x: SHAPES[x] for x in swapped}))
            message = refused(path, IMAGE_SHAPE)
            assert "holds the weights" in message and "expected those" in message

    def test_one_array_more_or_less(self, tmp_path):
        for shapes in (list(SHAPES)[:-1], list(SHAPES)[1:]):
            path = sparse_file(tmp_path, renamed({x: SHAPES[x] for x in shapes}))
            assert "expected those of larq-zoo" in refused(path, IMAGE_SHAPE)
        path = sparse_file(tmp_path, {**renamed(SHAPES), "extra/kernel": (3,)})
        assert "expected those of larq-zoo" in refused(path, IMAGE_SHAPE)

    def test_other_networks_are_not_taken_by_order(self, tmp_path):
        shapes = {x.replace("r2b_bnn", "r2b_ban"): SHAPES[x] for x in SHAPES}
        assert "holds 'r2b_ban'" in refused(sparse_file(tmp_path, shapes), IMAGE_SHAPE)


def test_the_same_weight_twice(tmp_path):
    path = sparse_file(tmp_path, SHAPES)
    with h5py.File(path, "a") as file:
        file.create_dataset(f"{STEM}:0", SHAPES[STEM], np.float32)
    assert f"{path} has several arrays for {STEM}: " in refused(path)


def without(part):
    return {name: SHAPES[name] for name in SHAPES if part not in name}


NORM = "r2b_bnn_block_9b_batch_norm"
# What is in the file, and what is said of it.
MISFITS = [
    (
        without("block_9b_b"),
        f"it lacks {', '.join(each for each in SHAPES if 'block_9b_b' in each)}.",
    ),
    # Half a classifier.
    (without(KERNEL), f"it lacks {KERNEL}."),
    (
        {**SHAPES, "r2b_bnn_block_2a_scale/alpha": (64,)},
        "it has r2b_bnn_block_2a_scale/alpha besides.",
    ),
    # A gate twice as wide, a transposed one, ours, a flat one, a number.
    *(
        (
            {**SHAPES, REDUCE: shape},
            f"of another shape or kind is {REDUCE} (float32 {shape}, not float (64, 8)",
        )
        for shape in ((64, 16), (8, 64), (1, 1, 64, 8), (512,), ())
    ),
    *(
        (
            {**SHAPES, BIAS: np.zeros(1000, dtype)},
            f"of another shape or kind is {BIAS} (",
        )
        for dtype in ("int32", "S5", "bool")
    ),
    (
        {**without(STEM), "r2b_bnn_block_11/a": (2,), BIAS: (3,)},
        f"it lacks {STEM}; it has r2b_bnn_block_11/a besides; of another ",
    ),
]


@pytest.mark.usefixtures("built_once")
@pytest.mark.parametrize(("weights", "words"), MISFITS)
def test_what_does_not_fit_by_name_and_shape(weights, words, tmp_path):
    path = sparse_file(tmp_path, weights)
    message = refused(path, IMAGE_SHAPE)
    start = f"{path} does not fit larq-zoo's 'r2b_bnn' by name and shape: "
    assert message.startswith(start + words)


@pytest.mark.usefixtures("built_once")
def test_shapes_that_no_network_has(tmp_path):
    path = sparse_file(tmp_path, SHAPES)
    message = refused(path, (64, 64, 1))
    assert message.startswith("The input shape is (64, 64, 1), expected 3 channels")
    assert "expected (height, width, channels)" in refused(path, (64, 64))
    assert "num_classes is 0" in refused(path, IMAGE_SHAPE, new_classifier=0)
