"""The best inverter of the faint plant; see `attacks.references`."""

from attacks.inversion.pooling import pool_stored
from attacks.inversion.reconstruction import choose, judge_pictures
from auditor.certification.planting import Planted, paint
from auditor.metrics.perceptual import PerceptualDistance
from auditor.types import AttackResult, RunContext

POOLED = 16
"""Neighbours that a picture is drawn with; see `attacks.inversion.pooling`."""


def draw_people(
    planted: Planted, ctx: RunContext, *, size: tuple[int, int], per_person: int
) -> AttackResult:
    """Return the posterior mean of the code behind each pooled entry, painted and judged alike."""
    target = planted.target
    chosen = choose(target.data.gallery.pids, per_person, ctx)
    entries = pool_stored(target, chosen, POOLED, ctx)
    drawn = paint(planted.truth(ctx).code_of(entries), size)
    return judge_pictures(
        drawn, chosen, target, ctx, PerceptualDistance(ctx.weights).to(ctx.device)
    )
