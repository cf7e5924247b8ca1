"""Two splits in one."""

import math

import torch
from torch import Tensor

from auditor.data.images import JoinedImages
from auditor.types import MISSING, Split


def join_splits(first: Split, second: Split) -> Split:
    """Return the rows of two splits in one; attributes that only one has are left out."""
    shared = first.attributes.keys() & second.attributes.keys()
    lengths = len(first), len(second)
    return Split(
        JoinedImages(first.images, second.images),
        torch.cat([first.pids, second.pids]),
        torch.cat([first.camids, second.camids]),
        {
            name: torch.cat([first.attributes[name], second.attributes[name]])
            for name in first.attributes
            if name in shared
        },
        partners=_join(lengths, (first.partners, second.partners), MISSING),
        tracklets=_join(lengths, (first.tracklets, second.tracklets), MISSING),
        times=_join(lengths, (first.times, second.times), math.nan),
    )


def _join(
    lengths: tuple[int, int], columns: tuple[Tensor | None, Tensor | None], unknown: float
) -> Tensor | None:
    """Return a column of two splits; rows of a split without one have ``unknown`` in it."""
    told = next((column for column in columns if column is not None), None)
    if told is None:
        return None
    return torch.cat(
        [
            told.new_full((length,), unknown) if column is None else column
            for length, column in zip(lengths, columns, strict=True)
        ]
    )
