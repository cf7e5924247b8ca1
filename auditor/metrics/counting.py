"""How many entries of a row score higher than each of a few limits, and how many as high.

Nothing is sorted: a pass over the row per limit is a hundred times cheaper than the product that
made the row. Compiled by numba where that is installed (``pip install '.[fast]'``), and otherwise
by torch's own operations; both count exactly, and the tests hold them to one plain reference.
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

TILE = {"cpu": 2}
"""Queries compared at once; on a processor, few enough that comparisons stay in its cache."""
LARGE_TILE = 32
"""That of any other device."""
WORTHWHILE = 2**29
"""Comparisons from which numba is loaded, which takes a second."""


def count_better(scores: Tensor, limits: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Entries above, and at least as high as, each limit; two float64 ``(B, P)``.

    Args:
        scores: ``(B, G)``.
        limits: ``(B, P)``.
        counts: ``(B,)`` how many limits a row has; results beyond them mean nothing.
    """
    work = int(counts.sum()) * scores.shape[1]
    if scores.device.type == "cpu" and scores.dtype == torch.float32 and work >= WORTHWHILE:
        compiled = compile_counter()
        if compiled is not None:
            return count_compiled(compiled, scores, limits, counts)
    return count_by_tiles(scores, limits, counts)


def count_compiled(
    count: Callable[..., None], scores: Tensor, limits: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """`count_better` by the compiled ``count``."""
    above = torch.ones(limits.shape, dtype=torch.float64)
    at_least = torch.ones_like(above)
    others = (array.numpy() for array in (limits.contiguous(), counts, above, at_least))
    count(_whole_rows(scores).numpy(), scores.shape[1], *others)
    return above, at_least


def _whole_rows(scores: Tensor) -> Tensor:
    """Return the contiguous wider matrix whose first columns these are, or else a copy."""
    rows, width = len(scores), scores.stride(0)
    room = scores.untyped_storage().nbytes() // scores.element_size() - scores.storage_offset()
    if scores.stride(1) == 1 and scores.shape[1] <= width and rows * width <= room:
        return scores.as_strided((rows, width), (width, 1))
    return scores.contiguous()


def count_by_tiles(scores: Tensor, limits: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """`count_better` by torch, on any device."""
    above = torch.ones(limits.shape, dtype=torch.float64, device=scores.device)
    at_least = torch.ones_like(above)
    size = TILE.get(scores.device.type, LARGE_TILE)
    # rows with as many limits go together, so that few comparisons are made in vain
    order = counts.argsort(descending=True)
    for rows, width in zip(order.split(size), counts[order[::size]].tolist(), strict=True):
        values, lowest = scores[rows, None, :], limits[rows, :width, None]
        # counting in float avoids a slow bool-to-int64 reduction; exact up to 2**24 entries
        better = torch.empty(len(rows), width, scores.shape[1], device=scores.device)
        above[rows, :width] = torch.gt(values, lowest, out=better).sum(2).double()
        at_least[rows, :width] = torch.ge(values, lowest, out=better).sum(2).double()
    return above, at_least


@cache
def compile_counter() -> Callable[..., None] | None:
    """Return a function that counts into arrays, row by row; None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    from auditor.metrics.compiled import count

    return count
