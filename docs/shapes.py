"""`python docs/shapes.py photos` draws the pictures of docs/tutorial.md."""

import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Corners of each shape; a disc has many.
SHAPES = {"disc": 40, "square": 4, "triangle": 3}
NUM_PICTURES, SIDE = 150, 96


def picture(num_corners: int, generator: np.random.Generator) -> Image.Image:
    """A shape of any colour, size and turn, a little blurred and noisy."""
    table = generator.integers(0, 256, 3)
    # Another colour than the table's in each channel.
    thing = (table + generator.integers(64, 192, 3)) % 256
    middle = generator.uniform(SIDE * 0.4, SIDE * 0.6, 2)
    turns = generator.uniform() + np.arange(num_corners) / num_corners
    spokes = np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)
    corners = middle + generator.uniform(SIDE * 0.15, SIDE * 0.27) * spokes
    image = Image.new("RGB", (SIDE, SIDE), tuple(table.tolist()))
    outline = [tuple(corner) for corner in corners.tolist()]
    ImageDraw.Draw(image).polygon(outline, tuple(thing.tolist()))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1)))
    noisy = np.rint(blurred + generator.normal(0, 12, blurred.shape))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def main() -> None:
    """Writes a folder of pictures for each shape."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/shapes.py FOLDER")
    generator = np.random.default_rng(0)
    for name, num_corners in SHAPES.items():
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(NUM_PICTURES):
            image = picture(num_corners, generator)
            image.save(folder / f"{number:03}.jpg", quality=90)


if __name__ == "__main__":
    main()
