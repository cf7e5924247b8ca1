"""Was this person trained on? By how tightly a model packs their pictures, without learning."""

from typing import ClassVar

from pydantic import PositiveInt

from attacks import threat_models
from attacks.membership.candidates import candidates_of
from attacks.membership.controls import make_null_memory, make_planted_memory
from attacks.membership.scoring import HEADLINE, Scores, compare_with_blind
from attacks.membership.statistics import compactness, nearness, per_person
from attacks.membership.views import attack_every_view
from auditor.embedding import features_of
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target


@checked_dataclass
class MembershipCompactness:
    """Tells whom a model was trained on by how tightly it packs a person, and how far from others.

    Threat model: has several pictures of each candidate and pictures of other people; may query
    the extractor on them; knows nobody's membership and trains nothing. Where pictures are
    protected, the mechanism is known: clean and protected ones are tried, and the worse counts.

    Source: metric learning pulls a training person's pictures together and pushes others away, the
    gap that user-level attacks on embeddings exploit (Li, Rezaei and Liu, arXiv 2203.02077, 2022).
    Differences: cosines as the deployment ranks by; a picture's score is its mean cosine to the
    other pictures of its person, less that to its nearest strangers, and a person's the mean of
    theirs. Neither depends on how many pictures a person has.

    Attributes:
        neighbours: nearest pictures of strangers that make up the surroundings.
    """

    neighbours: PositiveInt = 10

    family: ClassVar[str] = "membership"
    adversary: ClassVar[Adversary] = threat_models.OBSERVER
    headline: ClassVar[str] = HEADLINE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return attack_every_view(target, ctx, self._infer)

    def _infer(self, target: Target, ctx: RunContext) -> AttackResult:
        """With the pictures that ``target`` has."""
        people = candidates_of(target, ctx)
        auxiliary = target.data.auxiliary

        def score(extractor: FeatureExtractor) -> Scores:
            features = people.features(extractor, ctx)
            strangers = features_of(extractor, auxiliary, ctx)
            near = nearness(features, people.pids, strangers, auxiliary.pids, self.neighbours)
            margin = compactness(features, people.person) - near
            return Scores(per_person(margin, people.person), margin)

        note = "unsupervised: nothing was learned from anybody whose membership is known"
        return compare_with_blind(people, score, target, ctx, note)

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_planted_memory(target, ctx)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Attack`."""
        return make_null_memory(target, ctx)
