"""Pictures by a generator that was trained before: features are mapped to its codes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.inversion.code_map import CodeMap, Refinement, learn_codes
from attacks.inversion.composite import candidates
from attacks.inversion.linear import LinearMap
from attacks.inversion.pooling import pooled_gallery
from attacks.inversion.reconstruction import OwnPairs, auxiliary_pairs, choose, judge_pictures
from attacks.inversion.reference import draw_people
from attacks.inversion.scoring import CHUNK
from attacks.protocol.asking import ways_of_asking
from auditor.certification.planting import Planted
from auditor.data.features.rows import StoredFeatures
from auditor.embedding import embed_pictures, features_of
from auditor.errors import UsageError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.prior import WEIGHTS, PicturePrior, load_prior
from auditor.models.reference import load_reference
from auditor.plugins.declaring import Positive, Probability, Share, checked_dataclass
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

COARSE = (16, 8)
"""Rows and columns in which the prior's own error is corrected."""
SHIPPED = Card(height=128, width=64, l2_norm=True)
"""How the shipped re-ID network is fed."""


@checked_dataclass
class PriorInversion:
    """Reconstructs the person's picture with a generator of pedestrians that was trained before.

    Threat model: has the stored gallery, own pictures of other people, and a generator that was
    trained once, on these or on any others; may query the extractor, without gradients, on own
    pictures and on some samples per entry, and knows how the gallery is protected and released:
    both are protected before they are asked about.

    Source: maps from face features into a pretrained generator (Otroshi Shahreza & Marcel, NeurIPS
    2023; FEM, arXiv 2602.13168). Here the generator is a small KL autoencoder (`audit prior
    train`), and a ridge regression, refined by a network, is the map. What a feature does not
    determine, such as pose and background, and what the generator cannot show, is borrowed from own
    pictures that embed alike, for one sample each. Samples are ranked by the extractor, and by what
    the adversary's own networks are predicted to see in the person, so that they do not fool the
    extractor alone.

    Attributes:
        prior: file of a prior; empty: the shipped one, of synthetic people.
        samples: pictures tried per entry, beside the expected one.
        cuts: where the parts of a picture meet, as shares of the height.
        rounds: passes over the parts, in which each part of the best sample is tried with those of
            the other samples, between latents so that no seam shows.
        correction: how far a borrowed picture is moved towards what the entry is expected to show;
            0 leaves it as it is.
        hidden: units in each layer of the network that refines the ridge regression.
        epochs: passes of that network over the auxiliary people; 0: ridge regression alone.
        lr: its peak learning rate.
        networks: judges by their labels that are the adversary's own: they rank samples and judge
            nothing. The shipped re-ID network ranks in any case.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        per_person: reconstructions per attacked person.
    """

    prior: str = ""
    samples: NonNegativeInt = 12
    cuts: tuple[Probability, ...] = (0.25, 0.5)
    rounds: NonNegativeInt = 1
    correction: Share = 0.5
    hidden: PositiveInt = 256
    epochs: NonNegativeInt = 10
    lr: Positive = 1e-3
    networks: tuple[str, ...] = ()
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 1

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.DECODER
    headline: ClassVar[str] = "reid_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        prior, facts = load_prior(self._file)
        own = auxiliary_pairs(target, prior.shape.size, ctx)
        with ctx.randomness("attacks.prior_inversion"):
            painter = self._learn(prior.to(ctx.device), own, target, ctx)
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        entries = pooled_gallery(target, self.pool, ctx)[chosen].to(ctx.device)
        rankers = self._rankers(painter, entries, target, ctx)
        drawn = self._best(painter, entries, own, rankers, target, ctx)
        judges = {name: j for name, j in ctx.judges.items() if name not in self.networks}
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        result = judge_pictures(drawn, chosen, target, replace(ctx, judges=judges), distance)
        names = ", ".join(f"{ranker.name} ({ranker.trust:.1f})" for ranker in rankers)
        note = (
            f"the prior is of {facts.get('data', 'unknown people')}; {self._tried} pictures per "
            f"entry were ranked by {names}"
        )
        return replace(result, notes=(*result.notes, note))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Paint the expected code behind each pooled entry."""
        size = load_prior(self._file)[0].shape.size
        return draw_people(planted, ctx, size=size, per_person=self.per_person)

    @property
    def _tried(self) -> int:
        return 1 + self.samples * (1 + self.rounds * (len(self.cuts) + 1))

    @property
    def _file(self) -> Path:
        return Path(self.prior) if self.prior else WEIGHTS

    def _learn(
        self, prior: PicturePrior, own: OwnPairs, target: Target, ctx: RunContext
    ) -> "_Painter":
        """Learn what features say about codes, and what of a picture the prior leaves out."""
        pids, generator = target.data.auxiliary.pids, ctx.generator("attacks.prior_inversion")
        codes = torch.cat([prior.encode(part.float() / 255) for part in own.pixels.split(CHUNK)])
        refinement = Refinement(hidden=self.hidden, epochs=self.epochs, lr=self.lr)
        weights = prior.axes.square().sum(1)
        start = CodeMap(own.seen, codes, weights, pids, target.release, refinement, generator)
        mapped = learn_codes(start, ctx)
        released = draw_release(target.release, own.seen, generator)
        parts = zip(own.pixels.split(CHUNK), mapped(released).split(CHUNK), strict=True)
        missed = [_coarse(real.float() / 255 - prior.decode(guess)) for real, guess in parts]
        tint = LinearMap(mapped.standardise(released), torch.cat(missed), pids)
        return _Painter(prior, mapped, tint, own, codes, released)

    def _rankers(
        self, painter: "_Painter", entries: Tensor, target: Target, ctx: RunContext
    ) -> list["_Ranker"]:
        """List who says which sample looks most like an entry's person."""
        pids, released = target.data.auxiliary.pids, painter.released
        rankers = []
        if not isinstance(target.extractor, StoredFeatures):
            way = ways_of_asking(target, ctx)[-1]
            trust = _trust(released, way.own, pids)
            rankers = [_Ranker("the extractor", way.embed, entries, trust)]
        own, asked = (painter.codes_of.standardise(rows) for rows in (released, entries))
        for name, network in self._own_networks(ctx).items():
            seen = features_of(network, target.data.auxiliary, ctx)
            predict = LinearMap(own, seen, pids)
            embed = partial(embed_pictures, network, ctx=ctx)
            rankers.append(_Ranker(name, embed, predict(asked), _trust(predict(own), seen, pids)))
        return rankers

    def _own_networks(self, ctx: RunContext) -> dict[str, FeatureExtractor]:
        """Return the adversary's own networks by name.

        Raises:
            UsageError: if one of ``networks`` is no judge, or nobody would be left to judge.
        """
        if unknown := sorted(set(self.networks) - set(ctx.judges)):
            raise UsageError(
                f"networks names {unknown[0]!r}; judges are {', '.join(ctx.judges) or 'none'}"
            )
        if self.networks and set(self.networks) >= set(ctx.judges):
            raise UsageError("networks names every judge, so that none is left to judge")
        shipped = CardedExtractor(load_reference().to(ctx.device), SHIPPED, ctx.device)
        return {"the shipped network": shipped} | {n: ctx.judges[n] for n in self.networks}

    def _best(
        self,
        painter: "_Painter",
        entries: Tensor,
        own: OwnPairs,
        rankers: Sequence["_Ranker"],
        target: Target,
        ctx: RunContext,
    ) -> Tensor:
        """Paint the highest-ranked picture of each entry, ``(M, 3, H, W)`` on the CPU."""
        pids = target.data.auxiliary.pids.to(ctx.device)
        alike = candidates(F.normalize(entries, dim=1), own.seen, pids, max(1, self.samples)).T
        borrowed = [painter.borrow(rows, entries, self.correction) for rows in alike]
        borrowed = borrowed[: self.samples]
        samples = [painter.expect(entries), *borrowed]
        # the expected picture is a blurred one: parts of it would please a network and nobody else
        moves = [(cut, part) for cut in self._parts for part in borrowed] * self.rounds
        total = len(samples) + len(moves)

        def cosines(sample: "_Sample", done: int) -> Tensor:
            drawn = sample.painted(painter.prior)
            ctx.progress((done + 1) / total, "sampling")
            return torch.stack([ranker.cosines(drawn) for ranker in rankers])

        trusts = torch.tensor([ranker.trust for ranker in rankers])
        scores = torch.stack([cosines(sample, i) for i, sample in enumerate(samples)])
        votes = _Votes(scores, trusts)
        reached, first = votes(votes.scores).max(0)
        best = _Sample.picked(samples, first.to(ctx.device))
        for done, (cut, part) in enumerate(moves):
            trial = best.with_part(part, *cut)
            score = votes(cosines(trial, len(samples) + done))
            best = _Sample.picked([best, trial], (score > reached).long().to(ctx.device))
            reached = torch.maximum(reached, score)
        return best.painted(painter.prior)

    @property
    def _parts(self) -> Sequence[tuple[float, float]]:
        """Where each part begins and ends, as shares of the height."""
        return list(pairwise((0.0, *sorted(self.cuts), 1.0)))


@dataclass(frozen=True, eq=False)
class _Sample:
    """A picture for each of M entries, as latents and what is added to what they show.

    Attributes:
        grids: ``(M, C, h, w)`` latents.
        details: ``(M, 3, H, W)`` what the prior does not paint.
    """

    grids: Tensor
    details: Tensor

    def painted(self, prior: PicturePrior) -> Tensor:
        """Paint pictures ``(M, 3, H, W)`` in [0, 1] on the CPU."""
        drawn = torch.cat([prior.picture(part) for part in self.grids.split(CHUNK)])
        return (drawn + self.details).clamp(0, 1).cpu()

    def with_part(self, other: "_Sample", top: float, bottom: float) -> "_Sample":
        """Replace the part between two shares of the height by that of another sample."""
        return _Sample(
            _replace_rows(self.grids, other.grids, top, bottom),
            _replace_rows(self.details, other.details, top, bottom),
        )

    @staticmethod
    def picked(samples: Sequence["_Sample"], which: Tensor) -> "_Sample":
        """Pick for each entry the sample number ``which (M,)``."""
        rows = torch.arange(len(which), device=which.device)
        return _Sample(
            torch.stack([sample.grids for sample in samples])[which, rows],
            torch.stack([sample.details for sample in samples])[which, rows],
        )


def _replace_rows(ours: Tensor, theirs: Tensor, top: float, bottom: float) -> Tensor:
    height = ours.shape[2]
    places = (torch.arange(height, device=ours.device) + 0.5) / height
    inside = ((places >= top) & (places < bottom))[:, None]
    return torch.where(inside, theirs, ours)


@dataclass(frozen=True, eq=False)
class _Painter:
    """What features say about pictures, and what own pictures can lend.

    Attributes:
        prior: decodes.
        codes_of: stored features ``(B, D)`` to expected codes ``(B, K)``.
        tint: standardised features to coarse corrections of what the prior paints of these.
        own: the adversary's pictures.
        codes: ``(N, K)`` of the same.
        released: ``(N, D)`` features of the same, after a draw of the release.
    """

    prior: PicturePrior
    codes_of: CodeMap
    tint: LinearMap
    own: OwnPairs
    codes: Tensor
    released: Tensor

    def expect(self, entries: Tensor) -> _Sample:
        """Paint what stored ``entries (M, D)`` are expected to show."""
        return _Sample(self.prior.grids(self.codes_of(entries)), self._tints(entries))

    def borrow(self, rows: Tensor, entries: Tensor, correction: float) -> _Sample:
        """Take own pictures ``rows (M,)``, moved towards what ``entries (M, D)`` should show."""
        lent = self.own.seen[rows]
        codes, real = self.codes[rows], self.own.pixels[rows].float() / 255
        details = real - torch.cat([self.prior.decode(part) for part in codes.split(CHUNK)])
        moved = codes + correction * (self.codes_of(entries) - self.codes_of(lent))
        tints = self._tints(entries) - self._tints(lent)
        return _Sample(self.prior.grids(moved), details + correction * tints)

    def _tints(self, entries: Tensor) -> Tensor:
        tints = self.tint(self.codes_of.standardise(entries)).unflatten(1, (3, *COARSE))
        return F.interpolate(tints, self.prior.shape.size, mode="bilinear")


@dataclass(frozen=True, eq=False)
class _Ranker:
    """A network and what it should see in each entry's person.

    Attributes:
        name: for the note.
        embed: pictures to features.
        wanted: ``(M, D)``.
        trust: how clearly it tells one person's pictures from another's by what is wanted.
    """

    name: str
    embed: Callable[[Tensor], Tensor]
    wanted: Tensor
    trust: float

    def cosines(self, pictures: Tensor) -> Tensor:
        """Return how much each of the pictures looks like its person to it, ``(M,)``."""
        return F.cosine_similarity(self.embed(pictures).cpu(), self.wanted.cpu(), dim=1)


def _coarse(pictures: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(pictures, COARSE).flatten(1)


def _trust(wanted: Tensor, seen: Tensor, pids: Tensor) -> float:
    """Measure by how many deviations cosines to a person's other pictures exceed those to others'.

    Args:
        wanted: ``(N, D)``, what should be seen in own pictures.
        seen: ``(N, D)``, what is.
        pids: ``(N,)``, whose they are.
    """
    order = pids.argsort(stable=True)
    wanted, seen, pids = wanted.cpu()[order], seen.cpu()[order], pids[order]
    half = len(pids) // 2
    same = F.cosine_similarity(wanted, seen.roll(1, 0), dim=1)[pids == pids.roll(1)]
    strange = F.cosine_similarity(wanted, seen.roll(half, 0), dim=1)[pids != pids.roll(half)]
    if len(same) < 2 or len(strange) < 2:
        return 1.0
    spread = ((same.var() + strange.var()) / 2).sqrt().clamp_min(1e-6)
    return float(((same.mean() - strange.mean()) / spread).clamp_min(0))


@dataclass(frozen=True, eq=False)
class _Votes:
    """The weighted sum of what rankers say, each on the scale of an entry's first samples.

    Attributes:
        scores: ``(S, R, M)`` of S samples of M entries by R rankers.
        trusts: ``(R,)``.
    """

    scores: Tensor
    trusts: Tensor

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the sum ``(…, M)`` of scores ``(…, R, M)``."""
        spread = self.scores.std(0, correction=0).clamp_min(1e-6)
        steps = (scores - self.scores.mean(0)) / spread
        return (steps * self.trusts[:, None]).sum(-2)
