"""What a prior paints, and what own pictures lend it: samples of how an entry's person may look."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.inversion.code_map import CodeMap
from attacks.inversion.linear import LinearMap
from attacks.inversion.reconstruction import OwnPairs
from attacks.inversion.scoring import CHUNK
from auditor.models.prior import PicturePrior

COARSE = (16, 8)
"""Rows and columns in which the prior's own error is corrected."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture for each of M entries, as latents and what is added to what they show.

    Attributes:
        grids: ``(M, C, h, w)`` latents.
        details: ``(M, 3, H, W)`` what the prior does not paint.
    """

    grids: Tensor
    details: Tensor

    def painted(self, prior: PicturePrior) -> Tensor:
        """Paint pictures ``(M, 3, H, W)`` in [0, 1] on the CPU."""
        drawn = torch.cat([prior.picture(part) for part in self.grids.split(CHUNK)])
        return (drawn + self.details).clamp(0, 1).cpu()

    def with_part(self, other: "Sample", top: float, bottom: float) -> "Sample":
        """Replace the part between two shares of the height by that of another sample."""
        return Sample(
            _replace_rows(self.grids, other.grids, top, bottom),
            _replace_rows(self.details, other.details, top, bottom),
        )

    def take(self, rows: Tensor) -> "Sample":
        """Return the sample of some of the entries, ``rows (B,)``."""
        return Sample(self.grids[rows], self.details[rows])

    @staticmethod
    def picked(samples: Sequence["Sample"], which: Tensor) -> "Sample":
        """Pick for each entry the sample number ``which (M,)``."""
        rows = torch.arange(len(which), device=which.device)
        return Sample(
            torch.stack([sample.grids for sample in samples])[which, rows],
            torch.stack([sample.details for sample in samples])[which, rows],
        )


def _replace_rows(ours: Tensor, theirs: Tensor, top: float, bottom: float) -> Tensor:
    height = ours.shape[2]
    places = (torch.arange(height, device=ours.device) + 0.5) / height
    inside = ((places >= top) & (places < bottom))[:, None]
    return torch.where(inside, theirs, ours)


@dataclass(frozen=True, eq=False)
class Painter:
    """What features say about pictures, and what own pictures can lend.

    Attributes:
        prior: decodes.
        codes_of: stored features ``(B, D)`` to expected codes ``(B, K)``.
        tint: standardised features to coarse corrections of what the prior paints of these.
        own: the adversary's pictures.
        codes: ``(N, K)`` of the same.
        released: ``(N, D)`` features of the same, after a draw of the release.
    """

    prior: PicturePrior
    codes_of: CodeMap
    tint: LinearMap
    own: OwnPairs
    codes: Tensor
    released: Tensor

    def expect(self, entries: Tensor) -> Sample:
        """Paint what stored ``entries (M, D)`` are expected to show."""
        return Sample(self.prior.grids(self.codes_of(entries)), self._tints(entries))

    def encode(self, pictures: Tensor) -> Sample:
        """Return a sample that shows ``pictures (M, 3, H, W)``."""
        codes = torch.cat([self.prior.encode(part) for part in pictures.split(CHUNK)])
        shown = torch.cat([self.prior.decode(part) for part in codes.split(CHUNK)])
        return Sample(self.prior.grids(codes), pictures - shown)

    def borrow(self, rows: Tensor, entries: Tensor, correction: float) -> Sample:
        """Take own pictures ``rows (M,)``, moved towards what ``entries (M, D)`` should show."""
        lent = self.own.seen[rows]
        codes, real = self.codes[rows], self.own.pixels[rows].float() / 255
        details = real - torch.cat([self.prior.decode(part) for part in codes.split(CHUNK)])
        moved = codes + correction * (self.codes_of(entries) - self.codes_of(lent))
        tints = self._tints(entries) - self._tints(lent)
        return Sample(self.prior.grids(moved), details + correction * tints)

    def _tints(self, entries: Tensor) -> Tensor:
        tints = self.tint(self.codes_of.standardise(entries)).unflatten(1, (3, *COARSE))
        return F.interpolate(tints, self.prior.shape.size, mode="bilinear")


def coarse(pictures: Tensor) -> Tensor:
    """Return the colours ``(B, 3·rows·columns)`` of pictures ``(B, 3, H, W)`` in `COARSE`."""
    return F.adaptive_avg_pool2d(pictures, COARSE).flatten(1)
