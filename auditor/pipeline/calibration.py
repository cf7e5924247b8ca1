"""How fast this machine is, found out in seconds: a batch is embedded, a matrix product taken."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from auditor.embedding import embed
from auditor.types import FeatureExtractor, Split

PICTURES = 32
"""That are embedded; the first few before the clock starts."""
WARM = 4
SHAPE = (1024, 512, 4096)
"""Rows, depth and columns of the product: some scores of a re-ID gallery."""
REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one process does here, beside whatever else the machine is at.

    Attributes:
        pictures: that are decoded and embedded in a second; None where there is no model to ask, or
            asking it costs its owner something.
        gflops: of a product of single-precision matrices.
        memory: bytes that the process has held at most so far.
    """

    pictures: float | None
    gflops: float
    memory: int


def calibrate(
    extractor: FeatureExtractor | None, split: Split | None, device: torch.device
) -> Speed:
    """Return the speed at which ``extractor`` embeds ``split``, if given, and of a product."""
    pictures = None
    if extractor is not None and split is not None and len(split):
        pictures = _embedding(extractor, split, device)
    return Speed(pictures=pictures, gflops=_product(device), memory=_memory())


def _embedding(extractor: FeatureExtractor, split: Split, device: torch.device) -> float:
    rows = range(min(PICTURES, len(split)))

    def work(rows: range) -> None:
        images = split.images.load(rows, extractor.input_size).to(device)
        embed(extractor, images).cpu()

    work(rows[:WARM])
    return len(rows) / max(_seconds(lambda: work(rows)), 1e-9)


def _product(device: torch.device) -> float:
    rows, depth, columns = SHAPE
    left, right = torch.ones(rows, depth, device=device), torch.ones(depth, columns, device=device)

    def work() -> None:
        (left @ right)[0, 0].item()  # which waits for a GPU

    work()
    seconds = min(_seconds(work) for _ in range(REPEATS))
    return 2e-9 * rows * depth * columns / max(seconds, 1e-9)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
