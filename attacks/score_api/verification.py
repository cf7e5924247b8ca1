"""What a score is worth at a verification service's operating points; for evaluation only."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.protocol.asking import Asking
from attacks.protocol.publication import held_pictures, own_pictures
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.report import Measurement
from auditor.types import RunContext, Target

OPERATING_POINTS = {"verified_fmr1": 0.01, "verified_fmr01": 0.001}
"""Share of people whose picture passes the threshold that so many impostor pairs pass."""
PICTURES = 2000
"""So many auxiliary pictures are compared with each other: enough pairs for one in a thousand."""


@dataclass(frozen=True, eq=False)
class Verification:
    """A service with thresholds, asked about some of its entries.

    Attributes:
        target: whose stored gallery it compares with.
        entries: ``(P,)`` gallery positions, one for each attacked person.
        thresholds: operating point -> the score to exceed.
        asking: how pictures are submitted.
        ctx: of the run.
    """

    target: Target
    entries: Tensor
    thresholds: Mapping[str, float]
    asking: Asking
    ctx: RunContext

    @classmethod
    def of(cls, target: Target, entries: Tensor, asking: Asking, ctx: RunContext) -> "Verification":
        """With thresholds measured on auxiliary people.

        Raises:
            UnsupportedTargetError: if there are fewer than two of them.
        """
        impostors = impostor_scores(target, asking, ctx)
        thresholds = {
            name: float(np.quantile(impostors, 1 - rate, method="higher"))
            for name, rate in OPERATING_POINTS.items()
        }
        return cls(target, entries, thresholds, asking, ctx)

    def measure(self, pictures: Tensor) -> tuple[Measurement, ...]:
        """Return ``score_reached`` and the success attack rates of pictures ``(P, 3, H, W)``."""
        seen = F.normalize(self.asking.embed(pictures), dim=1)
        stored = F.normalize(stored_gallery(self.target, self.ctx)[self.entries], dim=1)
        pids, scores = self.target.data.gallery.pids[self.entries], (seen * stored).sum(1)
        swapped = (seen.roll(len(seen) // 2, 0) * stored).sum(1)
        reached = measure.mean(
            "score_reached",
            scores,
            pids,
            chance=float(swapped.mean()),
            unit="ratio",
            note="cosine of the best picture with the attacked entry, which chose that picture",
        )
        rates = [
            measure.rate(name, scores > threshold, pids, chance=OPERATING_POINTS[name])
            for name, threshold in self.thresholds.items()
        ]
        return reached, *rates

    def note(self) -> str:
        """Return what genuine pictures score, and where the thresholds lie."""
        limits = ", ".join(
            f"{self.thresholds[name]:.3f} at FMR {rate:.1%}"
            for name, rate in OPERATING_POINTS.items()
        )
        genuine = self._genuine()
        mean = f"{float(genuine.mean()):.3f} on average" if len(genuine) else "nothing to compare"
        return (
            f"the people's own query pictures score {mean} with the attacked entries; "
            f"thresholds measured on pairs of auxiliary people: {limits}"
        )

    def _genuine(self) -> Tensor:
        """Scores of the attacked people's queries, from other cameras where that is the rule."""
        data = self.target.data
        held = held_pictures(self.target, self.ctx)[self.asking.kind]
        query = F.normalize(held, dim=1)
        stored = F.normalize(stored_gallery(self.target, self.ctx)[self.entries], dim=1)
        gallery = data.gallery
        own = data.query.pids[:, None] == gallery.pids[self.entries]
        camera = gallery.camids[self.entries]
        same = (data.query.camids[:, None] == camera) & (camera >= 0) & data.cross_camera
        return (query @ stored.T)[own & ~same]


def impostor_scores(target: Target, asking: Asking, ctx: RunContext) -> np.ndarray:
    """Cosines between submitted pictures and released entries of two auxiliary people each.

    Raises:
        UnsupportedTargetError: if there are fewer than two of them.
    """
    auxiliary = target.data.auxiliary
    people = len(auxiliary.pids.unique())
    if people < 2:
        raise UnsupportedTargetError(
            "a verification threshold takes two auxiliary people or more, and the adversary has "
            f"{people}"
        )
    own = own_pictures(target, ctx).features
    released = target.release(own, ctx.generator("attacks.score_api.thresholds"))
    rows = torch.randperm(len(own), generator=ctx.generator("attacks.score_api.impostors"))
    rows = rows[:PICTURES]
    scores = F.normalize(asking.own[rows], dim=1) @ F.normalize(released[rows], dim=1).T
    pids = auxiliary.pids[rows]
    return scores[pids[:, None] != pids].numpy()
