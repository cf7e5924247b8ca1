"""The historical rung: a fully connected GAN that nothing ties to the picture it inverts."""

from collections.abc import Sequence
from typing import ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from attacks import threat_models
from attacks.inversion.reconstruction import auxiliary_pairs, judge_reconstructions
from attacks.inversion.reference import draw_people
from auditor.certification.planting import Planted
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import checked_dataclass
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.training import Batches, fit
from auditor.types import AttackResult, Release, RunContext, Target

SIZE = (64, 64)


@checked_dataclass
class FullyConnectedGan:
    """Reconstructs pictures from embeddings with an early study's fully connected GAN, as printed.

    Threat model: has the stored gallery and own pictures of other people; may query the extractor
    on those and knows how the gallery is protected and released.

    Source: "feature privacy" GAN for re-ID with Excel output (IJERT), Algorithm 1 and Eqs. 1–7: a
    generator D → 1024 → 3·64·64 with ReLU and tanh, a discriminator of two linear maps and a
    sigmoid, binary cross-entropy alone. Kept to be measured, not to be trusted: its loss rewards
    any plausible picture and never the right one, so it fails the planted control, and the
    conclusion "only noise came out, hence private" drawn from it is `inconclusive`. Differences:
    none known; the study does not print the discriminator's width, its optimiser or its epochs.

    Attributes:
        hidden: width of the generator's hidden layer.
        critic_hidden: width of the discriminator's hidden layer.
        epochs: passes over the auxiliary people.
        batch_size: pictures per step.
        lr: of Adam, for both networks.
        per_person: reconstructions per attacked person.
    """

    hidden: PositiveInt = 1024
    critic_hidden: PositiveInt = 256
    epochs: PositiveInt = 10
    batch_size: PositiveInt = 64
    lr: float = 2e-4
    per_person: PositiveInt = 2

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.DECODER
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        own = auxiliary_pairs(target, SIZE, ctx)
        generator = ctx.generator("attacks.fully_connected")
        with ctx.randomness("attacks.fully_connected"):
            gan = _FullyConnected(self, own.seen.shape[1], target.release, generator)
            batches = Batches((own.seen, own.pixels), self.batch_size, generator)
            fit(gan, batches, epochs=self.epochs, ctx=ctx, detail="fully connected GAN")
        return judge_reconstructions(gan, self.per_person, 0, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=SIZE, per_person=self.per_person)


class _FullyConnected(pl.LightningModule):
    """Algorithm 1: real against fake, fake against real, in turn."""

    def __init__(
        self, attack: FullyConnectedGan, dim: int, release: Release, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.attack, self.release, self.generator = attack, release, generator
        pixels = 3 * SIZE[0] * SIZE[1]
        self.paint = nn.Sequential(
            nn.Linear(dim, attack.hidden), nn.ReLU(), nn.Linear(attack.hidden, pixels), nn.Tanh()
        )
        self.tell = nn.Sequential(
            nn.Linear(pixels, attack.critic_hidden), nn.Linear(attack.critic_hidden, 1)
        )

    def forward(self, stored: Tensor) -> Tensor:
        """Return stored features ``(B, D)`` to pictures ``(B, 3, 64, 64)`` in [0, 1]."""
        drawn: Tensor = self.paint(stored).unflatten(1, (3, *SIZE))
        return drawn.add(1).div(2)

    def configure_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """One for the generator, one for the discriminator."""
        return [
            torch.optim.Adam(network.parameters(), lr=self.attack.lr, fused=True)
            for network in (self.paint, self.tell)
        ]

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Run steps 5 to 7 of Algorithm 1."""
        seen, pixels = batch
        real = pixels.float().div(127.5).sub(1).flatten(1)
        fake = self.paint(draw_release(self.release, seen, self.generator))
        paint, tell = self.optimizers()  # type: ignore[attr-defined]
        verdicts = torch.cat([self.tell(real), self.tell(fake.detach())])
        truth = torch.cat([torch.ones(len(real), 1), torch.zeros(len(fake), 1)]).to(self.device)
        self._step(tell, F.binary_cross_entropy_with_logits(verdicts, truth))
        believed = self.tell(fake)
        wanted = torch.ones_like(believed)
        self._step(paint, F.binary_cross_entropy_with_logits(believed, wanted))

    def _step(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
