"""Whether what an adversary learns from resembles what it attacks: how well both are told apart.

A classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): boosted trees over coordinates and
the row's length, read on people from whom they did not learn.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from auditor.metrics import measure
from auditor.metrics.auc import macro_auc
from auditor.report import Measurement

MOST = 1000
"""Rows of either side that are looked at."""


def told_apart(sides: Sequence[tuple[Tensor, Tensor]], generator: torch.Generator) -> Measurement:
    """AUC with which entries of two crowds are told apart; 0.5 where they are alike.

    Args:
        sides: two of rows ``(N, D)`` and whose they are ``(N,)``; nobody is on both.
        generator: draws the rows, and the half of the people that is learned from.
    """
    chosen = [_some(rows, pids, generator) for rows, pids in sides]
    rows = torch.cat([rows for rows, _ in chosen])
    columns = torch.cat([rows, rows.norm(dim=1, keepdim=True)], dim=1).numpy()
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


def _learn(columns: np.ndarray, label: np.ndarray) -> HistGradientBoostingClassifier:
    trees = HistGradientBoostingClassifier(
        max_iter=15, max_leaf_nodes=8, class_weight="balanced", early_stopping=False, random_state=0
    )
    return trees.fit(columns, label)
