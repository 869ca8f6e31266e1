"""Optimizers of a stage, and which variables decay."""

from r2b_keras.environment import tf
from r2b_keras.recipes.schema import Optimizer
from r2b_keras.trainers.schedules import LearningRate


def decayed_variables(model: tf.keras.Model) -> list[tf.Variable]:
    """Kernels that are real-valued when deployed: the ones that weight decay acts on.

    Latent weights behind a binarizer are left out (their size means nothing), and so
    are biases, BatchNorm, scales and PReLU slopes, as is usual.
    """
    found = []
    for layer in model.submodules:
        if not isinstance(layer, tf.keras.layers.Layer):
            continue
        for variable in vars(layer).values():
            if isinstance(variable, tf.Variable) and _is_real_kernel(layer, variable):
                found.append(variable)
    return found


def _is_real_kernel(layer: tf.keras.layers.Layer, variable: tf.Variable) -> bool:
    name = variable.name.split("/")[-1].split(":")[0]
    # Larq: `kernel` has a `kernel_quantizer`, `depthwise_kernel` a
    # `depthwise_quantizer`.
    quantizer = f"{name.removesuffix('kernel').rstrip('_') or 'kernel'}_quantizer"
    return "kernel" in name and getattr(layer, quantizer, None) is None


def make_optimizer(
    settings: Optimizer, rate: LearningRate | float, model: tf.keras.Model
) -> tf.keras.optimizers.Optimizer:
    """Makes the Keras optimizer of a stage.

    Decoupled weight decay is the optimizer's work; L2 decay is part of the loss, see
    `r2b_keras.trainers.Distiller`.

    Args:
      settings: kind, momentum and decay.
      rate: learning rate or schedule of it.
      model: the student, whose variables the optimizer will move.
    """
    decay = settings.weight_decay if settings.decay == "decoupled" else None
    if settings.name == "sgd":
        optimizer = tf.keras.optimizers.SGD(
            rate, momentum=settings.momentum, weight_decay=decay or None
        )
    else:
        optimizer = tf.keras.optimizers.Adam(rate, weight_decay=decay or None)
    if decay:
        decayed = {id(variable) for variable in decayed_variables(model)}
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if id(v) not in decayed]
        )
    return optimizer
