"""Where the variables of a run live: one device, several, or several machines."""

import os
import signal
import threading

from r2b_keras.environment import tf
from r2b_keras.errors import InputError, one_line
from r2b_keras.trainers import STRATEGIES
from r2b_keras.trainers.workers import VARIABLE, Task, Workers, read_task


def make_workers(name: str) -> Workers:
    """Makes the strategy of this name, and what its processes do together.

    The batch of a recipe is the batch over all replicas, whatever the strategy, and so
    the learning rate and the number of steps stay as they are.

    Args:
      name: "none" (TensorFlow's default placement), "mirrored" (all GPUs of this
        machine), "multi_worker" (machines listed in the variable TF_CONFIG) or "tpu".

    Raises:
      InputError: an unknown name, a bad TF_CONFIG, no GPU to mirror to, or no TPU.
    """
    if name == "none":
        return Workers(tf.distribute.get_strategy(), Task())
    if name == "mirrored":
        return Workers(_mirrored(), Task())
    if name == "multi_worker":
        task = read_task(os.environ.get(VARIABLE))
        return Workers(_multi_worker(), task)
    if name == "tpu":
        return Workers(_tpu(), Task())
    raise InputError(f"Strategy is {name!r}, expected one of {', '.join(STRATEGIES)}.")


def _mirrored() -> tf.distribute.Strategy:
    """All GPUs; or several logical CPU devices, where somebody has made them."""
    num_cpus = len(tf.config.list_logical_devices("CPU"))
    if not tf.config.list_logical_devices("GPU") and num_cpus < 2:
        raise InputError(
            "--strategy=mirrored is for the GPUs of this machine, and TensorFlow sees "
            "none: install a TensorFlow that knows them (`pip install "
            "tensorflow[and-cuda]`), or leave --strategy out to train on the CPU."
        )
    return tf.distribute.MirroredStrategy()


def _multi_worker() -> tf.distribute.Strategy:
    """Connects to all workers; waits until they are there."""
    # Python's own handlers would run only after the wait, which may have no end.
    numbers = (signal.SIGINT, signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {n: signal.signal(n, signal.SIG_DFL) for n in numbers if in_main}
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise InputError(
            f"The workers of {VARIABLE} cannot be connected ({one_line(error)[:200]}): "
            "check that its addresses are reachable and its ports free, and that every "
            "worker was started."
        ) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(
            f"There is no TPU to be reached ({one_line(error)[:200]}): set TPU_NAME on "
            "a machine with one, or choose another --strategy."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check_batch(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Refuses a batch that the replicas cannot share equally.

    The gradient of the whole batch is the mean over replicas only of equal shares.

    Raises:
      InputError: the message names a batch size that fits.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"batch_size is {batch_size}, expected a multiple of the {replicas} "
            "replicas that share each batch: choose for example "
            f"{-(-batch_size // replicas) * replicas} with "
            "--override=stages.*.batch_size=..., or another number of replicas."
        )
