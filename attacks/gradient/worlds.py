"""The controls of gradient inversion: clean gradients of real pictures, and gradients of noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from auditor.types import FeatureExtractor, Protection, RunContext, Target


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


class DenseExtractor(nn.Module):
    """One dense layer and sigmoids: its weight's gradient is the picture, once per feature."""

    feature_dim = 32
    input_size = (16, 8)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.dense = nn.Linear(3 * self.input_size[0] * self.input_size[1], self.feature_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, 16, 8)`` in [0, 1] to features ``(B, 32)``."""
        features: Tensor = self.dense(images.flatten(1)).sigmoid()
        return features


def make_clear_target(target: Target, extractor: FeatureExtractor | None = None) -> Target:
    """Return people's pictures before any protection, under another extractor if one is given."""
    data = replace(target.data, gallery=target.originals_of_gallery)
    return Target(extractor or target.extractor, data)


def make_noise_target(
    target: Target, ctx: RunContext, extractor: FeatureExtractor | None = None
) -> Target:
    """Clients whose pictures are noise, judged by the people's real pictures.

    Their gradients can be inverted as well as anybody's, and hold nothing about anybody.
    """
    clear = make_clear_target(target, extractor)
    gallery = clear.data.gallery
    first = ctx.seed_for("attacks.gradient.noise")
    noise = NoiseImages(range(first, first + len(gallery)))
    hidden = replace(clear.data, gallery=replace(gallery, images=noise))
    return replace(clear, data=hidden, protection=Protection(originals=gallery))
