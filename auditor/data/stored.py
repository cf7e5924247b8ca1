"""Stored galleries in files: the rows, and whose they are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from auditor.data.features.files import DAMAGE
from auditor.errors import DataError

COLUMNS = {"features": "f", "pids": "i", "camids": "i"}
"""Array of a file -> the kind of its numbers, as numpy names it."""


@dataclass(frozen=True, eq=False)
class StoredGallery:
    """The rows of a gallery as a deployment keeps them.

    Attributes:
        features: ``(N, D)`` float32.
        pids: ``(N,)`` int64, as the file calls people; 0 is a distractor.
        camids: ``(N,)`` int64; −1 where the camera is not known.
    """

    features: Tensor
    pids: Tensor
    camids: Tensor

    def __len__(self) -> int:
        return len(self.features)


def read_gallery(path: Path) -> StoredGallery:
    """Read ``gallery.npz``.

    Raises:
        DataError: if the file contains anything else than a row of numbers for each entry.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in COLUMNS}
    except DAMAGE as error:
        raise DataError(f"{path} is not a stored gallery: {error}") from None
    features, rows = found["features"], len(np.atleast_1d(found["features"]))
    for name, column in found.items():
        wanted = (rows,) if name != "features" else (rows, *features.shape[1:2])
        if column.dtype.kind != COLUMNS[name] or column.shape != wanted:
            raise DataError(
                f"{path}: {name} is {column.dtype} of shape {column.shape}; a gallery of {rows} "
                "rows has real features (N, D), and integer pids (N,) and camids (N,)"
            )
    return StoredGallery(
        torch.from_numpy(features.astype(np.float32)),
        *(torch.from_numpy(found[name].astype(np.int64)) for name in ("pids", "camids")),
    )
