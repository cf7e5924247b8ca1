"""How features come to be stored, and what no release may do.

A release that gives NaN for a row, or loses one, takes from an attack what a deployment may still
hold: the attack would read as chance, and chance as privacy. So whatever a release gives is looked
at, wherever it is used: in the stored gallery and in an adversary's own draws.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from auditor.errors import ModelError
from auditor.row_blocks import BLOCK, split_rows

ENDS: tuple[Literal["amin", "amax"], ...] = ("amin", "amax")

Release = Callable[[Tensor, torch.Generator], Tensor]
"""Clean features ``(N, D)`` and randomness to the features that are stored ``(N, D)``.

The generator is on the CPU. Features are too, unless the release has ``any_device = True``: then it
computes wherever they are.
"""


def as_is(features: Tensor, generator: torch.Generator) -> Tensor:
    """Return the release of an undefended gallery."""
    return features


@runtime_checkable
class ByRecord(Protocol):
    """A release that knows a record again, so that releasing it often tells nothing new."""

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """See `Release`; of features whose records nobody knows."""
        ...

    def of_records(self, features: Tensor, generator: torch.Generator, records: Tensor) -> Tensor:
        """Return the same release of ``records (N, 32)`` (`auditor.data.records`).

        Equal ones are one record.
        """
        ...


@runtime_checkable
class Streaming(Protocol):
    """A release that takes rows a block at a time: of a large gallery no second copy is needed."""

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """See `Release`."""
        ...

    def stream(self, blocks: Iterable[Tensor], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield what the call gives, for the rows of one of the ``blocks`` after another.

        Whatever is drawn from ``generator`` is drawn before the first block is asked for.
        """
        ...


@dataclass(frozen=True)
class Checked:
    """A release of which every answer is looked at."""

    release: Release

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """See `Release`.

        Raises:
            ModelError: if what it gives is no finite row for each feature.
        """
        return stored_rows(self.release(features, generator), features)


@dataclass(frozen=True)
class Composed:
    """One release after another; the second one sees nothing but what the first one gives.

    So whatever noise the first one added is still there, and what is claimed for it holds: a
    defense that stores features in another way composes with the release it is given.
    """

    first: Release
    then: Release

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """See `Release`."""
        return self.then(self.first(features, generator), generator)


def follows(release: Release, first: Release) -> bool:
    """Return whether ``release`` is ``first``, or works on its rows alone."""
    if release is first:
        return True
    if isinstance(release, Checked | Written):
        return follows(release.release, first)
    return isinstance(release, Composed) and follows(release.first, first)


@dataclass(frozen=True, eq=False)
class Written:
    """A release of which one draw is known, because it was written down: the stored gallery.

    Attributes:
        release: the mechanism, for further draws of it.
        rows: ``(N, D)`` what it gave for the gallery.
    """

    release: Release
    rows: Tensor

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """See `Release`."""
        return self.release(features, generator)


def draw_release(release: Release, features: Tensor, generator: torch.Generator) -> Tensor:
    """Return a fresh draw of ``release`` for ``features (N, D)``, on their device.

    A release that computes there is given them as they are, and so is one that stores them as they
    are; for any other one they make a detour through the CPU.
    """
    if computes_anywhere(release):
        return release(features, generator)
    return release(features.cpu(), generator).to(features.device)


def computes_anywhere(release: Release) -> bool:
    """Return whether ``release`` takes features on any device."""
    if isinstance(release, Composed):
        return computes_anywhere(release.first) and computes_anywhere(release.then)
    if isinstance(release, Checked | Written):
        return computes_anywhere(release.release)
    return release is as_is or bool(getattr(release, "any_device", False))


def by_record(release: Release) -> bool:
    """Return whether anything in ``release`` asks which record a row is."""
    if isinstance(release, Checked):
        return by_record(release.release)
    if isinstance(release, Composed):
        return by_record(release.first) or by_record(release.then)
    if isinstance(release, Written):
        return by_record(release.release)
    return isinstance(release, ByRecord)


def release_records(
    release: Release, features: Tensor, generator: torch.Generator, records: Tensor
) -> Tensor:
    """Return what ``release`` gives for ``features (N, D)`` of known ``records (N, 32)``."""
    if isinstance(release, Checked):
        released = release_records(release.release, features, generator, records)
        return stored_rows(released, features)
    if isinstance(release, Composed):
        first = release_records(release.first, features, generator, records)
        return release_records(release.then, first, generator, records)
    if isinstance(release, Written):
        return release_records(release.release, features, generator, records)
    if isinstance(release, ByRecord):
        return release.of_records(features, generator, records)
    return release(features, generator)


def release_blocks(
    release: Release, features: Tensor, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield what ``release`` gives for ``features (N, D)``, a block of rows at a time.

    A release that does not stream gives all of them at once, and they are yielded in blocks.
    """
    if not streams(release):
        return split_rows(release(features, generator))
    return _stream(release, split_rows(features), generator)


def streams(release: Release) -> bool:
    """Return whether ``release`` takes rows a block at a time."""
    if isinstance(release, Composed):
        return streams(release.first) and streams(release.then)
    if isinstance(release, Checked | Written):
        return streams(release.release)
    return release is as_is or isinstance(release, Streaming)


def _stream(
    release: Release, blocks: Iterator[Tensor], generator: torch.Generator
) -> Iterator[Tensor]:
    if isinstance(release, Composed):
        return _stream(release.then, _stream(release.first, blocks, generator), generator)
    if isinstance(release, Checked):
        given, kept = tee(blocks)
        return map(stored_rows, _stream(release.release, given, generator), kept)
    if isinstance(release, Written):
        return _stream(release.release, blocks, generator)
    return release.stream(blocks, generator) if isinstance(release, Streaming) else blocks


def written_rows(release: Release) -> Tensor | None:
    """Return the stored gallery ``(N, D)`` if it was written down and is unchanged since."""
    if isinstance(release, Checked):
        return written_rows(release.release)
    return release.rows if isinstance(release, Written) else None


def check_release(release: Release) -> Release:
    """Return the same release, looked at once."""
    return release if release is as_is or isinstance(release, Checked) else Checked(release)


def stored_rows(released: Tensor, features: Tensor) -> Tensor:
    """Return what a release gave for ``features (N, D)``, if it can be stored and searched.

    Raises:
        ModelError: if it cannot.
    """
    if not isinstance(released, Tensor):
        raise ModelError(f"the release gave {type(released).__name__}, not a tensor of features")
    if released.shape != features.shape or not released.is_floating_point():
        raise ModelError(
            f"the release gave {released.dtype} of shape {tuple(released.shape)} for features of "
            f"shape {tuple(features.shape)}; it must give a row of real numbers for each"
        )
    bad = sum(int((~rows.isfinite()).any(1).sum()) for rows in released.split(BLOCK))
    if bad:
        raise ModelError(
            f"the release gave NaN or infinity in {bad} of {len(released)} rows; "
            "check the defense's parameters"
        )
    return released


def shared_rows(stored: Tensor, pids: Tensor) -> int:
    """Return how many of ``stored (N, D)`` are equal, to the last bit, to a row of another person.

    >>> rows = torch.tensor([[1.0], [1.0], [2.0], [2.0]])
    >>> shared_rows(rows, torch.tensor([1, 2, 3, 3]))
    2
    """
    alike = _number_rows(stored.detach())
    owners = pids.new_zeros(int(alike.max()) + 1 if len(alike) else 0)
    least, most = (owners.scatter_reduce(0, alike, pids, how, include_self=False) for how in ENDS)
    return int((least != most)[alike].sum())


def _number_rows(rows: Tensor) -> Tensor:
    """Return a number for each of ``rows (N, D)``, equal for equal ones: of a row's digest."""
    digests = [
        hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        for block in split_rows(rows)
        for row in (block.cpu() + 0.0).numpy()  # a negative zero equals the other one
    ]
    return torch.from_numpy(np.unique(np.array(digests, dtype="V16"), return_inverse=True)[1])
