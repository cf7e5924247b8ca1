"""Random mirroring, shifting, recolouring and erasing, a whole batch at a time on its device.

Own code where torchvision.transforms.v2 has transforms, for these reasons. v2 draws once per batch:
all pictures of a batch would be mirrored and shifted alike. One call per picture costs, for mirror,
shift, brightness and erasing of 64 pictures on one thread, 2.0 times as long at 128 × 64 (24 ms
against 12) and 0.9 times at 256 × 128, and on a GPU 64 times as many kernels. It draws from torch's
global generator and not from one that is handed over, by which every device draws the same; and no
transform of v2 changes the gain of each channel by itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.training.recipe import Recipe

GREY = 0.45
"""What an erased box is filled with: about the mean of a photograph."""


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Images ``(B, 3, H, W)`` in [0, 1], each changed in its own way.

    Args:
        images: on any device.
        recipe: how strongly.
        generator: on the CPU, so that every device draws the same.
    """
    batch = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(batch, generator=generator)).to(images.device)

    flip = torch.where(uniform(0, 1) < recipe.flip, -1.0, 1.0)
    zoom, zero = uniform(1 - recipe.zoom, 1 + recipe.zoom), torch.zeros_like(flip)
    # the grid runs from -1 to 1, so a share of the size is twice that many units
    reach = 2 * recipe.shift
    across = torch.stack([flip * zoom, zero, uniform(-reach, reach)], 1)
    along = torch.stack([zero, zoom, uniform(-reach, reach)], 1)
    grid = F.affine_grid(torch.stack([across, along], 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    noise = torch.randn(batch, 3, 1, 1, generator=generator).to(images.device)
    brightness = uniform(1 - 2 * recipe.recolour, 1 + 2 * recipe.recolour).view(-1, 1, 1, 1)
    images = (images * torch.exp(recipe.recolour * noise) * brightness).clamp(0, 1)
    return _erase(images, uniform(0, 1) < recipe.erase, uniform(0, 1), uniform(0, 1),
                  uniform(0.1, 0.3))  # fmt: skip


def _erase(images: Tensor, which: Tensor, top: Tensor, left: Tensor, part: Tensor) -> Tensor:
    """Grey out a box of ``part`` of the height, and twice that of the width, where ``which``.

    ``top`` and ``left`` say how far along its way the box lies, from 0 to 1.
    """
    _, _, height, width = images.shape
    y = (torch.arange(height, device=images.device) / height).view(1, 1, -1, 1)
    x = (torch.arange(width, device=images.device) / width).view(1, 1, 1, -1)
    top, left, part = (v.view(-1, 1, 1, 1) for v in (top, left, part))
    top, left = top * (1 - part), left * (1 - 2 * part)
    box = (y >= top) & (y < top + part) & (x >= left) & (x < left + 2 * part)
    return images.masked_fill(box & which.view(-1, 1, 1, 1), GREY)
