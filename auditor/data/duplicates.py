"""Pictures of the adversary's people that are copies of attacked people's pictures.

Such a copy, under another identity and perhaps encoded, scaled, cropped or lit anew, hands the
adversary what the audit then calls recovered. Copies are told by a perceptual hash (pHash, the
signs of the low frequencies of a cosine transform, Zauner 2010, as `imagehash` computes it) of 256
bits. With the usual 64, the 12 bits that a slight crop changes are all that sets apart a thousand
pairs of different pedestrians. A copy cropped by a twentieth or more on each side is often missed,
and a mirrored one always.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from auditor.data.alignment import SMALL, correlate
from auditor.data.rows import Rows
from auditor.data.splits import Division, without
from auditor.errors import DataError

SIDE = 16
"""The hash has ``SIDE * SIDE`` bits."""

SURE = 40
"""Pictures that differ in no more bits are one. Of 42 million pairs of different real people across
the splits of Market-1501 none differ in fewer than 62. A re-encoded or scaled copy differs in up
to 22, one a third brighter in up to 36, one cropped by a fiftieth on each side in 36 as a rule."""

POSSIBLE = 72
"""Pictures that differ in no more bits are compared pixel by pixel."""

CORRELATED = 0.95
"""The correlation, at the best crop, that makes a possible copy one: cropped copies of real
pictures reach 0.96 and more, the 236 most alike of those 42 million pairs at most 0.94."""

FLAT = 2.0
"""Standard deviation of grey levels (of 255) below which a picture shows nothing to compare."""

BLOCK = 256
"""Known pictures compared at a time."""

LISTED = 20
"""Copies named in the report; all are counted."""

OnCopies = Literal["error", "warn", "drop"]

log = logging.getLogger(__name__)

Print = NDArray[np.bool_]


@dataclass(frozen=True)
class Copy:
    """A known picture, the attacked picture that it is nearest to, and the bits they differ in."""

    known: int
    attacked: int
    bits: int


def fingerprint(picture: Image.Image) -> Print | None:
    """Return the hash ``(SIDE * SIDE,)`` of an RGB picture; None for one that shows nothing."""
    if np.asarray(picture.convert("L").resize(SMALL)).std() < FLAT:
        return None
    bits: Print = imagehash.phash(picture, hash_size=SIDE).hash.ravel()
    return bits


def without_copies(
    rows: Rows, division: Division, prints: Mapping[int, Print | None], on_copies: OnCopies
) -> tuple[Division, dict[str, Any]]:
    """Return the division without copies, if those are to be dropped, and the account of them.

    Raises:
        DataError: if there are copies and ``on_copies`` is "error".
    """
    copies = copies_across(division, prints, rows.files)
    facts = _account(rows, copies, on_copies)
    if not copies:
        return division, facts
    first = facts["pairs"][0]
    message = (
        f"{len(copies)} auxiliary or train pictures are near-duplicates of pictures of attacked "
        f"people, whom the adversary must not have; the first is {first['known']!r}, a copy of "
        f"{first['attacked']!r}"
    )
    if on_copies == "error":
        raise DataError(f"{message}; remove them, or set data.near_duplicates to drop or warn")
    log.warning("%s: %s", rows.source, message)
    if on_copies == "drop":
        division = without(division, [copy.known for copy in copies])
    return division, facts


def copies_across(
    division: Division, prints: Mapping[int, Print | None], files: Sequence[Path]
) -> list[Copy]:
    """Return the auxiliary and train pictures that are copies of attacked ones."""
    parts = division.parts
    known = pd.concat([parts["auxiliary"], parts["train"]])
    known = known[~known.index.duplicated()].sort_values("path")
    attacked = pd.concat([parts["query"], parts["gallery"]]).sort_values("path")
    return find_copies(known, attacked, prints, files)


def find_copies(
    known: pd.DataFrame,
    attacked: pd.DataFrame,
    prints: Mapping[int, Print | None],
    files: Sequence[Path],
) -> list[Copy]:
    """Return the known pictures that are copies of an attacked picture of another person.

    Args:
        known: rows with a pid, whose index says which of ``prints`` and ``files`` is theirs.
        attacked: likewise.
        prints: row -> fingerprint.
        files: row -> picture.
    """
    return [
        copy
        for copy in _candidates(_shown(known, prints), _shown(attacked, prints), prints)
        if copy.bits <= SURE or correlate(files[copy.known], files[copy.attacked]) >= CORRELATED
    ]


def _shown(table: pd.DataFrame, prints: Mapping[int, Print | None]) -> pd.DataFrame:
    return table[[prints[row] is not None for row in table.index]]


def _candidates(
    known: pd.DataFrame, attacked: pd.DataFrame, prints: Mapping[int, Print | None]
) -> Iterator[Copy]:
    """Yield the nearest attacked picture of each known one, if it is near enough."""
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


def _account(rows: Rows, copies: Sequence[Copy], on_copies: OnCopies) -> dict[str, Any]:
    paths = rows.table["path"]
    return {
        "count": len(copies),
        "dropped": on_copies == "drop",
        "threshold": f"{POSSIBLE} of {SIDE * SIDE} bits",
        "pairs": [
            {"known": paths[c.known], "attacked": paths[c.attacked], "bits": c.bits}
            for c in copies[:LISTED]
        ],
    }
