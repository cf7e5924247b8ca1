"""What repeated releases give back: noise that is drawn afresh averages out."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.learners.gaussian import Scale, fit_matcher, fit_wiener, learn_scale
from attacks.learners.people import sum_groups
from attacks.protocol.matching import Blind, search, worse
from attacks.protocol.publication import held_pictures, own_pictures
from auditor.certification.planting import Planted
from auditor.embedding import features_of, released_blocks, released_split, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.metrics.dp import gaussian_epsilon
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Measurement, PrivacyClaim
from auditor.row_blocks import split_rows
from auditor.types import AttackResult, ReIDDataset, RunContext, Split, Target

GROWTH = 4
"""The budget curve measures 1, 4, 16, … releases, and the last one."""
ROUNDING = 1e-9
"""Share of a release's power that is no noise."""


@checked_dataclass
class Averaging:
    """Denoises a noisy gallery by averaging repeated releases and the entries of one person.

    Threat model: has several independent releases of the gallery (noise drawn anew per day or per
    query), knows which entries are the same record and, with `pool_person`, which ones are stored
    under one pseudonym; may query the extractor on own pictures of other people and knows how the
    gallery is protected and released; then names people by own pictures of them, the queries, as
    they are and protected under a key of their own: whichever finds more counts.

    Source: the counter-attack that composition accounts for (Dwork and Roth, 2014, §3.5): the mean
    of k draws has 1/k of the noise variance. The headline ranks the means by the likelihood ratio
    of the two-covariance model (Ioffe, ECCV 2006) learned from auxiliary people. The budget curve
    ranks single entries by cosine as the deployment does, so it shows averaging alone; its cosines
    are those of the Gaussian posterior mean (Wiener), and ``denoised_rank1`` ranks by cosine to
    that mean of single entries of one release, so it shows denoising alone. The noise is measured
    on two auxiliary releases and taken to be the same and independent in every coordinate.

    Attributes:
        releases: how many independent releases the adversary has.
        pool_person: whether the headline averages the entries of one pseudonym too; those of the
            query's own camera are left out where the dataset is judged across cameras.
    """

    releases: PositiveInt = 16
    pool_person: bool = True

    family: ClassVar[str] = "averaging"
    adversary: ClassVar[Adversary] = threat_models.COLLECTOR
    headline: ClassVar[str] = "matched_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`; needs two auxiliary people."""
        data = target.data
        held = held_pictures(target, ctx)
        scale, noise, sticky = study_release(target, ctx)
        known = scale(own_pictures(target, ctx).features)
        wiener = fit_wiener(known, noise) if noise else None

        def estimate(rows: Tensor, count: int) -> Tensor:
            return wiener(rows, 1 if sticky else count) if wiener else rows

        single = estimate(stored_gallery(target, ctx), 1)
        denoised = found_by("denoised_rank1", held, single, data)
        del single  # which is as large as the gallery
        curve: list[Measurement] = []
        for count, average in averages(target, ctx, self.releases):
            matched = found_by(f"matched_rank1.k{count}", held, average, data)
            near = _compare(average, partial(estimate, count=count), target, ctx)
            curve += [matched, _cosine(f"cosine.k{count}", *near, target)]
        left = noise if sticky else noise / self.releases
        matcher = fit_matcher(known, data.auxiliary.pids, left)
        rank = _measure_pooled if self.pool_person else _single
        strongest = worse(
            {kind: rank(matcher, scale(query), average, data) for kind, query in held.items()}
        )
        constant = "sticky" if sticky else "" if noise else "none"
        notes = _notes(self, constant, curve, strongest, target.claims)
        return AttackResult((strongest, denoised, *curve), notes=notes)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the person expected behind each mean of releases, pooled and found by cosine."""
        target = planted.target
        _, _, sticky = study_release(target, ctx)
        *_, (count, average) = averages(target, ctx, self.releases)

        def release(features: Tensor, generator: torch.Generator) -> Tensor:
            draws = (target.release(features, generator) for _ in range(1 if sticky else count))
            return torch.stack(list(draws)).mean(0)

        truth = planted.behind(replace(target, release=release)).truth(ctx)
        query = features_of(target.extractor, target.data.query, ctx)
        rank = _measure_pooled if self.pool_person else _single
        strongest = rank(_ByCosine(), query, truth.centre_of(average), target.data)
        single = planted.truth(ctx).centre_of(stored_gallery(target, ctx))
        return AttackResult((strongest, matched_rate("denoised_rank1", query, single, target.data)))


class _ByCosine:
    """Ranks entries by cosine, in the place of a `Matcher`."""

    def vectors(self, clean: Tensor, entries: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """As they are; see `Matcher.vectors`."""
        return clean, entries


class _Vectors(Protocol):
    """What ranks entries; see `Matcher`."""

    def vectors(self, clean: Tensor, entries: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]: ...


def study_release(target: Target, ctx: RunContext) -> tuple[Scale, float, bool]:
    """Return what the release does to auxiliary features.

    Returns:
        The scale, the noise variance it adds, and whether that noise is the same in every release.

    Raises:
        UnsupportedTargetError: if there are fewer than two auxiliary people.
    """
    if len(target.data.auxiliary.pids.unique()) < 2:
        raise UnsupportedTargetError("how people differ is learned from two or more auxiliary ones")
    own = own_pictures(target, ctx)
    first, second = (_fresh(target, own.shown, ctx, f"auxiliary.{draw}") for draw in range(2))
    clean = own.features
    scale = learn_scale(clean, (first + second) / 2)
    if noise := float((first - second).double().square().mean()) / 2:
        return scale, noise, False
    left = float((first - scale(clean)).double().square().mean())
    sticky = left > ROUNDING * float(first.double().square().mean())
    return scale, left if sticky else 0.0, sticky


def averages(target: Target, ctx: RunContext, releases: int) -> Iterator[tuple[int, Tensor]]:
    """Yield (k, mean of the first k releases ``(N, D)``) along the budget curve.

    The first release is the stored gallery that every attack meets. It is one tensor that is
    yielded again and again, and changes as further releases come in: a gallery may be large.
    """
    wanted, mean = budgets(releases), stored_gallery(target, ctx).float()
    for count in range(1, releases + 1):
        if count > 1:
            generator = ctx.generator(f"attacks.averaging.{count - 1}")
            fresh = released_blocks(target, target.data.gallery, ctx, generator)
            for before, rows in zip(split_rows(mean), fresh, strict=True):
                before.lerp_(rows.float(), 1 / count)  # equal rows stay equal to the last bit
        if count in wanted:
            yield count, mean
        ctx.progress(count / releases, "averaging releases")


def budgets(releases: int) -> list[int]:
    """Powers of `GROWTH` below ``releases``, and ``releases``.

    >>> budgets(1), budgets(16), budgets(21)
    ([1], [1, 4, 16], [1, 4, 16, 21])
    """
    powers = [GROWTH**power for power in range(releases.bit_length())]
    return [*(power for power in powers if power < releases), releases]


def _fresh(target: Target, split: Split, ctx: RunContext, name: str) -> Tensor:
    """Return one more release ``(N, D)`` of the records of a split."""
    return released_split(target, split, ctx, ctx.generator(f"attacks.averaging.{name}"))


def matched_rate(metric: str, query: Tensor, entries: Tensor, data: ReIDDataset) -> Measurement:
    """Return how often the entry nearest to a query by cosine is its person's.

    ``(Q, E)``, ``(N, E)``.
    """
    found = search(query, entries, data)
    rows = found.query_index
    chance = float(Blind.of(data).rank1[rows].mean())
    return measure.rate(metric, found.hit(1), data.query.pids[rows], chance=chance)


def found_by(
    metric: str, held: Mapping[str, Tensor], entries: Tensor, data: ReIDDataset
) -> Measurement:
    """`matched_rate`, by the pictures held that find more."""
    return worse({kind: matched_rate(metric, query, entries, data) for kind, query in held.items()})


def _compare(
    average: Tensor, estimate: Callable[[Tensor], Tensor], target: Target, ctx: RunContext
) -> tuple[Tensor, Tensor]:
    """Return the cosine ``(N,)`` of clean features to estimates, and to a typical feature."""
    clean = features_of(target.extractor, target.data.gallery, ctx)
    typical = F.normalize(own_pictures(target, ctx).features, dim=1).mean(0, keepdim=True)
    near, chance = [], []
    for rows, wanted in zip(split_rows(average), split_rows(clean), strict=True):
        near.append(F.cosine_similarity(estimate(rows), wanted))
        chance.append(F.cosine_similarity(typical, wanted))
    return torch.cat(near), torch.cat(chance)


def _cosine(metric: str, cosine: Tensor, chance: Tensor, target: Target) -> Measurement:
    """Return the mean of a cosine ``(N,)`` over people's entries, and of what chance gives."""
    pids = target.data.gallery.pids
    people = pids > 0
    blind = float(chance[people].double().mean())
    return measure.mean(metric, cosine[people], pids[people], chance=blind, unit="ratio")


def _single(matcher: _Vectors, query: Tensor, average: Tensor, data: ReIDDataset) -> Measurement:
    """Return how often a query's likeliest entry is its person's, single entries."""
    ones = torch.ones(len(average))
    return matched_rate(Averaging.headline, *matcher.vectors(query, average, ones), data)


def _measure_pooled(
    matcher: _Vectors, query: Tensor, average: Tensor, data: ReIDDataset
) -> Measurement:
    """Return how often a query's likeliest person is its own, with one pooled entry per person.

    For each camera of a query the entries of every person from the other cameras are averaged.
    """
    pids, camids = data.query.pids, data.query.camids
    cameras = camids if data.cross_camera else torch.full_like(camids, -1)
    pool = Pool.of(average, data.gallery)
    hits, named, chances = [], [], []
    for camera in cameras.unique().tolist():
        people, means, counts, matchable = pool.without(camera)
        rows = ((cameras == camera) & torch.isin(pids, people[matchable])).nonzero().flatten()
        if not len(rows):
            continue
        asked, stored = matcher.vectors(query[rows], means, counts)
        anywhere = (torch.full_like(rows, -1), torch.full_like(people, -1))
        found = evaluate(asked, stored, Truth(pids[rows], people, *anywhere, cross_camera=False))
        hits.append(found.hit(1))
        named.append(pids[rows])
        chances.append(torch.full((len(rows),), 1 / len(people), dtype=torch.float64))
    chance = float(torch.cat(chances).mean())
    return measure.rate(Averaging.headline, torch.cat(hits), torch.cat(named), chance=chance)


@dataclass(frozen=True, eq=False)
class Pool:
    """Features of a gallery, to be averaged over each person's entries by some of the cameras.

    Attributes:
        people: ``(P,)`` who is there; distractors are negative, one person each.
        person: ``(N,)`` the place in ``people`` of each entry.
        cameras: ``(N,)`` by which each was seen.
        features: ``(N, D)``.
    """

    people: Tensor
    person: Tensor
    cameras: Tensor
    features: Tensor

    @classmethod
    def of(cls, features: Tensor, gallery: Split) -> "Pool":
        """Of gallery features ``(N, D)``."""
        # a distractor is nobody's second entry
        alone = -1 - torch.arange(len(gallery))
        pids = torch.where(gallery.pids > 0, gallery.pids, alone)
        people, person = pids.unique(return_inverse=True)
        return cls(people, person, gallery.camids, features)

    def without(self, camera: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return everybody's mean over the other cameras' entries; −1 hides none.

        Returns:
            People ``(P,)``, means ``(P, D)`` float32, entries in each ``(P,)``, and who can be
            found ``(P,)`` bool. People seen by this camera alone cannot; they keep its entries and
            stay in as wrong answers.
        """
        people, person = self.people, self.person
        shown = (self.cameras != camera) | (self.cameras < 0)
        matchable = sum_groups(shown.long(), person, len(people)) > 0
        shown |= ~matchable[person]
        # entries that are left out are nobody's
        group = torch.where(shown, person, len(people))
        sums = sum_groups(self.features, group, len(people) + 1, torch.float64)[:-1]
        counts = group.bincount(minlength=len(people) + 1)[:-1]
        return people, (sums / counts[:, None]).float(), counts, matchable & (people > 0)


def _notes(
    attack: Averaging,
    constant: str,
    curve: list[Measurement],
    strongest: Measurement,
    claims: tuple[PrivacyClaim, ...],
) -> tuple[str, ...]:
    """Say what the releases gave back, how entries were pooled, and what the claims leave out."""
    notes = []
    if constant == "none":
        notes.append(
            "all releases are identical: there is no noise to average out, and the whole budget "
            "curve equals plain retrieval"
        )
    elif constant == "sticky":
        notes.append(
            "all releases are identical: what was done to an entry stays, so that more releases "
            "give nothing; the entries of one person still average"
        )
    elif attack.releases > 1:
        (rank, cosine), (last_rank, last_cosine) = curve[:2], curve[-2:]
        notes.append(
            f"{attack.releases} releases instead of one take rank-1 from {rank.value:.3f} to "
            f"{last_rank.value:.3f} and the cosine to the clean feature from {cosine.value:.3f} "
            f"to {last_cosine.value:.3f}"
        )
    notes.append(
        f"{strongest.metric} ranks by a likelihood ratio learned from auxiliary people, the budget "
        "curve by cosine"
    )
    if attack.pool_person:
        notes.append(
            "the entries of a person are averaged and ranked as one; where matches are judged "
            "across cameras, those of the query's camera are left out, and people seen by it alone "
            "stay in as wrong answers"
        )
    notes += [_compose_claim(claim, attack.releases) for claim in claims]
    return tuple(filter(None, notes))


def _compose_claim(claim: PrivacyClaim, releases: int) -> str:
    """Return what a claim for fewer releases comes to over ``releases``.

    Empty if it covers them.
    """
    if claim.verdict == "VOID" or claim.releases >= releases or claim.sticky or claim.training:
        return ""
    if claim.epsilon_certified is None or claim.sensitivity is None:
        return "nothing is certified, for one release as little as for many"
    if claim.noise == "laplace":
        epsilon = claim.epsilon_certified * releases / claim.releases
    else:
        multiplier = claim.sensitivity * math.sqrt(releases) / claim.sigma
        epsilon = gaussian_epsilon(multiplier, claim.delta)
    covered = "one release" if claim.releases == 1 else f"{claim.releases} releases"
    return (
        f"the claim covers {covered} (ε = {_round_digits(claim.epsilon_certified)} per "
        f"{claim.unit}); over {releases} it composes to ε = {_round_digits(epsilon)}"
    )


def _round_digits(epsilon: float) -> str:
    """Three digits, and no powers of ten."""
    return f"{epsilon:.0f}" if epsilon >= 100 else f"{epsilon:.3g}"
