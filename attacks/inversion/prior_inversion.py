"""Pictures by a generator that was trained before: features are mapped to its codes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.inversion.code_map import CodeMap, Refinement, learn_codes
from attacks.inversion.composite import Composite, candidates
from attacks.inversion.linear import LinearMap
from attacks.inversion.pooling import pool_stored
from attacks.inversion.ranking import Ranker, Votes, trust_in
from attacks.inversion.reconstruction import OwnPairs, auxiliary_pairs, choose, judge_pictures
from attacks.inversion.reference import draw_people
from attacks.inversion.samples import Painter, Sample, coarse
from attacks.inversion.scoring import CHUNK
from attacks.protocol.asking import ways_of_asking
from attacks.protocol.own_network import is_attacked, shipped_network
from auditor.certification.planting import Planted
from auditor.data.features.rows import StoredFeatures
from auditor.embedding import embed_pictures, features_of
from auditor.errors import UnsupportedTargetError, UsageError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.models.own import weights_digest
from auditor.models.prior import WEIGHTS, PicturePrior, load_prior, read_preset
from auditor.plugins.declaring import (
    JudgeLabels,
    OwnFile,
    Positive,
    Probability,
    Share,
    checked_dataclass,
)
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target


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
        start: what these are: ``lookalikes``, own pictures that embed alike; or with them the
            ``composite`` that the attack of this name makes by asking the extractor.
        cuts: where the parts of a picture meet, as shares of the height.
        rounds: passes over the parts, in which each part of the best sample is tried with those of
            the other samples, between latents so that no seam shows.
        correction: how far a borrowed picture is moved towards what the entry is expected to show;
            0 leaves it as it is.
        hidden: units in each layer of the network that refines the ridge regression.
        epochs: passes of that network over the auxiliary people; 0: ridge regression alone.
        lr: its peak learning rate.
        networks: judges by their labels that are the adversary's own: they rank samples and judge
            nothing. The shipped re-ID network ranks in any case, unless it is the one attacked.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        per_person: reconstructions per attacked person.
    """

    prior: OwnFile = ""
    samples: NonNegativeInt = 12
    start: Literal["lookalikes", "composite"] = "lookalikes"
    cuts: tuple[Probability, ...] = (0.25, 0.5)
    rounds: NonNegativeInt = 1
    correction: Share = 0.5
    hidden: PositiveInt = 256
    epochs: NonNegativeInt = 10
    lr: Positive = 1e-3
    networks: JudgeLabels = ()
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 1

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.DECODER
    headline: ClassVar[str] = "reid_rank1"

    def __post_init__(self) -> None:
        if self.prior:
            read_preset(self._file)  # or end here, rather than in the middle of an audit

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        prior, facts = load_prior(self._file)
        own = auxiliary_pairs(target, prior.shape.size, ctx)
        with ctx.randomness("attacks.prior_inversion"):
            painter = self._learn(prior.to(ctx.device), own, target, ctx)
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        entries = pool_stored(target, chosen, self.pool, ctx).to(ctx.device)
        rankers = self._rankers(painter, entries, target, ctx)
        best = self._best(painter, entries, rankers, target, ctx)
        drawn = self._finish(best, painter, entries, rankers, target, ctx)
        judges = {name: j for name, j in ctx.judges.items() if name not in self.networks}
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        result = judge_pictures(drawn, chosen, target, replace(ctx, judges=judges), distance)
        names = ", ".join(f"{ranker.name} ({ranker.trust:.1f})" for ranker in rankers)
        among = ", a composite among them" if self.start == "composite" else ""
        note = (
            f"the prior is of {facts.get('data', 'unknown people')}; {self._tried} pictures per "
            f"entry were ranked by {names}{among}"
        )
        return replace(result, notes=(*result.notes, note))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Paint the expected code behind each pooled entry."""
        size = load_prior(self._file)[0].shape.size
        return draw_people(planted, ctx, size=size, per_person=self.per_person)

    @property
    def _tried(self) -> int:
        handed = self.start == "composite"
        return 1 + handed + self.samples * (1 + self.rounds * (len(self.cuts) + 1))

    @property
    def _file(self) -> Path:
        return Path(self.prior) if self.prior else WEIGHTS

    def _learn(
        self, prior: PicturePrior, own: OwnPairs, target: Target, ctx: RunContext
    ) -> Painter:
        """Learn what features say about codes, and what of a picture the prior leaves out."""
        pids, generator = target.data.auxiliary.pids, ctx.generator("attacks.prior_inversion")
        codes = _encode(prior, own, target, ctx)
        refinement = Refinement(hidden=self.hidden, epochs=self.epochs, lr=self.lr)
        weights = prior.axes.square().sum(1)
        start = CodeMap(own.seen, codes, weights, pids, target.release, refinement, generator)
        mapped = learn_codes(start, ctx)
        released = draw_release(target.release, own.seen, generator)
        parts = zip(own.pixels.split(CHUNK), mapped(released).split(CHUNK), strict=True)
        missed = [coarse(real.float() / 255 - prior.decode(guess)) for real, guess in parts]
        tint = LinearMap(mapped.standardise(released), torch.cat(missed), pids)
        return Painter(prior, mapped, tint, own, codes, released)

    def _rankers(
        self, painter: Painter, entries: Tensor, target: Target, ctx: RunContext
    ) -> list[Ranker]:
        """List who says which sample looks most like an entry's person."""
        pids, released = target.data.auxiliary.pids, painter.released
        rankers = []
        if not isinstance(target.extractor, StoredFeatures):
            way = ways_of_asking(target, ctx)[-1]
            trust = trust_in(released, way.own, pids)
            rankers = [Ranker("the extractor", way.embed, entries, trust)]
        own, asked = (painter.codes_of.standardise(rows) for rows in (released, entries))
        for name, network in self._own_networks(painter, target, ctx).items():
            seen = features_of(network, target.data.auxiliary, ctx)
            predict = LinearMap(own, seen, pids)
            embed = partial(embed_pictures, network, ctx=ctx)
            trust = trust_in(predict(own), seen, pids)
            rankers.append(Ranker(name, embed, predict(asked), trust, network))
        return rankers

    def _own_networks(
        self, painter: Painter, target: Target, ctx: RunContext
    ) -> dict[str, FeatureExtractor]:
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
        shipped = shipped_network(ctx.device)
        networks = {} if is_attacked(shipped, target, ctx) else {"the shipped network": shipped}
        return networks | {n: ctx.judges[n] for n in self.networks}

    def _best(
        self,
        painter: Painter,
        entries: Tensor,
        rankers: Sequence[Ranker],
        target: Target,
        ctx: RunContext,
    ) -> Sample:
        """Find the highest-ranked sample of each entry."""
        pids = target.data.auxiliary.pids.to(ctx.device)
        unit, seen = F.normalize(entries, dim=1), painter.own.seen
        alike = candidates(unit, seen, pids, max(1, self.samples)).T
        borrowed = [painter.borrow(rows, entries, self.correction) for rows in alike]
        borrowed = borrowed[: self.samples]
        samples = [painter.expect(entries), *borrowed]
        if self.start == "composite":
            samples.append(painter.encode(compose(painter.own.pixels, unit, target, ctx)))
        # the expected picture is a blurred one: parts of it would please a network and nobody else
        moves = [(cut, part) for cut in self._parts for part in borrowed] * self.rounds
        total = len(samples) + len(moves)

        def cosines(sample: "Sample", done: int) -> Tensor:
            drawn = sample.painted(painter.prior)
            ctx.progress((done + 1) / total, "sampling")
            return torch.stack([ranker.cosines(drawn) for ranker in rankers])

        trusts = torch.tensor([ranker.trust for ranker in rankers])
        scores = torch.stack([cosines(sample, i) for i, sample in enumerate(samples)])
        votes = Votes(scores, trusts)
        reached, first = votes(votes.scores).max(0)
        best = Sample.picked(samples, first.to(ctx.device))
        for done, (cut, part) in enumerate(moves):
            trial = best.with_part(part, *cut)
            score = votes(cosines(trial, len(samples) + done))
            best = Sample.picked([best, trial], (score > reached).long().to(ctx.device))
            reached = torch.maximum(reached, score)
        return best

    def _finish(
        self,
        best: Sample,
        painter: Painter,
        entries: Tensor,
        rankers: Sequence[Ranker],
        target: Target,
        ctx: RunContext,
    ) -> Tensor:
        """Paint what was found of each entry, ``(M, 3, H, W)`` on the CPU."""
        return best.painted(painter.prior)

    @property
    def _parts(self) -> Sequence[tuple[float, float]]:
        """Where each part begins and ends, as shares of the height."""
        return list(pairwise((0.0, *sorted(self.cuts), 1.0)))


def compose(pixels: Tensor, entries: Tensor, target: Target, ctx: RunContext) -> Tensor:
    """Return the composites ``(M, 3, H, W)`` of own pictures that embed most like ``entries``.

    Raises:
        UnsupportedTargetError: if there is no model to ask.
    """
    if isinstance(target.extractor, StoredFeatures):
        raise UnsupportedTargetError(
            "composites are made by asking the model, and the features came without it; set start: "
            "lookalikes"
        )
    composite = Composite(image_size=(pixels.shape[2], pixels.shape[3]))
    way, pids = ways_of_asking(target, ctx)[-1], target.data.auxiliary.pids.to(ctx.device)
    library = candidates(entries, way.own.to(ctx.device), pids, composite.candidates)
    return composite.search(way, entries, pixels, library, ctx)[0]


def _encode(prior: PicturePrior, own: OwnPairs, target: Target, ctx: RunContext) -> Tensor:
    """Return the codes ``(N, K)`` of own pictures, which are the same for every scenario."""

    def encode() -> Tensor:
        parts = own.pixels.split(CHUNK)
        return torch.cat([prior.encode(part.float() / 255).cpu() for part in parts])

    codes = ctx.cache.features(weights_digest(prior), target.data.auxiliary, encode)
    return codes.to(ctx.device)
