"""Own pictures put among the attacked ones, so that sending one of them back finds nobody."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.types import Images, ReIDDataset, Split


@dataclass(frozen=True)
class Joined:
    """One source of pictures after another."""

    first: Images
    second: Images

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        asked = torch.as_tensor(indices, dtype=torch.long)
        pictures = torch.empty((len(asked), 3, *size))
        ahead = asked < len(self.first)
        for source, rows, begin in (
            (self.first, ahead, 0),
            (self.second, ~ahead, len(self.first)),
        ):
            if rows.any():
                pictures[rows] = source.load((asked[rows] - begin).tolist(), size)
        return pictures


def with_decoys(data: ReIDDataset, rows: Tensor) -> ReIDDataset:
    """Return ``data`` with auxiliary pictures ``rows (S,)`` in its gallery, as distractors."""
    gallery, decoys = data.gallery, data.auxiliary.take(rows)
    joined = Split(
        Joined(gallery.images, decoys.images),
        torch.cat([gallery.pids, torch.zeros_like(decoys.pids)]),
        torch.cat([gallery.camids, decoys.camids]),
    )
    return replace(data, gallery=joined)
