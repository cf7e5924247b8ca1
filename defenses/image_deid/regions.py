"""The head or the body painted black, on either side of the line of the shoulders."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from auditor.plugins.declaring import OwnFile, Share, checked_dataclass
from auditor.types import Images, RunContext, Target
from defenses.image_deid.changing import Changed, Exported, Size
from defenses.publish.keypoints import Keypoints, shoulder_line
from defenses.publish.publish import protect


@checked_dataclass
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

    head: Share = 0.2
    keypoints: OwnFile | None = None
    image_size: Size = (128, 64)

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`; raises DataError for a file that contains no keypoints."""
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


@checked_dataclass
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


@checked_dataclass
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
