"""The generative rung: pictures are sampled given the embedding, and the best of several kept."""

from typing import ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DModel
from pydantic import NonNegativeInt, PositiveInt
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from attacks import threat_models
from attacks.inversion.averaging import Averaged
from attacks.inversion.linear import LinearDecoder
from attacks.inversion.lookalike import nearest, stand_ins
from attacks.inversion.networks import DoubledSize
from attacks.inversion.pooling import pool_stored
from attacks.inversion.reconstruction import OwnPairs, auxiliary_pairs, choose, judge_pictures
from attacks.inversion.reference import draw_people
from attacks.inversion.scoring import CHUNK
from attacks.learners.standardising import Standardise
from attacks.protocol.asking import ways_of_asking
from auditor.certification.planting import Planted
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Positive, checked_dataclass
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.training import Batches, fit, one_cycle
from auditor.types import AttackResult, RunContext, Target

NOISE_LEVELS = 1000


@checked_dataclass
class Diffusion:
    """Samples pictures of the person with a diffusion model conditioned on a stolen embedding.

    Threat model: has the stored gallery and own pictures of other people; may query the
    extractor, without gradients, on those and on its samples, and knows how the gallery is
    protected and released: own pictures and samples are protected before they are asked about.

    Source: conditional diffusion decoders for face embeddings, here on pedestrian crops: a UNet and
    a DDIM sampler (Song et al., ICLR 2021) from the diffusers library, the feature entering by
    adaptive group normalisation, classifier-free guidance (Ho & Salimans, 2021), and the best of
    several samples by feature distance. Difference: the linear guess and a lookalike's picture
    enter beside the noise, because a few thousand pictures do not teach what pedestrians look like.

    Attributes:
        image_size: (height, width) of the pictures: 32×16, 64×32, 128×64 or 256×128.
        width: channels of the UNet at full resolution.
        epochs: passes over the auxiliary people.
        batch_size: pictures per training step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        drop: share of the training pictures whose condition is withheld.
        ema: decay of the averaged weights.
        steps: of the sampler.
        strength: share of the noise levels the sampler starts below, from the noised linear guess
            (SDEdit; Meng et al., ICLR 2022); 1 starts from noise alone.
        guidance: weight of the condition in sampling; 1 is no guidance.
        samples: pictures sampled per entry, of which the extractor chooses one.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        per_person: reconstructions per attacked person.
    """

    image_size: DoubledSize = (64, 32)
    width: PositiveInt = 32
    epochs: NonNegativeInt = 20
    batch_size: PositiveInt = 64
    lr: Positive = 1e-3
    drop: float = 0.1
    ema: float = 0.99
    steps: PositiveInt = 12
    strength: float = 0.6
    guidance: float = 1.5
    samples: PositiveInt = 4
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 1

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.DECODER
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        own = auxiliary_pairs(target, self.image_size, ctx)
        embed = ways_of_asking(target, ctx)[-1].embed
        generator = ctx.generator("attacks.diffusion")
        with ctx.randomness("attacks.diffusion"):
            model = _Denoiser(self, target, own, generator)
            rows = torch.arange(len(own.seen))
            batches = Batches((own.seen, own.pixels, rows), self.batch_size, generator)
            fit(model, batches, epochs=self.epochs, ctx=ctx, detail="diffusion")
        model.to(ctx.device)
        chosen = choose(target.data.gallery.pids, self.per_person, ctx)
        entries = pool_stored(target, chosen, self.pool, ctx).to(ctx.device)
        lookalikes = own.pixels[nearest(entries, own.seen)]
        best = torch.zeros_like(lookalikes, dtype=torch.float32)
        reached = torch.full((len(entries),), -torch.inf, device=ctx.device)
        for sample in range(self.samples):
            drawn = model.sample(entries, lookalikes, generator)
            cosines = F.cosine_similarity(embed(drawn).to(ctx.device), entries, dim=1)
            better = cosines > reached
            best[better], reached = drawn[better], torch.maximum(reached, cosines)
            ctx.progress((sample + 1) / self.samples, "sampling")
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        return judge_pictures(best.cpu(), chosen, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)


class _Denoiser(pl.LightningModule):
    """Predicts the velocity of a noisy picture, given feature, linear guess and lookalike."""

    def __init__(
        self,
        attack: Diffusion,
        target: Target,
        own: OwnPairs,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.attack, self.release, self.generator = attack, target.release, generator
        released = draw_release(target.release, own.seen, generator)
        pids = target.data.auxiliary.pids
        self._lookalikes = [
            own.pixels[stand_ins(released, own.seen, pids)]
        ]  # no part of the module
        self.standardise = Standardise(released)
        self.guess = LinearDecoder(self.standardise(released), own.pixels, pids)
        self.network = _Network(own.seen.shape[1], attack)
        self.averaged = Averaged(self.network, multi_avg_fn=get_ema_multi_avg_fn(attack.ema))
        self.scheduler = DDIMScheduler(
            NOISE_LEVELS, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
        )
        self.to(own.seen.device)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        """Squared error of the velocity (Salimans & Ho, ICLR 2022) at a random noise level."""
        seen, pixels, rows = batch
        features = self.standardise(draw_release(self.release, seen, self.generator))
        hints = self._hints(features, self._lookalikes[0][rows])
        kept = (torch.rand(len(seen), device=self.device) >= self.attack.drop).float()
        levels = torch.randint(NOISE_LEVELS, (len(seen),), device=self.device)
        picture = pixels.float().div(127.5).sub(1)
        noise = torch.randn_like(picture)
        noisy = self.scheduler.add_noise(picture, noise, levels)
        velocity = self.scheduler.get_velocity(picture, noise, levels)
        return F.mse_loss(self.network(noisy, levels, features, hints, kept), velocity)

    def on_train_batch_end(self, *args: object) -> None:
        """Average the weights."""
        self.averaged.update_parameters(self.network)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule."""
        return one_cycle(self, self.attack.lr, 1e-2)

    @torch.no_grad()
    def sample(self, entries: Tensor, lookalikes: Tensor, generator: torch.Generator) -> Tensor:
        """Return one picture ``(M, 3, H, W)`` in [0, 1] for each of ``entries (M, D)``."""
        parts = zip(entries.split(CHUNK), lookalikes.split(CHUNK), strict=True)
        return torch.cat([self._sample(part, look, generator) for part, look in parts])

    def _sample(self, entries: Tensor, lookalikes: Tensor, generator: torch.Generator) -> Tensor:
        features = self.standardise(entries)
        hints = self._hints(features, lookalikes)
        given, withheld = torch.ones(len(entries)), torch.zeros(len(entries))
        self.scheduler.set_timesteps(round(self.attack.steps / self.attack.strength))
        timeline = self.scheduler.timesteps[-self.attack.steps :]
        noise = torch.randn((len(entries), 3, *self.attack.image_size), generator=generator)
        picture = self.scheduler.add_noise(hints[:, :3], noise.to(hints.device), timeline[:1])
        for level in timeline:
            levels = level.expand(len(entries)).to(entries.device)
            told, blind = (
                self.averaged(picture, levels, features, hints, kept.to(entries.device))
                for kept in (given, withheld)
            )
            velocity = blind + self.attack.guidance * (told - blind)
            picture = self.scheduler.step(velocity, level, picture).prev_sample
        drawn: Tensor = picture.add(1).div(2).clamp(0, 1)
        return drawn

    def _hints(self, features: Tensor, lookalikes: Tensor) -> Tensor:
        """Linear guess and lookalike ``(B, 6, H, W)`` in [−1, 1]."""
        guess = self.guess(features).clamp(0, 1).mul(2).sub(1)
        return torch.cat([guess, lookalikes.float().div(127.5).sub(1)], dim=1)


class _Network(nn.Module):
    """diffusers' UNet with the feature in its time embedding."""

    def __init__(self, dim: int, attack: Diffusion) -> None:
        super().__init__()
        channels = tuple(attack.width * factor for factor in (1, 2, 3))
        self.embed = nn.Linear(dim, 4 * channels[0])
        self.unet = UNet2DModel(
            sample_size=attack.image_size,
            in_channels=9,
            out_channels=3,
            block_out_channels=channels,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * 3,
            up_block_types=("UpBlock2D",) * 3,
            class_embed_type="identity",
            norm_num_groups=8,
            resnet_time_scale_shift="scale_shift",
            attention_head_dim=8,
        )

    def forward(
        self, noisy: Tensor, levels: Tensor, features: Tensor, hints: Tensor, kept: Tensor
    ) -> Tensor:
        """Predict velocity ``(B, 3, H, W)``, the condition withheld where ``kept (B,)`` is 0."""
        condition = self.embed(features) * kept[:, None]
        pictures = torch.cat([noisy, hints * kept[:, None, None, None]], dim=1)
        velocity: Tensor = self.unet(pictures, levels, class_labels=condition).sample
        return velocity
