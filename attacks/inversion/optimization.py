"""The white-box rung: a picture is changed until the extractor says what was stolen."""

from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torchmetrics.functional.image import total_variation

from attacks import threat_models
from attacks.inversion.lookalike import nearest
from attacks.inversion.losses import feature_consistency
from attacks.inversion.pooling import pool_stored
from attacks.inversion.reconstruction import OwnPairs, auxiliary_pairs, choose, judge_pictures
from attacks.inversion.reference import draw_people
from attacks.learners.mapping import Pairs, Refinement, learn_maps, views_of
from attacks.protocol.asking import Asking, ask_every_way
from auditor.certification.controls import NullExtractor, make_null_target
from auditor.certification.planting import Planted
from auditor.embedding import differentiable, embed_with_gradient
from auditor.errors import UnsupportedTargetError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

SHIFT = 4
"""Pixels by which the extractor's view is moved at random, up and down, left and right."""


@checked_dataclass
class Optimization:
    """Changes a lookalike's picture by gradient descent until it embeds like the stolen entry.

    Threat model: has the stored gallery and own pictures of other people, and the extractor with
    its gradients (white box). Trains nothing, but where pictures are protected by a known mechanism
    learns from own ones, protected under a key of their own, how to get from their features to
    clean ones; entries are taken as they are and as translated, and whichever finds more counts.

    Source: model inversion by gradient descent (Fredrikson et al., CCS 2015; Mahendran & Vedaldi,
    CVPR 2015) with a total-variation prior. Differences: the descent starts from the own picture
    that embeds most alike and moves a coarse grid of colour changes rather than pixels, and the
    extractor sees it flipped and shifted at random, because unconstrained pixels would satisfy the
    extractor alone and no other judge.

    Attributes:
        image_size: (height, width) of the reconstructions.
        grid: (rows, columns) of the colour changes.
        iterations: gradient steps.
        batch_size: pictures that are changed at a time.
        lr: of Adam, in logits of pixel values.
        total_variation: weight of the mean absolute difference of neighbouring pixels.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        per_person: reconstructions per attacked person.
    """

    image_size: tuple[int, int] = (64, 32)
    grid: tuple[int, int] = (16, 8)
    iterations: PositiveInt = 30
    batch_size: PositiveInt = 32
    lr: float = 0.1
    total_variation: float = 0.1
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 1

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.WHITE_BOX
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        require_gradients(target)
        own = auxiliary_pairs(target, self.image_size, ctx)
        return ask_every_way(target, ctx, partial(self._optimize, target, own))

    def _optimize(
        self, target: Target, own: OwnPairs, asking: Asking, ctx: RunContext
    ) -> AttackResult:
        """Return pictures of the stored entries, taken for clean features or for protected ones."""
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        entries = pool_stored(target, chosen, self.pool, ctx).to(ctx.device)
        starts = own.pixels[nearest(entries, asking.own.to(ctx.device))].float().div(255)
        if asking.kind == "protected":
            entries = embed_clean(entries, own, target, ctx)
        generator, drawn = ctx.generator("attacks.optimization"), []
        pairs = zip(starts.split(self.batch_size), entries.split(self.batch_size), strict=True)
        for start, wanted in pairs:
            drawn.append(self._descend(target.extractor, start, wanted, generator))
            ctx.progress(sum(map(len, drawn)) / len(entries), "optimization")
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        return judge_pictures(torch.cat(drawn).cpu(), chosen, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """Return the null control with a gradient, which is zero: see `auditor.types.Attack`."""
        return replace(make_null_target(target.data), extractor=FlatNull())

    def _descend(
        self, extractor: FeatureExtractor, start: Tensor, wanted: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Pictures ``(B, 3, H, W)`` that embed closer to ``wanted (B, D)`` than ``start`` does."""
        base = torch.logit(start.clamp(0.02, 0.98))
        change = torch.zeros(len(start), 3, *self.grid, device=start.device, requires_grad=True)
        optimizer = torch.optim.Adam([change], lr=self.lr)
        for _ in range(self.iterations):
            drawn = _paint(base, change)
            seen = embed_with_gradient(extractor, augment(drawn, extractor.input_size, generator))
            roughness = total_variation(drawn, reduction="sum") / drawn.numel()
            # each picture is its own problem: the sum leaves their gradients apart
            loss = len(start) * (
                feature_consistency(seen, wanted) + self.total_variation * roughness
            )
            optimizer.zero_grad()
            (change.grad,) = torch.autograd.grad(loss, [change])
            optimizer.step()
        return _paint(base, change).detach()


def embed_clean(entries: Tensor, own: OwnPairs, target: Target, ctx: RunContext) -> Tensor:
    """Return what clean pictures would embed as: gradients do not pass through a protection.

    Args:
        entries: ``(M, D)``, stored.
        own: pairs to learn from.
        target: how it protects and releases.
        ctx: the run.
    """
    columns = own.seen.cpu(), own.clean.cpu(), target.data.auxiliary.pids
    pairs = Pairs(*columns, views_of(target.data), target.release)
    maps = learn_maps(pairs, Refinement(epochs=0), ctx, "attacks.optimization.maps")
    return maps.closest(entries.cpu()).to(ctx.device)


def require_gradients(target: Target) -> None:
    """Refuse a model that has no gradients of its pictures.

    Raises:
        UnsupportedTargetError: if it is a black box.
    """
    if not differentiable(target.extractor):
        raise UnsupportedTargetError(
            "the extractor is a black box: it has no gradients to descend; "
            "give the model as TorchScript or as weights with an architecture"
        )


class FlatNull(NullExtractor):
    """Noise that depends on the picture, and says that no change of the picture matters."""

    differentiable = True

    def forward(self, images: Tensor) -> Tensor:
        """See `auditor.certification.controls.NullExtractor`."""
        return super().forward(images.detach()) + 0 * images.flatten(1).sum(1, keepdim=True)


def _paint(base: Tensor, change: Tensor) -> Tensor:
    size = (base.shape[-2], base.shape[-1])
    return torch.sigmoid(base + F.interpolate(change, size, mode="bilinear"))


def augment(images: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return the images at the extractor's size, flipped and shifted at random, all alike."""
    resized = F.interpolate(images, size, mode="bilinear")
    down, right, flip = torch.randint(-SHIFT, SHIFT + 1, (3,), generator=generator).tolist()
    padded = F.pad(resized, (SHIFT,) * 4, mode="replicate")
    height, width = size
    top, left = SHIFT + down, SHIFT + right
    view = padded[:, :, top : top + height, left : left + width]
    return view.flip(3) if flip > 0 else view
