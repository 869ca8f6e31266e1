"""The hyper-parameters of Sec. 4.1 and 4.2, which ImageNet and CIFAR share."""

from typing import Any

from r2b_keras.data.config import Augmentation
from r2b_keras.recipes.chains import ChainSettings, Training
from r2b_keras.recipes.stage_parts import Losses, Optimizer, Schedule

# Sec. 4.1: Adam, 1e-3 and weight decay 1e-5 for real weights. Coupled L2 is ours: it is
# what Adam with a weight decay meant when the paper was written.
# Ours too, as neither is printed: only kernels decay; Adam's epsilon is 1e-7, Keras's.
_REAL_WEIGHTS = Optimizer("adam", learning_rate=1e-3, weight_decay=1e-5, decay="l2")
# Sec. 4.1: 2e-4 and no decay for binary weights. That these hold for a stage whose 3x3
# convolutions are binary, and so for all of its weights, is our reading: the paper may
# also mean them for its binary weights alone, beside 1e-3 for all others.
_BINARY_WEIGHTS = Optimizer("adam", learning_rate=2e-4, weight_decay=0.0)

# Sec. 4.2, Eq. 2 and logit matching beside the labels. The weights are not printed.
# Attention 1.0 is ours: each of the 8 norms is at most sqrt(2), so their sum is of the
# size of the cross-entropy. Logits 1.0 at temperature 1 as in the authors' later code.
_ATTENTION_AND_LOGITS = Losses(
    cross_entropy=1.0,
    attention=1.0,
    attention_form="norm",
    logit_matching=1.0,
    temperature=1.0,
)
# Sec. 4.2: the last stage has no attention matching.
_LOGITS = Losses(cross_entropy=1.0, logit_matching=1.0, temperature=1.0)


def settings(
    stem: str,
    batch_size: int,
    drop_epochs: tuple[int, ...],
    augmentation: Augmentation,
    binary_augmentation: Augmentation,
) -> ChainSettings:
    """The paper's settings.

    Args:
      stem: of every network.
      batch_size: images a step.
      drop_epochs: where the learning rate drops.
      augmentation: while weights are real.
      binary_augmentation: while weights are binary.
    """
    network: dict[str, Any] = {
        "width": 64,  # Sec. 4.1: the layout of ResNet-18
        "blocks": (2, 2, 2, 2),  # Sec. 4.1
        "stem": stem,
        "downsample": "real",  # Sec. 4.1: worth 3 to 4 points on ImageNet
        "reduction": 8,  # Sec. 4.3
        "gate_width": "out",  # authors' later code
    }
    # Sec. 4.1: 5 epochs of warm-up for real weights and none for binary ones. A drop by
    # 0.1 is ours (not printed; 0.1 is usual).
    warmed_up, at_once = (
        Schedule("step", drop_epochs, drop_factor=0.1, warmup_epochs=warmup_epochs)
        for warmup_epochs in (5, 0.0)
    )
    return ChainSettings(
        network,
        Training(batch_size, _REAL_WEIGHTS, warmed_up, augmentation),
        Training(batch_size, _BINARY_WEIGHTS, at_once, binary_augmentation),
        _ATTENTION_AND_LOGITS,
        _LOGITS,
    )
