"""`python docs/fruit.py photos` draws the pictures of docs/tutorial.md."""

import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

NUM_PICTURES, SIDE = 100, 96
# Colours in red, green and blue.
COLOURS = {"apple": (190, 40, 35), "banana": (225, 195, 60), "lime": (95, 160, 50)}


def outline(name: str, generator: np.random.Generator) -> np.ndarray:
    """Corners of a fruit, `[n, 2]`: a disc, a crescent or an ellipse, 1 wide."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    if name == "banana":
        bow = np.linspace(0.15 * np.pi, 0.85 * np.pi, 24)
        outer = np.stack([np.cos(bow), np.sin(bow)], axis=1)
        inner = np.stack([np.cos(bow[::-1]), 0.45 * np.sin(bow[::-1]) + 0.1], axis=1)
        return (np.concatenate([outer, inner]) - [0, 0.75]) * 0.6
    flat = generator.uniform(0.9, 1.0) if name == "apple" else 0.7
    return 0.5 * np.stack([np.cos(turn), flat * np.sin(turn)], axis=1)


def picture(name: str, generator: np.random.Generator) -> Image.Image:
    """A fruit on a table, in any place, size and turn, a little blurred and noisy."""
    table = generator.uniform(70, 220) + generator.uniform(-25, 25, 3)
    colour = COLOURS[name] + generator.uniform(-25, 25, 3)
    angle = generator.uniform(0, 2 * np.pi)
    rotation = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    size = SIDE * generator.uniform(0.4, 0.65)
    corners = size * outline(name, generator) @ rotation
    corners += SIDE * generator.uniform(0.4, 0.6, 2)
    image = Image.new("RGB", (SIDE, SIDE), tuple(table.astype(int).tolist()))
    points = [tuple(corner) for corner in corners.tolist()]
    ImageDraw.Draw(image).polygon(points, tuple(colour.astype(int).tolist()))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)))
    noisy = np.rint(blurred + generator.normal(0, 10, blurred.shape))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def main() -> None:
    """Writes a folder of pictures for each fruit."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/fruit.py FOLDER")
    generator = np.random.default_rng(0)
    for name in COLOURS:
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(NUM_PICTURES):
            path = folder / f"{number:03}.jpg"
            picture(name, generator).save(path, quality=90)


if __name__ == "__main__":
    main()
