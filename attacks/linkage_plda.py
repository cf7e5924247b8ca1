"""Is this the same person? Linking two releases in the directions in which people differ."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks import adversaries
from attacks.linkage import linked, notes_on, second_release
from attacks.plda import Plda, study_auxiliary
from attacks.standardising import Standardise
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class LinkagePlda:
    """Links a person's entries across two releases in the directions in which people differ.

    Threat model: holds two stored galleries of the same people that were released independently, as
    for `linkage`, and knows no names in them; holds own pictures of other people, may query the
    extractor on those and knows how pictures are protected and how the gallery is released; ranks
    the second release by similarity to each entry of the first.

    Source: the two-covariance model (Ioffe, ECCV 2006) of released features of auxiliary people.
    Entries are compared by cosine along its axes, each weighed by what it tells of the person; the
    inner product there is the part of the log-likelihood ratio that depends on both entries (on
    real people within a point of the whole ratio, and a score that can be compared across entries).

    Attributes:
        pairs: at most so many mated, and so many non-mated, pairs are scored for ``d_sys``.
    """

    pairs: int = 50_000

    family: ClassVar[str] = "linkage"
    adversary: ClassVar[Adversary] = adversaries.INFORMED_LINKER
    headline: ClassVar[str] = "linkage_rank1"

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError("pairs must be at least 1")

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        first, second = stored_gallery(target, ctx), second_release(target, target.extractor, ctx)
        # the releases have two keys, and so have the pictures that are learned from
        standardise = Standardise(first)
        name = "attacks.linkage_plda"
        auxiliary = study_auxiliary(target, standardise, ctx, name, publications=2)
        if auxiliary is None:
            raise UnsupportedTargetError(
                "how people differ is learned from two or more auxiliary ones"
            )
        plda = Plda.of([auxiliary])
        notes = notes_on(target, "", same=torch.equal(first, second))
        a, b = (plda.weigh(standardise(entries)) for entries in (first, second))
        return linked(a, b, self.pairs, notes, target, ctx)
