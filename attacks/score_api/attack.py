"""What did they look like? Pictures found by asking how similar they are."""

from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.inversion.reconstruction import choose, judge_pictures
from attacks.inversion.scoring import Trial, score_identity
from attacks.protocol.asking import Asking, ask_every_way
from attacks.score_api.api import ScoreApi
from attacks.score_api.budget import budget_curve, halvings
from attacks.score_api.climb import HIDDEN, Snapshot, climb, start
from attacks.score_api.decoys import with_decoys
from attacks.score_api.prior import eigen_pictures
from attacks.score_api.verification import Verification
from auditor.certification.controls import make_planted_target
from auditor.data.images import eight_bit
from auditor.errors import UnsupportedTargetError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Several, checked_dataclass
from auditor.report import Adversary, Curve, pluralize
from auditor.types import AttackResult, RunContext, Target

SMALLEST = 16
"""Pixels along either side of a picture that can be judged."""


_Side = Annotated[int, Field(ge=SMALLEST)]


@checked_dataclass
class ScoreClimbing:
    """Reconstructs the person's picture by hill climbing on a service's similarity scores.

    Threat model: may submit pictures to a verification service and sees the cosine with a stored
    entry chosen by its position, nothing else: no feature, no gradient, no weights. Holds own
    pictures of other people. Every submitted picture counts as a query. Where the gallery's
    pictures are protected, the mechanism is known and its key is not: the climb is run with
    pictures as they are and again with pictures protected under a key of the adversary's own,
    and whichever finds more counts.

    Sources: hill climbing over eigen-pictures from quantised match scores (Adler, CCECE 2004),
    judged by type-II re-identification after NbNet (Mai et al., TPAMI 2018). Differences: the climb
    starts from the own picture that scores best and keeps its detail, the eigen-pictures are those
    of whole people, and the climber is a separable CMA-ES (Ros and Hansen, PPSN 2008).

    Attributes:
        people: how many attacked people are tried, one gallery entry each.
        queries: pictures submitted for each of them, starts included.
        starts: own pictures among those, from which the best starts the climb.
        decimals: places the service rounds its scores to; None if it does not.
        top_k: the service shows an entry's score only while it is among so many best; None if
            always.
        image_size: (height, width) of the submitted pictures.
        directions: eigen-pictures along which the search moves.
        population: pictures per generation.
        step: first step of the search, in standard deviations of own pictures.
    """

    people: Several = 20
    queries: PositiveInt = 2000
    starts: PositiveInt = 400
    decimals: PositiveInt | None = None
    top_k: PositiveInt | None = None
    image_size: tuple[_Side, _Side] = (64, 32)
    directions: Several = 160
    population: Annotated[int, Field(ge=4)] = 16
    step: float = 0.3

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.CUSTOMER
    headline: ClassVar[str] = "reid_rank1"

    def __post_init__(self) -> None:
        if self.starts > self.queries:
            raise ValueError(
                f"starts is {self.starts} and queries {self.queries}; starts are some of them"
            )

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`; needs pictures of two auxiliary people."""
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        chosen = self._choose_entries(target, ctx)
        return ask_every_way(target, ctx, partial(self._climb, target, chosen, distance))

    def _climb(
        self,
        target: Target,
        chosen: Tensor,
        distance: PerceptualDistance,
        asking: Asking,
        ctx: RunContext,
    ) -> AttackResult:
        """Return the climb with pictures submitted as they are, or protected first."""
        service = Verification.of(target, chosen, asking, ctx)
        api = ScoreApi(target, ctx, self.decimals, self.top_k, asking.embed)
        kept = self._climb_in_parts(api, chosen, target, ctx)
        best = kept[-1].pictures
        judged = judge_pictures(best, chosen, target, ctx, distance)
        return AttackResult(
            (*judged.measurements, *service.measure(best)),
            judged.exhibits,
            (*judged.notes, *_notes(kept, service)),
            _curves(kept, service),
        )

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """Return the general planted leak, where the climb's starts are distractors in the gallery.

        People's codes are few there, and the best of some hundred own pictures is often nearer to
        its person than to anybody else; such luck must not pass for power.
        """
        leak = make_planted_target(target.data, ctx)
        return replace(leak, data=with_decoys(leak.data, self._starts(leak, ctx)))

    def _choose_entries(self, target: Target, ctx: RunContext) -> Tensor:
        """Return one gallery entry ``(P,)`` for each of some people, in the order of pids.

        Raises:
            UnsupportedTargetError: if the gallery shows fewer than two people.
        """
        entries = choose(target.data.gallery.pids, 1, ctx)
        if len(entries) < 2:
            raise UnsupportedTargetError(
                f"the gallery shows {pluralize(len(entries), 'person', 'people')}; the blind "
                "floor needs two"
            )
        order = torch.randperm(len(entries), generator=ctx.generator("attacks.score_api.people"))
        return entries[order[: self.people].sort().values]

    def _climb_in_parts(
        self, api: ScoreApi, chosen: Tensor, target: Target, ctx: RunContext
    ) -> list[Snapshot]:
        """Return the start, and where each climb stands after parts of the budget."""
        own = target.data.auxiliary
        prior = eigen_pictures(own, self.directions, self.image_size, ctx)
        tried = own.images.load(self._starts(target, ctx).tolist(), self.image_size)
        begin = start(api, eight_bit(tried), chosen)
        generations = (self.queries - begin.queries) // self.population
        marks = {
            begin.queries + (count - begin.queries) // self.population * self.population
            for count in halvings(self.queries)
            if count >= begin.queries
        }
        trail = climb(api, begin, chosen, prior, self.population, self.step, generations, ctx)
        return [begin, *(snapshot for snapshot in trail if snapshot.queries in marks)]

    def _starts(self, target: Target, ctx: RunContext) -> Tensor:
        """Return the auxiliary pictures ``(S,)`` that are submitted first."""
        generator = ctx.generator("attacks.score_api.starts")
        return torch.randperm(len(target.data.auxiliary), generator=generator)[: self.starts]


def _curves(kept: list[Snapshot], service: Verification) -> tuple[Curve, Curve]:
    """Who is recognised, and who passes at FMR 1%, against the number of submitted pictures."""
    target, ctx = service.target, service.ctx
    judge = ctx.judges.get("target", target.extractor)
    size = (kept[0].pictures.shape[-2], kept[0].pictures.shape[-1])
    originals = target.data.gallery.images.load(service.entries.tolist(), size)
    recognised, passed = [], []
    for snapshot in kept:
        drawn, queries = snapshot.pictures, snapshot.queries
        trial = Trial(target, service.entries, drawn, originals)
        seen, _ = score_identity("target", judge, trial, ctx)
        recognised.append((queries, seen[0]))
        passed.append((queries, service.measure(drawn)[1]))
    return budget_curve("queries", recognised), budget_curve("queries_to_verification", passed)


def _notes(kept: list[Snapshot], service: Verification) -> tuple[str, ...]:
    """Return what was submitted, and what scores are worth here."""
    first, last = kept[0], kept[-1]
    people, unseen = len(service.entries), int((last.scores == HIDDEN).sum())
    notes = [
        f"{last.queries} pictures were submitted for each of {people} people, "
        f"{first.queries} of them the adversary's own",
        service.note(),
    ]
    if unseen:
        notes.append(f"for {unseen} of {people} people the service never showed a score")
    return tuple(notes)
