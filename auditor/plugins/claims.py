"""What a defense leaves standing of the promises made before it.

A claim is about one thing: the network that a private training gave, or the rows that a release
gives. Whoever puts something else in its place undoes it, unless that follows from the protected
thing alone. What cannot be seen to follow from it is taken not to.
"""

from collections.abc import Iterator
from dataclasses import replace

from auditor.releasing import follows
from auditor.report import PrivacyClaim
from auditor.types import Target


def kept(before: Target, after: Target, name: str) -> Target:
    """``after`` with whatever the defense ``name`` undid of its claims declared void."""
    claims = tuple(
        _judged(claim, before, after, name, inherited=claim in before.claims)
        for claim in after.claims
    )
    trained = after.trained
    if after.extractor is not before.extractor:
        trained = (*before.trained, name)
    return replace(after, claims=claims, trained=trained)


def void(claim: PrivacyClaim, reason: str) -> PrivacyClaim:
    """The claim without any of the figures that followed from it."""
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


def _judged(
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
    """Why a claim about a training no longer holds for the network there is now."""
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
    """Why a claim about stored rows no longer covers what is given away."""
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
