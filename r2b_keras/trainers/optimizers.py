"""Optimizers of a stage, and which variables decay."""

from typing import Any

from r2b_keras.environment import tf
from r2b_keras.recipes.schema import Optimizer
from r2b_keras.trainers.schedules import LearningRate

# Ours: Adam's epsilon is not printed. Keras has 1e-7; PyTorch, in which the authors'
# later code is written, has 1e-8. Both have the same momenta, 0.9 and 0.999.
EPSILON = 1e-7


class OnePassAdam(tf.keras.optimizers.Adam):
    """Keras's Adam, each variable updated by one operation instead of a dozen.

    The formula and the variables are Keras's; roundings are not (1 - beta_2 is off by
    1e-5 of itself). Keras reads and writes the momenta several times, which for a wide
    network on a CPU takes more time than most of its layers.

    Keras also has XLA compile the update of each variable wherever there is a GPU, one
    program a variable. Not here: one operation has nothing to gain from it.

    Args:
      *arguments: as for Keras's Adam.
      **options: as for Keras's Adam.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Makes Keras's Adam, its updates not compiled by XLA."""
        super().__init__(*arguments, **{"jit_compile": False, **options})

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Moves `variable`, shape `[...]`, along a dense gradient of its shape."""
        index = self._index_dict[self._var_key(variable)]
        momentum, velocity = self._momentums[index], self._velocities[index]
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1 = tf.constant(self.beta_1, variable.dtype)
        beta_2 = tf.constant(self.beta_2, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def decayed_variables(model: tf.keras.Model) -> list[tf.Variable]:
    """Kernels that are real-valued when deployed: the ones that weight decay acts on.

    Sec. 4.1 has no decay for binary weights, and latent weights behind a binarizer are
    left out: their size means nothing. Leaving out biases, BatchNorm, scales and PReLU
    slopes is ours; the paper does not say what decays.
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
            rate,
            momentum=settings.momentum,
            weight_decay=decay or None,
            jit_compile=False,
        )
    else:
        optimizer = OnePassAdam(rate, epsilon=EPSILON, weight_decay=decay or None)
    if decay:
        decayed = {id(variable) for variable in decayed_variables(model)}
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if id(v) not in decayed]
        )
    return optimizer
