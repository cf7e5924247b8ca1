"""What a reconstruction has to satisfy: look real, look alike, and embed alike."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the critic on realness ``(B,)`` (Lim & Ye, 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Return the mean L1 between the critic's activations (Wang et al., pix2pixHD, CVPR 2018)."""
    gaps = [F.l1_loss(f, r.detach()) for r, f in zip(real, fake, strict=True)]
    return torch.stack(gaps).mean()


def feature_consistency(seen: Tensor, wanted: Tensor) -> Tensor:
    """One minus the cosine between features ``(B, D)`` of the reconstruction and the original."""
    return 1 - F.cosine_similarity(seen, wanted, dim=1).mean()
