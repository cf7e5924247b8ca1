"""Who is this, by a model of how people differ: the rung beside linear discriminant analysis."""

from dataclasses import dataclass
from typing import ClassVar

from attacks import adversaries
from attacks.closed_set import Sides, named_by, split_gallery
from attacks.gaussian import fit_people
from attacks.plda import Plda, Suspects, study_auxiliary
from attacks.standardising import Standardise
from auditor.embedding import stored_gallery
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class IdentityPlda:
    """Names the person behind a stolen embedding by how people differ from one another.

    Threat model: holds the stored gallery and knows the names behind part of each person's entries;
    holds own pictures of other people, may query the extractor on those and knows how pictures are
    protected and how the gallery is released; names the remaining entries. Closed set, as for
    `identity`.

    Source: the two-covariance model of speaker verification (Brümmer and de Villiers, Odyssey 2010;
    Ioffe, ECCV 2006). Where `identity_lda` knows the spread within people alone, this knows the
    directions in which people differ as well, and trusts a noisy entry in those only. Differences:
    the model is that of released features, and that of the known people counts beside that of the
    auxiliary ones. No training, so no hyper-parameter can hide a leak.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
    """

    train_share: float = 0.5
    split: Sides = "image"

    family: ClassVar[str] = "identity"
    adversary: ClassVar[Adversary] = adversaries.INFORMED_INSIDER
    headline: ClassVar[str] = "top1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
        standardise = Standardise(stored)
        features = standardise(stored)
        known, asked = split_gallery(target.data.gallery, self.split, self.train_share, ctx)
        people, labels = pids[known].unique(return_inverse=True)
        auxiliary = study_auxiliary(target, standardise, ctx, "attacks.identity_plda")
        crowds = [auxiliary] if auxiliary else []
        plda = Plda.of([*crowds, fit_people(features[known], labels)])
        suspects = Suspects.of(plda, features[known], labels)
        score = suspects.log_likelihood
        return named_by(score, features[asked], people, pids[asked], self.split)
