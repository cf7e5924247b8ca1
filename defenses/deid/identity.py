"""The Adv-ID head: an identity classifier that the feature has to leave without an opinion."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from auditor.models.architectures.branches import Branches
from auditor.models.card import Card
from defenses.retrain import seen

Rivalry = Literal["joint", "alternating"]


def cross_entropy_to_uniform(logits: Tensor) -> Tensor:
    """Average −log softmax over ``(B, K)``: least, log K, where every class is as likely."""
    return -F.log_softmax(logits, dim=1).mean()


class Naming(nn.Module):
    """Pushes the head's identity distribution towards uniform; a `auditor.training.learner.Term`.

    Args:
        dim: length of the feature.
        card: how the extractor answers.
        classes: training people.
        rivalry: ``joint``: the head, too, is trained by the uniform target alone, and may fall
            silent instead of the feature. ``alternating``: the head learns to name the people from
            features it cannot change, the extractor to leave it undecided by a head it cannot
            change.
        weight: λ3.
    """

    def __init__(self, dim: int, card: Card, classes: int, rivalry: Rivalry, weight: float) -> None:
        super().__init__()
        self.card, self.rivalry, self.weight = card, rivalry, weight
        self.head = nn.Linear(dim, classes)

    def forward(self, views: Branches, images: Tensor, classes: Tensor) -> Tensor:
        """Equation 3 with its sign put right, weighted; and the head's own loss, if it has one."""
        features = seen(views, self.card)
        if self.rivalry == "joint":
            return self.weight * cross_entropy_to_uniform(self.head(features))
        named = F.cross_entropy(self.head(features.detach()), classes)
        head = self.head.weight.detach(), self.head.bias.detach()
        return named + self.weight * cross_entropy_to_uniform(F.linear(features, *head))
