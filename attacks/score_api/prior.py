"""What pictures of people look like, as far as a few directions can say it."""

from dataclasses import dataclass

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from auditor.data.images import eight_bit, load_pixels
from auditor.errors import UnsupportedTargetError
from auditor.report import pluralize
from auditor.types import RunContext, Split

PICTURES = 4000
"""More pictures do not move the leading directions, and cost memory."""


@dataclass(frozen=True, eq=False)
class EigenPictures:
    """Principal directions of own pictures, each as long as its standard deviation.

    Attributes:
        mean: ``(3, H, W)``.
        axes: ``(K, 3, H, W)``.
    """

    mean: Tensor
    axes: Tensor

    def move(self, pictures: Tensor, codes: Tensor) -> Tensor:
        """Return pictures ``(B, 3, H, W)`` moved by ``codes (B, K)``."""
        return eight_bit(pictures + (codes @ self.axes.flatten(1)).view_as(pictures))


def eigen_pictures(
    own: Split, directions: int, size: tuple[int, int], ctx: RunContext
) -> EigenPictures:
    """Return the ``directions`` (or as many as there are) in which pictures ``own`` vary most.

    Raises:
        UnsupportedTargetError: if there are fewer than three pictures.
    """
    if len(own) < 3:
        raise UnsupportedTargetError(
            f"the adversary has {pluralize(len(own), 'auxiliary picture')}; eigen-pictures need "
            "three"
        )
    generator = ctx.generator("attacks.score_api.prior")
    rows = torch.randperm(len(own), generator=generator)[:PICTURES]
    pixels = load_pixels(own.take(rows).images, size).float().div(255)
    seed = ctx.seed_for("attacks.score_api.prior") % 2**32
    directions = min(directions, len(rows) - 1, pixels[0].numel())
    pca = PCA(directions, svd_solver="randomized", random_state=seed)
    pca.fit(pixels.flatten(1).numpy())
    lengths = torch.from_numpy(pca.explained_variance_).sqrt()[:, None]
    axes = torch.from_numpy(pca.components_) * lengths
    shape = pixels.shape[1:]
    return EigenPictures(
        torch.from_numpy(pca.mean_).float().reshape(shape), axes.float().unflatten(1, shape)
    )
