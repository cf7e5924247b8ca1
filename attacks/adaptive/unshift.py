"""Who was this before the protection mixed somebody else in, and who is that somebody?"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.adaptive.mixing import Mixing
from attacks.adaptive.partners import Mixture, Pool, learn_mixture
from attacks.learners.mapping import Pairs, Refinement, learn_maps, views_of
from attacks.protocol.matching import score_search, worse_of_each
from attacks.protocol.publication import held_pictures, publish_own
from auditor.certification import controls
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.plugins.declaring import checked_dataclass
from auditor.releasing import computes_anywhere, draw_release
from auditor.report import Adversary, Measurement
from auditor.types import AttackResult, Protection, Release, RunContext, Target


@checked_dataclass
class Unshift:
    """Undoes a protection of pictures and names the person who was mixed in.

    Threat model: has the stored gallery of protected pictures and knows the mechanism that
    protected them, not its key; runs it under keys of their own on own pictures of other people and
    may query the extractor on pictures before and after; has own clean pictures of a pool of
    people, the queries, who are looked for as the person and as the partner. For comparison they
    are searched with as they are and protected under a key of their own: whichever finds more.

    Source: PIS (SCIS 69(1), 2026), which mixes a fixed partner into all pictures of a person and
    takes the number of possible combinations for hardness (§3.4). Here a model of the mechanism,
    learned from own publications, compares all pairs of the pool at once; with the partner it
    names, a second map goes back from the protected feature to the clean one of the original.
    Another map does so without naming a partner, and held-out auxiliary people choose between the
    two. Pictures are not reconstructed; inversion attacks do that.

    Attributes:
        keys: so often the adversary protects own pictures, each time under a fresh key.
        hidden: width of the network that refines the closed-form map.
        epochs: its passes over all publications; 0 leaves it out.
    """

    keys: PositiveInt = 3
    hidden: PositiveInt = 512
    epochs: NonNegativeInt = 10

    family: ClassVar[str] = "unshift"
    adversary: ClassVar[Adversary] = threat_models.UNSHIFTER
    headline: ClassVar[str] = "unshifted_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        data = target.data
        held, stored = held_pictures(target, ctx), stored_gallery(target, ctx)
        query = held["clean"]
        own = own_publications(target, self.keys, ctx)
        refinement = Refinement(hidden=self.hidden, epochs=self.epochs)
        maps = learn_maps(own.pairs(target.release), refinement, ctx, "attacks.unshift")
        entries, named, note = stored, None, "nobody is mixed into the protected pictures"
        mixture = own.mixture(target.release, ctx)
        if mixture is not None:
            pool = Pool.of(query, data.query.pids)
            distances = mixture.partners(stored, pool)
            named = _named(distances, pool.people, target)
            pairs = own.pair_known(mixture, target.release, ctx)
            knowing = learn_maps(pairs, refinement, ctx, "attacks.unshift.partner")
            note = "the original is read off the protected feature alone"
            if knowing.mean_ap > maps.mean_ap:
                maps, note = knowing, "the original is read off with the partner's help"
                entries = torch.cat([stored, pool.means[distances.argmin(1)]], dim=1)
        unshifted = maps.clearest(entries) - maps.centre
        gained = score_search("unshifted", query - maps.centre, unshifted, data)
        shifted = worse_of_each(
            {kind: score_search("shifted", asked, stored, data) for kind, asked in held.items()}
        )
        notes = (
            f"{note}, by the {maps.clearest.rung} map; held-out auxiliary people chose it",
            f"un-shifting takes rank-1 from {shifted[0].value:.3f} to {gained[0].value:.3f}",
        )
        partner = () if named is None else (named,)
        return AttackResult((*gained, *shifted, *partner), notes=notes)

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """Return the planted leak over a gallery whose pictures are blended with a partner's."""
        return _mix_gallery(controls.make_planted_target(target.data, ctx), ctx)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """Return the null extractor over the same blend."""
        return _mix_gallery(controls.make_null_target(target.data), ctx)


@dataclass(frozen=True, eq=False)
class Publications:
    """Own pictures, protected under several keys, one publication after the other.

    Each person's pictures are halved. What is known of people for a picture of one half comes from
    the other, as the gallery of the attacked people and the pictures held of them are two things.

    Attributes:
        protected: ``(N, D)`` features of the protected pictures, not yet released.
        clean: ``(N, D)`` of the originals.
        pids: ``(N,)`` whose pictures they are.
        views: ``(N,)`` from where; see `attacks.learners.mapping.views_of`.
        partners: ``(N,)`` who was mixed in, −1 for nobody.
        half: ``(N,)`` 0 or 1.
        others: the pool for pictures of half 0, made of half 1, and the other way round.
    """

    protected: Tensor
    clean: Tensor
    pids: Tensor
    views: Tensor
    partners: Tensor
    half: Tensor
    others: tuple[Pool, Pool]

    def pairs(self, release: Release) -> Pairs:
        """Protected to clean."""
        return Pairs(self.protected, self.clean, self.pids, self.views, release)

    def mixture(self, release: Release, ctx: RunContext) -> Mixture | None:
        """Return a person and a partner to protected; None where nobody known is mixed in."""
        parts = []
        for half, pool in enumerate(self.others):
            known = torch.isin(self.pids, pool.people) & torch.isin(self.partners, pool.people)
            rows = ((self.half == half) & known).nonzero().flatten()
            own, partner = pool.mean_of(self.pids[rows]), pool.mean_of(self.partners[rows])
            parts.append((rows, torch.cat([own, partner], dim=1)))
        rows, both = (torch.cat(column) for column in zip(*parts, strict=True))
        if len(self.pids[rows].unique()) < 2:
            return None
        stored = release(self.protected[rows], ctx.generator("attacks.unshift.mixture"))
        pairs = Pairs(both, stored, self.pids[rows], self.views[rows])
        return learn_mixture(pairs, ctx, "attacks.unshift.forward")

    def pair_known(self, mixture: Mixture, release: Release, ctx: RunContext) -> Pairs:
        """Protected, beside the mean of the partner that is named for it, to clean."""
        stored = release(self.protected, ctx.generator("attacks.unshift.informed"))
        named = torch.empty_like(self.clean)
        for half, pool in enumerate(self.others):
            rows = self.half == half
            named[rows] = pool.means[mixture.partners(stored[rows], pool).argmin(1)]
        both = torch.cat([self.protected, named], dim=1)
        release = _Beside(release, self.protected.shape[1])
        return Pairs(both, self.clean, self.pids, self.views, release)


@dataclass(frozen=True)
class _Beside:
    """Releases the first ``width`` columns, and leaves what stands beside them as it is."""

    release: Release
    width: int

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """See `Release`."""
        stored = draw_release(self.release, rows[:, : self.width], generator)
        return torch.cat([stored, rows[:, self.width :]], dim=1)

    @property
    def any_device(self) -> bool:
        """Whether the release itself computes on any device."""
        return computes_anywhere(self.release)


def own_publications(target: Target, keys: int, ctx: RunContext) -> Publications:
    """Return the adversary's pictures under ``keys`` fresh keys.

    Raises:
        UnsupportedTargetError: if pictures are not protected, or there are none of their own.
    """
    auxiliary = target.data.auxiliary
    if target.publish is None:
        raise UnsupportedTargetError(
            "no protection of pictures is configured that could be undone; configure a defense "
            "that publishes protected pictures"
        )
    if not len(auxiliary):
        raise UnsupportedTargetError("the adversary has no auxiliary pictures to learn from")
    clean = features_of(target.extractor, auxiliary, ctx)
    protected, partners = [], []
    for key in range(keys):
        split, features = publish_own(target, auxiliary, ctx, f"attacks.unshift.key.{key}")
        nobody = torch.full_like(split.pids, -1)
        protected.append(features)
        partners.append(nobody if split.partners is None else split.partners)
    half = halves(auxiliary.pids)
    first, second = (Pool.of(clean[half == h], auxiliary.pids[half == h]) for h in (0, 1))
    return Publications(
        torch.cat(protected),
        clean.repeat(keys, 1),
        auxiliary.pids.repeat(keys),
        views_of(target.data).repeat(keys),
        torch.cat(partners),
        half.repeat(keys),
        (second, first),
    )


def halves(pids: Tensor) -> Tensor:
    """Return ``(N,)`` 0 and 1 in turn over the pictures of each person."""
    half = torch.zeros_like(pids)
    for pid in pids.unique():
        half[(pids == pid).nonzero().flatten()[1::2]] = 1
    return half


def _named(distances: Tensor, pool: Tensor, target: Target) -> Measurement | None:
    """Return how often the partner is named first, where it is one of the pool.

    Distances ``(N, P)``.
    """
    gallery = target.data.gallery
    if gallery.partners is None:
        return None
    asked = torch.isin(gallery.partners, pool) & (gallery.partners > 0) & (gallery.pids > 0)
    if not asked.any():
        return None
    nearest = distances[asked] == distances[asked].min(1, keepdim=True).values
    right = pool == gallery.partners[asked][:, None]
    return measure.rate(
        "partner_rank1",
        (nearest & right).sum(1) / nearest.sum(1),
        gallery.pids[asked],
        chance=1 / len(pool),
        note=f"the partner is named among {len(pool)} people",
    )


def _mix_gallery(target: Target, ctx: RunContext) -> Target:
    """Return ``target`` with a gallery that `Mixing` has protected."""
    originals, publish = target.data.gallery, Mixing()
    gallery = publish(originals, ctx.generator("attacks.unshift.control"))
    data = replace(target.data, gallery=gallery)
    return replace(target, data=data, protection=Protection(originals=originals, publish=publish))
