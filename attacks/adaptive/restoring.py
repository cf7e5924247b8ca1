"""Undoing a protection pixel by pixel, as far as own pictures before and after it teach how.

Each pixel of the clean picture is a linear function of the protected pixels around it, perhaps of
the mirrored picture. That is all of a change of colours, and a little of a blur; what it does not
restore, own pictures of people who were held out show, and then pictures stay as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.protocol.publication import some_own_pictures
from auditor.types import RunContext, Target

PICTURES = 300
"""So many own pictures teach a few hundred weights."""
AROUND = (1, 5)
"""Sides of the neighbourhoods tried."""
MIRRORED: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
"""Axes tried."""
HELD_OUT = 5
"""One in so many people chooses."""
RIDGE = 1e-6

Restore = Callable[[Tensor], Tensor]
"""Protected pictures ``(B, 3, H, W)`` to clean ones in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Filter:
    """See `Restore`.

    Attributes:
        mirrored: axes along which pictures are turned over first.
        side: of the neighbourhood.
        weights: ``(3 · side² + 1, 3)``, the constant last.
    """

    mirrored: tuple[int, ...]
    side: int
    weights: Tensor

    def __call__(self, shown: Tensor) -> Tensor:
        """See the class."""
        rows = _surroundings(shown, self.mirrored, self.side) @ self.weights.to(shown.device)
        pictures: Tensor = rows.unflatten(0, (len(shown), *shown.shape[2:])).permute(0, 3, 1, 2)
        return pictures.clamp(0, 1)


def learn_restoring(target: Target, size: tuple[int, int], ctx: RunContext) -> Restore:
    """Return what brings the protected pictures of held-out own people closest to their clean ones.

    Raises:
        UnsupportedTargetError: if the adversary has no pictures.
    """
    own = some_own_pictures(target, ctx)
    order = torch.randperm(len(own.clean), generator=ctx.generator("attacks.restoring"))
    rows = order[:PICTURES].sort().values
    shown, clean = (split.images.load(rows.tolist(), size) for split in (own.shown, own.clean))
    pids = own.clean.pids[rows]
    held = torch.isin(pids, pids.unique()[::HELD_OUT])

    def error(restore: Restore) -> float:
        return float((restore(shown[held]) - clean[held]).square().mean())

    tried: list[Restore] = [
        _fit(shown[~held], clean[~held], mirrored, side)
        for mirrored, side in product(MIRRORED, AROUND)
        if (~held).any()
    ]
    return min((_leave, *tried), key=error)


def _leave(shown: Tensor) -> Tensor:
    return shown


def _fit(shown: Tensor, clean: Tensor, mirrored: tuple[int, ...], side: int) -> Filter:
    """Least squares over all pixels."""
    rows = _surroundings(shown, mirrored, side).double()
    wanted = clean.permute(0, 2, 3, 1).flatten(0, 2).double()
    ridge = RIDGE * len(rows) * torch.eye(rows.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ wanted)
    return Filter(mirrored, side, weights.float())


def _surroundings(shown: Tensor, mirrored: tuple[int, ...], side: int) -> Tensor:
    """Return ``(B · H · W, 3 · side² + 1)`` the pixels around each one, and a constant."""
    turned = shown.flip(mirrored) if mirrored else shown
    padded = F.pad(turned, (side // 2,) * 4, mode="replicate")
    rows = F.unfold(padded, side).transpose(1, 2).flatten(0, 1)
    return F.pad(rows, (0, 1), value=1.0)
