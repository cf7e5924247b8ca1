"""Rows of a store where pictures would be, and the extractor that has nothing but them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auditor.data.images import JoinedImages, TrackletImages
from auditor.data.tracklets import pool_rows
from auditor.errors import UnsupportedTargetError
from auditor.lazy_copies import MappedRows
from auditor.types import Images, Selection

INPUT_SIZE = (256, 128)
"""(height, width) for whoever asks: no picture is ever taken."""


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Stored rows, with the pictures they were made of where those are known.

    Attributes:
        features: ``(N, D)`` real numbers, perhaps mapped from a file; never written to.
        pictures: N pictures, or None.
        mapped: gives the features in a mapping of one's own, where they are mapped as float32.
    """

    features: Tensor
    pictures: Images | None = None
    mapped: MappedRows | None = None

    def __len__(self) -> int:
        return len(self.features)

    def take(self, places: Tensor) -> Tensor:
        """Return a copy ``(len(places), D)`` float32, lazy for rows that lie side by side."""
        if self.mapped is None:
            return self.features[places].float()
        side_by_side = len(places) > 1 and bool((places.diff() == 1).all())
        if not side_by_side:
            return self.mapped()[places]
        return self.mapped()[int(places[0]) : int(places[-1]) + 1]

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`.

        Raises:
            UnsupportedTargetError: if the features came without pictures.
        """
        if self.pictures is None:
            raise UnsupportedTargetError("this needs pictures, and the features came without any")
        return self.pictures.load(indices, size)


class StoredFeatures(nn.Module):
    """Stands for a model that is not there: what it once made of pictures is all there is.

    Args:
        feature_dim: length of a row.
    """

    input_size = INPUT_SIZE
    differentiable = False

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def forward(self, images: Tensor) -> Tensor:
        """Cannot be asked.

        Raises:
            UnsupportedTargetError: always.
        """
        raise UnsupportedTargetError(
            f"this asks the model about {len(images)} pictures, and the features came without it"
        )

    def rows(self, images: Images) -> Tensor:
        """Return the stored features ``(N, D)`` float32, a copy.

        Raises:
            UnsupportedTargetError: for pictures that are none of the store's.
        """
        return gather_rows(images, torch.arange(len(images)))


def has_pictures(images: Images) -> bool:
    """Return whether there is anything to look at."""
    if isinstance(images, FeatureRows):
        return images.pictures is not None
    if isinstance(images, Selection):
        return has_pictures(images.source)
    if isinstance(images, JoinedImages):
        return has_pictures(images.first) and has_pictures(images.second)
    source: Images | None = getattr(images, "source", None)
    return source is None or has_pictures(source)


def gather_rows(images: Images, places: Tensor) -> Tensor:
    """Return stored features ``(len(places), D)`` float32."""
    if isinstance(images, FeatureRows):
        return images.take(places)
    if isinstance(images, Selection):
        return gather_rows(images.source, torch.as_tensor(images.rows, dtype=torch.long)[places])
    if isinstance(images, JoinedImages):
        border = len(images.first)
        later = places >= border
        if not later.any():
            return gather_rows(images.first, places)
        if later.all():
            return gather_rows(images.second, places - border)
        parts = (
            gather_rows(images.first, places[~later]),
            gather_rows(images.second, places[later] - border),
        )
        order = torch.cat([(~later).nonzero(), later.nonzero()]).flatten()
        return torch.cat(parts)[order.argsort()]
    if isinstance(images, TrackletImages):
        groups = [images.groups[place] for place in places.tolist()]
        pictures = torch.tensor([row for group in groups for row in group])
        return pool_rows(gather_rows(images.source, pictures), groups, images.pooling)
    raise UnsupportedTargetError(
        "this changes pictures, and the features came without the model that would embed them"
    )
