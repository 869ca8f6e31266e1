"""One's own pictures: a folder with one folder of JPEG, PNG or WebP files a class.

    python -m r2b_keras.train --recipe=pictures --data_dir=DIR

DIR holds CLASS/*.jpg, of which a fifth becomes the test part, or train/CLASS/*.jpg and
test/CLASS/*.jpg, and perhaps val/CLASS/*.jpg to choose by. The size that the network
sees is 64x64; change it with `--override=data.image_shape=96,96,3`.

Hardware: a few thousand pictures train on a CPU. Hours and accuracy depend on the
pictures, so there is no table. The stages are those of Sec. 4.2, each the teacher of
the next; rates, schedule and binarizer are those that `short.py` gives reasons for. All
that follows is ours, and was not tuned:

- width 32, half the paper's, and a stem of stride 2, for a CPU;
- batch 32 and 40 to 80 epochs, as a thousand pictures are but 30 steps an epoch;
- stage 2 starts from stage 1's weights, and the temperature is 4, as in
  `cifar100_small`;
- the crop and the colour jitter of Sec. 4.1's ImageNet, as photographs are larger and
  less centred; the jitter is off where weights are binary (Sec. 4.1).

    python -m r2b_keras.train --recipe=pictures/fine_tuning --start_from=FILE \
      --data_dir=DIR

goes on from a network that knows other pictures, for tens of a class of one's own. FILE
is the model.keras of a last stage of `cifar100_small`, or of any network of its layers;
pictures have its size, 32x32. One stage, minutes on one core; all of it ours.
"""

import dataclasses

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.recipes import chains, cifar100_small, short
from r2b_keras.recipes.schema import TO_BE_NAMED, Recipe, Stage
from r2b_keras.recipes.stage_parts import Optimizer, Schedule

_SETTINGS = short.settings(
    # Half the paper's width; the stem's stride 2 gives 32x32 feature maps.
    {"width": 32, "stem": "small"},
    batch_size=32,
    last_rate=3e-3,
    augmentation=Augmentation(random_resized_crop=True, flip=True, color_jitter=0.4),
    binary_augmentation=Augmentation(random_resized_crop=True, flip=True),
    temperature=4.0,
)

_KNOWN = cifar100_small.RECIPES[0]
_FINE_TUNING = Stage(
    _KNOWN.stages[-1].student,
    epochs=40,
    batch_size=32,
    start_from=TO_BE_NAMED,
    # A classifier for new classes has everything to learn, all else little.
    optimizer=Optimizer(learning_rate=5e-4, groups=("logits/*:4",)),
    schedule=Schedule("cosine"),
    augmentation=Augmentation(flip=True, pad_and_crop=4),
)

RECIPES = (
    Recipe(
        "pictures",
        "your own folder of class folders (--data_dir), four stages",
        DataConfig(
            source="folder",
            image_shape=(64, 64, 3),
            mean=(0.485, 0.456, 0.406),  # ours: ImageNet's, near any photographs'
            std=(0.229, 0.224, 0.225),
            validation_size=0,  # ours: one's own sets are small; the test part reports
            framing="center",  # ours: as on ImageNet, the subject is in the middle
        ),
        chains.real_to_binary(_SETTINGS, [40, 40, 40, 80], stage_2_start=1),
    ),
    Recipe(
        "pictures/fine_tuning",
        "your own folder (--data_dir), going on from a network (--start_from)",
        dataclasses.replace(
            _KNOWN.data, source="folder", validation_size=0, framing="center"
        ),
        (_FINE_TUNING,),
    ),
)
