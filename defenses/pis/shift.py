"""The mechanism of PIS once it is trained: pictures and a key to shifted pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from auditor.data.images import as_bytes
from auditor.types import MemoryImages, Split
from defenses.pis.learning import CHUNK, pictures_and_points
from defenses.pis.mixing import Key, draw_key, laplace, mix
from defenses.pis.network import ConditionalVae
from defenses.pis.pose import Pose


@dataclass(frozen=True, eq=False)
class Shift:
    """Mixes what a person looks like with others, and draws the mixture in the person's own pose.

    See `auditor.types.Publish`; the adversary has all of this but the generator.

    Attributes:
        network: trained.
        pose: gives pose maps.
        image_size: (height, width) of the published pictures.
        weights: λ, the person's own first.
        pool: where partners come from; None: the published pictures themselves.
        named: whether the partners' pids mean the people of the audited data.
        noise: Laplace noise in the place of partners, as strong as they would be.
        device: where to compute.
    """

    network: ConditionalVae
    pose: Pose
    image_size: tuple[int, int]
    weights: tuple[float, ...]
    pool: Split | None
    named: bool
    noise: bool
    device: torch.device

    def __call__(self, split: Split, generator: Generator) -> Split:
        """Return shifted pictures, row for row, under the key that ``generator`` draws first."""
        key = self.key(split, generator)
        seen = pictures_and_points(split, self.pose, self.image_size)
        self.network.to(self.device)
        own = self._means(*seen)
        partners = self._partners(own, key)
        latents = (
            self._noisy(own, partners, generator)
            if self.noise
            else mix([own, *partners], self.weights)
        )
        pixels = self._render(latents, *seen, generator)
        self.network.to("cpu")
        nobody = torch.full_like(split.pids, -1)
        named = key.partners[:, 0] if self.named and not self.noise else nobody
        return replace(split, images=MemoryImages(pixels), partners=named)

    def shift_again(
        self, split: Split, partners: list[list[Tensor]], generator: Generator
    ) -> Split:
        """Shifted pictures of ``split`` under a key that is known; ``partners`` as in a mixture."""
        seen = pictures_and_points(split, self.pose, self.image_size)
        self.network.to(self.device)
        latents = mix([self._means(*seen), *partners], self.weights)
        pixels = self._render(latents, *seen, generator)
        self.network.to("cpu")
        return replace(split, images=MemoryImages(pixels), partners=None)

    def partners(self, split: Split, key: Key) -> list[list[Tensor]]:
        """Return per partner, per scale ``(N, C, h, w)``: what ``key`` mixes into the pictures."""
        seen = pictures_and_points(split, self.pose, self.image_size)
        self.network.to(self.device)
        found = self._partners(self._means(*seen), key)
        self.network.to("cpu")
        return found

    def _partners(self, own: list[Tensor], key: Key) -> list[list[Tensor]]:
        rows, place = key.rows.unique(return_inverse=True)
        others = [scale[rows] for scale in own] if self.pool is None else self._pooled(rows)
        return [[scale[column] for scale in others] for column in place.T]

    def key(self, split: Split, generator: Generator) -> Key:
        """Return the key of a publication of ``split``."""
        pool = None if self.pool is None else self.pool.pids
        return draw_key(split.pids, pool, len(self.weights) - 1, generator)

    def _pooled(self, rows: Tensor) -> list[Tensor]:
        """Return the means of the pool's pictures ``rows``."""
        assert self.pool is not None
        return self._means(*pictures_and_points(self.pool.take(rows), self.pose, self.image_size))

    def _means(self, pixels: Tensor, points: Tensor) -> list[Tensor]:
        """Infer posterior means ``(N, C, h, w)`` of pictures ``(N, 3, H, W)`` uint8, per scale."""
        parts = []
        for images, pose in self._chunks(pixels, points):
            with torch.no_grad():
                parts.append([mean.cpu() for mean in self.network.posterior(images, pose)])
        return [torch.cat(scale) for scale in zip(*parts, strict=True)]

    def _chunks(self, pixels: Tensor, points: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pictures and their pose maps on the device, a few at a time."""
        for some, known in zip(pixels.split(CHUNK), points.split(CHUNK), strict=True):
            images = some.to(self.device).float() / 255
            yield images, self.pose.maps(images, known.to(self.device))

    def _noisy(
        self, own: list[Tensor], partners: list[list[Tensor]], generator: Generator
    ) -> list[Tensor]:
        """λ₁ μ₁ and Laplace noise of the mean size of what partners would have added (Table 8)."""
        added = mix(partners, self.weights[1:])
        return [
            self.weights[0] * mean + laplace(float(part.abs().mean()), mean.shape, generator)
            for mean, part in zip(own, added, strict=True)
        ]

    def _render(
        self, latents: list[Tensor], pixels: Tensor, points: Tensor, generator: Generator
    ) -> Tensor:
        """Pictures ``(N, 3, H, W)`` uint8 of a draw around ``latents``, posed like ``pixels``."""
        drawn = []
        scales = zip(*(scale.split(CHUNK) for scale in latents), strict=True)
        for (_, pose), means in zip(self._chunks(pixels, points), scales, strict=True):
            draws = [
                (mean + torch.randn(mean.shape, generator=generator)).to(self.device)
                for mean in means
            ]
            with torch.no_grad():
                images, _ = self.network.draw(draws, pose)
            drawn.append(as_bytes(images.clamp(0, 1)).cpu())
        return torch.cat(drawn)
