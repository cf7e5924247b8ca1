"""The rung without a network: somebody who looks like the person behind the embedding."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.inversion.reconstruction import auxiliary_pairs, choose, judge_pictures
from attacks.pooling import pooled_gallery
from auditor.metrics.perceptual import PerceptualDistance
from auditor.types import AttackResult, RunContext, Target

BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Lookalike:
    """Shows the own picture whose embedding comes closest to a stolen one.

    Threat model: holds the stored gallery and own pictures of other people; may query the extractor
    on those. Nothing is trained and nothing is drawn: what the picture shows of the person is what
    people who embed alike have in common.

    Source: nearest-neighbour search, the floor under every generative inversion: a network that
    does no better has only memorised its training pictures. Difference: entries that are probably
    of one person are pooled first (`attacks.pooling`).

    Attributes:
        image_size: (height, width) of the pictures shown.
        pool: how many neighbours each stored entry is pooled with; 0 for none.
        per_person: stored entries tried per attacked person.
    """

    image_size: tuple[int, int] = (64, 32)
    pool: int = 16
    per_person: int = 2

    family: ClassVar[str] = "inversion"
    headline: ClassVar[str] = "reid_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        clean, pixels = auxiliary_pairs(target, self.image_size, ctx)
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        entries = pooled_gallery(target, self.pool, ctx)[chosen].to(ctx.device)
        shown = pixels[nearest(entries, clean)].float().div(255).cpu()
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        return judge_pictures(shown, chosen, target, ctx, distance)


def nearest(entries: Tensor, clean: Tensor) -> Tensor:
    """Row ``(M,)`` of ``clean (N, D)`` with the highest cosine to each of ``entries (M, D)``."""
    return (F.normalize(entries, dim=1) @ F.normalize(clean, dim=1).T).argmax(1)


def stand_ins(entries: Tensor, clean: Tensor, pids: Tensor) -> Tensor:
    """Row ``(N,)`` of ``clean`` nearest to each of ``entries (N, D)`` among *other* people's rows.

    What `nearest` is for an attacked person, for the people ``pids (N,)`` a network learns from.
    """
    unit, rows = F.normalize(clean, dim=1), []
    blocks = zip(F.normalize(entries, dim=1).split(BLOCK), pids.split(BLOCK), strict=True)
    for part, own in blocks:
        cosines = part @ unit.T
        same = own[:, None] == pids
        rows.append(cosines.masked_fill(same.to(cosines.device), -torch.inf).argmax(1))
    return torch.cat(rows)
