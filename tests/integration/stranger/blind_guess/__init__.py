"""A stranger's attacks: nothing of the auditor's own packages but the public types."""

from dataclasses import dataclass

import torch

from auditor.embedding import stored_gallery
from auditor.metrics import measure
from auditor.types import AttackResult, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class BlindGuess:
    """Names everyone by the most common gallery identity.

    Threat model: has nothing but the number of entries per person.
    """

    rank: int = 1

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """Guess."""
        pids = target.data.gallery.pids
        common = pids.mode().values
        hits = pids == common
        return AttackResult((measure.rate("top1", hits, pids, chance=float(hits.float().mean())),))


@dataclass(frozen=True, kw_only=True)
class Crash:
    """Falls over.

    Threat model: none.
    """

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """Fall over."""
        raise RuntimeError("the stranger's attack fell over")


@dataclass(frozen=True, kw_only=True)
class Loudest:
    """Pairs stored entries of one person by nearest neighbour.

    Threat model: has the stored gallery alone.
    """

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """Look for each entry's nearest other entry."""
        stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
        unit = torch.nn.functional.normalize(stored, dim=1)
        nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
        people = pids.unique(return_counts=True)[1].double()
        chance = float(((people - 1) * people).sum() / (len(pids) * (len(pids) - 1)))
        return AttackResult((measure.rate("paired", pids[nearest] == pids, pids, chance=chance),))
