"""Optimizers of a stage: which variables move how fast, and which decay."""

import dataclasses
import fnmatch
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.quantized import quantized_kernels
from r2b_keras.recipes.stage_parts import Group, Optimizer
from r2b_keras.trainers.handover import named_weights
from r2b_keras.trainers.schedules import LearningRate

# Ours: Adam's epsilon is not printed. Keras has 1e-7; PyTorch, in which the authors'
# later code is written, has 1e-8. Both have the same momenta, 0.9 and 0.999.
EPSILON = 1e-7


@dataclasses.dataclass(frozen=True)
class _Factors:
    """Of the learning rate of a variable, and how strongly it decays (decoupled)."""

    rate: float = 1.0
    decay: float = 0.0


def _factors_of(optimizer: Any, variable: tf.Variable) -> _Factors:
    return optimizer.factors.get(optimizer._var_key(variable), _Factors())


def _decay(optimizer: Any, variable: tf.Variable, factors: _Factors) -> None:
    """Decays a variable in place, as Keras does before its step."""
    if factors.decay:
        rate = tf.cast(optimizer.learning_rate * factors.rate, variable.dtype)
        variable.assign_sub(variable * tf.cast(factors.decay, rate.dtype) * rate)


class _Averaging(tf.keras.optimizers.Optimizer):
    """Averages weights as they are used, and forgets where they began.

    Keras clips latent weights after it has averaged them: what it averages lies outside
    of the binarizer's reach.

    Keras's average starts at the first weights, a share `average`^t of which is left
    after t steps: most of the result where a stage is short. As in TensorFlow's own
    moving average, the momentum rises to `average` by (1 + t) / (10 + t): until then,
    what is older than the last third of the steps weighs 3 %.
    """

    ema_momentum: Any

    def _update_model_variables_moving_average(self, variables: Any) -> None:
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        most = self.ema_momentum
        step = tf.cast(self.iterations, tf.float32)
        self.ema_momentum = tf.minimum(most, (1 + step) / (10 + step))
        try:
            super()._update_model_variables_moving_average(variables)
        finally:
            self.ema_momentum = most


class GroupedSGD(_Averaging, tf.keras.optimizers.SGD):
    """Keras's SGD, each variable at its own learning rate.

    Attributes:
      factors: of variables that have any, by the optimizer's key of the variable.
    """

    factors: dict[str, _Factors] = {}

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Moves `variable`, shape `[...]`, along a dense gradient of its shape."""
        factors = _factors_of(self, variable)
        _decay(self, variable, factors)
        super().update_step(gradient * factors.rate, variable)


class OnePassAdam(_Averaging, tf.keras.optimizers.Adam):
    """Keras's Adam, each variable updated by one operation instead of a dozen.

    The formula and the variables are Keras's; roundings are not (1 - beta_2 is off by
    1e-5 of itself). Keras reads and writes the momenta several times, which for a wide
    network on a CPU takes more time than most of its layers.

    Keras also has XLA compile the update of each variable wherever there is a GPU, one
    program a variable. Not here: one operation has nothing to gain from it.

    Args:
      *arguments: as for Keras's Adam.
      **options: as for Keras's Adam, but for `amsgrad`, which this is not.

    Attributes:
      factors: see `GroupedSGD`.

    Raises:
      InputError: `amsgrad` is on.
    """

    factors: dict[str, _Factors] = {}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Makes Keras's Adam, its updates not compiled by XLA."""
        if options.get("amsgrad"):
            raise InputError(
                "amsgrad is on, expected it off: take tf.keras.optimizers.Adam."
            )
        super().__init__(*arguments, **{"jit_compile": False, **options})

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Moves `variable`, shape `[...]`, along a dense gradient of its shape."""
        factors = _factors_of(self, variable)
        _decay(self, variable, factors)
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
            lr=tf.cast(self.learning_rate * factors.rate, variable.dtype),
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
    latent = any(variable is kernel for kernel, _ in quantized_kernels(layer))
    return "kernel" in name and not latent


def groups_by_weight(settings: Optimizer, model: tf.keras.Model) -> dict[str, Group]:
    """The group of each weight of a network that has one, by the weight's name.

    Raises:
      InputError: a group that no weight belongs to.
    """
    groups = [Group.parse(text) for text in settings.groups]
    found: dict[str, Group] = {}
    for name in named_weights(model):
        fitting = [g for g in groups if fnmatch.fnmatchcase(name, g.pattern)]
        if fitting:
            found[name] = fitting[0]
    for group in groups:
        if group not in found.values():
            raise InputError(
                f"optimizer.groups has the pattern {group.pattern!r}, which fits no "
                f"weight of {model.name!r} that no group before it has: expected one "
                f"that fits names such as {next(iter(named_weights(model)))!r}."
            )
    return found


def freeze(settings: Optimizer, model: tf.keras.Model) -> None:
    """Has the layers whose rate is 0 not train; their BatchNorm infers.

    Raises:
      InputError: a group that no weight belongs to, or one that freezes a part of a
        layer only, or nothing left to train.
    """
    groups = groups_by_weight(settings, model)
    layers: dict[str, list[bool]] = {}
    for name in named_weights(model):
        rate = groups[name].rate if name in groups else 1.0
        layers.setdefault(name.split("/")[0], []).append(rate == 0.0)
    for name, frozen in layers.items():
        if any(frozen) and not all(frozen):
            raise InputError(
                f"optimizer.groups freezes some weights of the layer {name!r} and not "
                f"others, expected all or none: a pattern such as '{name}/*'."
            )
        model.get_layer(name).trainable = not any(frozen)
    if not model.trainable_variables:
        raise InputError(
            "optimizer.groups freezes all weights, expected some that train."
        )


def make_optimizer(
    settings: Optimizer,
    rate: LearningRate | float,
    model: tf.keras.Model,
    average: float = 0.0,
) -> tf.keras.optimizers.Optimizer:
    """Makes the Keras optimizer of a stage.

    Decoupled weight decay is the optimizer's work; L2 decay is part of the loss, see
    `r2b_keras.trainers.Distiller`.

    Args:
      settings: kind, momentum, decay and groups.
      rate: learning rate or schedule of it.
      model: the student, whose variables the optimizer will move.
      average: see `Stage`.

    Raises:
      InputError: a group that no weight belongs to.
    """
    if settings.name == "sgd":
        optimizer = GroupedSGD(rate, momentum=settings.momentum, jit_compile=False)
    else:
        optimizer = OnePassAdam(rate, epsilon=EPSILON)
    optimizer.global_clipnorm = settings.clip_norm or None
    if average:
        optimizer.use_ema, optimizer.ema_momentum = True, average
    decoupled = settings.weight_decay if settings.decay == "decoupled" else 0.0
    decayed = {id(variable) for variable in decayed_variables(model)}
    groups = groups_by_weight(settings, model)
    optimizer.factors = {}
    for name, variable in named_weights(model).items():
        group = groups.get(name, Group("*"))
        decay = decoupled * group.decay if id(variable) in decayed else 0.0
        if group.rate != 1.0 or decay:
            key = optimizer._var_key(variable)
            optimizer.factors[key] = _Factors(group.rate, decay)
    return optimizer


def l2_factors(settings: Optimizer, model: tf.keras.Model) -> list[float]:
    """The group's factor of the decay for each of `decayed_variables`.

    Raises:
      InputError: a group that no weight belongs to.
    """
    groups = groups_by_weight(settings, model)
    names = {id(variable): name for name, variable in named_weights(model).items()}
    decayed = [names[id(variable)] for variable in decayed_variables(model)]
    return [groups[name].decay if name in groups else 1.0 for name in decayed]
