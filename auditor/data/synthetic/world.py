"""Synthetic people: a re-ID dataset without anybody in it, for demos, tests and controls.

Who somebody is (body, skin, hair, clothes, bag) is fixed per identity; pose, view, light, blur,
background and crop change with every picture, and each camera has its own scene and colours. So
matching a person across cameras takes a learnt feature, and everybody may see the pictures.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from auditor.data.synthetic.figure import paint_figure
from auditor.data.synthetic.pen import Colour, Person, Pose, View, shade
from auditor.data.synthetic.scenery import MARGIN, Camera, make_camera
from auditor.errors import DataError
from auditor.types import MemoryImages, ReIDDataset, Split

UPPER_COLOURS: Mapping[str, Colour] = {
    "black": (38, 38, 42),
    "white": (228, 228, 224),
    "grey": (132, 134, 138),
    "red": (190, 46, 48),
    "yellow": (222, 184, 62),
    "green": (62, 132, 78),
    "blue": (54, 92, 168),
    "purple": (124, 72, 142),
}
LOWER_COLOURS: Mapping[str, Colour] = {
    "black": (36, 36, 40),
    "white": (220, 218, 212),
    "grey": (120, 122, 128),
    "brown": (112, 78, 54),
    "green": (84, 104, 66),
    "blue": (56, 82, 138),
    "pink": (214, 132, 152),
    "purple": (108, 66, 126),
}
SKIN = ((246, 214, 188), (232, 188, 152), (208, 158, 120), (164, 112, 78), (116, 76, 54))
HAIR = ((30, 26, 26), (62, 42, 32), (108, 72, 44), (186, 146, 84), (152, 74, 42), (158, 156, 154))
PRINTS = ("plain", "plain", "zip", "band", "stripes", "badge")

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "sleeves": ("long", "short"),
    "lower": ("trousers", "shorts", "skirt"),
    "hair": ("short", "long"),
    "hat": ("no", "yes"),
    "bag": ("none", "backpack", "handbag"),
    "upper_colour": tuple(UPPER_COLOURS),
    "lower_colour": tuple(LOWER_COLOURS),
}
"""What is annotated, and the name of each code. Only what is drawn: no age, no sex."""

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""Split to Market-1501's name of its folder."""

VIEWS: tuple[View, ...] = ("front", "back", "left", "right")

TRANSIT = 60.0
"""Median of the seconds from one camera to the next."""

CANVAS = (128, 256)
"""(width, height) in which figures are drawn, twice a picture's."""

_PERSON, _CAMERA, _SHOT, _WALK = 1, 2, 3, 4
"""First part of the random key of each kind of thing."""


def make_world(
    *,
    identities: int,
    auxiliary: int,
    cameras: int = 3,
    images_per_camera: int = 3,
    seed: int = 0,
    size: tuple[int, int] = (128, 64),
    walks: bool = False,
) -> ReIDDataset:
    """Draw a dataset; the same arguments give the same bits.

    A picture depends on (seed, pid, camera, shot) alone, so a larger world repeats a smaller one.

    Args:
        identities: attacked people, pids from 1; of each (pid, camera), one picture is a query and
            the others are gallery.
        auxiliary: further people, for the adversary and for training.
        cameras: from 0.
        images_per_camera: pictures of each person by each camera; 2 or more.
        seed: of the world; 0 or more.
        size: (height, width) of the pictures.
        walks: whether people walk from camera to camera, which gives every picture a time, and the
            pictures of a person by a camera are a tracklet.

    Raises:
        DataError: if a number is too small for every split to have a picture.
    """
    _check(identities, auxiliary, cameras, images_per_camera, seed)
    draw = partial(_render_split, seed=seed, cameras=cameras, size=size, walks=walks)
    attacked = range(1, identities + 1)
    others = draw(range(identities + 1, identities + auxiliary + 1), range(images_per_camera))
    return ReIDDataset(
        name="synthetic people",
        train=others,
        query=draw(attacked, range(1)),
        gallery=draw(attacked, range(1, images_per_camera)),
        auxiliary=others,
        attribute_values=ATTRIBUTES,
        real_people=False,
        facts={
            "identities": identities,
            "auxiliary identities": auxiliary,
            "cameras": cameras,
            "images": (identities + auxiliary) * cameras * images_per_camera,
            "seed": seed,
        },
    )


def _check(
    identities: int, auxiliary: int, cameras: int, images_per_camera: int, seed: int
) -> None:
    least = {
        "identities": (identities, 1),
        "auxiliary": (auxiliary, 0),
        "cameras": (cameras, 1),
        "images_per_camera": (images_per_camera, 2),
        "seed": (seed, 0),
    }
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise DataError(f"{name} is {value}; a synthetic world needs at least {minimum}")


def _render_split(
    pids: Sequence[int],
    shots: Sequence[int],
    *,
    seed: int,
    cameras: int,
    size: tuple[int, int],
    walks: bool,
) -> Split:
    """Return all pictures of ``pids``, ordered by (pid, camera, shot)."""
    lenses = [make_camera(_rng(seed, _CAMERA, c), c, *CANVAS) for c in range(cameras)]
    people = {pid: make_person(_rng(seed, _PERSON, pid)) for pid in pids}
    keys = [(pid, camera, shot) for pid in pids for camera in range(cameras) for shot in shots]
    pixels = np.empty((len(keys), 3, *size), dtype=np.uint8)
    for row, (pid, camera, shot) in enumerate(keys):
        rng = _rng(seed, _SHOT, pid, camera, shot)
        picture = take_picture(rng, people[pid][0], lenses[camera], size)
        pixels[row] = picture.transpose(2, 0, 1)
    codes = [people[pid][1] for pid, _, _ in keys]
    return Split(
        MemoryImages(torch.from_numpy(pixels)),
        torch.tensor([pid for pid, _, _ in keys], dtype=torch.long),
        torch.tensor([camera for _, camera, _ in keys], dtype=torch.long),
        {a: torch.tensor([code[a] for code in codes], dtype=torch.long) for a in ATTRIBUTES},
        **(_walk_past(keys, seed, cameras) if walks else {}),
    )


def _walk_past(keys: Sequence[tuple[int, int, int]], seed: int, cameras: int) -> dict[str, Tensor]:
    """Return tracklets and times of pictures (pid, camera, shot).

    Everybody enters at a random time of the hour and passes each camera once, in an order and at a
    pace of their own; a camera takes a picture a second.
    """
    arrivals = {}
    for pid in sorted({pid for pid, _, _ in keys}):
        rng = _rng(seed, _WALK, pid)
        legs = rng.lognormal(np.log(TRANSIT), 0.3, cameras)
        legs[0] = rng.uniform(0, 3600)
        arrivals[pid] = dict(zip(rng.permutation(cameras).tolist(), legs.cumsum(), strict=True))
    return {
        "tracklets": torch.tensor([pid * cameras + camera for pid, camera, _ in keys]),
        "times": torch.tensor(
            [arrivals[pid][camera] + shot for pid, camera, shot in keys], dtype=torch.float64
        ),
    }


def _rng(*key: int) -> np.random.Generator:
    """Randomness that depends on ``key`` alone, not on what was drawn before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def make_person(rng: np.random.Generator) -> tuple[Person, dict[str, int]]:
    """Somebody new, and the code of each of `ATTRIBUTES`."""
    codes = {name: int(rng.integers(len(values))) for name, values in ATTRIBUTES.items()}
    named = {name: ATTRIBUTES[name][code] for name, code in codes.items()}
    upper = _near(rng, UPPER_COLOURS[named["upper_colour"]], 14)
    dark = sum(upper) < 330
    person = Person(
        height=float(rng.uniform(0.9, 1.04)),
        build=float(rng.uniform(0.86, 1.2)),
        skin=_near(rng, SKIN[rng.integers(len(SKIN))], 6),
        hair_colour=_near(rng, HAIR[rng.integers(len(HAIR))], 8),
        upper=upper,
        lower=_near(rng, LOWER_COLOURS[named["lower_colour"]], 14),
        shoes=_near(rng, ((40, 36, 38), (226, 222, 216), (128, 84, 52))[rng.integers(3)], 12),
        hat_colour=_near(rng, list(UPPER_COLOURS.values())[rng.integers(8)], 16),
        bag_colour=_near(rng, list(LOWER_COLOURS.values())[rng.integers(8)], 16),
        accent=_near(rng, shade(upper, 1.7) if dark else shade(upper, 0.5), 20),
        print=PRINTS[rng.integers(len(PRINTS))],
        hem=float(rng.uniform(0.485, 0.54)),
        bag_side=int(rng.choice((-1, 1))),
        long_hair=named["hair"] == "long",
        long_sleeves=named["sleeves"] == "long",
        garment=named["lower"],
        hat=named["hat"] == "yes",
        bag=named["bag"],
    )
    return person, codes


def _near(rng: np.random.Generator, colour: Colour, spread: int) -> Colour:
    """Return a colour near ``colour``."""
    shift = rng.integers(-spread, spread + 1, 3)
    return (
        min(255, max(0, colour[0] + int(shift[0]))),
        min(255, max(0, colour[1] + int(shift[1]))),
        min(255, max(0, colour[2] + int(shift[2]))),
    )


def take_picture(
    rng: np.random.Generator, person: Person, camera: Camera, size: tuple[int, int]
) -> np.ndarray:
    """Return one picture ``(height, width, 3)`` uint8 of ``person`` by ``camera``."""
    width, height = CANVAS
    left, top = (int(v) for v in rng.integers(0, 2 * MARGIN + 1, 2))
    canvas = camera.scene.crop((left, top, left + width, top + height))
    chance = float(rng.uniform())
    if chance < 0.2:
        _passer_by(rng, canvas)
    floor = height * float(rng.uniform(0.945, 1.03))
    _walk(rng, canvas, person, x=width / 2 + float(rng.uniform(-10, 10)), floor=floor)
    if 0.2 <= chance < 0.35:
        _passer_by(rng, canvas)
    elif chance > 0.82:
        _planter(rng, canvas)
    return _expose(rng, canvas, camera, size)


def _walk(
    rng: np.random.Generator, canvas: Image.Image, person: Person, *, x: float, floor: float
) -> None:
    """Somebody in a random pose, standing at pixel ``(x, floor)``."""
    pose = Pose(
        view=VIEWS[rng.integers(4)],
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0.15, 1.0)),
        elbow=float(rng.uniform(0.0, 0.7)),
    )
    scale = CANVAS[1] * person.height * float(rng.uniform(0.84, 0.97))
    _shadow(canvas, x, floor - scale * 0.015, scale)
    paint_figure(canvas, person, pose, scale=scale, x=x, y=floor - scale)


def _passer_by(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Paint a stranger at the edge of the crop, as detectors leave them in."""
    width, height = CANVAS
    x = width / 2 + float(rng.choice((-1, 1)) * rng.uniform(50, 66))
    stranger, _ = make_person(rng)
    _walk(rng, canvas, stranger, x=x, floor=height * float(rng.uniform(0.95, 1.02)))


def _planter(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Paint a box of greenery in front of the legs."""
    draw, (width, height) = ImageDraw.Draw(canvas), CANVAS
    top = int(height * rng.uniform(0.66, 0.86))
    left = int(width * rng.uniform(-0.3, 0.45))
    right = left + int(width * rng.uniform(0.55, 0.9))
    leaf = _near(rng, (74, 116, 66), 16)
    for x in range(left, right, 12):
        y = top - int(rng.integers(4, 14))
        draw.ellipse((x - 4, y, x + 18, y + 26), shade(leaf, float(rng.uniform(0.85, 1.15))))
    draw.rectangle((left, top + 8, right, height), _near(rng, (142, 132, 122), 16))
    draw.rectangle((left, top + 8, right, top + 13), (176, 168, 158))


def _shadow(canvas: Image.Image, x: float, y: float, scale: float) -> None:
    """Paint what keeps feet on the ground."""
    at = (min(CANVAS[0] - 1, max(0, int(x))), min(CANVAS[1] - 1, int(y)))
    ground = canvas.getpixel(at)
    assert isinstance(ground, tuple)
    colour = shade((int(ground[0]), int(ground[1]), int(ground[2])), 0.62)
    box = (x - scale * 0.15, y - scale * 0.018, x + scale * 0.15, y + scale * 0.018)
    ImageDraw.Draw(canvas).ellipse(box, colour)


def _expose(
    rng: np.random.Generator, canvas: Image.Image, camera: Camera, size: tuple[int, int]
) -> np.ndarray:
    """Return what the sensor makes of it: blur, light, colour response and noise."""
    picture = canvas.resize((size[1], size[0]), Image.Resampling.BOX)
    softness = camera.softness + float(rng.exponential(0.3))
    if softness > 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(min(softness, 1.4)))
    light = camera.brightness * float(np.exp(rng.normal(0, 0.16)))
    contrast, middle = float(rng.uniform(0.6, 1.1)), float(rng.uniform(90, 140))
    levels = np.clip((np.arange(256) - middle) * contrast + middle, 0, 255)
    levels = np.clip(255 * light * (levels / 255) ** camera.gamma, 0, 255)
    picture = picture.convert("RGB", camera.response).point(levels.astype(int).tolist() * 3)
    noise = rng.standard_normal((*size, 3), dtype=np.float32) * np.float32(rng.uniform(1, 8))
    pixels: np.ndarray = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
    return pixels


def save_world(world: ReIDDataset, folder: Path) -> Path:
    """Write a world as PNG files in Market-1501's folders, with a ``manifest.csv``.

    Args:
        world: whose pictures are `MemoryImages`.
        folder: made if it does not exist; must not contain a manifest yet.

    Returns:
        The manifest: columns path (relative to it), pid, camid, split (train, query, gallery), one
        per attribute, with the value's name, and tracklet and time where people walk.

    Raises:
        DataError: if the folder already contains a manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.csv"
    if manifest.exists():
        raise DataError(f"{manifest} exists already; name a new folder")
    rows = [row for name in FOLDERS for row in _save_split(world, name, folder)]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        tracks = ("tracklet", "time") if world.gallery.times is not None else ()
        writer.writerow(["path", "pid", "camid", "split", *world.attribute_values, *tracks])
        writer.writerows(rows)
    return manifest


def _save_split(world: ReIDDataset, name: str, folder: Path) -> list[list[str]]:
    """Write one split's pictures; its rows of the manifest."""
    split: Split = getattr(world, name)
    (folder / FOLDERS[name]).mkdir(exist_ok=True)
    rows = []
    for index in range(len(split)):
        pid, camid = int(split.pids[index]), int(split.camids[index])
        path = f"{FOLDERS[name]}/{pid:04d}_c{camid + 1}_s1_{index:06d}.png"
        pixels = _pixels(split, index)
        Image.fromarray(pixels).save(folder / path)
        values = [
            names[int(split.attributes[a][index])] for a, names in world.attribute_values.items()
        ]
        if split.tracklets is not None and split.times is not None:
            values += [str(int(split.tracklets[index])), f"{float(split.times[index]):.2f}"]
        rows.append([path, str(pid), str(camid), name, *values])
    return rows


def _pixels(split: Split, index: int) -> np.ndarray:
    """Picture ``index`` as it is kept, ``(height, width, 3)`` uint8."""
    if not isinstance(split.images, MemoryImages):
        raise DataError("only a synthetic world can be saved; its pictures are kept in memory")
    return split.images.pixels[index].permute(1, 2, 0).numpy()
