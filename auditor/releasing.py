"""How features come to be stored, and what no release may do.

A release that gives NaN for a row, or loses one, takes from an attack what a deployment may still
hold: the attack would read as chance, and chance as privacy. So whatever a release gives is looked
at, wherever it is used: in the stored gallery and in an adversary's own draws.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from auditor.errors import ModelError

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
    finite = released.isfinite().all(1)
    if not finite.all():
        raise ModelError(
            f"the release gave NaN or infinity in {int((~finite).sum())} of {len(released)} rows; "
            "check the defense's parameters"
        )
    return released


def shared_rows(stored: Tensor, pids: Tensor) -> int:
    """Return how many of ``stored (N, D)`` are equal, to the last bit, to a row of another person.

    >>> rows = torch.tensor([[1.0], [1.0], [2.0], [2.0]])
    >>> shared_rows(rows, torch.tensor([1, 2, 3, 3]))
    2
    """
    people: dict[bytes, set[int]] = {}
    keys = [row.tobytes() for row in (stored.detach().cpu() + 0.0).numpy()]
    for key, pid in zip(keys, pids.tolist(), strict=True):
        people.setdefault(key, set()).add(pid)
    return sum(len(people[key]) > 1 for key in keys)
