"""L-BFGS on many independent problems at once, each with its own memory and step length.

`torch.optim.LBFGS` takes a batch for one problem: a single picture that overshoots shortens
everybody's step, and one that turns to NaN ends them all. Here every tensor has a leading axis of
problems and nothing crosses it. Method: Nocedal and Wright, Numerical Optimization (2006),
algorithms 7.4 and 3.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Points ``(b, P)`` of problems ``(b,)`` to values ``(b,)`` and gradients ``(b, P)``."""

TRIALS = 10
"""Step lengths that are tried before the memory is dropped."""
PATIENCE = 100
"""Updates in which a value should halve where it can come close to zero."""
DECREASE = 1e-4
"""The share of the promised decrease that a step has to keep (Armijo)."""


def minimise(
    objective: Objective,
    start: Tensor,
    *,
    updates: int,
    goal: Tensor | None = None,
    flat: float = 0.0,
    patience: int = PATIENCE,
    lr: float = 1.0,
    history: int = 100,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[Tensor, Tensor]:
    """Minimise B problems in P variables; no step makes any of them worse.

    Args:
        objective: asked about the problems that are still running only.
        start: ``(B, P)``.
        updates: at most so many quasi-Newton updates.
        goal: ``(B,)``; a problem is over when its value is no larger; none: no value is enough.
        flat: a problem is over, too, when no entry of its gradient is larger.
        patience: in as many updates a value must halve, or its problem is given up.
        lr: the first step length tried.
        history: pairs that each problem remembers.
        progress: told the share of updates done.

    Returns:
        Points ``(B, P)`` and values ``(B,)``; infinite where the start already was.
    """
    rows = torch.arange(len(start), device=start.device)
    values, gradients = objective(start, rows)
    points, best = start.clone(), torch.where(torch.isfinite(values), values, torch.inf)
    goals = torch.full_like(values, -torch.inf) if goal is None else goal
    state = _State(rows, start, values, gradients, _Memory.empty(start, history))
    state = state.where(
        torch.isfinite(values) & (values > goals) & (gradients.abs().amax(1) > flat)
    )
    halved = best / 2
    for update in range(updates):
        if not len(state.rows):
            break
        stuck = _update(objective, state, lr)
        points[state.rows], best[state.rows] = state.points, state.values
        over = stuck | (state.values <= goals[state.rows]) | state.flat(flat)
        if (update + 1) % patience == 0:
            over |= state.values > halved[state.rows]
            halved = best / 2
        if over.any():
            state = state.where(~over)
        progress((update + 1) / updates)
    return points, best


@dataclass
class _Memory:
    """The last pairs of a step and what it did to the gradient; a pair of weight 0 is no pair."""

    history: int
    scale: Tensor
    fresh: Tensor
    steps: list[Tensor] = field(default_factory=list)
    changes: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)

    @classmethod
    def empty(cls, like: Tensor, history: int) -> "_Memory":
        ones = like.new_ones(len(like))
        return cls(history, ones, ones.bool())

    def direction(self, gradients: Tensor) -> Tensor:
        """Minus the inverse Hessian's estimate times the gradients ``(b, P)``: the two loops."""
        pairs = list(zip(self.steps, self.changes, self.weights, strict=True))
        rest, shares = gradients.clone(), []
        for step, change, weight in reversed(pairs):
            shares.append(weight * _dot(step, rest))
            rest -= shares[-1][:, None] * change
        rest *= self.scale[:, None]
        for (step, change, weight), share in zip(pairs, reversed(shares), strict=True):
            rest += (share - weight * _dot(change, rest))[:, None] * step
        return -rest

    def remember(self, step: Tensor, change: Tensor) -> None:
        """Add the pairs ``(b, P)`` along which the gradient rose, as a minimum demands."""
        rise, square = _dot(step, change), _dot(change, change)
        good = rise > 1e-10 * (square * _dot(step, step)).sqrt()
        self.steps.append(torch.where(good[:, None], step, 0))
        self.changes.append(torch.where(good[:, None], change, 0))
        self.weights.append(torch.where(good, 1 / rise, 0))
        self.scale = torch.where(good, rise / square, self.scale)
        self.fresh &= ~good
        for column in (self.steps, self.changes, self.weights):
            del column[: -self.history]

    def forget(self, which: Tensor) -> None:
        """Drop the pairs of the problems ``which (b,)`` bool."""
        self.weights = [torch.where(which, 0, weight) for weight in self.weights]
        self.scale = torch.where(which, 1, self.scale)
        self.fresh = self.fresh | which

    def where(self, kept: Tensor) -> "_Memory":
        columns = ([t[kept] for t in c] for c in (self.steps, self.changes, self.weights))
        return _Memory(self.history, self.scale[kept], self.fresh[kept], *columns)


@dataclass
class _State:
    """The problems that are still running."""

    rows: Tensor
    points: Tensor
    values: Tensor
    gradients: Tensor
    memory: _Memory

    def flat(self, limit: float) -> Tensor:
        return self.gradients.abs().amax(1) <= limit

    def where(self, kept: Tensor) -> "_State":
        return _State(
            self.rows[kept],
            self.points[kept],
            self.values[kept],
            self.gradients[kept],
            self.memory.where(kept),
        )


def _update(objective: Objective, state: _State, lr: float) -> Tensor:
    """One update of every problem in place; which of them ``(b,)`` can go no further."""
    memory = state.memory
    direction = memory.direction(state.gradients)
    slope = _dot(state.gradients, direction)
    astray = ~(slope < 0) | ~torch.isfinite(direction).all(1)
    memory.forget(astray)
    direction = torch.where(astray[:, None], -state.gradients, direction)
    slope = torch.where(astray, -_dot(state.gradients, state.gradients), slope)
    # without a memory of the curvature the gradient's length says nothing about the step's
    cautious = (1 / state.gradients.abs().sum(1)).clamp_max(1)
    lengths = lr * torch.where(memory.fresh, cautious, 1)
    points, gradients = state.points, state.gradients
    failed = _search(objective, state, direction, slope, lengths)
    stuck = failed & memory.fresh
    memory.forget(failed)
    memory.remember(state.points - points, state.gradients - gradients)
    return stuck


def _search(
    objective: Objective, state: _State, direction: Tensor, slope: Tensor, lengths: Tensor
) -> Tensor:
    """Step along ``direction (b, P)``, shortening where it does not help; who found no step."""
    old = state.points, state.values
    state.points, state.values = state.points.clone(), state.values.clone()
    state.gradients = state.gradients.clone()
    open_ = torch.arange(len(slope), device=slope.device)
    for _ in range(TRIALS):
        tried = old[0][open_] + lengths[open_, None] * direction[open_]
        values, gradients = objective(tried, state.rows[open_])
        promised = lengths[open_] * slope[open_]
        finite = torch.isfinite(values) & torch.isfinite(gradients).all(1)
        taken = finite & (values <= old[1][open_] + DECREASE * promised)
        took = open_[taken]
        state.points[took], state.values[took] = tried[taken], values[taken]
        state.gradients[took] = gradients[taken]
        # the minimum of the parabola through value, slope and the value tried
        bend = 2 * (values - old[1][open_] - promised)
        shrink = torch.where(finite, -promised / bend, 0.1).nan_to_num(0.1).clamp(0.1, 0.5)
        lengths[open_] *= shrink
        open_ = open_[~taken]
        if not len(open_):
            break
    failed = torch.zeros_like(slope, dtype=torch.bool)
    failed[open_] = True
    return failed


def _dot(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a, b)
    return product
