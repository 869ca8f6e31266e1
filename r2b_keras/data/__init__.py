"""Images for training: where they come from, and the tf.data pipeline.

    from r2b_keras.data import Augmentation, DataConfig, load

    config = DataConfig("digits", (8, 8, 1), (0.3,), (0.35,), validation_size=150)
    dataset = load(config)
    for images, labels in dataset.train(64, Augmentation(), seed=0):
        ...

Importing this package imports no TensorFlow; `load` and `ImageDataset` do.
"""

from typing import TYPE_CHECKING, Any

from r2b_keras.data.config import Augmentation, DataConfig

if TYPE_CHECKING:
    from r2b_keras.data.dataset import ImageDataset, load

__all__ = ["Augmentation", "DataConfig", "ImageDataset", "load"]


def __getattr__(name: str) -> Any:
    """Imports the TensorFlow part on first use."""
    if name in ("ImageDataset", "load"):
        from r2b_keras.data import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
