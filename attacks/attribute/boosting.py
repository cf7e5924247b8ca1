"""What are they like, by boosted trees: the rung above the attribute network."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from attacks.attribute.labels import MEASURABLE
from attacks.attribute.learning import Known, Reader, pool_entries, read_attributes
from attacks.attribute.reference import Reading
from attacks.attribute.sklearn_learners import one_each
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target

BINS = 255
"""Into which trees sort the values of a column; scikit-learn takes no more."""


@checked_dataclass
class AttributeBoosting(Reading):
    """Infers annotated attributes from stored embeddings by gradient-boosted trees.

    Threat model: has the whole stored gallery, without names, and own annotated pictures of other
    people, about as many of each as the gallery has; may query the extractor on those and knows how
    the gallery is protected and released; infers each attribute of every stored entry. People
    learned from and people attacked are disjoint.

    Source: histogram gradient boosting (Friedman, Annals of Statistics 29, 2001, as in LightGBM and
    scikit-learn) on the same rows that `attribute_logistic` reads, turned to the axes along which
    the classes of all attributes lie furthest apart (partial least squares); classes and people
    weigh the same.

    Attributes:
        components: the most axes that the trees see.
        iterations: trees per attribute, or per value of one with more than two.
        leaves: most leaves of a tree.
        lr: weight of each tree.
        neighbours: how many nearest entries each entry is averaged with; none: chosen on own people
            who are held out.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    components: PositiveInt = 24
    iterations: PositiveInt = 15
    leaves: PositiveInt = 8
    lr: float = 0.2
    neighbours: int | None = None
    min_people: PositiveInt = MEASURABLE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return read_attributes(
            self.learn,
            target,
            ctx,
            min_people=self.min_people,
            prepare=pool_entries(self.neighbours),
        )

    def learn(self, known: Known) -> Reader:
        """Learn one set of trees per attribute."""
        make = partial(
            HistGradientBoostingClassifier,
            max_iter=self.iterations,
            max_leaf_nodes=self.leaves,
            learning_rate=self.lr,
            early_stopping=False,
            random_state=0,
        )
        mean = known.rows.mean(0)
        axes = _telling_axes(known, self.components)
        edges = _edges((known.rows - mean) @ axes)

        def place(rows: Tensor) -> Tensor:
            turned = ((rows - mean) @ axes).T.contiguous()
            return torch.searchsorted(edges, turned).T.float()

        read = one_each(replace(known, rows=place(known.rows)), make)
        return lambda rows: read(place(rows))


def _edges(rows: Tensor) -> Tensor:
    """Return ``(D, BINS - 1)`` quantiles of each column of ``rows (N, D)``.

    Between which two a value lies is all that trees ask. Found once for all attributes, this takes
    a small part of the time that scikit-learn takes for weighted quantiles of its own.
    """
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    return torch.from_numpy(np.quantile(rows.numpy(), shares, axis=0)).T.contiguous().float()


def _telling_axes(known: Known, count: int) -> Tensor:
    """Return ``count`` axes ``(D, count)``, or fewer, along which rows vary most with the labels.

    Left singular vectors of their cross-covariance, attributes laid side by side.
    """
    rows, columns = known.rows.double(), []
    for column, size in enumerate(known.sizes):
        label, weight = known.labels[:, column], known.weights[:, column]
        hot = weight[:, None] * F.one_hot(label.clamp_min(0), size)
        centres = rows.T @ hot / hot.sum(0).clamp_min(1e-12)
        columns.append(centres - centres.mean(1, keepdim=True))
    axes: Tensor = torch.linalg.svd(torch.cat(columns, dim=1), full_matrices=False).U
    return axes[:, :count].float()
