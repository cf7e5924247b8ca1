"""The losses of re-identification that torch does not bring."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def batch_hard(features: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Triplet loss of each anchor's farthest positive and nearest negative (Hermans et al., 2017).

    Args:
        features: ``(B, D)``.
        classes: ``(B,)``; each at least twice, and at least two of them.
        margin: by which a negative must be farther than a positive.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = classes[:, None] == classes
    farthest = distances.masked_fill(~same, 0).max(1).values
    nearest = distances.masked_fill(same, math.inf).min(1).values
    return F.relu(farthest - nearest + margin).mean()
