"""What clothes look like, stripe by stripe: a description of people that needs no network.

Histograms of colours in horizontal stripes, compared in the directions in which people differ, told
people apart before there were networks for it (LOMO and XQDA; Liao et al., CVPR 2015). Whoever has
pictures of other people can learn this in a second, it is nobody's kin, and it has a gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.inversion.scoring import CHUNK
from attacks.learners.gaussian import fit_people
from attacks.learners.plda import Plda

STRIPES = 8
BINS = 8
GREYS = 4
SPREAD = 0.22
"""Deviation, as a share of the width, of the weight that columns have about the middle."""
LEAST = 1e-5
"""Added to shares before their root is taken, whose slope at 0 has no end."""


class Appearance(nn.Module):
    """Pictures ``(B, 3, 64, 32)`` in [0, 1] to ``(B, 224)``, whose cosine tells people apart.

    Args:
        pixels: uint8 ``(N, 3, H, W)`` of the pictures learned from.
        pids: ``(N,)`` of two people or more.
    """

    input_size = (64, 32)
    feature_dim = STRIPES * (BINS + GREYS + 2 * BINS)
    centre: Tensor
    axes: Tensor

    def __init__(self, pixels: Tensor, pids: Tensor) -> None:
        super().__init__()
        parts = [_fit(part.float() / 255, self.input_size) for part in pixels.split(CHUNK)]
        shares = torch.cat([describe(part) for part in parts])
        model = Plda.of([fit_people(shares.cpu(), pids.cpu())])
        self.register_buffer("centre", model.mean.float())
        scale = (model.between / (1 + 2 * model.between)).sqrt()
        self.register_buffer("axes", (model.axes * scale).float())
        self.to(pixels.device)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = (describe(images) - self.centre) @ self.axes
        return features


def describe(images: Tensor) -> Tensor:
    """Return roots of the shares ``(B, 224)`` that colours have in each stripe of RGB images."""
    hue, saturation, value = _hsv(images)
    coloured = _soft(hue, BINS, around=True) * saturation[..., None]
    grey = _soft(value, GREYS) * (1 - saturation[..., None])
    counted = [torch.cat([coloured, grey], -1), _soft(value, BINS), _soft(saturation, BINS)]
    width = images.shape[3]
    places = (torch.arange(width, device=images.device) + 0.5) / width - 0.5
    weights = torch.exp(-0.5 * (places / SPREAD).square())[:, None]
    rows = []
    for bins in counted:
        stripes = (bins * weights).sum(2).unflatten(1, (STRIPES, -1)).sum(2)
        shares = stripes / stripes.sum(2, keepdim=True).clamp_min(1e-6)
        rows.append((shares + LEAST).sqrt().flatten(1))
    return torch.cat(rows, 1)


def _fit(images: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(images, size, mode="bilinear", antialias=True)


def _hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue, saturation and value ``(B, H, W)`` in [0, 1]."""
    red, green, blue = images.unbind(1)
    value, brightest = images.max(1)
    range_ = value - images.amin(1)
    steps = torch.stack([green - blue, blue - red, red - green], 1) / (range_[:, None] + 1e-6)
    sectors = torch.arange(0, 6, 2, device=images.device)[:, None, None]
    hue = ((steps + sectors) / 6).gather(1, brightest[:, None])[:, 0] % 1
    return hue, range_ / (value + 1e-6), value


def _soft(values: Tensor, bins: int, *, around: bool = False) -> Tensor:
    """Return how much each value in [0, 1] belongs to each bin, ``(…, bins)``; linear between."""
    centres = (torch.arange(bins, device=values.device) + 0.5) / bins
    gaps = (values[..., None] - centres).abs()
    if around:
        gaps = torch.minimum(gaps, 1 - gaps)
    return (1 - gaps * bins).clamp_min(0)
