"""Copies of large tensors that take up memory only where somebody changes them."""

import mmap
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.row_blocks import split_rows

LEAST = 2**26
"""Bytes from which copies are made lazily; smaller ones are quicker made at once."""


class MappedRows:
    """Rows in a file; called, they are mapped anew, and whoever changes them changes no others."""

    def __init__(
        self, descriptor: int, kind: np.dtype[np.generic], shape: tuple[int, ...], start: int = 0
    ) -> None:
        """Take over an open file whose numbers begin at the byte ``start``."""
        self._descriptor, self._kind, self._shape, self._start = descriptor, kind, shape, start
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def of_array(cls, rows: np.memmap[tuple[int, ...], np.dtype[np.generic]]) -> "MappedRows":
        """Of an array in C order that is mapped from a file."""
        descriptor = os.open(Path(str(rows.filename)), os.O_RDONLY)
        return cls(descriptor, rows.dtype, rows.shape, int(rows.offset))

    def __call__(self) -> Tensor:
        """Return the rows ``(N, …)``."""
        skipped = self._start % mmap.ALLOCATIONGRANULARITY
        count = int(np.prod(self._shape))
        mapped = mmap.mmap(
            self._descriptor,
            skipped + count * self._kind.itemsize,
            access=mmap.ACCESS_COPY,
            offset=self._start - skipped,
        )
        numbers: NDArray[np.generic] = np.frombuffer(mapped, self._kind, count, skipped)
        return torch.from_numpy(numbers.reshape(self._shape))


def keep_rows(rows: Tensor) -> Callable[[], Tensor]:
    """Return what gives a copy of ``rows (N, …)`` as they are now, whenever it is called."""
    if rows.device.type != "cpu" or rows.nbytes < LEAST or not hasattr(os, "memfd_create"):
        kept = rows.clone()
        return kept.clone
    descriptor = os.memfd_create("rows")  # a file in memory, which goes with its last mapping
    for block in split_rows(rows):
        _write(descriptor, block.contiguous().numpy().tobytes())
    return MappedRows(descriptor, rows[:0].numpy().dtype, tuple(rows.shape))


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
