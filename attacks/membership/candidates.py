"""Who may be a member: the people the model was trained on, and others it has never seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.types import FeatureExtractor, ReIDDataset, RunContext, Split, Target

MIN_PEOPLE = 4
"""On either side: two to learn from, two to be told apart."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pictures of people, some of whom the model was trained on.

    Attributes:
        sources: the splits the pictures come from.
        rows: ``(N,)`` which of the pictures of all sources, one source after the other.
        pids: ``(N,)``.
        member: ``(N,)`` bool; the same for all pictures of a person.
    """

    sources: tuple[Split, ...]
    rows: Tensor
    pids: Tensor
    member: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def person(self) -> Tensor:
        """``(N,)`` the person of each picture, numbered from 0 in the order of pids."""
        person: Tensor = self.pids.unique(return_inverse=True)[1]
        return person

    @property
    def people_are_members(self) -> Tensor:
        """``(P,)`` bool in the order of pids."""
        people = self.pids.unique()
        return torch.isin(people, self.pids[self.member])

    def take(self, chosen: Tensor) -> "Candidates":
        """Those pictures ``(M,)`` (positions or bool) alone."""
        return replace(
            self, rows=self.rows[chosen], pids=self.pids[chosen], member=self.member[chosen]
        )

    def at_most(self, pictures: int, generator: torch.Generator) -> "Candidates":
        """No more than so many pictures of each person, drawn at random."""
        order = torch.randperm(len(self), generator=generator)
        order = order[self.pids[order].argsort(stable=True)]
        _, counts = self.pids.unique(return_counts=True)
        place = torch.cat([torch.arange(int(count)) for count in counts])
        return self.take(order[place < pictures])

    def features(self, extractor: FeatureExtractor, ctx: RunContext) -> Tensor:
        """Return ``(N, D)`` on the CPU; whole splits are embedded once per run."""
        parts = [features_of(extractor, source, ctx) for source in self.sources]
        return torch.cat(parts)[self.rows]

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)``."""
        starts = torch.tensor([0, *(len(source) for source in self.sources)]).cumsum(0)
        rows = self.rows[torch.as_tensor(indices, dtype=torch.long)]
        images = torch.empty(len(rows), 3, *size)
        for source, start, stop in zip(self.sources, starts, starts[1:], strict=False):
            here = (rows >= start) & (rows < stop)
            if here.any():
                images[here] = source.images.load((rows[here] - start).tolist(), size)
        return images


def candidates_of(target: Target, ctx: RunContext) -> Candidates:
    """Members (train) and non-members (query and gallery) with two pictures or more.

    Raises:
        UnsupportedTargetError: if nobody is declared a member, or too few are left on a side.
        ModelError: if the extractor's features are of no use.
    """
    data = target.data
    # a broken model is to be named before the data is found wanting
    features_of(target.extractor, data.query, ctx)
    inside = members_of(data)
    if not len(inside):
        raise UnsupportedTargetError(
            "nobody is declared to be in the model's training set: label the pictures of the "
            "people it was trained on 'train' in the manifest's column 'split', and those of the "
            "adversary's own people 'auxiliary'"
        )
    sources = data.train, data.query, data.gallery
    pids = torch.cat([source.pids for source in sources])
    in_train = torch.arange(len(pids)) < len(data.train)
    member = torch.isin(pids, inside)
    # other pictures of members, and train pictures of anybody else, belong to neither side
    kept = (member == in_train) & (pids > 0)
    rows = kept.nonzero().flatten()
    found = Candidates(sources, rows, pids[rows], member[rows])
    return _check(found.take(_several(found.pids)))


def members_of(data: ReIDDataset) -> Tensor:
    """Return the people ``(M,)`` of train who are not the adversary's own, in the order of pids."""
    people: Tensor = data.train.pids.unique()
    return people[(people > 0) & ~torch.isin(people, data.auxiliary.pids)]


def strangers_of(data: ReIDDataset) -> Candidates:
    """Return the adversary's own people with two pictures or more: certainly no members.

    Raises:
        UnsupportedTargetError: if there are too few.
    """
    pids = data.auxiliary.pids
    found = Candidates(
        (data.auxiliary,), torch.arange(len(pids)), pids, torch.zeros_like(pids, dtype=torch.bool)
    )
    found = found.take(_several(pids) & (pids > 0))
    if len(found.pids.unique()) < MIN_PEOPLE:
        raise UnsupportedTargetError(
            f"auxiliary people with two pictures: {len(found.pids.unique())}; what strangers look "
            f"like to the model is learned from {MIN_PEOPLE} or more"
        )
    return found


def divide_people(
    people: Candidates, known_share: float, generator: torch.Generator
) -> tuple[Candidates, Candidates]:
    """Known and attacked people: of members and of others ``known_share`` are known, two at least.

    At least two of either remain to be attacked.
    """
    labels, pids = people.people_are_members, people.pids.unique()
    first = []
    for side in (labels, ~labels):
        own = pids[side]
        count = min(max(2, round(known_share * len(own))), len(own) - 2)
        first.append(own[torch.randperm(len(own), generator=generator)[:count]])
    chosen = torch.isin(people.pids, torch.cat(first))
    return people.take(chosen), people.take(~chosen)


def _several(pids: Tensor) -> Tensor:
    """Return ``(N,)`` whether a picture's person has another."""
    _, person, counts = pids.unique(return_inverse=True, return_counts=True)
    several: Tensor = counts[person] > 1
    return several


def _check(people: Candidates) -> Candidates:
    inside = people.people_are_members
    counts = {"members": int(inside.sum()), "non-members": int((~inside).sum())}
    for name, count in counts.items():
        if count < MIN_PEOPLE:
            raise UnsupportedTargetError(
                f"{count} {name} have two pictures or more; membership inference needs "
                f"{MIN_PEOPLE} on either side (split 'train' against 'query' and 'gallery')"
            )
    return people
