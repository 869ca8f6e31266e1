"""Saved networks: read in a fresh process; missing and broken files."""

import subprocess
import sys

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.errors import InputError


@pytest.mark.slow
def test_a_fresh_process_loads_a_network(tmp_path):
    options = {"width": 8, "blocks": (1, 1), "stem": "cifar"}
    model = models.build("real_to_binary18", "soft", (8, 8, 3), 5, **options)
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


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no file .*none.keras"):
        models.load(tmp_path / "none.keras")


def test_a_broken_file(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="model.keras is damaged or not a saved"):
        models.load(path)
