"""Networks of the package in one call."""

from r2b_keras import models


def build_model(
    name, binarization, input_shape, num_classes, normalisation=None, **options
):
    """The Keras model of a `Network` with these options."""
    network = models.Network(name, binarization, **options)
    return models.build_network(network, input_shape, num_classes, normalisation)
