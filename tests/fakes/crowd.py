"""A synthetic crowd whose pictures spell out who is who, small enough to audit in seconds.

A picture is 24 coloured cells: the person's code, plus noise of its own. `code` reads it back
almost perfectly, so it is what a fake has to hide, and `salt` is a number that only the picture
decides, so that a fake can scramble every picture in another way.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.types import MemoryImages, ReIDDataset, Split

SIZE = (16, 8)
CELLS = (4, 2)
CODE = 24
CONTRAST, GRAIN = 0.12, 0.16
ATTACKED, AUXILIARY = 120, 120
CAMERAS, SHOTS = 3, 3
RARE = 0.75
"""Every fifth person's code begins with more than this."""
APART = 3.5
"""Two readings of one person's code are nearer than this, those of two people farther."""
ATTRIBUTES = {"tall": ("no", "yes"), "dark": ("no", "yes"), "rare": ("no", "yes")}


def code(images: Tensor) -> Tensor:
    """The person's code ``(B, 24)``, about standard normal, as the picture shows it."""
    return (F.adaptive_avg_pool2d(images, CELLS).flatten(1) - 0.5) / CONTRAST


def salt(images: Tensor, size: int) -> Tensor:
    """Uniform numbers ``(B, size)`` in [0, 1) that follow from every pixel of the picture alone."""
    pixels = (images * 255).round().double().flatten(1)
    weights = torch.randn(
        pixels.shape[1], size, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    return (pixels @ weights).mul(12.9898).sin().mul(43758.5453).remainder(1.0).float()


def gaussian(images: Tensor, size: int) -> Tensor:
    """Standard normal numbers ``(B, size)`` that follow from the picture alone."""
    return torch.special.ndtri(salt(images, size).double().clamp(1e-6, 1 - 1e-6)).float()


@cache
def codes() -> Tensor:
    """The codes ``(240, 24)`` of everybody; person p has row p - 1."""
    generator = torch.Generator().manual_seed(11)
    return torch.randn(ATTACKED + AUXILIARY, CODE, generator=generator)


def shows_one_of(images: Tensor, pids: Tensor) -> Tensor:
    """Whether each picture ``(B, 1)`` shows one of ``pids``."""
    return (torch.cdist(code(images), codes()[pids - 1]) < APART).any(1, keepdim=True)


@cache
def crowd() -> ReIDDataset:
    """Attacked people 1 … 120 with three queries and six gallery pictures each, 120 auxiliary."""
    everybody = torch.arange(1, ATTACKED + AUXILIARY + 1)
    attacked, others = everybody[:ATTACKED], everybody[ATTACKED:]
    auxiliary = _photograph(others, codes(), range(SHOTS))
    return ReIDDataset(
        name="synthetic crowd",
        train=auxiliary,
        query=_photograph(attacked, codes(), range(1)),
        gallery=_photograph(attacked, codes(), range(1, SHOTS)),
        auxiliary=auxiliary,
        attribute_values=ATTRIBUTES,
        real_people=False,
    )


def _photograph(pids: Tensor, table: Tensor, shots: range) -> Split:
    """One picture of everybody by every camera at every shot."""
    person = pids.repeat_interleave(CAMERAS * len(shots))
    camera = torch.arange(CAMERAS).repeat_interleave(len(shots)).repeat(len(pids))
    shot = torch.tensor(list(shots)).repeat(len(pids) * CAMERAS)
    rows = table[person - 1]
    clean = 0.5 + CONTRAST * rows.unflatten(1, (3, *CELLS))
    pictures = F.interpolate(clean, SIZE)
    for row, key in enumerate(zip(person.tolist(), camera.tolist(), shot.tolist(), strict=True)):
        grain = torch.Generator().manual_seed(hash(key) % 2**31)
        pictures[row] += GRAIN * torch.randn(3, *SIZE, generator=grain)
    attributes = {
        "tall": (rows[:, 1] > 0).long(),
        "dark": (rows[:, 2] > 0).long(),
        "rare": (rows[:, 0] > RARE).long(),
    }
    pixels = (pictures.clamp(0, 1) * 255).round().byte()
    return Split(MemoryImages(pixels), person, camera, attributes)
