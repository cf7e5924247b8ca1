"""Who is this, by the plain probes of the field: a linear one and one with a hidden layer."""

from typing import ClassVar

from pydantic import PositiveInt
from torch import nn

from attacks import threat_models
from attacks.identity.classifier import train_and_name
from attacks.identity.naming import Naming
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class IdentityLinear(Naming):
    """Names the person behind a stolen embedding by softmax regression.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    may query nothing; names the remaining entries. Closed set, as for `identity`.

    Source: the linear probe (Alain and Bengio, 2016) on standardised features; plain logits where
    `identity` has scaled cosines.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        epochs: passes over them, at most; see `identity`.
        batch_size: features per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW, at least.
    """

    epochs: PositiveInt = 40
    batch_size: PositiveInt = 256
    lr: float = 1e-2
    weight_decay: float = 1e-2

    adversary: ClassVar[Adversary] = threat_models.INSIDER

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return train_and_name(self, target, ctx, "attacks.identity_probes")

    def network(self, dim: int, classes: int) -> nn.Module:
        """Map features ``(B, dim)`` to logits ``(B, classes)``."""
        return nn.Linear(dim, classes)


@checked_dataclass
class IdentityMlp(Naming):
    """Names the person behind a stolen embedding by a network with one hidden layer.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    may query nothing; names the remaining entries. Closed set, as for `identity`.

    Source: the non-linear probe beside `identity_linear`, with dropout, because a person has few
    images.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        hidden: width of the hidden layer.
        dropout: on features and hidden units.
        epochs: passes over them, at most; see `identity`.
        batch_size: features per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW, at least.
    """

    hidden: PositiveInt = 512
    dropout: float = 0.3
    epochs: PositiveInt = 60
    batch_size: PositiveInt = 256
    lr: float = 5e-3
    weight_decay: float = 1e-2

    adversary: ClassVar[Adversary] = threat_models.INSIDER

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return train_and_name(self, target, ctx, "attacks.identity_probes")

    def network(self, dim: int, classes: int) -> nn.Module:
        """Map features ``(B, dim)`` to logits ``(B, classes)``."""
        return nn.Sequential(
            nn.Dropout(self.dropout),
            nn.Linear(dim, self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, classes),
        )
