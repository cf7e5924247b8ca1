"""Who is this, by the plain probes of the field: a linear one and one with a hidden layer."""

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from attacks import threat_models
from attacks.identity.classifier import train_and_name
from attacks.identity.naming import Naming
from attacks.learners.people import whitening_axes
from attacks.learners.softmax import learn_softmax
from attacks.learners.standardising import Standardise
from attacks.protocol.closed_set import learn_some, score_naming, split_gallery
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target

TINY = 1e-12
"""What rows of no length are divided by."""


@checked_dataclass
class IdentityLinear(Naming):
    """Names the person behind a stolen embedding by softmax regression.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    may query nothing; names the remaining entries. Closed set, as for `identity`.

    Source: the linear probe (Alain and Bengio, 2016): multinomial logistic regression on
    standardised features, plain logits where `identity` has scaled cosines. Differences: the
    penalty is on directions after the spread within people was partly whitened (Fisher, 1936), so
    that directions in which a person's entries differ count for less.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        inverse_penalty: scikit-learn's C on rows of unit length.
        shrinkage: weight of a ball in the covariance within people, in (0, 1].
        iterations: of L-BFGS, at most.
    """

    inverse_penalty: PositiveFloat = 60.0
    shrinkage: Annotated[float, Field(gt=0, le=1)] = 0.8
    iterations: PositiveInt = 40

    adversary: ClassVar[Adversary] = threat_models.INSIDER

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
        known, asked = split_gallery(target.data.gallery, self.split, self.train_share, ctx)
        known, notes = learn_some(known, asked, pids)
        people, labels = pids[known].unique(return_inverse=True)
        prepare = Standardise(stored)
        directions = self._learn(prepare(stored[known]), labels, ctx)
        result = score_naming(
            lambda rows: prepare(stored[rows]) @ directions.T,
            asked,
            people,
            pids[asked],
            self.split,
        )
        return replace(result, notes=(*result.notes, *notes))

    def _learn(self, rows: Tensor, labels: Tensor, ctx: RunContext) -> Tensor:
        """Return one direction ``(P, D)`` for each label of the rows ``(N, D)``."""
        axes = whitening_axes([(rows, labels)], self.shrinkage).to(rows)
        turned = rows @ axes
        length = turned.square().sum(1).mean().sqrt().clamp_min(TINY)
        directions = learn_softmax(
            (turned / length).to(ctx.device),
            labels.to(ctx.device),
            self.inverse_penalty,
            iterations=self.iterations,
            progress=lambda done: ctx.progress(done, "softmax regression"),
        )
        return directions.to(rows) @ axes.T


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
