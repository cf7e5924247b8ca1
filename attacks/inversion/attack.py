"""What did they look like? Pictures drawn back from stored embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from attacks.inversion.linear import LinearDecoder
from attacks.inversion.losses import feature_consistency, feature_matching, hinge_critic
from attacks.inversion.networks import Critic, Inverter, doublings
from auditor.embedding import (
    differentiable,
    embed,
    embed_with_gradient,
    features_of,
    stored_gallery,
)
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.metrics.perceptual import PerceptualDistance, psnr, ssim
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.report import Measurement
from auditor.training import Batches, fit
from auditor.types import AttackResult, FeatureExtractor, Images, RunContext, Target

CHUNK = 64
EXHIBITED = 12


@dataclass(frozen=True, kw_only=True)
class GanInversion:
    """Draws the person's picture from a stolen embedding with a conditional GAN.

    Threat model: holds the stored gallery and own pictures of other people; may query the extractor
    on those, knows how the gallery is released (it trains through fresh draws of the same release),
    and uses the extractor's gradients where it offers any. Success is judged by identity: the
    reconstruction, used as a query, must find the same person in pictures from other cameras.

    Sources: conditional GAN inversion of re-ID features as in ShuffleBits (2021) and the reversal
    module of "Protecting Feature Privacy in Person Re-identification" (TPAMI 2025), whose network
    is unpublished; type-II re-identification after NbNet (Mai et al., TPAMI 2018). Differences:
    hinge loss with a projection critic, which also reads the feature back (the consistency term
    for black-box extractors), the inverter refines a closed-form linear guess, and its weights are
    averaged.

    Attributes:
        image_size: (height, width) of the reconstructions: 32×16, 64×32, 128×64 or 256×128.
        width: channels of both networks at full resolution.
        epochs: passes over the auxiliary people.
        batch_size: pictures per step.
        lr: of Adam, for both networks.
        pixel: weight of the L1 distance.
        perceptual: weight of the perceptual distance.
        matching: weight of the critic's feature matching.
        adversarial: weight of the critic's realness.
        consistency: weight of the feature read back from the reconstruction.
        consistency_every: steps between consistency terms through the extractor itself, whose
            gradients cost far more than the rest.
        consistency_batch: pictures per such term.
        ema: decay of the averaged weights.
        per_person: reconstructions per attacked person.
    """

    image_size: tuple[int, int] = (64, 32)
    width: int = 24
    epochs: int = 12
    batch_size: int = 64
    lr: float = 1e-3
    pixel: float = 1.0
    perceptual: float = 1.0
    matching: float = 0.5
    adversarial: float = 0.02
    consistency: float = 0.5
    consistency_every: int = 8
    consistency_batch: int = 16
    ema: float = 0.99
    per_person: int = 2

    headline: ClassVar[str] = "reid_rank1"

    def __post_init__(self) -> None:
        doublings(self.image_size)

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        if not len(target.data.auxiliary):
            raise UnsupportedTargetError("the adversary has no auxiliary pictures to learn from")
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        inverter = self._train(target, ctx, distance)
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        drawn = reconstruct(inverter, stored_gallery(target, ctx)[chosen], ctx.device)
        originals = target.data.gallery.images.load(chosen.tolist(), self.image_size)
        judges = ctx.judges or {"target": target.extractor}
        measurements, notes = [], []
        for name, judge in judges.items():
            found, note = _identified(name, judge, target, drawn, originals, chosen, ctx)
            measurements += found
            notes.append(note)
        measurements += _alike(drawn, originals, target.data.gallery.pids[chosen], distance)
        notes.append("chance is the same figure for reconstructions of somebody else's feature")
        path = ctx.workdir / "inversion.png"
        _strip(path, originals, drawn)
        return AttackResult(tuple(measurements), {"reconstructions": path}, tuple(notes))

    def _train(self, target: Target, ctx: RunContext, distance: PerceptualDistance) -> "_Gan":
        auxiliary = target.data.auxiliary
        clean = features_of(target.extractor, auxiliary, ctx).to(ctx.device)
        pixels = load_pixels(auxiliary.images, self.image_size).to(ctx.device)
        generator = ctx.generator("attacks.inversion")
        with ctx.randomness("attacks.inversion"):
            gan = _Gan(self, target, clean, pixels, distance, generator)
            batches = Batches((clean, pixels), self.batch_size, generator)
            fit(gan, batches, epochs=self.epochs, ctx=ctx, detail="inverter")
        return gan


def load_pixels(images: Images, size: tuple[int, int]) -> Tensor:
    """All pictures as uint8 ``(N, 3, height, width)``."""
    pixels = torch.empty((len(images), 3, *size), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK):
        rows = range(start, min(start + CHUNK, len(images)))
        pixels[start : rows.stop] = (images.load(rows, size) * 255).round().byte()
    return pixels


def choose(pids: Tensor, per_person: int, ctx: RunContext) -> Tensor:
    """Up to ``per_person`` gallery positions for each person, in the order of pids."""
    order = torch.randperm(len(pids), generator=ctx.generator("attacks.inversion.choice"))
    chosen = []
    for pid in pids[pids > 0].unique():
        rows = order[pids[order] == pid]
        chosen.append(rows[:per_person])
    return torch.cat(chosen)


def reconstruct(inverter: "_Gan", features: Tensor, device: torch.device) -> Tensor:
    """Pictures ``(N, 3, H, W)`` on the CPU from stored features ``(N, D)``."""
    inverter.to(device)
    with torch.no_grad():
        parts = [inverter(part.to(device)).cpu() for part in features.split(CHUNK)]
    return torch.cat(parts)


def _identified(
    name: str,
    judge: FeatureExtractor,
    target: Target,
    drawn: Tensor,
    originals: Tensor,
    chosen: Tensor,
    ctx: RunContext,
) -> tuple[list[Measurement], str]:
    """Type-II re-identification of the reconstructions, as ``judge`` sees them.

    Returns rank-1 and mAP with the feature-blind floor as chance, and a sentence with the ceiling.
    """
    pids, camids = target.data.gallery.pids[chosen], target.data.gallery.camids[chosen]
    # the floor: each reconstruction passed off as the next person's
    other = len(chosen) // 2
    wrong = pids.roll(other), camids.roll(other), chosen.roll(other)
    seen = _judge_features(judge, drawn, ctx)
    real = _search(judge, target, seen, pids, camids, chosen, ctx)
    floor = _search(judge, target, seen, *wrong, ctx)
    ceiling = _search(
        judge, target, _judge_features(judge, originals, ctx), pids, camids, chosen, ctx
    )
    suffix = "" if name == "target" else f".{name}"
    valid = pids[real.query_index]
    rank1 = measure.rate(f"reid_rank1{suffix}", real.hit(1), valid, chance=floor.cmc(1))
    mean_ap = measure.mean(f"reid_map{suffix}", real.average_precision, valid, chance=floor.mean_ap)
    who = "the audited extractor" if name == "target" else f"the independent judge {name}"
    note = (
        f"judged by {who}: the real pictures at this size reach rank-1 {ceiling.cmc(1):.3f} "
        f"and mAP {ceiling.mean_ap:.3f}"
    )
    return [rank1, mean_ap], note


def _judge_features(judge: FeatureExtractor, images: Tensor, ctx: RunContext) -> Tensor:
    size = judge.input_size
    resized = F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)
    return torch.cat([embed(judge, part.to(ctx.device)).cpu() for part in resized.split(CHUNK)])


def _search(
    judge: FeatureExtractor,
    target: Target,
    queries: Tensor,
    pids: Tensor,
    camids: Tensor,
    sources: Tensor,
    ctx: RunContext,
) -> Retrieval:
    """Look the queries up among all real pictures of the attacked people, sources set aside."""
    data = target.data
    places = (data.gallery, data.query)
    return evaluate(
        queries,
        torch.cat([features_of(judge, split, ctx) for split in places]),
        pids,
        torch.cat([split.pids for split in places]),
        camids,
        torch.cat([split.camids for split in places]),
        cross_camera=data.cross_camera,
        query_sources=sources,
    )


def _alike(
    drawn: Tensor, originals: Tensor, pids: Tensor, distance: PerceptualDistance
) -> list[Measurement]:
    """PSNR, SSIM and LPIPS; the chance level is another person's reconstruction."""
    other = drawn.roll(len(drawn) // 2, 0)
    device = next(distance.parameters()).device

    def perceived(images: Tensor, truths: Tensor) -> Tensor:
        pairs = zip(images.split(CHUNK), truths.split(CHUNK), strict=True)
        with torch.no_grad():
            return torch.cat([distance(a.to(device), b.to(device)).cpu() for a, b in pairs])

    rows = (
        ("psnr", psnr, "dB", "higher", ""),
        ("ssim", ssim, "ratio", "higher", ""),
        (distance.name, perceived, "distance", "lower", distance.note),
    )
    return [
        measure.mean(
            name,
            metric(drawn, originals),
            pids,
            chance=float(metric(other, originals).mean()),
            unit=unit,
            worse=worse,
            note=note,
        )
        for name, metric, unit, worse, note in rows
    ]


def _strip(path: Path, originals: Tensor, drawn: Tensor) -> None:
    """Two rows of pictures: originals above, reconstructions below, spread over the people."""
    step = max(1, len(originals) // EXHIBITED)
    rows = [torch.cat(list(images[::step][:EXHIBITED]), dim=2) for images in (originals, drawn)]
    grid = torch.cat(rows, dim=1).mul(255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(grid).save(path)


class _Gan(pl.LightningModule):
    """Inverter and critic under manual optimisation; calling it draws with averaged weights."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        attack: GanInversion,
        target: Target,
        clean: Tensor,
        pixels: Tensor,
        distance: PerceptualDistance,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.attack, self.release, self.generator = attack, target.release, generator
        # kept out of the module tree: neither is trained or moved with it
        self._extractor = [target.extractor] if differentiable(target.extractor) else []
        self._distance = [distance]
        released = target.release(clean.cpu(), generator).to(clean.device)
        self.register_buffer("mean", released.mean(0))
        self.register_buffer("std", released.std(0).clamp_min(1e-6))
        dim, pids = clean.shape[1], target.data.auxiliary.pids
        guess = LinearDecoder(self._standardise(released), pixels, pids)
        self.inverter = Inverter(dim, attack.image_size, attack.width, guess)
        self.critic = Critic(dim, attack.image_size, attack.width)
        self.to(clean.device, memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.inverter, avg_fn=_warm_average(attack.ema))

    def forward(self, stored: Tensor) -> Tensor:
        """Stored features ``(B, D)`` to pictures ``(B, 3, H, W)``."""
        pictures: Tensor = self.averaged(self._standardise(stored))
        return pictures

    def _standardise(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std

    def configure_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(network.parameters(), lr=self.attack.lr, betas=(0.5, 0.99), fused=True)
            for network in (self.inverter, self.critic)
        ]

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        clean, pixels = batch
        real = pixels.float().div(255)
        released = self.release(clean.cpu(), self.generator).to(self.device)
        condition = self._standardise(released)
        paint, judge = self.optimizers()  # type: ignore[attr-defined]
        fake = self.inverter(condition)
        loss, wanted = self._critic_loss(real, fake.detach(), condition)
        self._step(judge, loss)
        self.critic.requires_grad_(False)
        loss = self._inverter_loss(real, fake, condition, wanted)
        if self._extractor and index % self.attack.consistency_every == 0:
            few = slice(0, self.attack.consistency_batch)
            loss = loss + self.attack.consistency * self._through_extractor(fake[few], clean[few])
        self._step(paint, loss)
        self.critic.requires_grad_(True)
        self.averaged.update_parameters(self.inverter)

    def _step(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _critic_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The critic's loss, and what it saw in the real pictures."""
        realness, read, activations = self.critic(real, condition)
        fakeness, _, _ = self.critic(fake, condition)
        return hinge_critic(realness, fakeness) + F.mse_loss(read, condition), activations

    def _inverter_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor, wanted: list[Tensor]
    ) -> Tensor:
        attack = self.attack
        realness, read, activations = self.critic(fake, condition)
        loss: Tensor = (
            attack.pixel * F.l1_loss(fake, real)
            + attack.perceptual * self._distance[0](fake, real).mean()
            + attack.matching * feature_matching(wanted, activations)
            - attack.adversarial * realness.mean()
            + attack.consistency * feature_consistency(read, condition)
        )
        return loss

    def _through_extractor(self, fake: Tensor, clean: Tensor) -> Tensor:
        """Consistency under the attacked extractor itself, by its vector-Jacobian product."""
        extractor = self._extractor[0]
        resized = F.interpolate(fake, extractor.input_size, mode="bilinear").clamp(0, 1)
        return feature_consistency(embed_with_gradient(extractor, resized), clean)


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential average that forgets faster at first, so that early weights do not linger."""

    def average(averaged: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        share = max(1 - decay, 9 / (10 + int(count)))
        return averaged + (new - averaged) * share

    return average
