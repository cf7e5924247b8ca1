"""The head or the body painted black, on either side of the line of the shoulders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from auditor.types import Images, RunContext, Target
from defenses.image_deid.changing import Changed, Exported, check_size
from defenses.publish.keypoints import Keypoints, shoulder_line
from defenses.publish.publish import protect


@dataclass(frozen=True, kw_only=True)
class _Removal(Exported):
    """What both removals share.

    Attributes:
        head: share of the picture's height that lies above the shoulders. It assumes crops that
            fit the person from top to toe.
        keypoints: CSV or JSON file with the shoulders of each picture; see
        `defenses.publish.keypoints`.
            Pictures without keypoints are cut at ``head``. None: all are.
        image_size: (height, width) of the published pictures.
    """

    head: float = 0.2
    keypoints: str | None = None
    image_size: tuple[int, int] = (128, 64)

    def __post_init__(self) -> None:
        check_size(self.image_size)
        if not 0 <= self.head <= 1:
            raise ValueError("head must be a share of the height in [0, 1]")

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`; raises DataError for a file that holds no keypoints."""
        known = Keypoints.read(Path(self.keypoints)) if self.keypoints else None
        change = partial(self._change, known)
        return protect(target, Changed(change, self.image_size), ctx, "defenses.removal")

    def _change(
        self, known: Keypoints | None, images: Tensor, source: Images, rows: Sequence[int]
    ) -> Tensor:
        lines = torch.full((len(images),), self.head)
        if known is not None:
            found = shoulder_line(known.of(source, rows))
            lines = torch.where(found.isnan(), lines, found)
        height = images.shape[2]
        middles = (torch.arange(height) + 0.5) / height
        above = middles < lines[:, None]
        return images * self._kept(above)[:, None, :, None]

    def _kept(self, above: Tensor) -> Tensor:
        """Which rows of pixels ``(B, H)`` stay, of those above the shoulders and the others."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RemoveHead(_Removal):
    """Paints everything above the shoulders black.

    Source: a baseline of PIS (SCIS 69(1), 2026, Table 2), which does not say how heads were found.

    Attributes:
        head: share of the picture's height that lies above the shoulders. It assumes crops that
            fit the person from top to toe.
        keypoints: CSV or JSON file with the shoulders of each picture; see
        `defenses.publish.keypoints`.
            Pictures without keypoints are cut at ``head``. None: all are.
        image_size: (height, width) of the published pictures.
    """

    def _kept(self, above: Tensor) -> Tensor:
        return ~above


@dataclass(frozen=True, kw_only=True)
class RemoveBody(_Removal):
    """Paints everything below the shoulders black.

    Source: a baseline of PIS (SCIS 69(1), 2026, Table 2), which does not say how bodies were found.

    Attributes:
        head: share of the picture's height that lies above the shoulders. It assumes crops that
            fit the person from top to toe.
        keypoints: CSV or JSON file with the shoulders of each picture; see
        `defenses.publish.keypoints`.
            Pictures without keypoints are cut at ``head``. None: all are.
        image_size: (height, width) of the published pictures.
    """

    def _kept(self, above: Tensor) -> Tensor:
        return above
