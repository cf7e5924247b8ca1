"""Who looks alike: the own picture that embeds closest to an entry, where several rungs start."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 1024


def nearest(entries: Tensor, clean: Tensor) -> Tensor:
    """Row ``(M,)`` of ``clean (N, D)`` with the highest cosine to each of ``entries (M, D)``."""
    unit = F.normalize(clean, dim=1)
    blocks = F.normalize(entries, dim=1).split(BLOCK)
    return torch.cat([(block @ unit.T).argmax(1) for block in blocks])


def stand_ins(entries: Tensor, clean: Tensor, pids: Tensor) -> Tensor:
    """Row ``(N,)`` of ``clean`` nearest to each of ``entries (N, D)`` among *other* people's rows.

    What `nearest` is for an attacked person, for the people ``pids (N,)`` a network learns from.
    """
    unit, rows = F.normalize(clean, dim=1), []
    blocks = zip(F.normalize(entries, dim=1).split(BLOCK), pids.split(BLOCK), strict=True)
    for part, own in blocks:
        cosines = part @ unit.T
        same = own[:, None] == pids
        rows.append(cosines.masked_fill(same.to(cosines.device), -torch.inf).argmax(1))
    return torch.cat(rows)
