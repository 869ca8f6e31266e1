"""Where the variables of a run live: one device, several, or several machines."""

from r2b_keras.environment import tf
from r2b_keras.errors import InputError

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Makes the distribution strategy of this name.

    The batch of a recipe is the batch over all replicas, whatever the strategy.

    Args:
      name: "none" (TensorFlow's default placement), "mirrored" (all GPUs of this
        machine), "multi_worker" (machines listed in the variable TF_CONFIG) or "tpu".

    Raises:
      InputError: an unknown name.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    raise InputError(f"Strategy is {name!r}, expected one of {', '.join(STRATEGIES)}.")
