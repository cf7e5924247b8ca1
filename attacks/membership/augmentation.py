"""Was this person trained on? By how little a changed picture moves its feature."""

from typing import ClassVar

from pydantic import PositiveInt

from attacks import threat_models
from attacks.membership.candidates import candidates_of
from attacks.membership.controls import make_null_memory, make_planted_memory
from attacks.membership.scoring import HEADLINE, Scores, compare_with_blind
from attacks.membership.statistics import CHANGES, consistency, per_person
from attacks.membership.views import attack_every_view
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target


@checked_dataclass
class MembershipAugmentation:
    """Tells whom a model was trained on by how little flips, crops, light and blur move a feature.

    Threat model: has pictures of each candidate; may query the extractor on them and on changed
    copies, six queries a picture; knows nobody's membership and trains nothing. Where pictures are
    protected, the mechanism is known: clean and protected ones are tried, and the worse counts.

    Source: augmentation consistency of encoders (Liu et al., EncoderMI, CCS 2021), here without
    their shadow encoder, and with the changes that re-ID models are trained under, so that a
    training picture has been seen changed as well.

    Attributes:
        per_person: at most so many pictures of each person are queried.
    """

    per_person: PositiveInt = 6

    family: ClassVar[str] = "membership"
    adversary: ClassVar[Adversary] = threat_models.PERTURBER
    headline: ClassVar[str] = HEADLINE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return attack_every_view(target, ctx, self._infer)

    def _infer(self, target: Target, ctx: RunContext) -> AttackResult:
        """With the pictures that ``target`` has."""
        generator = ctx.generator("attacks.membership_augmentation")
        people = candidates_of(target, ctx).at_most(self.per_person, generator)

        def score(extractor: FeatureExtractor) -> Scores:
            stable = consistency(extractor, people, ctx)
            return Scores(per_person(stable, people.person), stable)

        note = (
            f"unsupervised: {len(people)} pictures, each queried as it is and under "
            f"{', '.join(CHANGES)}"
        )
        return compare_with_blind(people, score, target, ctx, note)

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_planted_memory(target, ctx)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_null_memory(target, ctx)
