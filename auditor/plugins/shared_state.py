"""What all plug-ins share is put back after each: labels, settings of torch, folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from auditor.errors import AuditError
from auditor.types import ReIDDataset


class DisturbedError(AuditError):
    """A plug-in changed in place what everybody works on."""


@contextmanager
def restore_shared_state(data: ReIDDataset) -> Iterator[None]:
    """Put back afterwards whatever is shared by all plug-ins and was changed inside.

    Raises:
        DisturbedError: if people's labels were changed in place; they are put back first.
    """
    labels = [(tensor, tensor.clone()) for tensor in _labels(data)]
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    threads, strict = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    place, mask = os.open(".", os.O_RDONLY), os.umask(0o077)
    os.umask(mask)
    try:
        yield
    finally:
        os.umask(mask)
        os.fchdir(place)
        os.close(place)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        torch.set_deterministic_debug_mode(strict)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        changed = [(tensor, was) for tensor, was in labels if not _same(tensor, was)]
        for tensor, was in changed:
            tensor.copy_(was)
    if changed:
        raise DisturbedError("it changed the people's labels in place, which all attacks share")


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal; a time that is not known equals itself."""
    return one.shape == other.shape and torch.allclose(one, other, 0, 0, equal_nan=True)


def _labels(data: ReIDDataset) -> Iterator[Tensor]:
    for split in (data.train, data.query, data.gallery, data.auxiliary):
        yield from split.columns().values()
