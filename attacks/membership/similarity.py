"""Was this person trained on? By likeness to strangers, learned from examples."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from attacks import threat_models
from attacks.membership.candidates import candidates_of, divide_people
from attacks.membership.controls import make_null_memory, make_planted_memory
from attacks.membership.scoring import HEADLINE, Scores, compare_with_blind
from attacks.membership.statistics import per_person
from attacks.membership.views import attack_every_view
from auditor.embedding import features_of
from auditor.plugins.declaring import Several, checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

BLOCK = 1024
LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
"""Quantiles that stand for a distribution of similarities; strangers who look alike are on top."""


@checked_dataclass
class MembershipSimilarity:
    """Tells whom a model was trained on by the distribution of similarities to strangers.

    Threat model: has pictures of the candidates and of other people (the anchors); may query the
    extractor on them; knows of half of the members and half of the non-members that they are, and
    infers it for the other half. People learned from and people attacked are disjoint. Where
    pictures are protected, the mechanism is known: clean and protected ones are tried, and the
    worse counts.

    Source: SDMIA (Gao et al., AAAI 2023). Differences: the anchors are the adversary's own people,
    not drawn from the training and test sets; a distribution is its quantiles, which do not depend
    on the order of the anchors, and a logistic regression reads them instead of a network that
    selects anchors, because only tens of known people may teach it; who is known
    and who is attacked is divided by person.

    Attributes:
        known_share: share of the members, and of the non-members, of whom the adversary knows.
        anchors: at most so many auxiliary pictures are compared with.
        inverse_penalty: scikit-learn's C on standardised quantiles; small, because pictures of one
            person repeat each other.
    """

    known_share: float = 0.5
    anchors: Several = 2000
    inverse_penalty: float = 0.01

    family: ClassVar[str] = "membership"
    adversary: ClassVar[Adversary] = threat_models.PARTLY_TOLD
    headline: ClassVar[str] = HEADLINE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return attack_every_view(target, ctx, self._infer)

    def _infer(self, target: Target, ctx: RunContext) -> AttackResult:
        """With the pictures that ``target`` has."""
        generator = ctx.generator("attacks.membership_similarity")
        known, attacked = divide_people(candidates_of(target, ctx), self.known_share, generator)
        auxiliary = target.data.auxiliary
        chosen = torch.randperm(len(auxiliary), generator=generator)[: self.anchors]
        labels = known.member.numpy()

        def score(extractor: FeatureExtractor) -> Scores:
            anchors = features_of(extractor, auxiliary, ctx)[chosen]
            learned, asked = (
                quantiles(side.features(extractor, ctx), anchors) for side in (known, attacked)
            )
            regression = LogisticRegression(
                C=self.inverse_penalty, class_weight="balanced", max_iter=1000
            )
            model = make_pipeline(StandardScaler(), regression).fit(learned.numpy(), labels)
            logits = torch.from_numpy(model.decision_function(asked.numpy()))
            return Scores(per_person(logits, attacked.person), logits)

        taught = known.people_are_members
        note = (
            f"learned from {int(taught.sum())} known members and {int((~taught).sum())} known "
            f"non-members, none of whom is attacked, by similarity to {len(chosen)} anchors"
        )
        return compare_with_blind(attacked, score, target, ctx, note)

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_planted_memory(target, ctx)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_null_memory(target, ctx)


def quantiles(features: Tensor, anchors: Tensor) -> Tensor:
    """`LEVELS` ``(N, L)`` of the cosines of features ``(N, D)`` to anchors ``(A, D)``."""
    levels = torch.tensor(LEVELS)
    unit, others = F.normalize(features, dim=1), F.normalize(anchors, dim=1)
    parts = [torch.quantile(block @ others.T, levels, dim=1).T for block in unit.split(BLOCK)]
    return torch.cat(parts)
