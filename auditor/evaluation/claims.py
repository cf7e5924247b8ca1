"""What a defense leaves standing of the promises made before it.

A claim is about one thing: the network that a private training gave, or the rows that a release
gives. Whoever puts something else in its place undoes it, unless that follows from the protected
thing alone. What cannot be seen to follow from it is taken not to. And whatever a claim says of a
release, the release itself is drawn again to see.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor import plugins
from auditor.data.records import records_of
from auditor.data.tracklets import look_behind
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.plugins.containment import contain
from auditor.plugins.shared_state import restore_shared_state
from auditor.releasing import by_record, follows, release_records
from auditor.report import PrivacyClaim
from auditor.types import Defense, RunContext, Target

TRIED = 256
"""Rows of the gallery that are released again to see what a claim is worth."""
LEAST, CHANCE = 0.9, 4.0
"""Share of the noise claimed that has to be seen, less so much over the root of their number."""
STICKS = 0.01
"""Share of it by which two releases of one record may differ."""
ROUNDING = 1e-6
"""How far the features of one picture lie apart, as a share, from batch to batch."""


def apply_defense(defense: Defense, target: Target, ctx: RunContext) -> Target:
    """Return what a defense makes of ``target``, under randomness of its own name.

    Claims that were made before and that it undoes are void in what comes out, and so are those of
    its own that its release refutes.

    Raises:
        StrangerExitError: if it tries to end the program.
        DisturbedError: if it changes the people's labels, which are then put back.
        TypeError: if it returns anything but a target.
        UnsupportedTargetError: if it protected one picture of each tracklet and no other.
        Exception: what it raises.
    """
    name = plugins.name_of("defenses", defense)
    alone = contain(f"the defense {name!r}")
    with restore_shared_state(target.data), ctx.randomness(f"defenses.{name}"), alone:
        defended = defense.apply(target, ctx)
    if type(defended) is not type(target):
        raise TypeError(f"the defense {name!r} gave a {type(defended).__name__}, no Target")
    _check_tracklets(target, defended, name)
    return void_refuted(target, void_undone(target, defended, name), ctx)


def _check_tracklets(before: Target, after: Target, name: str) -> None:
    pooled, still = (look_behind(t.data.gallery.images) is not None for t in (before, after))
    if pooled and not still:
        raise UnsupportedTargetError(
            f"the defense {name!r} protected one picture of each tracklet and left out the others; "
            "let its mechanism go through auditor.data.tracklets.ByPicture, or set pooling: none"
        )


def void_undone(before: Target, after: Target, name: str) -> Target:
    """Return ``after`` with whatever the defense ``name`` undid of its claims declared void."""
    claims = tuple(
        _judge(claim, before, after, name, inherited=claim in before.claims)
        for claim in after.claims
    )
    trained = after.trained
    if after.extractor is not before.extractor:
        trained = (*before.trained, name)
    return replace(after, claims=claims, trained=trained)


def void_refuted(before: Target, after: Target, ctx: RunContext) -> Target:
    """Return ``after`` with each of its new claims on a release void that drawing it again refutes.

    Noise that is not there, that is the same whenever somebody asks, or that is another one where
    the claim counts all releases as one, protects nobody, whatever was certified of it.
    """
    new = [c for c in after.claims if c not in before.claims and c.training is None]
    if not any(claim.verdict != "VOID" for claim in new):
        return after
    draws = _Draws.of(before, after, ctx)
    claims = []
    for claim in after.claims:
        judged = claim in new and claim.verdict != "VOID"
        reason = next(draws.refute(claim), "") if judged else ""
        claims.append(void(claim, reason) if reason else claim)
    return replace(after, claims=tuple(claims))


def void(claim: PrivacyClaim, reason: str) -> PrivacyClaim:
    """Return the claim without any of the figures that followed from it."""
    training = claim.training
    return replace(
        claim,
        verdict="VOID",
        reason=reason,
        epsilon_certified=None,
        epsilon_identity=None,
        audited=None,
        distances=(),
        reconstruction=None,
        remarks=(),
        training=training and replace(training, accountants={}),
    )


def _judge(
    claim: PrivacyClaim, before: Target, after: Target, name: str, *, inherited: bool
) -> PrivacyClaim:
    if claim.verdict == "VOID":
        return claim
    undone = _training if claim.training else _release
    reason = next(undone(claim, before, after, name, inherited=inherited), "")
    return void(claim, reason) if reason else claim


def _training(
    claim: PrivacyClaim, before: Target, after: Target, name: str, *, inherited: bool
) -> Iterator[str]:
    """Say why a claim about a training no longer holds for the network there is now."""
    if inherited and after.extractor is not before.extractor:
        yield (
            f"{name} put another network in the place of the one this training gave; what it "
            "learned of the same people, no ε here covers"
        )
    if not inherited and before.trained and claim.training and not claim.training.scratch:
        yield (
            f"the training started from weights of {', '.join(before.trained)}, which learned from "
            "the same people without its noise; starting weights must be public"
        )


def _release(
    claim: PrivacyClaim, before: Target, after: Target, name: str, *, inherited: bool
) -> Iterator[str]:
    """Say why a claim about stored rows no longer covers what is given away."""
    if inherited and not follows(after.release, before.release):
        yield (
            f"{name} replaced the release that adds the noise, and is not seen to work on the "
            "noisy rows alone"
        )
    if after.publish is not None:
        yield (
            "the pictures behind the stored rows are published too, in a protected form, and no ε "
            "covers those"
        )
    gallery = after.data.gallery
    people = gallery.pids[gallery.pids > 0]
    most = int(people.unique(return_counts=True)[1].max()) if len(people) else 0
    if most > claim.images_per_identity or claim.delta >= 1 / max(1, len(gallery)):
        yield (
            f"the gallery is now another one: {len(gallery)} rows, up to {most} of one person, "
            f"where δ = {claim.delta:g} and {claim.images_per_identity} rows were accounted for"
        )


@dataclass(frozen=True, eq=False)
class _Draws:
    """A release of the same rows ``(N, D)``, drawn several times.

    Attributes:
        again: two draws for features of which nobody knows the records.
        by_record: whether the release asks for records.
        known: two draws for known records, whose features differ as those of two batches do; None
            where it does not ask, or what comes before it is random.
    """

    again: tuple[Tensor, Tensor]
    by_record: bool
    known: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, before: Target, after: Target, ctx: RunContext) -> "_Draws":
        rows = features_of(after.extractor, after.data.gallery, ctx)[:TRIED]
        one, other = ctx.generator("claims.one"), ctx.generator("claims.other")
        again = after.release(rows, one), after.release(rows, other)
        asks = by_record(after.release)
        fixed = torch.equal(before.release(rows, one), before.release(rows, other))
        if not asks or not fixed:
            return cls(again, asks, None)
        records = records_of(after.extractor, after.data.gallery, ctx)[:TRIED]
        first = release_records(after.release, rows, one, records)
        second = release_records(after.release, rows * (1 + ROUNDING), other, records)
        return cls(again, asks, (first, second))

    def refute(self, claim: PrivacyClaim) -> Iterator[str]:
        """Say why the claim does not hold."""
        first, second = (draw.double() for draw in self.again)
        same = int((first == second).all(1).sum())
        if same:
            yield (
                f"repeated, the release gave {same} of {len(first)} rows the same noise, so "
                "anyone who can repeat it can remove it"
            )
        added = float((first - second).square().mean().sqrt()) / 2**0.5
        if added < (LEAST - CHANCE / first.numel() ** 0.5) * claim.sigma:
            yield (
                f"repeated, the release shows noise of deviation {added:.3g}, where the claim "
                f"counts on {claim.sigma:.3g}"
            )
        if claim.sticky:
            yield from self._come_off(claim)

    def _come_off(self, claim: PrivacyClaim) -> Iterator[str]:
        if not self.by_record:
            yield "its noise is to stick to a record, and the release asks for no record"
        if self.known is None:
            return
        first, second = (draw.double() for draw in self.known)
        apart = float((first - second).square().mean().sqrt())
        if apart > STICKS * claim.sigma:
            yield (
                "its noise is to stick to a record, and the same record was released "
                f"{apart:.3g} apart"
            )
