"""The controls of gradient inversion: clean gradients of real pictures, and gradients of noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.types import RunContext, Target


@dataclass(frozen=True)
class NoiseImages:
    """Pictures of independent uniform pixels, one per seed."""

    seeds: Sequence[int]

    def __len__(self) -> int:
        return len(self.seeds)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        generators = (torch.Generator().manual_seed(self.seeds[i]) for i in indices)
        return torch.stack([torch.rand((3, *size), generator=g) for g in generators])


def in_the_clear(target: Target) -> Target:
    """The target with its people's pictures as they were before any protection."""
    gallery = target.originals or target.data.gallery
    return Target(target.extractor, replace(target.data, gallery=gallery))


def trained_on_noise(target: Target, ctx: RunContext) -> Target:
    """Clients whose pictures are noise, judged by the people's real pictures.

    Their gradients can be inverted as well as anybody's, and hold nothing about anybody.
    """
    clear = in_the_clear(target)
    gallery = clear.data.gallery
    first = ctx.seed_for("attacks.gradient.noise")
    noise = NoiseImages(range(first, first + len(gallery)))
    hidden = replace(clear.data, gallery=replace(gallery, images=noise))
    return replace(clear, data=hidden, originals=gallery)
