"""What did they look like? Pictures drawn back from stored embeddings."""

from dataclasses import dataclass
from typing import ClassVar

from attacks import adversaries
from attacks.inversion.gan import ConditionalGan
from attacks.inversion.networks import doublings
from attacks.inversion.reconstruction import auxiliary_pairs, judged
from attacks.inversion.reference import draw_people
from auditor.certification.planting import Planted
from auditor.metrics.perceptual import PerceptualDistance
from auditor.report import Adversary
from auditor.training import Batches, fit
from auditor.types import AttackResult, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class GanInversion:
    """Draws the person's picture from a stolen embedding with a conditional GAN.

    Threat model: holds the stored gallery and own pictures of other people; may query the extractor
    on those, knows how the gallery is protected and released (it trains on own protected pictures,
    through fresh draws of the same release), and uses the extractor's gradients where it offers
    any. Success is judged by identity: the reconstruction, used as a query, must find the same
    person in pictures from other cameras.

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
        pool: how many neighbours each stored entry is pooled with; see `attacks.pooling`.
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
    pool: int = 16
    per_person: int = 2

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = adversaries.GRADIENT_DECODER
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def __post_init__(self) -> None:
        doublings(self.image_size)

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        own = auxiliary_pairs(target, self.image_size, ctx)
        generator = ctx.generator("attacks.inversion")
        with ctx.randomness("attacks.inversion"):
            gan = ConditionalGan(self, target, own, distance, generator)
            batches = Batches((own.seen, own.pixels, own.clean), self.batch_size, generator)
            fit(gan, batches, epochs=self.epochs, ctx=ctx, detail="inverter")
        return judged(gan, self.per_person, self.pool, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """The expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)
