"""Who says which of several pictures looks most like a person, and how much each counts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from auditor.types import FeatureExtractor


@dataclass(frozen=True, eq=False)
class Ranker:
    """A network and what it should see in each entry's person.

    Attributes:
        name: for the note.
        embed: pictures to features.
        wanted: ``(M, D)``.
        trust: how clearly it tells one person's pictures from another's by what is wanted.
        network: what embeds, where it is the adversary's own, so that gradients are at hand.
    """

    name: str
    embed: Callable[[Tensor], Tensor]
    wanted: Tensor
    trust: float
    network: FeatureExtractor | None = None

    def cosines(self, pictures: Tensor) -> Tensor:
        """Return how much each of the pictures looks like its person to it, ``(M,)``."""
        return F.cosine_similarity(self.embed(pictures).cpu(), self.wanted.cpu(), dim=1)


def trust_in(wanted: Tensor, seen: Tensor, pids: Tensor) -> float:
    """Measure by how many deviations cosines to a person's other pictures exceed those to others'.

    Args:
        wanted: ``(N, D)``, what should be seen in own pictures.
        seen: ``(N, D)``, what is.
        pids: ``(N,)``, whose they are.
    """
    order = pids.argsort(stable=True)
    wanted, seen, pids = wanted.cpu()[order], seen.cpu()[order], pids[order]
    half = len(pids) // 2
    same = F.cosine_similarity(wanted, seen.roll(1, 0), dim=1)[pids == pids.roll(1)]
    strange = F.cosine_similarity(wanted, seen.roll(half, 0), dim=1)[pids != pids.roll(half)]
    if len(same) < 2 or len(strange) < 2:
        return 1.0
    spread = ((same.var() + strange.var()) / 2).sqrt().clamp_min(1e-6)
    return float(((same.mean() - strange.mean()) / spread).clamp_min(0))


@dataclass(frozen=True, eq=False)
class Votes:
    """The weighted sum of what rankers say, each on the scale of an entry's first samples.

    Attributes:
        scores: ``(S, R, M)`` of S samples of M entries by R rankers.
        trusts: ``(R,)``.
    """

    scores: Tensor
    trusts: Tensor

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the sum ``(…, M)`` of scores ``(…, R, M)``."""
        spread = self.scores.std(0, correction=0).clamp_min(1e-6)
        steps = (scores - self.scores.mean(0)) / spread
        return (steps * self.trusts[:, None]).sum(-2)
