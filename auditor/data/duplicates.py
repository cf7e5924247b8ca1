"""Pictures of the adversary's people that are copies of attacked people's pictures.

Such a copy, under another identity and perhaps encoded, scaled, cropped or lit anew, hands the
adversary what the audit then calls recovered. Copies are told by a perceptual hash (pHash, the
signs of the low frequencies of a cosine transform, Zauner 2010, as `imagehash` computes it) of 256
bits: with the usual 64, pedestrians look alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from auditor.data.images import decode

SIDE = 16
"""The hash has ``SIDE * SIDE`` bits."""

SURE = 40
"""Pictures that differ in no more bits are one. Of 42 million pairs of different real people across
the splits of a street dataset none differ in fewer than 62; a re-encoded, scaled or relit copy
differs in 0 to 40, one cropped by a fiftieth on each side in 36."""

POSSIBLE = 72
"""Pictures that differ in no more bits are compared pixel by pixel."""

CORRELATED = 0.95
"""The correlation, at the best crop, that makes a possible copy one: cropped copies reach 0.96 and
more, the 236 most alike pairs of those 42 million at most 0.94."""

SHARES = (0.0, 0.02, 0.04, 0.06, 0.08)
CROPS = tuple((first, last) for first in SHARES for last in SHARES)
"""Shares of the width or height that a copy may have lost at either end."""

FLAT = 2.0
"""Standard deviation of grey levels (of 255) below which a picture shows nothing to compare."""

SMALL = (16, 32)
"""(width, height) at which pixels are compared."""

BLOCK = 256

Print = NDArray[np.bool_]


@dataclass(frozen=True)
class Copy:
    """A known picture, the attacked picture that it is nearest to, and the bits they differ in."""

    known: int
    attacked: int
    bits: int


def fingerprint(picture: Image.Image) -> Print | None:
    """The hash ``(SIDE * SIDE,)`` of an RGB picture; None for one that shows nothing."""
    if np.asarray(picture.convert("L").resize(SMALL)).std() < FLAT:
        return None
    bits: Print = imagehash.phash(picture, hash_size=SIDE).hash.ravel()
    return bits


def find_copies(
    known: pd.DataFrame,
    attacked: pd.DataFrame,
    prints: Mapping[int, Print | None],
    files: Sequence[Path],
) -> list[Copy]:
    """The known pictures that are copies of an attacked picture of another person.

    Args:
        known: rows with a pid, whose index says which of ``prints`` and ``files`` is theirs.
        attacked: likewise.
        prints: row -> fingerprint.
        files: row -> picture.
    """
    return [
        copy
        for copy in _candidates(_shown(known, prints), _shown(attacked, prints), prints)
        if copy.bits <= SURE or aligned(files[copy.known], files[copy.attacked]) >= CORRELATED
    ]


def _shown(table: pd.DataFrame, prints: Mapping[int, Print | None]) -> pd.DataFrame:
    return table[[prints[row] is not None for row in table.index]]


def _candidates(
    known: pd.DataFrame, attacked: pd.DataFrame, prints: Mapping[int, Print | None]
) -> Iterator[Copy]:
    """The nearest attacked picture of each known one, if it is near enough."""
    if known.empty or attacked.empty:
        return
    theirs, persons = _signs(attacked, prints), attacked["pid"].to_numpy()
    for start in range(0, len(known), BLOCK):
        block = known.iloc[start : start + BLOCK]
        # of ±1 vectors the product is (equal − different) bits
        bits = (SIDE * SIDE - _signs(block, prints) @ theirs.T) / 2
        bits[block["pid"].to_numpy()[:, None] == persons] = np.inf
        nearest = bits.argmin(axis=1)
        least = bits[np.arange(len(block)), nearest]
        near = least <= POSSIBLE
        pairs = zip(block.index[near], attacked.index[nearest[near]], least[near], strict=True)
        yield from (Copy(int(row), int(other), int(count)) for row, other, count in pairs)


def _signs(table: pd.DataFrame, prints: Mapping[int, Print | None]) -> NDArray[np.float32]:
    stack = np.array([prints[row] for row in table.index], dtype=np.float32)
    return 2 * stack - 1


def aligned(first: Path, second: Path) -> float:
    """The correlation of two pictures' grey levels at the best crop of either."""
    one, other = (decode(file).convert("L") for file in (first, second))
    return max(_best_crop(one, other), _best_crop(other, one))


def _best_crop(larger: Image.Image, smaller: Image.Image) -> float:
    """The correlation of ``smaller`` with the crop of ``larger`` that resembles it most.

    Height and width are searched in turn, which a crop does not mix.
    """
    want = _standardised(smaller.resize(SMALL, Image.Resampling.BOX))
    crop = {"x": (0.0, 0.0), "y": (0.0, 0.0)}
    best = -1.0
    for axis in ("y", "x", "y", "x"):
        found = crop[axis]
        for ends in CROPS:
            score = float(np.dot(want, _standardised(_cropped(larger, {**crop, axis: ends}))))
            if score > best:
                best, found = score, ends
        crop[axis] = found
    return best


def _cropped(picture: Image.Image, crop: Mapping[str, tuple[float, float]]) -> Image.Image:
    (left, right), (top, bottom) = crop["x"], crop["y"]
    width, height = picture.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return picture.resize(SMALL, Image.Resampling.BOX, box)


def _standardised(picture: Image.Image) -> NDArray[np.float64]:
    levels = np.asarray(picture, dtype=np.float64).ravel()
    levels -= levels.mean()
    return levels / max(float(np.linalg.norm(levels)), 1e-12)
