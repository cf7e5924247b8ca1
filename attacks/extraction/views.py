"""What any adversary sees of a picture without asking anybody: its pixels, and public networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.embedding import BATCH
from auditor.models.reference import CARD, ReferenceNet, load_reference
from auditor.types import Images, RunContext

THUMBNAIL = (32, 16)
STRIPES = 4


class Views(nn.Module):
    """Thumbnails and activations ``(B, E)`` of the shipped re-ID network; has a gradient."""

    input_size = ReferenceNet.input_size
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = load_reference()
        self.register_buffer("mean", torch.tensor(CARD.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(CARD.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Of images ``(B, 3, 128, 64)`` in [0, 1]."""
        thumbnails = F.adaptive_avg_pool2d(images, THUMBNAIL).flatten(1)
        stages = self.net.stages((images - self.mean) / self.std)
        pooled = [F.adaptive_avg_pool2d(stage, (STRIPES, 1)).flatten(1) for stage in stages]
        return torch.cat([thumbnails, *pooled], dim=1)


@torch.no_grad()
def look(images: Images, ctx: RunContext) -> Tensor:
    """Return the views ``(N, E)`` of pictures."""
    views, rows = Views().to(ctx.device).eval(), []
    for part in torch.arange(len(images)).split(BATCH):
        pictures = images.load(part.tolist(), Views.input_size)
        rows.append(views(pictures.to(ctx.device)).cpu())
        ctx.progress((int(part[-1]) + 1) / len(images), "looking at pictures")
    return torch.cat(rows)
