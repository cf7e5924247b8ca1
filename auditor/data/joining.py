"""Two splits in one."""

import torch
from torch import Tensor

from auditor.data.images import JoinedImages
from auditor.types import Split


def join_splits(first: Split, second: Split) -> Split:
    """Return the rows of two splits in one; attributes that only one has are left out."""
    shared = first.attributes.keys() & second.attributes.keys()
    return Split(
        JoinedImages(first.images, second.images),
        torch.cat([first.pids, second.pids]),
        torch.cat([first.camids, second.camids]),
        {
            name: torch.cat([first.attributes[name], second.attributes[name]])
            for name in first.attributes
            if name in shared
        },
        _partners(first, second),
    )


def _partners(first: Split, second: Split) -> Tensor | None:
    """Return who is mixed into the rows of two splits.

    A split that says nothing has nobody mixed in.
    """
    if first.partners is None and second.partners is None:
        return None
    return torch.cat(
        [
            torch.full_like(split.pids, -1) if split.partners is None else split.partners
            for split in (first, second)
        ]
    )
