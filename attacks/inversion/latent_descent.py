"""The white-box rung of the prior: the best sample's code is moved until it embeds as stolen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.inversion.appearance import Appearance
from attacks.inversion.optimization import FlatNull, augment, embed_clean, require_gradients
from attacks.inversion.prior_inversion import PriorInversion
from attacks.inversion.ranking import Ranker
from attacks.inversion.samples import Painter, Sample
from auditor.certification.controls import make_null_target
from auditor.embedding import embed_with_gradient
from auditor.plugins.declaring import Positive, Weight, checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target


@checked_dataclass
class LatentDescent(PriorInversion):
    """Moves a learnt prior's best sample by gradient descent until it embeds like the stolen entry.

    Threat model: has the stored gallery, own pictures of other people, a generator that was trained
    once, and the extractor with its gradients (white box); knows how the gallery is protected and
    released. Gradients do not pass through a protection of pictures: there entries are first
    translated to what clean pictures would embed as.

    Source: inversion in the latent space of a generator (Zhang et al., "The Secret Revealer", CVPR
    2020; PLG-MI, AAAI 2023). Differences: the descent starts from the sample that `prior_inversion`
    ranks highest and moves it along the prior's principal axes, where every step is as likely as
    it is short, and the adversary's own networks, with one that knows the colours of clothes and
    nothing else, are listened to as much as they are trusted, because a picture that satisfies the
    extractor alone satisfies no other judge.

    Attributes:
        steps: of the descent; 0 is `prior_inversion`.
        step_size: of Adam, in deviations of the prior's codes.
        stay: weight of the mean squared distance moved, in the same unit.
        batch_size: pictures that are moved at a time.
    """

    steps: NonNegativeInt = 10
    step_size: Positive = 0.1
    stay: Weight = 0.01
    batch_size: PositiveInt = 32

    adversary: ClassVar[Adversary] = threat_models.GRADIENT_DECODER
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        require_gradients(target)
        return super().run(target, ctx)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """Return the null control with a gradient, which is zero: see `auditor.types.Attack`."""
        return replace(make_null_target(target.data), extractor=FlatNull())

    def _descended(self, target: Target, ctx: RunContext) -> FeatureExtractor:
        """Return the extractor with gradients."""
        return target.extractor

    def _own_networks(
        self, painter: Painter, target: Target, ctx: RunContext
    ) -> dict[str, FeatureExtractor]:
        """Return them with colours of clothes, which a descent must not lose on its way."""
        networks, pids = super()._own_networks(painter, target, ctx), target.data.auxiliary.pids
        if len(pids.unique()) < 2:
            return networks
        return networks | {"colours": Appearance(painter.own.pixels, pids)}

    def _finish(
        self,
        best: Sample,
        painter: Painter,
        entries: Tensor,
        rankers: Sequence[Ranker],
        target: Target,
        ctx: RunContext,
    ) -> Tensor:
        """Descend from what was found of each entry; ``(M, 3, H, W)`` on the CPU."""
        wanted = entries
        if target.publish is not None:
            wanted = embed_clean(entries, painter.own, target, ctx)
        wishes = [_Wish(self._descended(target, ctx), wanted, rankers[0].trust)]
        wishes += [_Wish(r.network, r.wanted, r.trust) for r in rankers if r.network is not None]
        total = max(sum(wish.weight for wish in wishes), 1e-6)
        generator, drawn = ctx.generator("attacks.latent_descent"), []
        for rows in torch.arange(len(entries)).split(self.batch_size):
            some = [wish.share(total, rows, ctx.device) for wish in wishes]
            drawn.append(self._descend(best.take(rows), painter, some, generator))
            ctx.progress(sum(map(len, drawn)) / len(entries), "descending")
        return torch.cat(drawn)

    def _descend(
        self, start: Sample, painter: Painter, wishes: Sequence["_Wish"], generator: torch.Generator
    ) -> Tensor:
        """Paint what ``start`` becomes, ``(B, 3, H, W)`` on the CPU."""
        prior = painter.prior
        moved = torch.zeros(len(start.grids), len(prior.axes), device=start.grids.device)
        moved.requires_grad_(True)
        optimizer = torch.optim.Adam([moved], lr=self.step_size)

        def paint() -> Tensor:
            grids = start.grids + (moved @ prior.axes).view_as(start.grids)
            return (prior.picture(grids) + start.details).clamp(0, 1)

        for _ in range(self.steps):
            shown = paint()
            missed = sum(wish.missed(shown, generator) for wish in wishes)
            loss = (missed + self.stay * moved.square().mean(1)).sum()
            (moved.grad,) = torch.autograd.grad(loss, [moved])
            optimizer.step()
        with torch.no_grad():
            return paint().cpu()


@dataclass(frozen=True, eq=False)
class _Wish:
    """What a network is to see in each of B pictures.

    Attributes:
        network: with gradients.
        wanted: ``(B, D)``.
        weight: how much it counts.
    """

    network: FeatureExtractor
    wanted: Tensor
    weight: float

    def share(self, total: float, rows: Tensor, device: torch.device) -> "_Wish":
        """Return its share of a total weight, for the pictures in ``rows (B,)``."""
        return _Wish(self.network, self.wanted[rows].to(device), self.weight / total)

    def missed(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Return how far each picture is from it, ``(B,)``, seen flipped and shifted at random."""
        view = augment(pictures, self.network.input_size, generator)
        seen = embed_with_gradient(self.network, view)
        return self.weight * (1 - F.cosine_similarity(seen, self.wanted, dim=1))
