"""What would it have been without the defense? Defended features, translated back to clean ones."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from attacks import threat_models
from attacks.inversion.linear import LinearDecoder
from attacks.inversion.reconstruction import judge_reconstructions, why_undrawn
from attacks.inversion.reference import draw_people
from attacks.learners.mapping import Map, Maps, Pairs, Refinement, learn_maps, views_of
from attacks.learners.standardising import Standardise
from attacks.protocol.matching import score_search
from attacks.protocol.publication import publish_own
from attacks.protocol.reference import find_people
from auditor.certification.planting import Planted
from auditor.data.images import load_pixels
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Several, checked_dataclass
from auditor.releasing import Composed
from auditor.report import Adversary, Curve, Measurement
from auditor.row_blocks import split_rows
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target, as_is

FIRST = 100
"""Pictures at the start of the budget curve."""
GROWTH = 4


@checked_dataclass
class Translation:
    """Translates defended embeddings to clean ones, names people by them and reconstructs them.

    Threat model: has the stored gallery and own pictures of other people; may send those through
    everything the gallery went through (protection of pictures under a key of their own, defended
    extractor, fresh draws of the release) and through a clean public extractor, here the audited
    model before its defense; learns from these pairs how to get from one feature to the other, then
    names people by clean features of own pictures of them, the queries, and inverts the translated
    gallery with a decoder made for clean features.

    Source: rbh24 (pi-null-mezon, 2024), where one linear layer carries templates from one face
    recogniser to another (mean cosine 0.47, 0.82 and 0.9 with 100, 1 000 and 10 000 people).
    Differences: a network refines the ridge, both see fresh draws of a random release, and people
    whom none of them has seen choose the rung; names are given about the mean of clean features, by
    the rung that keeps people apart best, and pictures drawn from the rung of highest cosine, by
    the linear decoder alone.

    Attributes:
        pairs: so many auxiliary pictures are paired; all of them by default.
        hidden: width of the network that refines the ridge.
        epochs: its passes over the pairs; 0 leaves it out.
        image_size: (height, width) of the reconstructions.
        pool: how many neighbours each stored entry is pooled with before it is reconstructed.
        per_person: reconstructions per attacked person.
    """

    pairs: Several | None = None
    hidden: PositiveInt = 512
    epochs: NonNegativeInt = 20
    image_size: tuple[int, int] = (64, 32)
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 2

    family: ClassVar[str] = "translation"
    adversary: ClassVar[Adversary] = threat_models.TRANSLATOR
    headline: ClassVar[str] = "translated_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        data, clean = target.data, ctx.judges.get("target", target.extractor)
        stored, query = stored_gallery(target, ctx), features_of(clean, data.query, ctx)
        pairs = auxiliary_pairs(target, clean, ctx)
        order = torch.randperm(len(pairs.pids), generator=ctx.generator("attacks.translation"))
        budgets = spread(len(order) if self.pairs is None else min(self.pairs, len(order)))
        refinement = Refinement(hidden=self.hidden, epochs=self.epochs)
        points = []
        for budget in budgets:
            name = f"attacks.translation.{budget}"
            maps = learn_maps(pairs.take(order[:budget]), refinement, ctx, name)
            named = score_search("translated", query - maps.centre, _named(maps, stored), data)
            points.append((budget, named[0]))
        cosine = _likeness(maps.closest(stored), clean, target, ctx)
        drawn = self._reconstruct(maps.closest, pairs.wanted, order[: budgets[-1]], target, ctx)
        notes = (*_notes(maps, budgets[-1], clean, target), *drawn.notes)
        return AttackResult(
            (*named, cosine, *drawn.measurements), drawn.exhibits, notes, (_curve(points),)
        )

    def _reconstruct(
        self, closest: Map, clean: Tensor, rows: Tensor, target: Target, ctx: RunContext
    ) -> AttackResult:
        """Return pictures of the translated gallery, judged like those of any inverter.

        None of none.
        """
        if reason := why_undrawn(target, ctx):
            return AttackResult((), notes=(f"nothing was reconstructed: {reason}",))
        auxiliary = target.data.auxiliary.take(rows)
        pixels = load_pixels(auxiliary.images, self.image_size)
        inverter = _ByTranslation(closest.network, clean[rows], pixels, auxiliary.pids)
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        return judge_reconstructions(inverter, self.per_person, self.pool, target, ctx, distance)

    def disguise(self, planted: Planted) -> Planted:
        """Return the faint leak behind a rotation that only own pairs give away."""
        target = planted.target
        turned = Composed(Turn.of(target.extractor.feature_dim), target.release)
        return planted.behind(replace(target, release=turned))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the person expected behind each entry, searched, and the code, painted."""
        found = find_people(planted, ctx, "translated")
        target, codes = planted.target, planted.truth(ctx).code_of
        cosine = _likeness(codes(stored_gallery(target, ctx)), target.extractor, target, ctx)
        drawn = draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)
        return AttackResult((*found.measurements, cosine, *drawn.measurements))


def _likeness(
    guesses: Tensor, clean: FeatureExtractor, target: Target, ctx: RunContext
) -> Measurement:
    """Mean cosine between people's clean features and translations ``(N, D)`` of the gallery."""
    pids = target.data.gallery.pids
    truth = features_of(clean, target.originals_of_gallery, ctx)
    people, cosines = pids > 0, []
    sums = torch.zeros(2, truth.shape[1])
    blocks = zip(split_rows(guesses), split_rows(truth), split_rows(people), strict=True)
    for guess, wanted, somebody in blocks:
        sides = guess[somebody], wanted[somebody]
        cosines.append(F.cosine_similarity(*sides))
        sums += torch.stack([F.normalize(side, dim=1).sum(0) for side in sides])
    means = sums / int(people.sum())
    return measure.mean(
        "translated_cosine",
        torch.cat(cosines),
        pids[people],
        chance=float(means[0] @ means[1]),
        unit="ratio",
        note="chance is the mean cosine of a shuffled assignment",
    )


def auxiliary_pairs(target: Target, clean: FeatureExtractor, ctx: RunContext) -> Pairs:
    """Own pictures on both roads: as the gallery went, up to its release, and clean.

    Raises:
        UnsupportedTargetError: if there are none.
    """
    auxiliary = target.data.auxiliary
    if not len(auxiliary):
        raise UnsupportedTargetError("the adversary has no auxiliary pictures to learn from")
    wanted = features_of(clean, auxiliary, ctx)
    _, seen = publish_own(target, auxiliary, ctx, "attacks.translation.key")
    return Pairs(seen, wanted, auxiliary.pids, views_of(target.data), target.release)


def spread(last: int) -> list[int]:
    """`FIRST` times powers of `GROWTH` below ``last``, and ``last``.

    >>> spread(60), spread(400), spread(6324)
    ([60], [100, 400], [100, 400, 1600, 6324])
    """
    budgets = [last]
    budget = FIRST
    while budget < last:
        budgets.insert(-1, budget)
        budget *= GROWTH
    return budgets


def _named(maps: Maps, stored: Tensor) -> Tensor:
    return maps.clearest(stored) - maps.centre


class _ByTranslation(nn.Module):
    """Stored features ``(B, D)`` to pictures: translated, standardised, decoded."""

    def __init__(self, translate: nn.Module, clean: Tensor, pixels: Tensor, pids: Tensor) -> None:
        super().__init__()
        self.translate = translate
        self.standardise = Standardise(clean)
        self.decode = LinearDecoder(self.standardise(clean), pixels, pids)

    def forward(self, stored: Tensor) -> Tensor:
        """Return pictures ``(B, 3, H, W)`` in [0, 1]."""
        drawn: Tensor = self.decode(self.standardise(self.translate(stored)))
        return drawn.clamp(0, 1)


def _curve(points: list[tuple[int, Measurement]]) -> Curve:
    """Rank-1 against the number of pairs, and whether it still grows."""
    return Curve(
        name="auxiliary_pictures",
        metric=Translation.headline,
        x="auxiliary pictures (pairs)",
        points=tuple(found.at(x) for x, found in points),
        log_x=True,
        statement=saturation(points),
    )


def saturation(points: list[tuple[int, Measurement]]) -> str:
    """Return whether the last fourfold step of the budget still bought anything.

    It did not where it gained less than half of the last interval's width. Steps that are longer
    than fourfold count as one.
    """
    last, reached = points[-1]
    before = [m for budget, m in points if budget * GROWTH <= last]
    if not before:
        return (
            f"{last} pictures leave no fourfold step to compare with; whether more would help is "
            "not known"
        )
    gain, half = reached.value - before[-1].value, (reached.high - reached.low) / 2
    step = f"the last fourfold step changes rank-1 by {gain:+.3f}, half its interval is {half:.3f}"
    if gain < half:
        return f"saturated: {step}"
    return f"not saturated: {step}; more auxiliary pictures would do better"


def _notes(maps: Maps, budget: int, clean: FeatureExtractor, target: Target) -> tuple[str, ...]:
    learned = (
        f"learned from {budget} pairs of pictures; held-out auxiliary people chose the "
        f"{maps.clearest.rung} map to name by and the {maps.closest.rung} map to reconstruct from"
    )
    bare = target.extractor is clean and target.release is as_is and target.publish is None
    if not bare:
        return (learned,)
    return (
        learned,
        "the target is bare: stored features are clean ones and translation is the identity, so "
        "these are the figures of plain re-identification and linear inversion",
    )


@dataclass(frozen=True, eq=False)
class Turn:
    """A release that rotates features by ``rotation (D, D)``."""

    rotation: Tensor

    any_device: ClassVar[bool] = True

    @classmethod
    def of(cls, dim: int) -> "Turn":
        """Return the rotation of features ``(N, dim)``, always the same."""
        drawn = torch.randn(dim, dim, generator=torch.Generator().manual_seed(0))
        return cls(torch.linalg.qr(drawn).Q)

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """See `auditor.releasing.Release`."""
        turned: Tensor = features @ self.rotation.to(features)
        return turned
