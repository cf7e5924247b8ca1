"""Is this the same person? Linking the entries of two releases."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.learners.mapping import Maps, Pairs, Refinement, learn_maps, views_of
from attacks.learners.people import group_rows, sum_groups
from attacks.protocol.publication import publish_own
from attacks.protocol.sampling import note_sample, sample_entries
from auditor.certification.planting import Planted
from auditor.embedding import released_blocks, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure, unlinkability
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.plugins.declaring import checked_dataclass
from auditor.releasing import release_blocks
from auditor.report import Adversary, Measurement
from auditor.row_blocks import join_blocks, split_rows
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

BLOCK = 4096
MAX_PEOPLE = 2000
"""As many people take part in the permutation test; it compares each with each."""


@checked_dataclass
class Linkage:
    """Links a person's entries across two independently protected releases of the gallery.

    Threat model: has two stored galleries of the same people that were released independently (a
    second draw of noise, another key under which the pictures were protected, another day, another
    version of the model); knows no names; ranks the second release by cosine to each entry of the
    first. May query nothing, but with `second_model`: then both models on own pictures of other
    people, protected like the gallery's under keys of their own, to learn the way from the first
    one's features to the second one's.

    Source: unlinkability of protected templates (ISO/IEC 24745), measured as ``d_sys`` after
    Gomez-Barrero et al. (TIFS 2018). Differences: the likelihood ratio is an isotonic regression,
    not a histogram, and the releases contain different images of a person, from different cameras
    where cameras are known. So nothing matches itself, and the figures of a bare release are those
    of re-identification: what a defense is worth here is how far it gets below them.

    Attributes:
        pairs: at most so many mated, and so many non-mated, pairs are scored for ``d_sys``.
        second_model: label of the judge whose features form the second release; by default it is
            the audited extractor again. ``target`` is the audited model before its defense.
    """

    pairs: PositiveInt = 50_000
    second_model: str = ""

    family: ClassVar[str] = "linkage"
    adversary: ClassVar[Adversary] = threat_models.LINKER
    headline: ClassVar[str] = "linkage_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        second_extractor = self._second_extractor(target, ctx)
        releases = divide_releases(target, second_extractor, ctx)
        if self.second_model:
            maps = self._translation(target, second_extractor, ctx)
            releases = releases.seen_as(
                lambda rows: maps.clearest(rows) - maps.centre, lambda rows: rows - maps.centre
            )
        return score_linkage(releases, self.pairs, notes_on(target, self.second_model, releases))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Compare entries of both releases by the cosine that is best with known moments."""
        return link_people(planted, self._second_extractor(planted.target, ctx), self.pairs, ctx)

    def _second_extractor(self, target: Target, ctx: RunContext) -> FeatureExtractor:
        if not self.second_model:
            return target.extractor
        if self.second_model not in ctx.judges:
            known = ", ".join(sorted(ctx.judges)) or "none"
            raise UnsupportedTargetError(
                f"second_model {self.second_model!r} is not a judge of this audit (known: "
                f"{known}); add it under judges"
            )
        return ctx.judges[self.second_model]

    def _translation(self, target: Target, second: FeatureExtractor, ctx: RunContext) -> Maps:
        """From the first model's stored features to the second one's, learned on own pictures."""
        auxiliary = target.data.auxiliary
        if not len(auxiliary):
            raise UnsupportedTargetError(
                "the adversary has no auxiliary pictures to learn from how the two models relate"
            )
        _, seen = publish_own(target, auxiliary, ctx, "attacks.linkage.own_key")
        again = replace(target, extractor=second)
        _, wanted = publish_own(again, auxiliary, ctx, "attacks.linkage.second_own_key")
        pairs = Pairs(seen, wanted, auxiliary.pids, views_of(target.data), target.release)
        return learn_maps(pairs, Refinement(), ctx, "attacks.linkage.models")


def link_people(
    planted: Planted, second: FeatureExtractor, pairs: int, ctx: RunContext
) -> AttackResult:
    """Return what whoever knows the moments of the faint plant links; see `attacks.references`."""
    linking = planted.truth(ctx).linking
    releases = divide_releases(planted.target, second, ctx)
    return score_linkage(releases.seen_as(linking, linking), pairs)


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries an adversary has from one release.

    Attributes:
        features: ``(N, D)`` as released.
        pids: ``(N,)``, for the score only.
        camids: ``(N,)``; −1 where not known.
    """

    features: Tensor
    pids: Tensor
    camids: Tensor


@dataclass(frozen=True, eq=False)
class Releases:
    """What an adversary has of both releases: no entry in both.

    Attributes:
        first: entries of the first release, whose people are looked for.
        second: entries of the second one, among which they are looked for.
        generator: of the pairs that are scored; all rungs draw alike.
        same: whether the releases are equal, row for row.
        notes: who was looked for.
    """

    first: Entries
    second: Entries
    generator: torch.Generator
    same: bool
    notes: tuple[str, ...]

    def seen_as(
        self, first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]
    ) -> "Releases":
        """Return the same with what an adversary makes of the rows of either release."""
        sides = ((first, self.first), (second, self.second))
        a, b = (replace(side, features=work(side.features)) for work, side in sides)
        return replace(self, first=a, second=b)


def divide_releases(target: Target, extractor: FeatureExtractor, ctx: RunContext) -> Releases:
    """Return the entries of two releases of ``target``, the second one made by ``extractor``."""
    generator, gallery = ctx.generator("attacks.linkage"), target.data.gallery
    unknown = torch.full_like(gallery.camids, -1)
    camids = gallery.camids if target.data.cross_camera else unknown
    linkable, theirs = split_by_camera(gallery.pids, camids, generator)
    chosen = sample_entries(gallery.pids[linkable], ctx)
    ours, stored = linkable[chosen], stored_gallery(target, ctx)
    again, same = _take_second(_release_again(target, extractor, ctx), stored, theirs)
    a = Entries(stored[ours], gallery.pids[ours], camids[ours])
    b = Entries(again, gallery.pids[theirs], camids[theirs])
    notes = (
        _people(a, b, len(gallery.pids[linkable].unique())),
        *note_sample(chosen, gallery.pids[linkable]),
    )
    return Releases(a, b, generator, same, notes)


def _release_again(
    target: Target, extractor: FeatureExtractor, ctx: RunContext
) -> Iterator[Tensor]:
    """Yield the gallery's second release: under another key, and with another draw."""
    generator, again = ctx.generator("attacks.linkage.second"), replace(target, extractor=extractor)
    if target.publish is None:
        return released_blocks(again, target.data.gallery, ctx, generator)
    _, clean = publish_own(again, target.originals_of_gallery, ctx, "attacks.linkage.key")
    return release_blocks(target.release, clean, generator)


def _take_second(second: Iterator[Tensor], first: Tensor, wanted: Tensor) -> tuple[Tensor, bool]:
    """Return the rows ``wanted (M,)``, in ascending order, and whether all equal the first's."""
    chosen = torch.zeros(len(first), dtype=torch.bool)
    chosen[wanted] = True
    same: list[bool] = []

    def rows() -> Iterator[Tensor]:
        for block, before, taken in zip(second, split_rows(first), split_rows(chosen), strict=True):
            same.append(torch.equal(block, before))
            yield block[taken]

    return join_blocks(rows(), len(wanted)), all(same)


def score_linkage(releases: Releases, pairs: int, notes: tuple[str, ...] = ()) -> AttackResult:
    """How well entries of one release find their people's in the other, by cosine.

    Args:
        releases: what the adversary makes of both.
        pairs: as many are scored for ``d_sys``.
        notes: what a reader must know besides.
    """
    a, b = releases.first, releases.second
    rank1, mean_ap = _measure_ranks(a, b)
    separation = _measure_separation(a, b, pairs, releases.generator)
    return AttackResult((rank1, mean_ap, *separation), notes=(*releases.notes, *notes))


def split_by_camera(
    pids: Tensor, camids: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Gallery rows for the first release and, from other cameras, for the second.

    Images without a known camera (−1) count as one camera each. People seen by one camera, and
    distractors, are in the second release only: they are there to be confused with.

    Raises:
        UnsupportedTargetError: if fewer than two people can be in both.
    """
    in_first = torch.zeros(len(pids), dtype=torch.bool)
    for pid, rows in group_rows(pids):
        if pid <= 0:
            continue
        cameras = torch.where(camids[rows] >= 0, camids[rows], -1 - rows)
        seen = cameras.unique()
        seen = seen[torch.randperm(len(seen), generator=generator)]
        in_first[rows] = torch.isin(cameras, seen[: len(seen) // 2])
    linkable = len(pids[in_first].unique())
    if linkable < 2:
        raise UnsupportedTargetError(
            f"{linkable} people have gallery images from two cameras (or two images, where cameras "
            "are unknown or ignored); linking two releases needs two such people"
        )
    return in_first.nonzero().flatten(), (~in_first).nonzero().flatten()


def _measure_ranks(a: Entries, b: Entries) -> tuple[Measurement, Measurement]:
    """Rank-1 and mAP of finding each entry's person in the other release."""
    found = evaluate(a.features, b.features, Truth(a.pids, b.pids, a.camids, b.camids))
    pids, size = a.pids[found.query_index], len(b.pids)
    people, counts = b.pids.unique(return_counts=True)
    matches = counts[torch.searchsorted(people, pids)].double()
    # expected precision at a match in a random order of `size` entries
    harmonic = sum(1 / place for place in range(1, size + 1))
    blind = (harmonic + (matches - 1) / max(1, size - 1) * (size - harmonic)) / size
    rank1 = float((matches / size).mean())
    return (
        measure.rate("linkage_rank1", found.hit(1), pids, chance=rank1),
        measure.mean("linkage_map", found.average_precision, pids, chance=float(blind.mean())),
    )


def _measure_separation(
    a: Entries, b: Entries, limit: int, generator: torch.Generator
) -> tuple[Measurement, ...]:
    """D_sys, or nothing where all pairs of two people share a camera."""
    mated = _some(mated_pairs(a, b), limit, generator)
    others = non_mated_pairs(a, b, limit, generator)
    if not len(others):
        return ()
    scores, impostors = _cosines(a, b, mated), _cosines(a, b, others)
    pids = a.pids[mated[:, 0]].numpy()
    value = unlinkability.d_sys(scores, impostors, persons=pids)
    pairs_of = torch.stack([a.pids[others[:, 0]], b.pids[others[:, 1]]], 1).numpy()
    low, high = unlinkability.d_sys_interval(scores, impostors, pids, pairs_of)
    usual = unlinkability.d_sys_histogram(scores, impostors)
    measurement = Measurement(
        metric="d_sys",
        value=value,
        n=len(np.unique(pids)),
        low=min(low, value),
        high=max(high, value),
        chance=0.0,
        note=(
            f"the usual 100-bin histogram would say {usual:.3f}; "
            f"permutation over people: p = {_test_permutations(a, b, generator):.3f}"
        ),
    )
    return (measurement,)


def mated_pairs(a: Entries, b: Entries) -> Tensor:
    """Return all pairs ``(M, 2)`` of a row of ``a`` and a row of ``b`` of one person."""
    theirs = dict(group_rows(b.pids))
    nobody = torch.empty(0, dtype=torch.long)
    pairs = [
        torch.cartesian_prod(rows, theirs.get(pid, nobody)) for pid, rows in group_rows(a.pids)
    ]
    return torch.cat(pairs)


def non_mated_pairs(a: Entries, b: Entries, limit: int, generator: torch.Generator) -> Tensor:
    """At most ``limit`` pairs ``(N, 2)`` of rows of two people, from two cameras like the mated.

    Distractors, and people who are in one release only, take no part.
    """
    total = len(a.pids) * len(b.pids)
    flat = torch.arange(min(total, 4 * limit))
    if total > len(flat):
        flat = torch.randint(total, flat.shape, generator=generator).unique()
    rows, columns = flat // len(b.pids), flat % len(b.pids)
    camera = b.camids[columns]
    kept = torch.isin(b.pids, a.pids)[columns] & (a.pids[rows] != b.pids[columns])
    kept &= (camera < 0) | (a.camids[rows] != camera)
    return _some(torch.stack([rows, columns], dim=1)[kept], limit, generator)


def _some(pairs: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Return at most ``limit`` of the rows of ``pairs``, drawn at random."""
    if len(pairs) <= limit:
        return pairs
    return pairs[torch.randperm(len(pairs), generator=generator)[:limit]]


def _cosines(a: Entries, b: Entries, pairs: Tensor) -> unlinkability.Array:
    """Return the cosine ``(M,)`` of each pair."""
    blocks = [
        F.cosine_similarity(a.features[block[:, 0]], b.features[block[:, 1]])
        for block in pairs.split(BLOCK)
    ]
    return torch.cat(blocks).double().cpu().numpy()


def _test_permutations(a: Entries, b: Entries, generator: torch.Generator) -> float:
    """Return the chance of mean scores like these if the second release's people were shuffled."""
    people = a.pids.unique()
    people = people[torch.randperm(len(people), generator=generator)[:MAX_PEOPLE]].sort().values
    scores = person_scores(a, b, people).numpy()
    mated = np.eye(len(people), dtype=bool)
    others = ~mated & np.isfinite(scores)
    seed = int(torch.randint(2**62, (), generator=generator))
    return unlinkability.permutation_p(scores[mated], scores[others], np.random.default_rng(seed))


def person_scores(a: Entries, b: Entries, people: Tensor) -> Tensor:
    """Average the cosines of each person's entries in ``a`` and each person's in ``b``: ``(P, P)``.

    ``people (P,)`` ascend. Pairs from one camera are left out; NaN where that leaves none.
    """
    totals, counts = _products(a, b, people, None)
    for camera in a.camids[a.camids >= 0].unique():
        same_totals, same_counts = _products(a, b, people, int(camera))
        totals, counts = totals - same_totals, counts - same_counts
    return torch.where(counts > 0, totals / counts, torch.nan)


def _products(a: Entries, b: Entries, people: Tensor, camera: int | None) -> tuple[Tensor, Tensor]:
    """Sum of cosines, and number of pairs, ``(P, P)`` over people, within one camera or all."""
    sums, counts = [], []
    for entries in (a, b):
        kept = torch.isin(entries.pids, people)
        if camera is not None:
            kept &= entries.camids == camera
        person = torch.searchsorted(people, entries.pids[kept])
        unit = F.normalize(entries.features[kept].double(), dim=1)
        sums.append(sum_groups(unit, person, len(people)))
        counts.append(person.bincount(minlength=len(people)).double())
    return sums[0] @ sums[1].T, torch.outer(*counts)


def _people(a: Entries, b: Entries, linkable: int) -> str:
    people = len(b.pids[b.pids > 0].unique())
    note = (
        f"{len(a.pids)} entries of {len(a.pids.unique())} people were looked for among "
        f"{len(b.pids)} entries of a second release, other images than the first's"
    )
    if people > linkable:
        note += f"; people in the second release only: {people - linkable}"
    return note


def notes_on(target: Target, second_model: str, releases: Releases) -> tuple[str, ...]:
    """Return what the two releases differ in."""
    notes = []
    if target.publish is not None:
        notes.append("the second release is of pictures that were protected under another key")
    if second_model:
        notes.append(
            f"the second release contains features of the model {second_model}; the first one's "
            "are translated to them by a map learned on auxiliary pictures"
        )
    if releases.same:
        notes.append("the release is not random, so both releases are protected alike")
    return tuple(notes)
