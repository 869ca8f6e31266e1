"""The dataclasses check what a recipe says, and need no TensorFlow."""

import pytest

from r2b_keras.data import Augmentation, DataConfig

GOOD = {
    "source": "digits",
    "image_shape": (8, 8, 1),
    "mean": (0.3,),
    "std": (0.35,),
    "validation_size": 100,
}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "source",
            "mnist",
            "source is 'mnist', expected one of digits, ",
        ),
        ("source", "tfds:", "source is 'tfds:'"),
        ("source", None, "source is None"),
        ("image_shape", (8, 8), "image_shape is"),
        ("image_shape", (8, 8, 2), "image_shape is"),
        ("image_shape", (8, 0, 1), "image_shape is"),
        ("image_shape", (8.0, 8, 1), "image_shape is"),
        ("image_shape", 8, "image_shape is 8"),
        ("image_shape", (2**15 + 1, 8, 1), "sides of 1 to 32768 pixels"),
        ("mean", (0.3, 0.3), "mean has 2 numbers"),
        ("mean", (78.0,), "in units of pixel / 255"),
        ("mean", ("x",), "expected a number"),
        ("std", (0.0,), "above 0"),
        ("std", (float("nan"),), "expected a number"),
        ("validation_size", -1, "validation_size is -1"),
        ("validation_size", 0.1, "validation_size is 0.1"),
    ],
)
def test_data_config_refuses(field, value, message):
    with pytest.raises(ValueError) as error:
        DataConfig(**{**GOOD, field: value})
    assert message in str(error.value)


def test_lists_from_json_become_tuples():
    config = DataConfig(**{**GOOD, "image_shape": [8, 8, 1], "mean": [0.3]})
    assert config == DataConfig(**GOOD)
    assert hash(config) == hash(DataConfig(**GOOD))


@pytest.mark.parametrize(
    "values",
    [
        {"flip": 1},
        {"pad_and_crop": -1},
        {"pad_and_crop": 1.5},
        {"pad_and_crop": True},
        {"rotation_degrees": 181},
        {"rotation_degrees": float("inf")},
        {"color_jitter": 1.5},
        {"mixup_alpha": -0.2},
        {"mixup_alpha": "0.2"},
        {"random_resized_crop": True, "pad_and_crop": 4},
        {"crop_area": 0.0},
        {"crop_area": 1.01},
    ],
)
def test_augmentation_refuses(values):
    with pytest.raises(ValueError, match=list(values)[0]):
        Augmentation(**values)
