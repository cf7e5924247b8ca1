"""Which attributes can be attacked, and the labels an adversary learns from."""

from collections.abc import Mapping

import torch
from torch import Tensor

from auditor.errors import UnsupportedTargetError
from auditor.types import MISSING, Split

MEASURABLE = 20
"""With fewer carriers of a value the interval of its recall says hardly anything."""


def attackable(auxiliary: Split, gallery: Split, min_people: int) -> dict[str, list[int]]:
    """Attribute -> the codes that at least ``min_people`` people carry on both sides, if two do.

    Raises:
        UnsupportedTargetError: if no attribute is left.
    """
    annotated = sorted(set(auxiliary.attributes) & set(gallery.attributes))
    if not annotated:
        raise UnsupportedTargetError(
            "no attribute is annotated on both sides; add columns to the manifest"
        )
    codes = {}
    for name in annotated:
        sides = [_find_common(split, name, min_people) for split in (auxiliary, gallery)]
        common = sorted(sides[0] & sides[1])
        if len(common) >= 2:
            codes[name] = common
    if not codes:
        raise UnsupportedTargetError(
            f"no attribute is annotated with two values that {min_people} people carry "
            "on both sides; give more people, or set min_people lower"
        )
    return codes


def _find_common(split: Split, name: str, min_people: int) -> set[int]:
    column = split.attributes[name]
    annotated = (column != MISSING) & (split.pids > 0)
    pairs = torch.stack([column[annotated], split.pids[annotated]], dim=1).unique(dim=0)
    values, people = pairs[:, 0].unique(return_counts=True)
    return set(values[people >= min_people].tolist())


def recode(split: Split, codes: Mapping[str, list[int]]) -> Tensor:
    """Return labels ``(N, A)``: positions in ``codes``, −1 for other or missing values."""
    columns = []
    for name, values in codes.items():
        position = torch.full_like(split.pids, MISSING)
        for place, value in enumerate(values):
            position[(split.attributes[name] == value) & (split.pids > 0)] = place
        columns.append(position)
    return torch.stack(columns, dim=1)
