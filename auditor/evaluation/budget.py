"""Success against budget: the same attack with fewer auxiliary people, and with less training.

Nothing here knows any attack. People are taken away from the target; training is whatever integer
field of the attack is named in `COSTS`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial

import torch

from auditor.console import trace
from auditor.errors import AuditError
from auditor.report import (
    Curve,
    Measurement,
)
from auditor.types import Attack, Progress, RunContext, Split, Target

log = logging.getLogger(__name__)

COSTS = ("epochs", "steps", "iterations", "queries")
"""Fields that say how long an attack trains or how much it asks; the first one it has is scaled."""

Trial = Callable[[Attack, Target, Progress], Measurement]
"""Runs an attack and gives its headline."""


@dataclass(frozen=True, kw_only=True)
class PartialCurve:
    """A budget curve without its end, which is the main run's own figure.

    Attributes:
        curve: the points below the whole budget.
        whole: the whole budget, on the same axis.
    """

    curve: Curve
    whole: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What an attack reaches at reduced budgets, and which points could not be measured."""

    curves: tuple[PartialCurve, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """One thing that can be had less of.

    Attributes:
        name: of the curve.
        x: in words.
        whole: what the main run had.
        amounts: what is tried instead.
        attempt: the headline with that much.
    """

    name: str
    x: str
    whole: int
    amounts: list[int]
    attempt: Callable[[int, Progress], Measurement]


def budget_curves(
    attack: Attack, target: Target, fractions: Sequence[float], ctx: RunContext, trial: Trial
) -> Budget:
    """Return the headline at each fraction of the auxiliary people, and of any training.

    A point that crashes is left out, with a note. The main run's figure is added later, by
    `auditor.evaluation.saturation.completed`.
    """
    axes = list(_axes(attack, target, fractions, ctx, trial))
    runs, done = sum(len(axis.amounts) for axis in axes), 0
    curves, notes = [], []
    for axis in axes:
        points = []
        for amount in axis.amounts:
            try:
                found = axis.attempt(amount, _share(ctx.progress, done, runs, axis.x))
                points.append(found.at(amount))
                metric = found.metric
            except Exception as error:
                if not isinstance(error, AuditError):
                    log.warning("budget of %s:\n%s", axis.x, trace())
                notes.append(f"its figure with {amount} {axis.x} could not be measured: {error}")
            done += 1
        if points:
            curve = Curve(name=axis.name, metric=metric, x=axis.x, points=tuple(points), log_x=True)
            curves.append(PartialCurve(curve=curve, whole=axis.whole))
    return Budget(curves=tuple(curves), notes=tuple(notes))


def _axes(
    attack: Attack, target: Target, fractions: Sequence[float], ctx: RunContext, trial: Trial
) -> Iterator[_Axis]:
    pids = target.data.auxiliary.pids
    people = len(pids[pids > 0].unique())
    fewer = partial(_with_fewer_people, attack, target, ctx, trial)
    yield _Axis(
        name="auxiliary_people",
        x="auxiliary people",
        whole=people,
        amounts=scale(people, fractions),
        attempt=fewer,
    )
    if cost := cost_of(attack):
        whole = getattr(attack, cost)

        def shorter(amount: int, progress: Progress) -> Measurement:
            return trial(replace(attack, **{cost: amount}), target, progress)  # type: ignore[type-var]

        yield _Axis(
            name="training",
            x=cost,
            whole=whole,
            amounts=scale(whole, fractions),
            attempt=shorter,
        )


def cost_of(attack: object) -> str:
    """Return the attack's or defense's field that says how long it trains, or an empty string."""
    if not is_dataclass(attack):
        return ""
    names = {field.name for field in fields(attack)}
    return next((n for n in COSTS if n in names and type(getattr(attack, n)) is int), "")


def scale(whole: int, fractions: Sequence[float]) -> list[int]:
    """Return the whole numbers nearest to the fractions of ``whole``, ascending, each once, from 1.

    >>> scale(40, [0.5, 0.1, 0.25]), scale(3, [0.1, 0.25, 0.5]), scale(1, [0.5])
    ([4, 10, 20], [1, 2], [])
    """
    amounts = {max(1, round(whole * fraction)) for fraction in fractions}
    return sorted(amount for amount in amounts if amount < whole)


def _with_fewer_people(
    attack: Attack, target: Target, ctx: RunContext, trial: Trial, amount: int, progress: Progress
) -> Measurement:
    data = target.data
    rows = _rows_of_some(data.auxiliary, amount, ctx)
    some = data.auxiliary.take(rows)
    train = some if data.train is data.auxiliary else _without(data.train, data.auxiliary, some)
    smaller = replace(target, data=replace(data, auxiliary=some, train=train))
    with _features_kept(data.auxiliary, some, rows, smaller, ctx):
        return trial(attack, smaller, progress)


def _without(train: Split, auxiliary: Split, some: Split) -> Split:
    """Return ``train`` without the auxiliary people who are not among ``some`` of them."""
    gone = torch.isin(train.pids, auxiliary.pids) & ~torch.isin(train.pids, some.pids)
    return train.take((~gone).nonzero().flatten()) if gone.any() else train


def _rows_of_some(auxiliary: Split, amount: int, ctx: RunContext) -> torch.Tensor:
    """Return rows of the first ``amount`` people in an order that is the same for every attack."""
    people = auxiliary.pids[auxiliary.pids > 0].unique()
    order = torch.randperm(len(people), generator=ctx.generator("budget.people"))
    return torch.isin(auxiliary.pids, people[order[:amount]]).nonzero().flatten()


@contextmanager
def _features_kept(
    whole: Split, some: Split, rows: torch.Tensor, target: Target, ctx: RunContext
) -> Iterator[None]:
    """Give the smaller split the rows of what is known of the whole one; forget them afterwards."""
    ctx.cache.add_part(whole, some, rows)
    try:
        yield
    finally:
        ctx.cache.forget(some, target)


def _share(progress: Progress, done: int, runs: int, x: str) -> Progress:
    def report(fraction: float, detail: str = "") -> None:
        progress((done + fraction) / runs, f"{x}: {detail}")

    return report
