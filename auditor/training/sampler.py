"""Batches of P people with K pictures each, for losses that compare pictures with one another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from auditor.errors import DataError
from auditor.report import pluralize
from auditor.types import Split

LOOKED_AT = 16
"""Pictures of one person that are looked at together; more would be frames of the same walk."""


@dataclass(frozen=True, eq=False)
class Pictures(Dataset[tuple[Tensor, int]]):
    """The pictures of a split at one size, with a class per person.

    Attributes:
        split: N pictures; distractors have no business here.
        size: (height, width).
        classes: ``(N,)`` int64, persons numbered from 0 in the order of their pids.
    """

    split: Split
    size: tuple[int, int]
    classes: Tensor

    @property
    def people(self) -> int:
        """How many persons there are."""
        return int(self.classes.max()) + 1

    def by_person(self) -> Iterator[Tensor]:
        """Yield per person, up to `LOOKED_AT` pictures ``(V, 3, H, W)``."""
        for person in range(self.people):
            rows = (self.classes == person).nonzero().flatten()[:LOOKED_AT]
            yield self.split.images.load(rows.tolist(), self.size)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """Return one picture ``(3, H, W)`` and its class."""
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[tuple[Tensor, int]]:
        """Return what a DataLoader asks for: a whole batch at once."""
        images = self.split.images.load(rows, self.size)
        return list(zip(images, self.classes[rows].tolist(), strict=True))


def pictures(split: Split, size: tuple[int, int]) -> Pictures:
    """Return the pictures of everybody in ``split`` who has a name.

    Raises:
        DataError: if fewer than two people are there, for nothing tells them apart then.
    """
    people = split.take(torch.nonzero(split.pids > 0).flatten())
    named, classes = people.pids.unique(return_inverse=True)
    if len(named) < 2:
        raise DataError(
            f"the training split has {pluralize(len(named), 'person', 'people')}; label two or "
            "more as 'train' or 'auxiliary', or make a split with: audit data split DIR --out "
            "manifest.csv"
        )
    return Pictures(people, size, classes)


@dataclass
class PeopleSampler(Sampler[int]):
    """Rows in runs of ``people`` × ``views``, each person by different cameras where possible.

    Everybody comes once before anybody comes again. An epoch depends on (seed, epoch, rank) alone,
    so a resumed training meets the batches the interrupted one would have met, and the processes
    of a distributed one meet different ones.

    Attributes:
        classes: ``(N,)`` from 0.
        camids: ``(N,)``.
        people: persons per batch; at most as many as there are.
        views: pictures of each; somebody with fewer is shown some of them again.
        steps: batches per epoch.
        seed: of all epochs.
        epoch: the coming one; whoever trains sets it.
    """

    classes: Tensor
    camids: Tensor
    people: int
    views: int
    steps: int
    seed: int
    epoch: int = 0

    def __post_init__(self) -> None:
        count = int(self.classes.max()) + 1
        self.people = min(self.people, count)
        order = self.classes.argsort(stable=True)
        sizes = self.classes.bincount(minlength=count).tolist()
        self.rows: Sequence[Tensor] = order.split(sizes)

    def set_epoch(self, epoch: int) -> None:
        """Lightning's hook, called before every epoch."""
        self.epoch = epoch

    @property
    def batch(self) -> int:
        """Rows that belong together."""
        return self.people * self.views

    def __len__(self) -> int:
        return self.steps * self.batch

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers, the pictures of a person together."""
        seed = self.seed + 1_000_003 * self.epoch + 7_919 * rank()
        generator = torch.Generator().manual_seed(seed)
        waiting: list[int] = []
        for _ in range(self.steps):
            if len(waiting) < self.people:
                # those still waiting come first, and in the new round last, so that nobody
                # comes twice in one batch
                fresh = torch.randperm(len(self.rows), generator=generator).tolist()
                waiting += sorted(fresh, key=waiting.__contains__)
            batch, waiting = waiting[: self.people], waiting[self.people :]
            yield from torch.cat([self.choose(c, generator) for c in batch]).tolist()

    def choose(self, person: int, generator: torch.Generator) -> Tensor:
        """Choose ``(views,)`` rows of a person at random, those by cameras not yet seen first."""
        rows = self.rows[person]
        rows = rows[torch.randperm(len(rows), generator=generator)]
        seen: dict[int, int] = {}
        repeats = []
        for camera in self.camids[rows].tolist():
            seen[camera] = seen.get(camera, 0) + 1
            repeats.append(seen[camera])
        rows = rows[torch.tensor(repeats).argsort(stable=True)]
        return rows.repeat(-(-self.views // len(rows)))[: self.views]


def rank() -> int:
    """Return which of the processes of a distributed training this is; 0 outside of one."""
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0
