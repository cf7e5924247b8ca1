"""Would a flow describe the latents of people better than the normal distribution of a prior?

`python -m benchmarks.prior_flow --data data/market --prior market.prior.safetensors` trains one on
the latents of two thirds of the auxiliary people, and compares both on the other third by the loss
that flows are trained with (flow matching, Lipman et al., ICLR 2023, eq. 23): the squared error
of the predicted velocity ``e − x`` at ``(1 − t)·x + t·e``, for latents x, noise e and uniform t.
The best velocity for a normal distribution is linear and known in closed form; the network (a small
`UNet2DModel` of diffusers) learns what to add to it, and begins with nothing.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from auditor.data import open_dataset
from auditor.data.images import load_pixels
from auditor.models.prior import WEIGHTS, load_prior
from auditor.statistics import intervals

HELD_OUT = 3
CHUNK = 256
BATCH = 64
LR = 1e-3
DRAWS = 8
"""Times and noises at which each latent of a held-out person is judged."""


@dataclass(frozen=True)
class Normal:
    """The normal distribution of latents ``(N, C, h, w)``.

    Attributes:
        variances: along each principal axis, ``(K,)``.
        axes: ``(K, K)``, in columns.
    """

    variances: Tensor
    axes: Tensor

    @classmethod
    def of(cls, latents: Tensor) -> "Normal":
        """Fit it to latents of mean 0."""
        variances, axes = torch.linalg.eigh(torch.cov(latents.flatten(1).T.double()))
        return cls(variances.float().clamp_min(1e-6), axes.float())

    def velocity(self, mixed: Tensor, t: Tensor) -> Tensor:
        """Return the expected ``e − x`` at ``mixed (B, C, h, w)`` and times ``t (B,)``."""
        kept, noise = 1 - t[:, None], t[:, None]
        gain = (noise - kept * self.variances) / (kept**2 * self.variances + noise**2)
        return (gain * (mixed.flatten(1) @ self.axes) @ self.axes.T).view_as(mixed)


class Flow(nn.Module):
    """The velocity of the normal distribution, and what a network adds to it."""

    def __init__(self, normal: Normal, channels: int) -> None:
        super().__init__()
        self.normal = normal
        self.network = UNet2DModel(
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(64, 128),
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=8,
            add_attention=False,
        )
        for parameter in self.network.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, mixed: Tensor, t: Tensor) -> Tensor:
        """Return the velocity at ``mixed (B, C, h, w)`` and times ``t (B,)``."""
        added: Tensor = self.network(mixed, 1000 * t).sample
        return self.normal.velocity(mixed, t) + added


def miss(velocity: nn.Module | Normal, latents: Tensor, generator: torch.Generator) -> Tensor:
    """Return the squared error ``(B,)`` of a velocity at one time and noise for each latent."""
    t = torch.rand(len(latents), generator=generator).clamp_min(1e-3)
    noise = torch.randn(latents.shape, generator=generator)
    share = t[:, None, None, None]
    predict = velocity.velocity if isinstance(velocity, Normal) else velocity
    gap = predict((1 - share) * latents + share * noise, t) - (noise - latents)
    return gap.square().flatten(1).mean(1)


def train(flow: Flow, latents: Tensor, steps: int, generator: torch.Generator) -> None:
    """Train with AdamW under a one-cycle schedule."""
    optimizer = torch.optim.AdamW(flow.network.parameters(), lr=LR, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for _ in range(steps):
        some = torch.randint(len(latents), (BATCH,), generator=generator)
        loss = miss(flow, latents[some], generator).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def judge(velocity: nn.Module | Normal, latents: Tensor) -> np.ndarray:
    """Return the mean squared error ``(N,)`` of each latent, at the same times and noises."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        parts = [
            torch.cat([miss(velocity, part, generator) for part in latents.split(CHUNK)])
            for _ in range(DRAWS)
        ]
    return torch.stack(parts).mean(0).numpy()


def gain(pids: np.ndarray, normal: np.ndarray, flow: np.ndarray) -> tuple[float, float, float]:
    """Return what share of the error the flow takes away, with its 95% interval over people."""
    _, person = np.unique(pids, return_inverse=True)
    sums = np.stack([np.bincount(person, errors) for errors in (normal, flow)])

    def taken(weights: np.ndarray) -> np.ndarray:
        return 1 - (weights @ sums[1]) / (weights @ sums[0])

    low, high = intervals.resample(sums.shape[1], taken)
    return float(taken(np.ones(sums.shape[1]))), low, high


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prior", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=1000)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    prior, _ = load_prior(chosen.prior)
    people = open_dataset(chosen.data).auxiliary
    pixels = load_pixels(people.images, prior.shape.size)
    grids = torch.cat([prior.latents(part.float() / 255)[0] for part in pixels.split(CHUNK)])
    held = torch.isin(people.pids, people.pids.unique()[::HELD_OUT])
    centre, spread = grids[~held].mean(0), grids[~held].std((0, 2, 3))[:, None, None]
    grids = (grids - centre) / spread
    normal = Normal.of(grids[~held])
    flow = Flow(normal, prior.shape.latents)
    began = time.process_time()
    train(flow, grids[~held], chosen.steps, torch.Generator().manual_seed(0))
    seconds = time.process_time() - began
    flow.eval()
    pids = people.pids[held].numpy()
    errors = [judge(velocity, grids[held]) for velocity in (normal, flow)]
    share, low, high = gain(pids, *errors)
    count = sum(parameter.numel() for parameter in flow.network.parameters())
    print(f"{len(np.unique(pids))} people held out; {chosen.steps} steps, {seconds:.0f} CPU-s")
    print(f"normal distribution {errors[0].mean():.4f}, flow ({count:,}) {errors[1].mean():.4f}")
    print(f"taken away: {100 * share:.2f} % ({100 * low:.2f} to {100 * high:.2f} %)")


if __name__ == "__main__":
    main()
