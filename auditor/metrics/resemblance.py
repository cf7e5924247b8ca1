"""Whether what an adversary learns from resembles what it attacks: how well both are told apart.

A classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): a linear classifier over coordinates,
their magnitudes and squares, read on people from whom it did not learn.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from auditor.metrics import measure
from auditor.metrics.auc import macro_auc
from auditor.report import Measurement

MOST = 1000
"""Rows of either side that are looked at."""
LIMIT = 5.0
"""No coordinate counts for more deviations than these."""


def separability(sides: Sequence[tuple[Tensor, Tensor]], generator: torch.Generator) -> Measurement:
    """AUC with which entries of two crowds are told apart; 0.5 where they are alike.

    Args:
        sides: two of rows ``(N, D)`` and whose they are ``(N,)``; nobody is on both.
        generator: draws the rows, and the half of the people that is learned from.
    """
    chosen = [_some(rows, pids, generator) for rows, pids in sides]
    columns = _columns(torch.cat([rows for rows, _ in chosen]))
    side = torch.repeat_interleave(torch.tensor([len(rows) for rows, _ in chosen]))
    owners = torch.stack([side, torch.cat([pids for _, pids in chosen])])
    people, person = owners.unique(dim=1, return_inverse=True)
    half = (torch.randperm(people.shape[1], generator=generator) % 2)[person].bool().numpy()
    score, label = np.zeros(len(side)), side.numpy()
    for known in (half, ~half):
        if len(set(label[known])) == 2:
            score[~known] = _learn(columns[known], label[known]).decision_function(columns[~known])
    both = torch.from_numpy(np.stack([-score, score], axis=1))
    return measure.area("told_apart", macro_auc(both, side, person), chance=0.5)


def _some(rows: Tensor, pids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(rows), generator=generator)[:MOST]
    return rows[order].double(), pids[order]


def _columns(rows: Tensor) -> np.ndarray:
    """Coordinates, their magnitudes and squares, standardised ``(N, 3 D)``."""
    scaled = _standardise(rows).clamp(-LIMIT, LIMIT)
    return _standardise(torch.cat([scaled, scaled.abs(), scaled.square()], dim=1)).numpy()


def _standardise(rows: Tensor) -> Tensor:
    scaled: Tensor = (rows - rows.mean(0)) / rows.std(0, correction=0).clamp_min(1e-30)
    return scaled


def _learn(columns: np.ndarray, label: np.ndarray) -> LogisticRegression:
    classifier = LogisticRegression(C=1.0, class_weight="balanced", max_iter=200)
    return classifier.fit(columns, label)
