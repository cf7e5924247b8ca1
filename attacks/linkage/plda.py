"""Is this the same person? Linking two releases in the directions in which people differ."""

from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.learners.plda import Own, Plda, Prepare, study
from attacks.learners.standardising import Standardise
from attacks.linkage.cosine import divide_releases, link_people, notes_on, score_linkage
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class LinkageByModel:
    """What rungs share that learn from auxiliary people how a person's entries differ.

    Attributes:
        pairs: at most so many mated, and so many non-mated, pairs are scored for ``d_sys``.
    """

    pairs: PositiveInt = 50_000

    family: ClassVar[str] = "linkage"
    adversary: ClassVar[Adversary] = threat_models.INFORMED_LINKER
    headline: ClassVar[str] = "linkage_rank1"

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Compare entries of both releases by the cosine that is best with known moments."""
        return link_people(planted, planted.target.extractor, self.pairs, ctx)


@checked_dataclass
class LinkagePlda(LinkageByModel):
    """Links a person's entries across two releases in the directions in which people differ.

    Threat model: has two stored galleries of the same people that were released independently, as
    for `linkage`, and knows no names in them; has own pictures of other people, may query the
    extractor on those and knows how pictures are protected and how the gallery is released; ranks
    the second release by similarity to each entry of the first.

    Source: the two-covariance model (Ioffe, ECCV 2006) of released features of auxiliary people.
    Entries are compared by cosine along its axes, each weighed by what it tells of the person; the
    inner product there is the part of the log-likelihood ratio that depends on both entries (on
    real people within a point of the whole ratio, and a score that can be compared across entries).

    Attributes:
        pairs: at most so many mated, and so many non-mated, pairs are scored for ``d_sys``.
    """

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        own = own_people(target, ctx, "attacks.linkage_plda")
        prepare = Standardise(stored_gallery(target, ctx))
        return link_by_model(self.pairs, prepare, own, target, ctx)


def own_people(target: Target, ctx: RunContext, name: str) -> Own:
    """Auxiliary people under two keys, like the two releases.

    Raises:
        UnsupportedTargetError: if there are fewer than two.
    """
    if len(target.data.auxiliary.pids.unique()) < 2:
        raise UnsupportedTargetError("how people differ is learned from two or more auxiliary ones")
    return Own.of(target, ctx, name, keys=2)


def link_by_model(
    pairs: int, prepare: Prepare, own: Own, target: Target, ctx: RunContext
) -> AttackResult:
    """Link two releases by the model of whatever ``prepare`` makes of entries."""
    releases = divide_releases(target, target.extractor, ctx)
    auxiliary = study(own, prepare, ctx.generator("attacks.linkage_plda.release"))
    assert auxiliary is not None  # see `own_people`
    plda = Plda.of([auxiliary])

    def weigh(rows: Tensor) -> Tensor:
        return plda.weigh(prepare(rows))

    return score_linkage(releases.seen_as(weigh, weigh), pairs, notes_on(target, "", releases))
