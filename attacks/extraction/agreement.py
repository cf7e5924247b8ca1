"""How far a copy of a model is one: whether it orders a gallery alike, and whom it finds."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from auditor.metrics import measure
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.report import Measurement
from auditor.row_blocks import BLOCK, fit_block
from auditor.types import Target


def measure_student(
    copies: Sequence[Tensor], truth: Sequence[Tensor], before: float, target: Target
) -> tuple[Measurement, ...]:
    """Measure agreement with the model, and how well the student itself re-identifies.

    Args:
        copies: the student's features of queries ``(Q, D)`` and gallery ``(G, D)``.
        truth: the model's.
        before: the agreement without any answer.
        target: whose people they are.
    """
    data = target.data
    pids = data.query.pids
    agreement = measure.mean(
        "agreement",
        rank_agreement(copies, truth),
        pids,
        chance=before,
        note="rank correlation of a query's similarities to the gallery, at least 0",
    )
    who = Truth.of(data.query, data.gallery, cross_camera=data.cross_camera)
    found, real = (evaluate(query, gallery, who) for query, gallery in (copies, truth))
    rank1 = measure.rate(
        "student_rank1",
        found.hit(1),
        pids[found.query_index],
        note=f"the model's own is {real.cmc(1):.3f}",
    )
    return agreement, rank1


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
