"""A composite picture, as a police artist makes one: parts of people who look alike."""

from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.inversion.pooling import pool_stored
from attacks.inversion.reconstruction import auxiliary_pairs, choose, judge_pictures
from attacks.inversion.reference import draw_people
from attacks.protocol.asking import Asking, ask_every_way
from auditor.certification.planting import Planted
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target

BLOCK = 1024
SOFTNESS = 0.015
"""Width of a seam between two parts, as a share of the height."""


_Cut = Annotated[float, Field(gt=0, lt=1)]


@checked_dataclass
class Composite:
    """Assembles a picture from parts of other people's until it embeds like the stolen entry.

    Threat model: has the stored gallery and own pictures of other people; may query the
    extractor, without gradients, on those and on composites of them. Where pictures are protected,
    the mechanism is known and its key is not: composites are made by asking about them as they are
    and again protected under a key of the adversary's own, and whichever finds more counts.

    Source: facial composites, and best-of-N search by feature distance. The search is coordinate
    ascent: the picture starts as the own one that embeds most alike, is cut into horizontal parts
    (head, torso, legs), and each part in turn is replaced by that of the candidate who brings the
    embedding closest to the stored entry. People differ above and below the waist independently,
    so few pictures make many people. Parts are from photographs, so the result is natural, which
    keeps the search from fooling the extractor it listens to.

    Attributes:
        image_size: (height, width) of the pictures.
        cuts: where the parts meet, as shares of the height.
        candidates: people whose parts are tried for each entry, the most alike first.
        rounds: passes over the parts; 0 shows the lookalike as it is.
        pool: how many neighbours each stored entry is pooled with; 0 for none.
        per_person: stored entries tried per attacked person.
    """

    image_size: tuple[int, int] = (64, 32)
    cuts: tuple[_Cut, ...] = (0.125, 0.5)
    candidates: PositiveInt = 16
    rounds: NonNegativeInt = 1
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 1

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.COMPOSER
    headline: ClassVar[str] = "reid_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        own = auxiliary_pairs(target, self.image_size, ctx)
        return ask_every_way(target, ctx, partial(self._compose, target, own.pixels))

    def _compose(
        self, target: Target, pixels: Tensor, asking: Asking, ctx: RunContext
    ) -> AttackResult:
        """Composites by one way of asking about them."""
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        entries = F.normalize(pool_stored(target, chosen, self.pool, ctx).to(ctx.device), dim=1)
        pids = target.data.auxiliary.pids.to(ctx.device)
        library = candidates(entries, asking.own.to(ctx.device), pids, self.candidates)
        best, reached = self.search(asking, entries, pixels, library, ctx)
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        result = judge_pictures(best.cpu(), chosen, target, ctx, distance)
        queries = 1 + self.rounds * (len(self.cuts) + 1) * library.shape[1]
        note = (
            f"{queries} composites were tried per entry; the mean cosine to the pooled entry "
            f"reached {float(reached.mean()):.3f}"
        )
        return replace(result, notes=(*result.notes, note))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)

    def search(
        self,
        asking: Asking,
        entries: Tensor,
        pixels: Tensor,
        library: Tensor,
        ctx: RunContext,
    ) -> tuple[Tensor, Tensor]:
        """Return the best pictures ``(M, 3, H, W)`` and their cosines ``(M,)`` to the entries.

        Args:
            asking: how pictures are embedded.
            entries: ``(M, D)`` of unit length.
            pixels: uint8 ``(N, 3, H, W)``, own pictures.
            library: ``(M, K)`` which of them are tried; see `candidates`.
            ctx: the run.
        """

        def likeness(pictures: Tensor) -> Tensor:
            return F.cosine_similarity(asking.embed(pictures).to(ctx.device), entries, dim=1)

        best = pixels[library[:, 0]].float().div(255)
        reached = likeness(best)
        masks = part_masks(self.cuts, self.image_size[0]).to(best.device)
        moves = [(mask, column) for mask in masks for column in range(library.shape[1])]
        moves *= self.rounds
        for done, (mask, column) in enumerate(moves):
            part = pixels[library[:, column]].float().div(255)
            trial = torch.lerp(best, part, mask)
            cosine = likeness(trial)
            better = cosine > reached
            best[better], reached = trial[better], torch.maximum(reached, cosine)
            ctx.progress((done + 1) / len(moves), "composite")
        return best, reached


def candidates(entries: Tensor, clean: Tensor, pids: Tensor, count: int) -> Tensor:
    """Rows ``(M, K)`` of ``clean (N, D)``: each entry's nearest picture of its K nearest people.

    ``entries (M, D)`` have unit length; K is ``count``, or all people ``pids (N,)`` there are.
    """
    unit = F.normalize(clean, dim=1)
    theirs = [(pids == pid).nonzero()[:, 0] for pid in pids.unique()]
    rows = []
    for block in entries.split(BLOCK):
        cosines = block @ unit.T
        best = [cosines[:, pictures].max(1) for pictures in theirs]
        values = torch.stack([found.values for found in best], dim=1)
        nearest = [x[found.indices] for x, found in zip(theirs, best, strict=True)]
        people = values.topk(min(count, len(theirs)), dim=1).indices
        rows.append(torch.stack(nearest, dim=1).gather(1, people))
    return torch.cat(rows)


def part_masks(cuts: tuple[float, ...], height: int) -> Tensor:
    """Return weights ``(P, 1, H, 1)`` of each horizontal part; they sum to one in every row."""
    places = (torch.arange(height) + 0.5) / height
    edges = [torch.sigmoid((places - cut) / SOFTNESS) for cut in sorted(cuts)]
    below = [torch.ones(height), *edges]
    above = [*edges, torch.zeros(height)]
    parts = [start - end for start, end in zip(below, above, strict=True)]
    return torch.stack(parts)[:, None, :, None]
