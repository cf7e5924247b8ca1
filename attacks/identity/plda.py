"""Who is this, by a model of how people differ: the rung beside linear discriminant analysis."""

from torch import Tensor

from attacks.identity.naming import Naming
from attacks.learners.gaussian import fit_people
from attacks.learners.plda import Own, Plda, Prepare, Suspects, study
from attacks.learners.standardising import Standardise
from attacks.protocol.closed_set import score_naming, split_gallery
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class IdentityPlda(Naming):
    """Names the person behind a stolen embedding by how people differ from one another.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    has own pictures of other people, may query the extractor on those and knows how pictures are
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

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        own = Own.of(target, ctx, "attacks.identity_plda")
        prepare = Standardise(stored_gallery(target, ctx))
        return name_by_model(self, prepare, own, target, ctx)


def name_by_model(
    attack: Naming, prepare: Prepare, own: Own, target: Target, ctx: RunContext
) -> AttackResult:
    """Name the entries asked for by the model of whatever ``prepare`` makes of entries."""
    stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
    known, asked = split_gallery(target.data.gallery, attack.split, attack.train_share, ctx)
    people, labels = pids[known].unique(return_inverse=True)
    suspects = suspect(prepare(stored[known]), labels, prepare, own, ctx)

    def score(rows: Tensor) -> Tensor:
        return suspects.log_likelihood(prepare(stored[rows]))

    return score_naming(score, asked, people, pids[asked], attack.split)


def suspect(known: Tensor, labels: Tensor, prepare: Prepare, own: Own, ctx: RunContext) -> Suspects:
    """Model people from their known entries ``(N, E)``; ``labels (N,)`` says whose each is."""
    auxiliary = study(own, prepare, ctx.generator("attacks.identity_plda.release"))
    crowds = [auxiliary] if auxiliary else []
    return Suspects.of(Plda.of([*crowds, fit_people(known, labels)]), known, labels)
