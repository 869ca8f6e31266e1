"""Saved networks: read in a fresh process; files that are refused, and why."""

import json
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.converters.one_output import with_two_outputs
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.recipes import Optimizer
from r2b_keras.trainers.optimizers import make_optimizer
from tests.networks import build_model

layers = tf.keras.layers
# HDF5 is what some of the files must be.
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")


def network(*middle, classes=2):
    image, last = layers.Input((4, 4, 1)), layers.Dense(classes)
    return tf.keras.Sequential([image, *middle, layers.Flatten(), last])


def refused(path):
    """The sentence it ends in."""
    with pytest.raises(InputError) as problem:
        models.load(path)
    message = str(problem.value)
    assert message.startswith(str(path)) and message.endswith(".")
    assert "\n" not in message and " object at " not in message
    return message


@pytest.mark.slow
def test_a_fresh_process_loads_a_network(tmp_path):
    options = {"width": 8, "blocks": (1, 1), "stem": "cifar"}
    model = build_model("real_to_binary18", "soft", (8, 8, 3), 5, **options)
    model.save(tmp_path / "model.keras")
    image = np.linspace(-1, 1, 192, dtype="float32").reshape(1, 8, 8, 3)
    np.save(tmp_path / "image.npy", image)
    code = (
        "import numpy, sys; from r2b_keras import models; "
        "model = models.load(sys.argv[1]); "
        "numpy.save(sys.argv[3], model(numpy.load(sys.argv[2])))"
    )
    paths = [tmp_path / name for name in ("model.keras", "image.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, model(image), rtol=1e-5, atol=1e-6)


def of_ones_own(labels, scores):
    return tf.reduce_sum(scores)


@pytest.mark.slow
def test_a_fresh_process_loads_what_the_package_makes(tmp_path):
    """A network with two outputs for one, and those that were compiled anyhow."""
    paths = [tmp_path / f"{name}.keras" for name in ("two", "adam", "own")]
    with_two_outputs(network(classes=1)).save(paths[0])
    model = network()
    model.compile(make_optimizer(Optimizer(), 0.1, model))
    model.save(paths[1])
    model.compile("sgd", of_ones_own)
    model.save(paths[2])
    code = (
        "import sys; from r2b_keras import models; "
        "print([models.load(path).output_shape for path in sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, *paths]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout == "[(None, 2), (None, 2), (None, 2)]\n"


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no file .*none.keras"):
        models.load(tmp_path / "none.keras")


def test_a_broken_file(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="model.keras is damaged or not a saved"):
        models.load(path)


def with_version(path, version):
    """Makes a file say that another Keras wrote it."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["keras_version"] = version
        return
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content["metadata.json"] = json.dumps({"keras_version": version})
    with zipfile.ZipFile(path, "w") as file:
        for name in content:
            file.writestr(name, content[name])


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_file_of_keras_3(tmp_path, ending):
    path = tmp_path / f"model.{ending}"
    network().save(path)
    with_version(path, "2.15.0")
    models.load(path)
    with_version(path, "3.12.4")
    message = refused(path)
    assert "was saved by Keras 3.12.4, expected Keras 2" in message
    assert "damaged" not in message


def test_other_ways_to_save(tmp_path):
    model = network()
    model.save(tmp_path / "folder")
    assert "is a folder, expected a file" in refused(tmp_path / "folder")
    model.save_weights(tmp_path / "m.weights.h5")
    assert "holds weights without a network" in refused(tmp_path / "m.weights.h5")
    model.save(tmp_path / "model.keras")
    for name in ("model.h5", "model"):
        shutil.copy(tmp_path / "model.keras", tmp_path / name)
        assert "rename it so that it ends in .keras" in refused(tmp_path / name)
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3 and so on")
    assert "is a .tflite file, which is converted" in refused(tmp_path / "m.tflite")
    # HDF5 is known by its content under any name.
    model.save(tmp_path / "model.h5")
    for name in ("any", "any.keras"):
        shutil.copy(tmp_path / "model.h5", tmp_path / name)
        models.load(tmp_path / name)


@pytest.mark.parametrize("ending", [".keras", ".h5", ""])
def test_a_name_that_is_no_utf_8(tmp_path, ending):
    model = network()
    path = tmp_path / "caf\udce9" / f"model\udce9{ending}"
    path.parent.mkdir()
    saved = tmp_path / f"saved{ending or '.h5'}"
    model.save(saved)
    saved.rename(path)
    x = np.ones((1, 4, 4, 1), np.float32)
    np.testing.assert_array_equal(models.load(path)(x), model(x))


LAMBDA = layers.Lambda
NESTED = {
    "plain": lambda: LAMBDA(lambda x: 2 * x),
    "nested": lambda: network(LAMBDA(lambda x: 2 * x)),
    "wrapped": lambda: layers.TimeDistributed(LAMBDA(lambda x: 2 * x)),
}


@pytest.mark.parametrize("place", NESTED)
@pytest.mark.parametrize("name", ["model.h5", "model.keras", "hdf5.keras"])
def test_no_code_is_run_out_of_a_file(tmp_path, place, name, monkeypatch):
    path = tmp_path / name
    middle = NESTED[place]()
    model = tf.keras.Sequential([layers.Input((4, 4, 1)), middle])
    # A network in HDF5 may bear any name, and Keras goes by its content then.
    saved = tmp_path / ("saved.keras" if name == "model.keras" else "saved.h5")
    model.save(saved)
    saved.rename(path)
    ran = []
    monkeypatch.setattr(layers.Lambda, "from_config", ran.append)
    assert "has a Lambda layer, and its code is not run" in refused(path)
    assert not ran


def with_config(path, change):
    """Writes the configuration of a .keras file anew."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    change(config["config"]["layers"])
    parts["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    "kind", ["TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"]
)
@pytest.mark.parametrize(
    "function",
    [
        *("io.write_file", "load_op_library", "raw_ops.WriteFile", "compat.v1.py_func"),
        *("numpy_function", "nn.x.write_file", "compat.v1.io.write_file", "math", None),
    ],
)
def test_a_file_calls_nothing_that_does_more_than_compute(tmp_path, kind, function):
    path, target = tmp_path / "model.keras", tmp_path / "written"
    network().save(path)

    def call(layers):
        call = {"contents": "hello"}
        layers.append(
            {
                "class_name": kind,
                "name": "call",
                "config": {"name": "call", "trainable": True, "function": function},
                "inbound_nodes": [["_CONSTANT_VALUE", -1, str(target), call]],
            }
        )

    with_config(path, call)
    assert "which is not known to compute and no more: make it a layer" in refused(path)
    assert not target.exists()


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_operations_that_compute_are_loaded(tmp_path, ending):
    x = inputs = tf.keras.Input((4, 4, 2))
    x = tf.nn.relu(2 * x - 1) / 3
    x = tf.concat([x, tf.transpose(x, [0, 2, 1, 3])], -1)
    x = tf.image.resize(x, (6, 6))[:, 1:, :, :3]
    x = tf.pad(tf.clip_by_value(x, -1, 1), [[0, 0], [1, 1], [0, 0], [0, 0]])
    x = tf.reshape(tf.cast(x, tf.float32), [-1, x.shape[1] * 6, 3])
    x = tf.reduce_mean(tf.where(x > 0, x, tf.zeros_like(x)), 1) + tf.squeeze(x[:, :1])
    x = (x * tf.math.sign(x)) ** 2 + tf.cast(tf.range(tf.shape(x)[1]), x.dtype)
    x = tf.keras.backend.batch_flatten(tf.math.special.bessel_j0(x))
    model = tf.keras.Model(inputs, tf.gather(x, [0, 2], axis=1))
    path = tmp_path / f"model.{ending}"
    model.save(path)
    images = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(models.load(path)(images), model(images))


def test_damage_is_told_of_a_network_with_operations_too(tmp_path):
    inputs = tf.keras.Input((4,))
    path = tmp_path / "model.keras"
    tf.keras.Model(inputs, tf.nn.relu(tf.keras.layers.Dense(2)(inputs))).save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content[:100] if name.endswith("h5") else content)
    assert "TFOpLambda" not in refused(path)


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: lq.layers.QuantConv2D(2, 3, input_quantizer=lambda x: tf.sign(x)),
        lambda: layers.Dense(2, activation=lambda x: 2 * x),
        lambda: layers.TimeDistributed(layers.Dense(2, activation=lambda x: 2 * x)),
    ],
)
def test_a_function_without_a_name(tmp_path, make, ending):
    path = tmp_path / f"model.{ending}"
    network(make()).save(path)
    message = refused(path)
    assert "has a function without a name (a lambda), whose code is not" in message


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_list_of_numbers_is_no_function(tmp_path, ending):
    constant = tf.keras.initializers.Constant([1.0, 2.0])
    path = tmp_path / f"model.{ending}"
    network(layers.Dense(2, bias_initializer=constant)).save(path)
    bias = models.load(path).layers[0].bias
    np.testing.assert_array_equal(bias, [1.0, 2.0])


def test_a_long_reason_is_cut(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError("x" * 5000)

    path = tmp_path / "model.keras"
    network().save(path)
    monkeypatch.setattr(tf.keras.models, "load_model", fails)
    message = refused(path)
    assert "is damaged" in message and len(message) < len(str(path)) + 350


class Doubled(layers.Layer):
    """A user's layer; each test registers it, or does not."""

    def call(self, x):
        return 2 * x


@pytest.fixture
def registered(monkeypatch):
    tf.keras.utils.register_keras_serializable("own")(Doubled)
    custom = tf.keras.utils.get_custom_objects()
    yield custom
    custom.pop("own>Doubled", None)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_users_layer_must_be_registered(tmp_path, ending, registered, monkeypatch):
    path = tmp_path / f"model.{ending}"
    network(Doubled()).save(path)
    x = np.ones((1, 4, 4, 1), np.float32)
    assert models.load(path)(x).shape == (1, 2)
    del registered["own>Doubled"]
    message = refused(path)
    assert "has own>Doubled, which neither Keras, larq nor r2b_keras has" in message
    assert "--import=MODULE" in message


def test_a_file_imports_nothing_by_itself(tmp_path, registered, monkeypatch):
    """Not even a module that is there, and that would do as it pleases."""
    (tmp_path / "theirs.py").write_text("raise SystemExit('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Doubled, "__module__", "theirs")
    path = tmp_path / "model.keras"
    network(Doubled()).save(path)
    del registered["own>Doubled"]
    message = refused(path)
    assert "has own>Doubled of the module theirs" in message
    assert "--import=theirs" in message


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_damaged_files(tmp_path, ending):
    """Wrong bytes and ends: a sentence, or what still is a network."""
    path = tmp_path / f"model.{ending}"
    network().save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(5)
    num_refused = 0
    for number in range(30):
        damaged = content.copy()
        places = generator.integers(0, content.size, 1 + number % 8)
        damaged[places] = generator.integers(0, 256, len(places))
        end = generator.integers(content.size) if number % 5 == 0 else content.size
        path.write_bytes(damaged[:end].tobytes())
        try:
            models.load(path)
        except InputError as error:
            assert str(error).startswith(str(path))
            num_refused += 1
    assert num_refused > 5
