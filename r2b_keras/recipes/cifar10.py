"""CIFAR-10, 60,000 images of 32x32 pixels.

    python -m r2b_keras.train --recipe=cifar10 --stage=3 --data_dir=DIR

DIR is the folder of TensorFlow Datasets in which `cifar10` has been prepared once.

The paper has no CIFAR-10: these are its hyper-parameters for CIFAR-100 (Sec. 4.1),
unchanged, and there is no accuracy to expect of any stage. Nothing was measured here.

Hardware: one GPU. Hours: not run here. Estimate: 4 stages of 350 epochs are 69 million
images, 6.4 hours at an assumed 3,000 images a second; the strong baseline is half of
that. The progress bar shows the speed of your machine.

Where the paper is silent, the comments say what was chosen, and why. 1,000 training
images are held out to choose by (`--override=data.validation_size=0` trains on all).
"""

from r2b_keras.recipes import cifar100

RECIPES = cifar100.recipes(
    "cifar10",
    "CIFAR-10",
    "the paper's four stages with CIFAR-100's settings",
    mean=(0.4914, 0.4822, 0.4465),  # ours: those of the training images
    std=(0.2470, 0.2435, 0.2616),
)
