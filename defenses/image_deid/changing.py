"""Pictures that are changed when they are loaded, always at the size at which they are published.

Without a size of their own, a blur of five pixels would be another one for every network that asks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from auditor.data.images import eight_bit
from auditor.resizing import resize_pixels
from auditor.types import Images, RunContext, Split, Target
from defenses.publish.folder import write_published

Change = Callable[[Tensor, Images, Sequence[int]], Tensor]
"""Clean pictures ``(B, 3, H, W)``, where they come from and their rows there, to changed ones."""


@dataclass(frozen=True, eq=False)
class Changed:
    """A mechanism that changes each picture by itself; see `auditor.types.Publish`.

    Attributes:
        change: what is done.
        size: (height, width) of the published pictures.
    """

    change: Change
    size: tuple[int, int]

    def __call__(self, split: Split, generator: torch.Generator) -> Split:
        """Return ``split`` with changed pictures; there is no key, and nobody is mixed in."""
        return replace(split, images=ChangedImages(split.images, self.change, self.size))


@dataclass(frozen=True, eq=False)
class ChangedImages:
    """Another source's pictures, changed at ``size`` and kept in 8 bits, as a file would be."""

    source: Images
    change: Change
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        changed = self.change(self.source.load(indices, self.size), self.source, indices)
        return resize_pixels(eight_bit(changed), size).clamp_(0, 1)


class Exported:
    """Base of the defenses whose pictures are published at ``image_size``: writes them down."""

    image_size: tuple[int, int]

    def export(self, defended: Target, ctx: RunContext, folder: Path) -> Mapping[str, Any]:
        """See `auditor.types.Exporter`; raises EnvironmentUnmetError if the disk refuses."""
        return write_published(defended, self.image_size, ctx, folder)


Size = tuple[PositiveInt, PositiveInt]
"""(height, width) to publish pictures at."""
