"""Learners that treat every attribute by itself, by scikit-learn's classifiers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.attribute.learning import Known, Reader
from auditor.types import MISSING


def one_each(known: Known, make: Callable[[], Any]) -> Reader:
    """Return a classifier from ``make`` for each attribute; it takes sample weights and decides.

    Where a class is carried by nobody, the attribute's scores are NaN: nothing was learned.
    """
    rows, weights = known.rows.numpy(), known.weights.numpy()
    models = []
    for column, size in enumerate(known.sizes):
        label = known.labels[:, column].numpy()
        present = label != MISSING
        complete = len(np.unique(label[present])) == size
        models.append(
            make().fit(rows[present], label[present], sample_weight=weights[present, column])
            if complete
            else None
        )

    def read(asked: Tensor) -> list[Tensor]:
        return [
            _scores(model, asked, size) for model, size in zip(models, known.sizes, strict=True)
        ]

    return read


def _scores(model: Any, rows: Tensor, size: int) -> Tensor:
    if model is None:
        return torch.full((len(rows), size), torch.nan, dtype=torch.float64)
    scores = torch.from_numpy(model.decision_function(rows.numpy())).double()
    if scores.ndim == 2:
        return scores
    return torch.stack([-scores / 2, scores / 2], dim=1)  # two classes: one score, for the second
