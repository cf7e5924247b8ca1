"""Was this person trained on? By a likelihood ratio learned from extractors of one's own."""

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import NonNegativeInt, PositiveInt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from attacks import threat_models
from attacks.membership.candidates import Candidates, candidates_of, strangers_of
from attacks.membership.controls import make_null_memory, make_planted_memory
from attacks.membership.scoring import HEADLINE, Scores, compare_with_blind
from attacks.membership.shadows import train_shadow
from attacks.membership.statistics import compactness, consistency, nearness, per_person
from attacks.membership.views import attack_every_view
from auditor.feature_cache import FeatureCache
from auditor.plugins.declaring import Positive, Several, checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Split, Target

NEIGHBOURS = 10


@checked_dataclass
class MembershipLira:
    """Tells whom a model was trained on by a likelihood ratio learned from shadow extractors.

    Threat model: has pictures of each candidate and of other people; may query the extractor on
    them; trains small extractors of the same kind on halves of the other people; knows nobody's
    membership. Where pictures are protected, the mechanism is known: everything is done with clean
    pictures and with protected ones, and whichever tells more counts.

    Source: LiRA (Carlini et al., IEEE S&P 2022). Differences, because nobody trains hundreds of
    models and no shadow has seen the candidates: it is offline and global. One pair of Gaussians is
    fitted to all auxiliary people in all shadows, trained on (in) or not (out), instead of one pair
    per candidate; the statistic is a person's compactness, nearness to strangers and consistency
    under changes jointly, standardised in each extractor by people it has certainly not seen; the
    two Gaussians share their covariance, so that a stronger memory than any shadow's counts for
    more, not for less.

    Attributes:
        shadows: extractors trained, each on another half of the auxiliary people.
        epochs: passes of each over its half.
        batch_size: pictures per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        width: channels of a shadow's stem.
        image_size: (height, width) a shadow sees.
        per_person: at most so many pictures of each person are queried.
    """

    shadows: PositiveInt = 4
    epochs: NonNegativeInt = 20
    batch_size: PositiveInt = 64
    lr: Positive = 3e-3
    width: PositiveInt = 16
    image_size: tuple[int, int] = (64, 32)
    per_person: Several = 6

    family: ClassVar[str] = "membership"
    adversary: ClassVar[Adversary] = threat_models.SHADOW_TRAINER
    headline: ClassVar[str] = HEADLINE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return attack_every_view(target, ctx, self._infer)

    def _infer(self, target: Target, ctx: RunContext) -> AttackResult:
        """With the pictures that ``target`` has."""
        generator = ctx.generator("attacks.membership_lira")
        people = candidates_of(target, ctx).at_most(self.per_person, generator)
        strangers = strangers_of(target.data).at_most(self.per_person, generator)
        ratio = self._fit_ratio(target, strangers, ctx)

        def score(extractor: FeatureExtractor) -> Scores:
            usual = statistics(extractor, strangers, strangers, ctx)
            found = statistics(extractor, people, strangers, ctx)
            ratios = ratio.decision_function(_standard(found, usual).numpy())
            return Scores(torch.from_numpy(ratios))

        weights = ", ".join(f"{weight:+.2f}" for weight in ratio.coef_[0])
        note = (
            f"learned from {self.shadows} shadow extractors, each trained on another half of "
            f"{len(strangers.pids.unique())} auxiliary people; weights of compactness, nearness "
            f"to strangers and consistency: {weights}"
        )
        return compare_with_blind(people, score, target, ctx, note)

    def _fit_ratio(
        self, target: Target, strangers: Candidates, ctx: RunContext
    ) -> LinearDiscriminantAnalysis:
        """Fit the log-likelihood ratio of standardised statistics ``(P, 3)``, over all shadows."""
        rows, labels = [], []
        everybody = strangers.pids.unique()
        for index in range(self.shadows):
            name = f"attacks.membership_lira.shadow{index}"
            order = torch.randperm(len(everybody), generator=ctx.generator(name))
            inside = everybody[order[: len(everybody) // 2]]
            shadow = self._shadow(target.data.auxiliary, inside, name, ctx)
            outside = strangers.take(~torch.isin(strangers.pids, inside))
            # a shadow is met once: its features are not worth keeping
            once = replace(ctx, cache=FeatureCache())
            found = statistics(shadow, strangers, outside, once)
            member = torch.isin(everybody, inside)
            rows.append(_standard(found, found[~member]))
            labels.append(member)
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        return model.fit(torch.cat(rows).numpy(), torch.cat(labels).numpy())

    def _shadow(
        self, auxiliary: Split, inside: Tensor, name: str, ctx: RunContext
    ) -> FeatureExtractor:
        rows = torch.isin(auxiliary.pids, inside).nonzero().flatten()
        return train_shadow(
            auxiliary.take(rows),
            size=self.image_size,
            width=self.width,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            name=name,
            ctx=ctx,
        )

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_planted_memory(target, ctx)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_null_memory(target, ctx)


def statistics(
    extractor: FeatureExtractor, people: Candidates, strangers: Candidates, ctx: RunContext
) -> Tensor:
    """Compactness, nearness to strangers and consistency ``(P, 3)`` of each person."""
    features, anchors = (side.features(extractor, ctx) for side in (people, strangers))
    columns = (
        compactness(features, people.person),
        nearness(features, people.pids, anchors, strangers.pids, NEIGHBOURS),
        consistency(extractor, people, ctx),
    )
    return torch.stack([per_person(column, people.person) for column in columns], dim=1)


def _standard(found: Tensor, usual: Tensor) -> Tensor:
    """Rows ``(P, 3)`` in deviations from those of people who were certainly not trained on."""
    return (found - usual.mean(0)) / usual.std(0).clamp_min(1e-6)
