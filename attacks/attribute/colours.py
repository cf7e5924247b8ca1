"""Yes-or-no columns such as `upblack`, `upwhite`, `upred` read as one attribute, `up_colour`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from auditor.types import MISSING, Split

COLOURS = (
    *("beige", "black", "blue", "brown", "cyan", "gold", "gray", "green", "grey", "khaki"),
    *("magenta", "maroon", "navy", "olive", "orange", "pink", "purple", "red", "silver"),
    *("tan", "teal", "turquoise", "violet", "white", "yellow"),
)
LEAST = 3
"""Fewer columns of one garment are no palette."""
YES = 1
"""Code of the second value, in the order no < yes, 0 < 1, 1 < 2."""


def with_colours(*splits: Split) -> tuple[Split, ...]:
    """Return the splits with one attribute more for every palette that all of them keep to.

    A palette is three or more two-valued columns whose names are one garment and a colour word, and
    of which no picture has two. Its codes follow the order of the columns' names; pictures of which
    none is true (several colours, or another one) miss the value.
    """
    shared = set[str].intersection(*(set(split.attributes) for split in splits))
    derived: list[dict[str, Tensor]] = [{} for _ in splits]
    for garment, columns in palettes(shared).items():
        tables = [torch.stack([s.attributes[name] for name in columns]) for s in splits]
        name = f"{garment}_colour"
        if name not in shared and all(_exclusive(table) for table in tables):
            for found, table in zip(derived, tables, strict=True):
                found[name] = _code(table)
    return tuple(
        replace(split, attributes={**split.attributes, **found})
        for split, found in zip(splits, derived, strict=True)
    )


def palettes(names: Iterable[str]) -> Mapping[str, list[str]]:
    """Garment -> its colour columns, sorted; garments with few are left out.

    >>> palettes(["up", "down", "upblack", "upred", "upblue", "downred", "red", "hat"])
    {'up': ['upblack', 'upblue', 'upred']}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        colour = max((c for c in COLOURS if name.lower().endswith(c)), key=len, default="")
        garment = name[: len(name) - len(colour)].rstrip("_- ")
        if colour and garment:
            groups.setdefault(garment, []).append(name)
    return {garment: columns for garment, columns in groups.items() if len(columns) >= LEAST}


def _exclusive(table: Tensor) -> bool:
    """Return whether columns ``(colours, N)`` have two values and no picture has two colours."""
    return int(table.max()) <= YES and bool(((table == YES).sum(0) <= 1).all())


def _code(table: Tensor) -> Tensor:
    """Position ``(N,)`` of the one true column; −1 where none is."""
    worn = table == YES
    return torch.where(worn.any(0), worn.long().argmax(0), MISSING)
