"""Where the source fashion_mnist looks."""

import pytest

from r2b_keras.data import DataConfig, load
from r2b_keras.data.sources import idx

CONFIG = DataConfig("fashion_mnist", (5, 4, 1), (0.0,), (1.0,), 8)


def test_takes_idx_files_of_the_given_folder(idx_folder):
    assert load(CONFIG, idx_folder).num_train == 32


def test_falls_back_to_the_installed_files(idx_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", str(idx_folder))
    assert load(CONFIG).num_train == 32


def test_names_both_ways_when_there_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", str(tmp_path / "debian"))
    with pytest.raises(ValueError) as error:
        load(CONFIG)
    for part in (str(tmp_path / "debian"), "apt install", "--data_dir"):
        assert part in str(error.value)


def test_does_not_search_elsewhere_when_a_folder_is_given(tmp_path):
    with pytest.raises(ValueError, match="found neither in"):
        load(CONFIG, tmp_path)
