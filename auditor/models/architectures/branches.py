"""What a network hands to the losses while it is trained, beside the feature it answers with.

A re-ID network is usually trained in another space than it is used in: triplets compare features
before a batch-normalisation neck, the classifier sees those after it (Luo et al., CVPRW 2019,
BNNeck), and part models have one classifier per part. A network with more than one such view has a
method ``branches``; any other one is trained on the feature it gives.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Branches:
    """The views of one batch that the losses act on.

    Attributes:
        metric: each ``(B, D_i)``; compared by distance. Empty: no triplet loss.
        identity: each ``(B, D_j)``; gets a linear identity classifier of its own.
        own: a scalar loss that the architecture brings, such as part labels it made up itself.
    """

    metric: tuple[Tensor, ...]
    identity: tuple[Tensor, ...]
    own: Tensor | None = None


def branches(network: nn.Module, images: Tensor) -> Branches:
    """Return the training views of ``network`` on normalised images ``(B, 3, H, W)``."""
    own: Any = getattr(network, "branches", None)
    if own is not None:
        result: Branches = own(images)
        return result
    features: Tensor = network(images)
    return Branches((features,), (features,))
