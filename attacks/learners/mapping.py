"""From one feature space to another: what pairs of one's own pictures teach an adversary.

A defended feature still belongs to somebody, and whoever can send own pictures through the defense
holds pairs of what comes out and what it should have been. Three rungs learn the way back: a shift
and one scale, ridge regression in closed form, and a network that refines the ridge. People whom
none of them has seen choose: the one with the highest cosine is the best likeness, but a likeness
of noisy features shrinks them where they are weak, and the one by which people are found best may
be another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from attacks.learners.standardising import Standardise
from auditor.errors import UnsupportedTargetError
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.releasing import draw_release
from auditor.report import pluralize
from auditor.row_blocks import map_rows
from auditor.training import Batches, fit, one_cycle
from auditor.types import ReIDDataset, Release, RunContext, as_is

PENALTIES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties tried, per row of standardised features."""
HELD_OUT = 5
"""One in so many people chooses between the rungs."""
TRIAL = 2000
"""At most so many of their rows do."""
DRAWS = 4
"""Releases of each row that the closed form sees, where the release is random."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """What an adversary learns from.

    Attributes:
        seen: ``(N, D)`` features before they are released.
        wanted: ``(N, E)`` what should be read off them once they are.
        pids: ``(N,)`` whose they are.
        views: ``(N,)`` how each was seen; finding a person in the same view is no merit. See
            `views_of`.
        release: how features are stored; fresh draws of it are taken.
    """

    seen: Tensor
    wanted: Tensor
    pids: Tensor
    views: Tensor
    release: Release = as_is

    def take(self, rows: Tensor) -> "Pairs":
        """Return the pairs at ``rows``, given as positions or as a mask."""
        columns = {name: getattr(self, name)[rows] for name in ("seen", "wanted", "pids", "views")}
        return replace(self, **columns)

    def redraw(self, generator: torch.Generator) -> Tensor:
        """Return a fresh draw of what is stored ``(N, D)``."""
        return self.release(self.seen, generator)


def views_of(data: ReIDDataset) -> Tensor:
    """Return ``(N,)`` the view of each auxiliary picture.

    That is its camera where matches are judged across known cameras, else each is a view by itself.
    """
    camids = data.auxiliary.camids
    alone = 10**6 + torch.arange(len(camids))
    return torch.where(camids >= 0, camids, alone) if data.cross_camera else alone


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Hyper-parameters of the network that refines the ridge.

    Attributes:
        hidden: width of its hidden layer.
        epochs: passes over the pairs; 0 leaves the network out.
        batch_size: pairs per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
        dropout: on hidden units.
    """

    hidden: int = 512
    epochs: int = 20
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 0.1
    dropout: float = 0.3


@dataclass(frozen=True, eq=False)
class Map:
    """One rung, fitted: stored features ``(N, D)`` to ``(N, E)``.

    Attributes:
        rung: ``scaled``, ``ridge`` or ``network``.
        network: the map itself.
    """

    rung: str
    network: nn.Module

    def __call__(self, stored: Tensor) -> Tensor:
        """See the class."""
        with torch.no_grad():
            return map_rows(self.network, stored)


@dataclass(frozen=True, eq=False)
class Maps:
    """What was learned.

    Attributes:
        closest: the best likeness of what was wanted.
        clearest: the one whose rows are found best, by cosine about ``centre``.
        centre: ``(E,)`` mean of what was wanted.
        mean_ap: how well ``clearest`` served people it had not seen.
    """

    closest: Map
    clearest: Map
    centre: Tensor
    mean_ap: float


def learn_maps(pairs: Pairs, refinement: Refinement, ctx: RunContext, name: str) -> Maps:
    """Return the rungs that serve held-out people best, fitted to everybody.

    Raises:
        UnsupportedTargetError: if the pairs are of fewer than two people.
    """
    people = pairs.pids[pairs.pids > 0].unique()
    if len(people) < 2:
        raise UnsupportedTargetError(
            f"the adversary has own pictures of {pluralize(len(people), 'person', 'people')}; a "
            "map between features is learned from two or more auxiliary people"
        )
    held = torch.isin(pairs.pids, people[::HELD_OUT])
    known, asked = pairs.take(~held), pairs.take(held)
    generator = ctx.generator(name)
    trial, centre = asked.redraw(generator), pairs.wanted.mean(0)
    moments = _Moments.of(known, generator)

    def likeness(one: Map) -> float:
        return float(F.cosine_similarity(one(trial), asked.wanted).double().mean())

    def clarity(one: Map) -> float:
        return _mean_ap(asked.wanted - centre, one(trial) - centre, asked)

    penalty = max(PENALTIES, key=lambda one: likeness(Map("ridge", moments.ridge(one))))
    ridge = moments.ridge(penalty)
    rungs = [Map("ridge", ridge)]
    if trial.shape[1] == len(centre):
        rungs.append(Map("scaled", moments.scale()))
    if refinement.epochs:
        rungs.append(Map("network", _refine(ridge, known, refinement, ctx, name)))
    again = _refit(pairs, penalty, refinement, ctx, name)
    closest, clearest = max(rungs, key=likeness), max(rungs, key=clarity)
    return Maps(again(closest), again(clearest), centre, clarity(clearest))


def _refit(
    pairs: Pairs, penalty: float, refinement: Refinement, ctx: RunContext, name: str
) -> Callable[[Map], Map]:
    """Return a function from a rung fitted to some people to the same rung fitted to all."""
    moments = _Moments.of(pairs, ctx.generator(f"{name}.all"))

    @cache
    def fitted(rung: str) -> Map:
        linear = moments.scale() if rung == "scaled" else moments.ridge(penalty)
        if rung == "network":
            return Map(rung, _refine(linear, pairs, refinement, ctx, name))
        return Map(rung, linear)

    return lambda one: fitted(one.rung)


def _mean_ap(wanted: Tensor, mapped: Tensor, asked: Pairs) -> float:
    """Mean AP of finding a person's mapped rows ``(N, E)`` by a wanted row from another view."""
    some = torch.arange(0, len(wanted), -(-len(wanted) // TRIAL))
    pids, views = asked.pids[some], asked.views[some]
    seen = torch.stack([pids, views]).unique(dim=1)[0]
    # people who were seen in one view only find themselves
    across = len(seen) > len(seen.unique())
    found = evaluate(
        wanted[some], mapped[some], Truth(pids, pids, views, views, cross_camera=across)
    )
    return found.mean_ap


@dataclass(frozen=True, eq=False)
class _Moments:
    """What the closed forms need: moments of standardised stored rows and of what is wanted."""

    standardise: Standardise
    centre: Tensor
    inner: Tensor
    cross: Tensor
    rows: int

    @classmethod
    def of(cls, pairs: Pairs, generator: torch.Generator) -> "_Moments":
        """Of one draw of a fixed release, or of `DRAWS` of a random one."""
        draws = [pairs.redraw(generator), pairs.redraw(generator)]
        fixed = torch.equal(*draws)
        draws = draws[:1] if fixed else draws + [pairs.redraw(generator) for _ in range(DRAWS - 2)]
        stored = torch.cat(draws)
        standardise = Standardise(stored)
        rows = standardise(stored).double()
        centre = pairs.wanted.mean(0)
        wanted = (pairs.wanted - centre).double().repeat(len(draws), 1)
        return cls(standardise, centre, rows.T @ rows, rows.T @ wanted, len(rows))

    def ridge(self, penalty: float) -> "_Linear":
        """Ridge regression; ``penalty`` counts per row."""
        damped = self.inner + penalty * self.rows * torch.eye(len(self.inner), dtype=torch.float64)
        weight = torch.linalg.solve(damped, self.cross).T.float()
        return _Linear(self.standardise, weight, self.centre)

    def scale(self) -> "_Linear":
        """Return the stored rows themselves about the wanted centre, times the one best factor."""
        deviation = self.standardise.deviation.double()
        together = (deviation * self.cross.diagonal()).sum()
        alone = (deviation.square() * self.inner.diagonal()).sum().clamp_min(1e-12)
        weight = torch.diag((together / alone * deviation).float())
        return _Linear(self.standardise, weight, self.centre)


class _Linear(nn.Module):
    """Standardised features through one matrix."""

    weight: Tensor
    bias: Tensor

    def __init__(self, standardise: Standardise, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.standardise = standardise
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, stored: Tensor) -> Tensor:
        """Map features ``(B, D)`` to ``(B, E)``."""
        return F.linear(self.standardise(stored), self.weight, self.bias)


def _refine(
    ridge: _Linear, pairs: Pairs, refinement: Refinement, ctx: RunContext, name: str
) -> "_Refined":
    """Return the network rung, trained from where the ridge stands, through fresh releases."""
    generator = ctx.generator(f"{name}.network")
    with ctx.randomness(name):
        network = _Refined(ridge, pairs, refinement, generator)
        batches = Batches((pairs.seen, pairs.wanted), refinement.batch_size, generator)
        fit(network, batches, epochs=refinement.epochs, ctx=ctx, detail="map between features")
    return network


class _Refined(pl.LightningModule):
    """A linear map and what a hidden layer adds to it, trained on squared error."""

    def __init__(
        self,
        linear: _Linear,
        pairs: Pairs,
        refinement: Refinement,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.linear, self.release = linear, pairs.release
        self.refinement, self.generator = refinement, generator
        self.scale = float(pairs.wanted.std(0).square().mean().sqrt().clamp_min(1e-6))
        outward = nn.Linear(refinement.hidden, pairs.wanted.shape[1])
        for parameter in outward.parameters():  # so that training starts at the linear map
            nn.init.zeros_(parameter)
        inward = nn.Linear(pairs.seen.shape[1], refinement.hidden)
        self.added = nn.Sequential(inward, nn.GELU(), nn.Dropout(refinement.dropout), outward)

    def forward(self, stored: Tensor) -> Tensor:
        """Return stored features ``(B, D)`` to ``(B, E)``."""
        mapped: Tensor = self.linear(stored)
        added: Tensor = self.added(self.linear.standardise(stored))
        return mapped + self.scale * added

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        seen, wanted = batch
        stored = draw_release(self.release, seen, self.generator)
        return F.mse_loss(self(stored) / self.scale, wanted / self.scale)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.refinement.lr, self.refinement.weight_decay)
