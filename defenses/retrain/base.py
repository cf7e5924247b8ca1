"""What the defenses that retrain the extractor share: which one can be, how, and what is seen."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from auditor.errors import UnsupportedTargetError
from auditor.models.architectures.branches import Branches, branches
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.isolation.network import WAY_OUT, WorkerNetwork
from auditor.models.programs import PROGRAMS
from auditor.plugins.declaring import Positive, Several, Weight, checked_dataclass
from auditor.training import Recipe
from auditor.training.learner import identity_dims
from auditor.types import Target


@checked_dataclass
class Retraining:
    """How the extractor is fine-tuned on ``data.train``, privacy loss apart.

    Attributes:
        epochs: passes over the training people.
        steps: batches per epoch; 0: as many as show each picture once on average.
        people: persons per batch.
        views: pictures of each.
        lr: peak learning rate of AdamW.
        head_lr: factor on it for everything that starts from nothing: classifiers and adversaries.
        triplet: weight of the batch-hard triplets.
        softmax: weight of the identity softmax.
    """

    trains_model: ClassVar[bool] = True

    epochs: PositiveInt = 20
    steps: NonNegativeInt = 0
    people: Several = 16
    views: Several = 4
    lr: Positive = 3e-4
    head_lr: Positive = 10.0
    triplet: Weight = 1.0
    softmax: Weight = 0.0

    def __post_init__(self) -> None:
        if self.triplet + self.softmax == 0:
            raise ValueError("triplet and softmax must not both be 0")

    @property
    def recipe(self) -> Recipe:
        """Mirroring and shifting alone: what else is changed in a picture, no decoder can know."""
        return Recipe(
            epochs=self.epochs,
            steps=self.steps,
            people=self.people,
            views=self.views,
            lr=self.lr,
            head_lr=self.head_lr,
            triplet=self.triplet,
            softmax=self.softmax,
            recolour=0.0,
            erase=0.0,
        )


def retrainable(target: Target) -> CardedExtractor:
    """Return the target's extractor, if its weights can be learned.

    Raises:
        UnsupportedTargetError: if it is a finished program, or nothing in it may be changed.
    """
    extractor = target.extractor
    kind = type(extractor).__name__
    if isinstance(extractor, CardedExtractor):
        kind = type(extractor.network).__name__
        if isinstance(extractor.network, WorkerNetwork):
            raise UnsupportedTargetError(
                f"the extractor runs in a worker, where it cannot be retrained; {WAY_OUT}"
            )
        program = any(isinstance(module, PROGRAMS) for module in extractor.modules())
        if not program and any(p.requires_grad for p in extractor.parameters()):
            return extractor
    raise UnsupportedTargetError(
        f"the extractor ({kind}) is a finished program that cannot be retrained; "
        "give the state dict it was made from, with its architecture"
    )


def seen(views: Branches, card: Card) -> Tensor:
    """Return the feature ``(B, D)`` that a privacy loss reads: the identity views side by side.

    Where the network has one neck this is the feature it answers with; part models answer with
    something made of them. Length-one features are scaled to a mean square of one.
    """
    features = torch.cat(views.identity, dim=1).float()
    if not card.l2_norm:
        return features
    scaled: Tensor = F.normalize(features) * features.shape[1] ** 0.5
    return scaled


class Seen(nn.Module):
    """An extractor that answers with what `seen` reads: for an adversary who was trained on that.

    Args:
        extractor: the retrained one.
    """

    def __init__(self, extractor: CardedExtractor) -> None:
        super().__init__()
        self.extractor = extractor
        self.input_size = extractor.input_size
        self.feature_dim = sum(identity_dims(extractor))

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` in [0, 1] to features ``(B, D)``."""
        views = branches(self.extractor.network, self.extractor.prepare(images))
        return seen(views, self.extractor.card)
