"""How many threads a training is worth: a tiny network is done before they have met."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

TINY = 2**27
"""Multiplications of one step, forwards, below which one thread is the fastest."""


@contextmanager
def suited_threads(module: nn.Module, batches: Iterable[Any]) -> Iterator[None]:
    """Work in one thread while a tiny ``module`` is trained on ``batches``."""
    before = torch.get_num_threads()
    if before > 1 and multiplications(module, getattr(batches, "size", None)) < TINY:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def multiplications(module: nn.Module, rows: int | None) -> float:
    """Of a step forwards on so many rows; without end where it cannot be told.

    A weight of a convolution is used once for each place of a picture, whose size nobody knows.
    """
    if rows is None or any(isinstance(part, nn.modules.conv._ConvNd) for part in module.modules()):
        return float("inf")
    return float(rows * sum(parameter.numel() for parameter in module.parameters()))
