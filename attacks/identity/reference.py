"""The best adversary of naming people, on the faint plant whose parameters it knows."""

from attacks.protocol.closed_set import Sides, score_names, split_gallery
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.types import AttackResult, RunContext


def name_people(
    planted: Planted, ctx: RunContext, *, split: Sides, train_share: float
) -> AttackResult:
    """The Bayes classifier of the two-covariance model names people by their known entries."""
    target = planted.target
    stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
    known, asked = split_gallery(target.data.gallery, split, train_share, ctx)
    people, labels = pids[known].unique(return_inverse=True)
    scores = planted.truth(ctx).naming(stored[known], labels, stored[asked])
    return score_names(scores, people, pids[asked], split)
