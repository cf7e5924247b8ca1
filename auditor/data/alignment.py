"""How much two pictures resemble each other, pixel by pixel, if one may be a crop of the other."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.data.decoding import decode

SHARES = (0.0, 0.02, 0.04, 0.06, 0.08)
CROPS = tuple((first, last) for first in SHARES for last in SHARES)
"""Shares of the width or height that a copy may have lost at either end."""

SMALL = (16, 32)
"""(width, height) at which pixels are compared."""


def correlate(first: Path, second: Path) -> float:
    """Return the correlation of two pictures' grey levels at the best crop of either."""
    one, other = (decode(file).convert("L") for file in (first, second))
    return max(_best_crop(one, other), _best_crop(other, one))


def _best_crop(larger: Image.Image, smaller: Image.Image) -> float:
    """Return the correlation of ``smaller`` with the crop of ``larger`` that resembles it most.

    Height and width are searched in turn, which a crop does not mix.
    """
    want = _standardise(smaller.resize(SMALL, Image.Resampling.BOX))
    crop = {"x": (0.0, 0.0), "y": (0.0, 0.0)}
    best = -1.0
    for axis in ("y", "x", "y", "x"):
        found = crop[axis]
        for ends in CROPS:
            score = float(np.dot(want, _standardise(_crop(larger, {**crop, axis: ends}))))
            if score > best:
                best, found = score, ends
        crop[axis] = found
    return best


def _crop(picture: Image.Image, crop: Mapping[str, tuple[float, float]]) -> Image.Image:
    (left, right), (top, bottom) = crop["x"], crop["y"]
    width, height = picture.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return picture.resize(SMALL, Image.Resampling.BOX, box)


def _standardise(picture: Image.Image) -> NDArray[np.float64]:
    levels = np.asarray(picture, dtype=np.float64).ravel()
    levels -= levels.mean()
    return levels / max(float(np.linalg.norm(levels)), 1e-12)
