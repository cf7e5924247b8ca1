"""Hill climbing on scores: many people at once, an evolution strategy for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cma
import numpy as np
import torch
from torch import Tensor

from attacks.score_api.api import ScoreApi
from attacks.score_api.prior import EigenPictures
from auditor.types import RunContext

HIDDEN = -1.0
"""What a score that is not shown counts as: the least a cosine can be."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The best pictures at some point of the climb.

    Attributes:
        queries: pictures submitted for each person so far.
        scores: ``(P,)`` as the service showed them; `HIDDEN` where it never did.
        pictures: ``(P, 3, H, W)``.
    """

    queries: int
    scores: Tensor
    pictures: Tensor

    def improve(self, queries: int, scores: Tensor, pictures: Tensor) -> "Snapshot":
        """After pictures ``(P, B, 3, H, W)`` scored ``(P, B)`` by ``queries`` in all."""
        best, place = scores.max(1)
        person = torch.arange(len(best))
        better = best > self.scores
        drawn = torch.where(better[:, None, None, None], pictures[person, place], self.pictures)
        return Snapshot(queries, torch.where(better, best, self.scores), drawn)


def start(api: ScoreApi, own: Tensor, entries: Tensor) -> Snapshot:
    """Return own pictures ``(S, 3, H, W)`` that score best with each of the entries ``(P,)``."""
    scores = shown(api.ask(own, entries.expand(len(own), -1)))
    best, place = scores.max(0)
    return Snapshot(len(own), best, own[place])


def shown(scores: Tensor) -> Tensor:
    """Scores with `HIDDEN` in place of NaN."""
    return scores.nan_to_num(HIDDEN)


def climb(
    api: ScoreApi,
    begin: Snapshot,
    entries: Tensor,
    prior: EigenPictures,
    population: int,
    step: float,
    generations: int,
    ctx: RunContext,
) -> Iterator[Snapshot]:
    """Yield the best so far after each generation.

    Args:
        api: what is asked.
        begin: where each climb starts.
        entries: ``(P,)`` gallery positions of the attacked people.
        prior: the directions of the search.
        population: pictures per person and generation.
        step: first standard deviation of the search, in standard deviations of own pictures.
        generations: how many.
        ctx: of the run.
    """
    climbers = [_climber(len(prior.axes), population, step, int(e), ctx) for e in entries]
    best = begin
    for generation in range(1, generations + 1):
        asked = [np.stack(climber.ask()) for climber in climbers]
        codes = torch.from_numpy(np.concatenate(asked)).float()
        pictures = prior.move(begin.pictures.repeat_interleave(population, 0), codes)
        rows = entries.repeat_interleave(population)[:, None]
        scores = shown(api.ask(pictures, rows)).view(len(entries), population)
        for climber, tried, reached in zip(climbers, asked, scores.double().numpy(), strict=True):
            climber.tell(list(tried), (-reached).tolist())
        queries = begin.queries + generation * population
        grouped = pictures.unflatten(0, (len(entries), population))
        best = best.improve(queries, scores, grouped)
        ctx.progress(generation / generations, "climbing on scores")
        yield best


def _climber(
    directions: int, population: int, step: float, entry: int, ctx: RunContext
) -> cma.CMAEvolutionStrategy:
    """Separable CMA-ES around the start, with random numbers of its own."""
    options = {
        "popsize": population,
        "CMA_diagonal": True,
        "seed": np.nan,
        "randn": _normal(ctx.seed_for(f"attacks.score_api.climb.{entry}")),
        "verbose": -9,
    }
    return cma.CMAEvolutionStrategy(np.zeros(directions), step, options)


def _normal(seed: int) -> Callable[..., np.ndarray]:
    """Return standard normal numbers as cma asks for them, apart from numpy's global state."""
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.standard_normal(shape)
