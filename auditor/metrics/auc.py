"""Area under the ROC curve over images that count as often as their person was drawn.

The area is the chance that an image of the class is scored above one of another class, equal scores
counting half (Hanley and McNeil, Radiology 143, 1982). Scores are sorted once; a resampling of
people only changes how much each image weighs.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Formula = Callable[[Array], Array]


def macro_auc(scores: Tensor, truth: Tensor, person: Tensor) -> Formula:
    """The mean over classes of each against the rest, for two classes that of the second.

    Args:
        scores: ``(N, classes)``, higher for likelier.
        truth: ``(N,)`` class of each image.
        person: ``(N,)`` position of its person, from 0.

    Returns:
        From how often each person counts ``(…, persons)`` to areas ``(…)``; NaN where a class, or
        everything but it, has no images.
    """
    classes = scores.shape[1]
    owner = person.numpy()
    if classes == 2:
        return _area((scores[:, 1] - scores[:, 0]).double().numpy(), truth.numpy() == 1, owner)
    each = [_area(scores[:, k].double().numpy(), truth.numpy() == k, owner) for k in range(classes)]
    return lambda counts: np.asarray(np.mean([area(counts) for area in each], axis=0))


def _area(scores: Array, positive: NDArray[np.bool_], person: NDArray[np.int64]) -> Formula:
    order = np.argsort(scores, kind="stable")
    ranked, owner, hit = scores[order], person[order], positive[order]
    levels = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))

    def area(counts: Array) -> Array:
        weights = counts[..., owner]
        above = np.add.reduceat(weights * hit, levels, axis=-1)
        below = np.add.reduceat(weights * ~hit, levels, axis=-1)
        beaten = below.cumsum(-1) - below / 2
        pairs = above.sum(-1) * below.sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((above * beaten).sum(-1) / pairs)

    return area
