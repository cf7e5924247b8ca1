"""How far a copy of a model is one: whether it orders a gallery alike, and whom it finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from auditor.metrics import measure
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.metrics.similarity import Truth
from auditor.report import Measurement
from auditor.row_blocks import BLOCK, fit_block
from auditor.types import Target


@dataclass(frozen=True)
class Before:
    """What is reached without a single answer: chance, for whoever asks.

    Attributes:
        agreement: with the model.
        rank1: on the attacked people.
    """

    agreement: float
    rank1: float


def compare_views(views: Sequence[Tensor], truth: Sequence[Tensor], target: Target) -> Before:
    """Compare what a student sees, of queries and gallery, with the model's features of them."""
    return Before(mean_agreement(views, truth), _search(views, target).cmc(1))


def measure_student(
    copies: Sequence[Tensor], truth: Sequence[Tensor], before: Before, target: Target
) -> tuple[Measurement, ...]:
    """Measure agreement with the model, and how well the student itself re-identifies.

    Args:
        copies: the student's features of queries ``(Q, D)`` and gallery ``(G, D)``.
        truth: the model's.
        before: what is reached without any answer.
        target: whose people they are.
    """
    pids = target.data.query.pids
    agreement = measure.mean(
        "agreement",
        rank_agreement(copies, truth),
        pids,
        chance=before.agreement,
        note="rank correlation of a query's similarities to the gallery, at least 0",
    )
    found, real = (_search(features, target) for features in (copies, truth))
    rank1 = measure.rate(
        "student_rank1",
        found.hit(1),
        pids[found.query_index],
        chance=before.rank1,
        note=f"the model's own is {real.cmc(1):.3f}",
    )
    return agreement, rank1


def _search(features: Sequence[Tensor], target: Target) -> Retrieval:
    """Search the gallery for each query, by features of both."""
    data = target.data
    query, gallery = features
    who = Truth.of(data.query, data.gallery, cross_camera=data.cross_camera)
    return evaluate(query, gallery, who)


def mean_agreement(copies: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Return the mean of `rank_agreement` over queries."""
    return float(rank_agreement(copies, truth).mean())


def rank_agreement(copies: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Compute Spearman's correlation ``(Q,)`` of similarities to the gallery; 0 if negative."""
    galleries = [F.normalize(gallery, dim=1) for _, gallery in (copies, truth)]
    blocks = torch.arange(len(truth[0])).split(fit_block(len(galleries[0]), BLOCK))

    def correlate(rows: Tensor) -> Tensor:
        queries = (copies[0][rows], truth[0][rows])
        ranks = [_rank(*pair) for pair in zip(queries, galleries, strict=True)]
        return (ranks[0] * ranks[1]).sum(1).clamp(0, 1)

    return torch.cat([correlate(rows) for rows in blocks])


def _rank(query: Tensor, gallery: Tensor) -> Tensor:
    """Return for each query the standardised ranks ``(Q, G)`` of its cosines with unit rows."""
    cosines = F.normalize(query, dim=1) @ gallery.T
    rows = torch.from_numpy(rankdata(cosines.numpy(), axis=1))
    return F.normalize(rows - rows.mean(1, keepdim=True), dim=1)
