"""Is this person in there? Asked of stolen vectors alone, without the model that made them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.alignment.attributes import read_aligned
from attacks.alignment.crowds import FEWEST, Crowd, guess_people, know_people
from attacks.alignment.matching import Anchors, align
from attacks.attribute.labels import MEASURABLE
from attacks.attribute.pooling import fit_whitening
from attacks.protocol.asking import worse_result
from attacks.protocol.matching import score_search
from attacks.protocol.own_network import own_network
from attacks.protocol.publication import held_pictures_shown, own_pictures, own_pictures_shown
from attacks.protocol.reference import find_people
from auditor.certification.planting import Planted
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError, UsageError
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Curve, Measurement, pluralize
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

NAME = "aligned"


@checked_dataclass
class Alignment:
    """Finds people in stolen vectors without the model, by aligning them with an own network's.

    Threat model: has the stored gallery without names, clean pictures of many people who are in it,
    and own pictures of other people; has another extractor, and may query the audited one for
    nothing: not a single vector is known to belong to a picture. Knows how pictures are protected,
    and nothing of how vectors are released.

    Source: correspondence by Gromov–Wasserstein transport (Alvarez-Melis & Jaakkola, EMNLP 2018),
    refined by Procrustes on mutual nearest neighbours (Conneau et al., ICLR 2018). The question is
    that of vec2vec (arXiv 2505.12540), which trains networks on millions of vectors; a gallery has
    thousands, so people are matched instead: those whose pictures are held with groups of vectors
    that seem to be of one person. A search for the pictures held through the alignment is the
    figure, and attributes are read through it by labels of own pictures.

    Attributes:
        own_model: label of the judge that is the adversary's own network; by default it is the
            shipped one, of synthetic people.
        together: whether people whose pictures are held are matched with the gallery's; otherwise
            only the own pictures of other people are, who are not in it.
        pairs: own pictures of other people whose stored vectors are known nevertheless.
        starts: how many times the matching is begun; the best agreement of distances counts.
        curve: numbers of known pairs for which the search is repeated.
        people: as many of the people are matched at most; time grows with the cube of it.
        entries: as many stored vectors are grouped at most; memory grows with the square of it.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    own_model: str = ""
    together: bool = True
    pairs: NonNegativeInt = 0
    starts: PositiveInt = 4
    curve: tuple[PositiveInt, ...] = (5, 20, 50, 100, 500)
    people: Annotated[int, Field(ge=FEWEST)] = 600
    entries: Annotated[int, Field(ge=FEWEST)] = 6000
    min_people: PositiveInt = MEASURABLE

    family: ClassVar[str] = "alignment"
    adversary: ClassVar[Adversary] = threat_models.STRANGER
    headline: ClassVar[str] = f"{NAME}_rank1"

    def __post_init__(self) -> None:
        if self.own_model == "target":
            raise UsageError("own_model: target is the audited model; name another judge")

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        stored = stored_gallery(target, ctx)
        network, called = own_network(self.own_model, target, ctx)
        spaces = self._study(network, stored, target, ctx)
        results = {
            kind: self._search(spaces, features_of(network, split, ctx), target, ctx)
            for kind, split in held_pictures_shown(target, ctx).items()
        }
        results = {kind: replace(r, notes=(*r.notes, _own(called))) for kind, r in results.items()}
        if len(results) == 1:
            return results["clean"]
        return worse_result(results, "people were looked for by clean and by protected pictures")

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the search by pictures whose vectors' moments are known."""
        return find_people(planted, ctx, NAME)

    def _study(
        self, network: FeatureExtractor, stored: Tensor, target: Target, ctx: RunContext
    ) -> "_Spaces":
        """Return both spaces.

        Raises:
            UnsupportedTargetError: if there are too few people to recognise a crowd by.
        """
        shown = own_pictures_shown(target, ctx)
        for whose, split in (("the adversary's own", shown), ("held", target.data.query)):
            if (people := len(split.pids[split.pids > 0].unique())) < FEWEST:
                raise UnsupportedTargetError(
                    f"pictures that are {whose} show {pluralize(people, 'person', 'people')}; "
                    f"crowds are recognised by {FEWEST} people or more"
                )
        if len(stored) < FEWEST:
            raise UnsupportedTargetError(f"{len(stored)} stored vectors are no crowd")
        learned = features_of(network, shown, ctx)
        own = know_people(learned, shown.pids, fit_whitening(learned, shown.pids), self.people)
        generator = ctx.generator("attacks.alignment.entries")
        some = torch.randperm(len(stored), generator=generator)[: self.entries].sort().values
        usual = len(own.rows) / len(shown.pids[shown.pids > 0].unique())
        held = len(target.data.query.pids[target.data.query.pids > 0].unique())
        theirs = guess_people(stored[some], max(len(some) / usual, held), self.people)
        return _Spaces(own, own.whiten(learned), theirs, theirs.whiten(stored))

    def _search(
        self, spaces: "_Spaces", held: Tensor, target: Target, ctx: RunContext
    ) -> AttackResult:
        """Search with features ``(Q, D)`` of pictures held, by the own network."""
        data, whiten = target.data, spaces.own.whiten
        known = spaces.own
        if self.together:
            known = know_people(held, data.query.pids, whiten, self.people)
        order = torch.randperm(
            len(spaces.learned), generator=ctx.generator("attacks.alignment.pairs")
        )
        answers = self._answers(spaces, target, ctx)

        def aligned(count: int) -> Tensor:
            anchors = Anchors(spaces.learned[order[:count]], answers[order[:count]])
            generator = ctx.generator("attacks.alignment.starts")
            return align(known, spaces.theirs, anchors, self.starts, generator)

        def find(turn: Tensor) -> tuple[Measurement, Measurement]:
            return score_search(NAME, whiten(held) @ turn, spaces.entries, data)

        turn = aligned(self.pairs)
        read = read_aligned(
            f"{NAME}_attributes",
            spaces.learned @ turn,
            spaces.entries,
            data,
            self.min_people,
            ctx,
        )
        counts = sorted({count for count in self.curve if count <= len(order)})
        points = []
        for done, count in enumerate(counts):
            ctx.progress(done / len(counts), "aligning by known pairs")
            points.append((count, find(aligned(count))[0]))
        curves = (_curve(points),) if points else ()
        return AttackResult((*find(turn), *read), notes=(self._note(known),), curves=curves)

    def _answers(self, spaces: "_Spaces", target: Target, ctx: RunContext) -> Tensor:
        """Return stored vectors ``(N, F)`` of own pictures, whitened; read only where known."""
        if not (self.pairs or self.curve):
            return spaces.learned.new_zeros(len(spaces.learned), 0)
        clean = own_pictures(target, ctx).features
        released = target.release(clean, ctx.generator("attacks.alignment.release"))
        return spaces.theirs.whiten(released)

    def _note(self, known: Crowd) -> str:
        who = "people whose pictures are held" if self.together else "other people"
        pairs = f" and {pluralize(self.pairs, 'known pair')}" if self.pairs else ", no known pair"
        return f"aligned by {len(known.people)} {who}{pairs}"


@dataclass(frozen=True, eq=False)
class _Spaces:
    """The adversary's space and the stolen one.

    Attributes:
        own: other people whose pictures are the adversary's own.
        learned: ``(N, E)`` unit rows of all own pictures.
        theirs: groups of stored vectors.
        entries: ``(G, F)`` unit rows of all stored vectors.
    """

    own: Crowd
    learned: Tensor
    theirs: Crowd
    entries: Tensor


def _own(called: str) -> str:
    return f"the adversary's own extractor is {called}"


def _curve(points: Sequence[tuple[int, Measurement]]) -> Curve:
    return Curve(
        name="pairs",
        metric=f"{NAME}_rank1",
        x="known pairs",
        points=tuple(found.at(count) for count, found in points),
        log_x=True,
    )
