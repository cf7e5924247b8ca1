"""What are they like, where it shows in no single coordinate, or only faintly."""

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks.attribute.labels import MEASURABLE
from attacks.attribute.learning import Known, Reader, as_stored, read_attributes
from attacks.attribute.pooling import folds
from attacks.attribute.reference import Reading
from attacks.learners.expansion import Expansion
from auditor.metrics.auc import macro_auc
from auditor.plugins.declaring import checked_dataclass
from auditor.types import MISSING, AttackResult, RunContext, Target

PENALTIES = (1e-9, 1e-6, 1e-3, 1e-1, 1.0, 10.0)
"""Tried ridge penalties, as shares of the mean variance of a column.

The least of them reads a direction that varies a ten-thousandth as much as those around it.
"""


@checked_dataclass
class AttributeExpansion(Reading):
    """Reads annotated attributes off magnitudes, norms and products in stored embeddings.

    Threat model: has the whole stored gallery, without names, and own annotated pictures of other
    people, about as many of each as the gallery has; may query the extractor on those and knows how
    the gallery is protected and released; infers each attribute of every stored entry. People
    learned from and people attacked are disjoint.

    Source: ridge regression (a linear discriminant) on standardised coordinates, as they are
    stored, and on the functions of them of `identity_metric` in whose means over a person's
    pictures the values of an attribute differ by an F test. Nothing is whitened or brought to unit
    length, so a code may be faint; own people who are held out choose the penalty.

    Attributes:
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    min_people: PositiveInt = MEASURABLE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return read_attributes(learn, target, ctx, min_people=self.min_people, prepare=as_stored)


def learn(known: Known) -> Reader:
    """Learn one regression per attribute, all on the same columns."""
    expansion = Expansion.of_attributes(known.rows, known.pids, known.labels)
    columns = expansion(known.rows).double()
    penalties = _choose_penalties(columns, known)
    paths = _ridge_paths(columns, known)
    chosen = [path[penalty] for path, penalty in zip(paths, penalties, strict=True)]
    mean = columns.mean(0)
    return lambda rows: [(expansion(rows).double() - mean) @ weights for weights in chosen]


def _choose_penalties(columns: Tensor, known: Known) -> list[int]:
    """Return for each attribute the position of the penalty that reads held-out people best."""
    halves = folds(known.pids, 2, torch.Generator().manual_seed(0))
    areas = np.zeros((len(known.sizes), len(PENALTIES)))
    for half in (halves == 0, halves == 1):
        paths = _ridge_paths(columns[~half], known.take(~half))
        asked = known.take(half)
        for a, path in enumerate(paths):
            areas[a] += [
                _area(columns[half] @ weights, asked.labels[:, a], asked.pids) for weights in path
            ]
    # of equals the strongest
    return [len(PENALTIES) - 1 - int(row[::-1].argmax()) for row in areas]


def _area(scores: Tensor, label: Tensor, pids: Tensor) -> float:
    present = label != MISSING
    people, person = pids[present].unique(return_inverse=True)
    area = float(macro_auc(scores[present], label[present], person)(np.ones(len(people))))
    return area if np.isfinite(area) else 0.5


def _ridge_paths(columns: Tensor, known: Known) -> list[list[Tensor]]:
    """Return for each attribute, and each of `PENALTIES`, weights ``(E, classes)``.

    One decomposition serves all of them: with indicators for targets, regression gives a
    discriminant however the classes are weighed.
    """
    centred = columns - columns.mean(0)
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    floors = [penalty * float(variances.clamp_min(0).mean()) + 1e-30 for penalty in PENALTIES]
    paths = []
    for label, size in zip(known.labels.T, known.sizes, strict=True):
        along = axes.T @ (centred.T @ _indicators(label, size)) / len(centred)
        paths.append([axes @ (along / (variances.clamp_min(0) + f)[:, None]) for f in floors])
    return paths


def _indicators(label: Tensor, size: int) -> Tensor:
    """Return ``(N, classes)``, of mean 0; 0 where the class is missing."""
    present = (label != MISSING)[:, None]
    hot = F.one_hot(label.clamp_min(0), size).double() * present
    centred: Tensor = torch.where(present, hot - hot.sum(0) / present.sum().clamp_min(1), 0.0)
    return centred
