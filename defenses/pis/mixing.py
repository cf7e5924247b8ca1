"""Who is mixed into whom: the key of an identity shift, and the weights of the mixture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from auditor.errors import DataError


def check_weights(weights: Sequence[float], bound: float) -> None:
    """Check that ``weights`` may mix a person with others (paper, §3.2).

    Args:
        weights: share of the person's own picture, then of each partner's.
        bound: d; every share must be below it.
    """
    if len(weights) < 2:
        raise ValueError("weights must contain the person's own share and at least one partner's")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"weights {tuple(weights)} must not be negative and must sum to 1")
    if max(weights) >= bound:
        raise ValueError(f"weights {tuple(weights)} must all be below bound, {bound:g}")


@dataclass(frozen=True, eq=False)
class Key:
    """The one-time key of a release; whoever has it can undo the shift as well as can be.

    Attributes:
        rows: ``(N, k − 1)`` rows of the partners' pictures in the pool.
        partners: ``(N, k − 1)`` whose they are.
    """

    rows: Tensor
    partners: Tensor


def draw_key(pids: Tensor, pool: Tensor | None, partners: int, generator: Generator) -> Key:
    """Return a key for pictures of ``pids (N,)``.

    All pictures of a person are mixed with the same picture of each of their partners. Inside a
    data set the people stand in a circle in random order, and partners are the next ones, so that
    nobody is their own and everybody is equally often one. Each distractor counts as a person.

    Args:
        pids: 0 for a distractor.
        pool: whose pictures ``(M,)`` partners are taken from; None: the pictures themselves.
        partners: how many each person has.
        generator: the randomness of the key.

    Raises:
        DataError: if the pool has too few people.
    """
    people, inside = pids[pids > 0].unique(), pool is None
    shown = pids if pool is None else pool
    others = shown[shown > 0].unique()
    if len(others) < partners + inside:
        raise DataError(
            f"a shift with {partners} partners needs {partners + inside} people to mix, and there "
            f"are {len(others)}; give more people, or partners from another data set"
        )
    rows = torch.empty(len(pids), partners, dtype=torch.long)
    whose = torch.empty_like(rows)
    circle = others[torch.randperm(len(others), generator=generator)]
    order = circle.tolist() if inside else people.tolist()
    for place, pid in enumerate(order):
        start = place + 1 if inside else place * partners
        chosen = circle[(start + torch.arange(partners)) % len(circle)]
        own = (pids == pid).nonzero().flatten()
        whose[own], rows[own] = chosen, _pictures(chosen, shown, generator)
    for row in (pids == 0).nonzero().flatten().tolist():
        chosen = others[torch.randperm(len(others), generator=generator)[:partners]]
        whose[row], rows[row] = chosen, _pictures(chosen, shown, generator)
    return Key(rows, whose)


def _pictures(people: Tensor, shown: Tensor, generator: Generator) -> Tensor:
    """Choose a random picture's row for each of ``people (k,)`` among those of ``shown (M,)``."""
    rows = []
    for pid in people.tolist():
        own = (shown == pid).nonzero().flatten()
        rows.append(own[torch.randint(len(own), (), generator=generator)])
    return torch.stack(rows)


def mix(means: Sequence[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    """Σᵢ λᵢ μᵢ at each scale (Eq. 2).

    Args:
        means: per person in the mixture, per scale ``(B, C, h, w)``.
        weights: λ per person.
    """
    return [
        torch.stack([weight * mean for weight, mean in zip(weights, scale, strict=True)]).sum(0)
        for scale in zip(*means, strict=True)
    ]


def laplace(scale: float, shape: Sequence[int], generator: Generator) -> Tensor:
    """Laplace noise whose mean absolute value is ``scale``, of the given shape."""
    uniform = torch.rand(*shape, generator=generator, dtype=torch.float64) - 0.5
    noise = -scale * uniform.sign() * torch.log1p(-2 * uniform.abs())
    return noise.float()
