"""What did they look like? Pictures drawn back from stored embeddings."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.inversion.gan import ConditionalGan
from attacks.inversion.judging import CHUNK, alike, identified, save_strip
from attacks.inversion.networks import doublings
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.training import Batches, fit
from auditor.types import AttackResult, Images, RunContext, Target


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
            found, note = identified(name, judge, target, drawn, originals, chosen, ctx)
            measurements += found
            notes.append(note)
        measurements += alike(drawn, originals, target.data.gallery.pids[chosen], distance)
        notes.append("chance is the same figure for reconstructions of somebody else's feature")
        path = ctx.workdir / "inversion.png"
        save_strip(path, originals, drawn)
        return AttackResult(tuple(measurements), {"reconstructions": path}, tuple(notes))

    def _train(
        self, target: Target, ctx: RunContext, distance: PerceptualDistance
    ) -> ConditionalGan:
        auxiliary = target.data.auxiliary
        clean = features_of(target.extractor, auxiliary, ctx).to(ctx.device)
        pixels = load_pixels(auxiliary.images, self.image_size).to(ctx.device)
        generator = ctx.generator("attacks.inversion")
        with ctx.randomness("attacks.inversion"):
            gan = ConditionalGan(self, target, clean, pixels, distance, generator)
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


def reconstruct(inverter: ConditionalGan, features: Tensor, device: torch.device) -> Tensor:
    """Pictures ``(N, 3, H, W)`` on the CPU from stored features ``(N, D)``."""
    inverter.to(device)
    with torch.no_grad():
        parts = [inverter(part.to(device)).cpu() for part in features.split(CHUNK)]
    return torch.cat(parts)
