"""Two spaces and the turn between them: what every attack without the model begins with."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from attacks.alignment.crowds import FEWEST, Crowd, guess_people, know_people
from attacks.alignment.matching import Anchors, align
from attacks.attribute.pooling import fit_whitening
from attacks.protocol.publication import own_pictures, own_pictures_shown
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError, UsageError
from auditor.plugins.declaring import JudgeLabel, checked_dataclass
from auditor.report import pluralize
from auditor.types import FeatureExtractor, RunContext, Target


@dataclass(frozen=True, eq=False)
class Spaces:
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


@checked_dataclass
class Aligner:
    """How an own network's space is turned into that of stolen vectors.

    Attributes:
        own_model: label of the judge that is the adversary's own network; by default it is the
            shipped one, of synthetic people.
        together: whether people whose pictures are held are matched with the gallery's; otherwise
            only the own pictures of other people are, who are not in it.
        pairs: own pictures of other people whose stored vectors are known nevertheless.
        starts: how many times the matching is begun; the best agreement of distances counts.
        people: as many of the people are matched at most; time grows with the cube of it.
        entries: as many stored vectors are grouped at most; memory grows with the square of it.
    """

    own_model: JudgeLabel = ""
    together: bool = True
    pairs: NonNegativeInt = 0
    starts: PositiveInt = 4
    people: Annotated[int, Field(ge=FEWEST)] = 600
    entries: Annotated[int, Field(ge=FEWEST)] = 6000

    def __post_init__(self) -> None:
        if self.own_model == "target":
            raise UsageError("own_model: target is the audited model; name another judge")

    def study(
        self, network: FeatureExtractor, stored: Tensor, target: Target, ctx: RunContext
    ) -> Spaces:
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
        return Spaces(own, own.whiten(learned), theirs, theirs.whiten(stored))

    def known(self, spaces: Spaces, held: Tensor, pids: Tensor) -> Crowd:
        """Return whom to match with the gallery's people.

        Args:
            spaces: both.
            held: ``(Q, D)`` features of pictures held, by the own network.
            pids: ``(Q,)``, whose they are.
        """
        if not self.together:
            return spaces.own
        return know_people(held, pids, spaces.own.whiten, self.people)

    def turn(self, spaces: Spaces, known: Crowd, anchors: Anchors, ctx: RunContext) -> Tensor:
        """Return the orthogonal map ``(E, F)`` to the stolen space."""
        generator = ctx.generator("attacks.alignment.starts")
        return align(known, spaces.theirs, anchors, self.starts, generator)

    def note(self, known: Crowd, pairs: int) -> str:
        """Say by whom the spaces are aligned, with so many known pairs."""
        who = "people whose pictures are held" if self.together else "other people"
        told = f" and {pluralize(pairs, 'known pair')}" if pairs else ", no known pair"
        return f"aligned by {len(known.people)} {who}{told}"

    def anchors(self, spaces: Spaces, count: int, target: Target, ctx: RunContext) -> Anchors:
        """Return up to ``count`` own pictures with their stored vectors; of 0, none is asked."""
        if not count:
            return Anchors(spaces.learned[:0], spaces.entries[:0])
        shuffled = ctx.generator("attacks.alignment.pairs")
        some = torch.randperm(len(spaces.learned), generator=shuffled)[:count]
        clean = own_pictures(target, ctx).features
        released = target.release(clean, ctx.generator("attacks.alignment.release"))
        return Anchors(spaces.learned[some], spaces.theirs.whiten(released)[some])


def tell_network(called: str) -> str:
    """Say which network the adversary has."""
    return f"the adversary's own extractor is {called}"
