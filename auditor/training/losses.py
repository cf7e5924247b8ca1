"""The losses of re-identification that torch does not bring."""

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor


def batch_hard(features: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Triplet loss of each anchor's farthest positive and nearest negative (Hermans et al., 2017).

    Args:
        features: ``(B, D)``.
        classes: ``(B,)``; each at least twice, and at least two of them.
        margin: by which a negative must be farther than a positive.
    """
    plain = LpDistance(normalize_embeddings=False)
    loss = TripletMarginLoss(margin=margin, distance=plain, reducer=MeanReducer())
    hard: Tensor = loss(features, classes, BatchHardMiner(distance=plain)(features, classes))
    return hard
