"""Where synthetic people walk and how each camera sees it: a scene and a colour response each."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from auditor.data.synthetic.pen import Colour, shade

MARGIN = 24
"""Pixels by which a scene is wider and taller than a picture, so that its crop can move."""

HORIZON = 0.62
"""Where the ground begins, as a fraction of the scene's height."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A fixed camera.

    Attributes:
        scene: what it looks at, `MARGIN` larger than a picture on each side.
        response: 3×4 colour matrix in row order, as Pillow's ``convert`` takes it.
        gamma: of its transfer curve.
        brightness: factor on all channels.
        softness: radius in output pixels of its blur.
    """

    scene: Image.Image
    response: tuple[float, ...]
    gamma: float
    brightness: float
    softness: float


def make_camera(rng: np.random.Generator, index: int, width: int, height: int) -> Camera:
    """Camera ``index`` for drawing pictures of ``width`` × ``height`` pixels."""
    gains = np.exp(rng.normal(0, 0.11, 3))
    mix = np.diag(gains) + rng.uniform(-0.07, 0.07, (3, 3))
    offset = rng.uniform(-6, 10, (3, 1))
    return Camera(
        scene=_scene(rng, index, width + 2 * MARGIN, height + 2 * MARGIN),
        response=tuple(np.hstack([mix, offset]).ravel().tolist()),
        gamma=float(rng.uniform(0.75, 1.35)),
        brightness=float(rng.uniform(0.8, 1.12)),
        softness=float(rng.uniform(0.0, 0.45)),
    )


def _scene(rng: np.random.Generator, index: int, width: int, height: int) -> Image.Image:
    """Street, park, hall or yard, in turn."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    painter = (_street, _park, _hall, _yard)[index % 4]
    painter(draw, rng, width, height)
    return image.filter(ImageFilter.GaussianBlur(1.6))


def _tint(rng: np.random.Generator, colour: Colour, spread: int = 14) -> Colour:
    """Return a colour near ``colour``."""
    shift = rng.integers(-spread, spread + 1, 3)
    red, green, blue = (int(np.clip(c + d, 0, 255)) for c, d in zip(colour, shift, strict=True))
    return red, green, blue


def _street(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Paint a house front with windows, a pavement and a kerb."""
    wall, ground = _tint(rng, (188, 160, 134)), int(height * HORIZON)
    draw.rectangle((0, 0, width, ground), wall)
    step = int(rng.integers(52, 66))
    start = int(rng.integers(-30, 0))
    for top in range(-10, ground - 50, 70):
        for left in range(start, width, step):
            draw.rectangle((left, top, left + 30, top + 44), shade(wall, 1.25))
            draw.rectangle((left + 3, top + 3, left + 27, top + 41), _tint(rng, (92, 112, 130)))
            draw.line((left + 15, top + 3, left + 15, top + 41), shade(wall, 1.25), 2)
    draw.rectangle((0, ground - 16, width, ground), shade(wall, 0.7))
    pavement = _tint(rng, (150, 148, 146))
    draw.rectangle((0, ground, width, height), pavement)
    for y in range(ground + 10, height, 26):
        draw.line((0, y, width, y), shade(pavement, 0.88), 2)
    draw.rectangle((0, height - 34, width, height - 26), shade(pavement, 1.3))
    draw.rectangle((0, height - 26, width, height), shade(pavement, 0.6))


def _park(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Sky, trees, a lawn and a gravel path."""
    ground = int(height * (HORIZON - 0.08))
    draw.rectangle((0, 0, width, ground), _tint(rng, (176, 206, 226)))
    for left in range(-20, width, int(rng.integers(44, 60))):
        leaf = _tint(rng, (84, 128, 74), 18)
        top = int(rng.integers(10, 70))
        draw.rectangle((left + 20, top + 60, left + 28, ground), (104, 82, 62))
        draw.ellipse((left - 12, top, left + 60, top + 96), leaf)
        draw.ellipse((left, top + 8, left + 34, top + 46), shade(leaf, 1.15))
    lawn = _tint(rng, (126, 160, 88))
    draw.rectangle((0, ground, width, height), lawn)
    path = _tint(rng, (206, 190, 158))
    draw.polygon(
        [(width * 0.4, ground + 6), (width * 0.6, ground + 6), (width * 1.1, height),
         (-width * 0.1, height)], path)  # fmt: skip


def _hall(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Paint a station hall: tiled wall, a sign, pillars and a shining floor."""
    wall, ground = _tint(rng, (206, 204, 196)), int(height * HORIZON)
    draw.rectangle((0, 0, width, ground), wall)
    for y in range(0, ground, 22):
        draw.line((0, y, width, y), shade(wall, 0.9), 2)
    sign = _tint(rng, (52, 92, 150), 20)
    draw.rectangle((16, 44, width - 20, 74), sign)
    draw.line((28, 59, width - 40, 59), (236, 236, 236), 6)
    for left in (int(rng.integers(-10, 12)), int(width - rng.integers(26, 50))):
        draw.rectangle((left, 0, left + 30, ground + 12), shade(wall, 0.72))
        draw.rectangle((left + 4, 0, left + 12, ground + 12), shade(wall, 0.85))
    floor = _tint(rng, (132, 126, 132))
    draw.rectangle((0, ground, width, height), floor)
    for x in range(-width, 2 * width, 44):
        draw.line((width / 2 + (x - width / 2) * 0.5, ground, x, height), shade(floor, 1.12), 2)


def _yard(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Paint a brick wall, a door and asphalt."""
    brick, ground = _tint(rng, (156, 92, 74)), int(height * HORIZON)
    draw.rectangle((0, 0, width, ground), brick)
    for row, y in enumerate(range(0, ground, 12)):
        draw.line((0, y, width, y), shade(brick, 1.25), 2)
        for x in range(12 * (row % 2), width, 24):
            draw.line((x, y, x, y + 12), shade(brick, 1.25), 2)
    door = int(rng.integers(0, width - 60))
    draw.rectangle((door, ground - 130, door + 58, ground), _tint(rng, (66, 98, 92), 20))
    asphalt = _tint(rng, (98, 100, 106))
    draw.rectangle((0, ground, width, height), asphalt)
    draw.polygon([(0, height - 40), (width, height - 60), (width, height - 50), (0, height - 28)],
                 (214, 206, 160))  # fmt: skip
