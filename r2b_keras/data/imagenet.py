"""Names of ImageNet's 1000 classes, which its files call by WordNet's numbers.

`imagenet_classes.txt` has a line for each class, in the order of the numbers, which is
that of the labels: the number of its set of synonyms in WordNet 3.0 (Princeton
University; `LICENSE.WordNet`) and the first of the synonyms. Where two classes share
that one, a word in brackets tells them apart.
"""

import functools
import pathlib
from collections.abc import Iterable

_FILE = pathlib.Path(__file__).with_name("imagenet_classes.txt")


@functools.cache
def names() -> dict[str, str]:
    """Names by WordNet's numbers, such as "tench" by "n01440764", in their order."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return {number: name for number, _, name in (x.partition(" ") for x in lines)}


def readable(class_names: Iterable[str]) -> tuple[str, ...]:
    """Class names with ImageNet's numbers replaced; others stay as they are."""
    return tuple(names().get(name, name) for name in class_names)
