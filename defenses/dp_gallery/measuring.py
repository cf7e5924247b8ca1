"""What is measured on the gallery at hand: distances between its rows, and an experiment on two."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auditor.data.records import LENGTH
from auditor.metrics.dp import LowerBound, Scores, lower_bound
from auditor.report import DistanceEpsilon
from auditor.row_blocks import BLOCK
from defenses.dp_gallery.mechanism import Mechanism, StickyMechanism, bound_norms
from defenses.dp_gallery.noise import Noise

ANCHORS = 1000
"""Rows whose distances to all others are measured."""
MOST_VALUES = 200_000_000
"""Random numbers that one experiment may draw; more draws per trial mean fewer trials."""
FEWEST = 200
CHUNK_VALUES = 1 << 21


@dataclass(frozen=True)
class Distances:
    """How far the rows of a gallery lie apart; facts about its data, not about the mechanism.

    Attributes:
        same: median between two rows of one person; None if nobody has two.
        other: median from a person's row to the nearest row of anybody else; None if there is
            nobody else.
        widest: the largest one.
        pair: the rows it lies between.
    """

    same: float | None
    other: float | None
    widest: float
    pair: tuple[int, int]

    @classmethod
    def of(
        cls, features: Tensor, pids: Tensor, mechanism: Mechanism, generator: torch.Generator
    ) -> "Distances":
        """Of features ``(N, D)``, once they are bounded, from up to `ANCHORS` of them to all."""
        anchors = torch.randperm(len(features), generator=generator)[:ANCHORS]
        asked = bound_norms(features[anchors], mechanism.clip).double()
        people = pids[anchors, None] > 0
        same, nearest = [], torch.full((len(anchors),), math.inf, dtype=torch.float64)
        widest, pair = -1.0, (0, 0)
        for columns in torch.arange(len(features)).split(BLOCK):
            rows = bound_norms(features[columns[0] : columns[-1] + 1], mechanism.clip).double()
            table = torch.cdist(asked, rows, p=1.0 if mechanism.noise.norm == "L1" else 2.0)
            itself = columns == anchors[:, None]
            table[itself] = 0.0  # rounding leaves a row a little way from itself
            alike = (pids[anchors, None] == pids[columns]) & people
            same.append(table[alike & ~itself])
            at, other = divmod(int(table.argmax()), len(columns))
            if float(table[at, other]) > widest:
                widest, pair = float(table[at, other]), (int(anchors[at]), int(columns[other]))
            nearest = torch.minimum(nearest, table.masked_fill_(alike, math.inf).amin(1))
        nearest = nearest[people[:, 0]]
        return cls(_median(torch.cat(same)), _median(nearest[nearest.isfinite()]), widest, pair)

    def epsilons(self, noise: Noise, draws: int) -> tuple[DistanceEpsilon, ...]:
        """ε at each distance, over ``draws`` releases."""
        named = [
            ("two rows of one person (median)", self.same),
            ("a person's row and the nearest row of another person (median)", self.other),
            ("the two rows farthest apart", self.widest),
        ]
        return tuple(
            DistanceEpsilon(between=name, distance=found, epsilon=noise.epsilon(found, draws))
            for name, found in named
            if found is not None
        )


def _median(values: Tensor) -> float | None:
    return float(values.median()) if len(values) else None


def run_experiment(
    mechanism: Mechanism,
    pair: Tensor,
    draws: int,
    trials: int,
    confidence: float,
    generator: torch.Generator,
) -> tuple[LowerBound, int]:
    """Re-run a mechanism on two neighbouring inputs and bound ε from telling them apart.

    Args:
        mechanism: as it is deployed; under ``sticky`` every trial is a record of its own.
        pair: ``(2, D)`` features, the neighbours; each stands for all rows that they differ in.
        draws: rows with independent noise that one trial sees.
        trials: wanted on either input.
        confidence: of the bound.
        generator: of the trials.

    Returns:
        The bound, and how many trials there were.
    """
    trials = max(FEWEST, min(trials, MOST_VALUES // (2 * draws * pair.shape[1])))
    first, second = bound_norms(pair, mechanism.clip).double().numpy()
    scores = []
    for features in pair:
        total: Scores = np.zeros(trials)
        for _ in range(draws):
            total += _scores(mechanism, features, first, second, trials, generator)
        scores.append(total)
    bound = lower_bound(scores[0], scores[1], mechanism.noise.delta, confidence)
    return bound, trials


def _scores(
    mechanism: Mechanism,
    features: Tensor,
    first: np.ndarray,
    second: np.ndarray,
    trials: int,
    generator: torch.Generator,
) -> Scores:
    """Return the evidence ``(trials,)`` in one released row per trial."""
    chunk = max(1, CHUNK_VALUES // len(features))
    parts = []
    for start in range(0, trials, chunk):
        rows = features.expand(min(chunk, trials - start), -1)
        released = _release(mechanism, rows, generator).double().numpy()
        parts.append(mechanism.noise.evidence(released, first, second))
    return np.concatenate(parts)


def _release(mechanism: Mechanism, rows: Tensor, generator: torch.Generator) -> Tensor:
    if not isinstance(mechanism, StickyMechanism):
        return mechanism(rows, generator)
    records = torch.randint(256, (len(rows), LENGTH), generator=generator, dtype=torch.uint8)
    return mechanism.of_records(rows, generator, records)
