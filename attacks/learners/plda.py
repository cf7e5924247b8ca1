"""What auxiliary people teach of released features: how people differ, and entries of one person.

The two-covariance model (Ioffe, ECCV 2006; Brümmer and de Villiers, Odyssey 2010), fitted to
features that went through the target's own protection and release, so that whatever these add is
part of the spread within people. Several draws of a random release tell its noise from the people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import scipy.linalg
import torch
from torch import Tensor

from attacks.learners.gaussian import People, fit_people
from attacks.learners.mapping import views_of
from attacks.learners.people import sum_groups
from attacks.protocol.publication import own_pictures, publish_own
from auditor.row_blocks import map_rows
from auditor.types import Release, RunContext, Target

Prepare = Callable[[Tensor], Tensor]
"""What an attack makes of stored entries ``(N, D)`` before it models them: ``(N, E)``."""
DRAWS = 8
"""Releases of each auxiliary picture, where the release is random."""


@dataclass(frozen=True, eq=False)
class Plda:
    """The model in axes where one stored entry's spread about its person is the unit matrix.

    Attributes:
        mean: ``(D,)`` of people's centres.
        axes: ``(D, D)`` in columns.
        between: ``(D,)`` variance of the centres along them.
    """

    mean: Tensor
    axes: Tensor
    between: Tensor

    @classmethod
    def of(cls, crowds: Sequence[People]) -> "Plda":
        """From models of several crowds, each counting by its people and by its rows.

        Args:
            crowds: one or more; the mean is that of the last, whose entries are attacked.
        """
        people, freedom = sum(one.people for one in crowds), sum(one.freedom for one in crowds)
        pooled = replace(
            crowds[-1],
            between=_total([one.between * (one.people / people) for one in crowds]),
            within=_total([one.within * (one.freedom / max(1, freedom)) for one in crowds]),
        ).ridge()
        variances, columns = scipy.linalg.eigh(pooled.between.numpy(), pooled.within.numpy())
        axes = torch.from_numpy(columns)
        return cls(pooled.mean, axes, torch.from_numpy(variances).clamp_min(0))

    def project(self, entries: Tensor) -> Tensor:
        """Return the entries ``(N, D)`` along the axes, float64."""
        return (entries.double() - self.mean) @ self.axes

    def weigh(self, entries: Tensor) -> Tensor:
        """Entries ``(N, D)`` to ``(N, D)`` whose cosine tells whether two show one person.

        The inner product is the part of the likelihood ratio that depends on both entries.
        """
        weights = (self.between / (1 + 2 * self.between)).sqrt()
        return map_rows(lambda rows: (self.project(rows) * weights).float(), entries)


def _total(matrices: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(matrices)).sum(0)


@dataclass(frozen=True, eq=False)
class Suspects:
    """What is expected of the next entry of each person who is known by some entries.

    Attributes:
        plda: the model.
        expected: ``(P, D)`` along its axes.
        spread: ``(P, D)`` variance about it.
    """

    plda: Plda
    expected: Tensor
    spread: Tensor

    @classmethod
    def of(cls, plda: Plda, entries: Tensor, labels: Tensor) -> "Suspects":
        """From entries ``(N, D)`` of persons ``labels (N,)`` 0, 1, …, each at least once."""
        counts = labels.bincount().double()
        rows = plda.project(entries)
        return cls.from_sums(plda, sum_groups(rows, labels, len(counts)), counts)

    @classmethod
    def from_sums(cls, plda: Plda, sums: Tensor, counts: Tensor) -> "Suspects":
        """From each person's sum ``(P, D)`` of projected entries and their count ``(P,)``."""
        left = plda.between / (1 + counts[:, None] * plda.between)
        return cls(plda, left * sums, 1 + left)

    def log_likelihood(self, entries: Tensor) -> Tensor:
        """How likely entries ``(N, D)`` are each person's ``(N, P)``, but for a constant a row."""
        rows = self.plda.project(entries)
        return self.weigh_rows(rows, rows.square())

    def weigh_rows(self, rows: Tensor, squares: Tensor) -> Tensor:
        """Compute the same ``(N, P)`` from projected rows and their squares ``(N, D)``, or means.

        It is linear in both, so that of their means is the mean over several entries.
        """
        bias = (self.expected.square() / self.spread + self.spread.log()).sum(1)
        far = squares @ (1 / self.spread).T
        return rows @ (self.expected / self.spread).T - (far + bias) / 2


@dataclass(frozen=True, eq=False)
class Own:
    """Auxiliary people as the adversary has them, before any release.

    Attributes:
        features: ``(N, D)`` of the pictures as they are published.
        pids: ``(N,)`` whose they are.
        views: ``(N,)`` how each was seen; see `views_of`.
        release: how features are stored; fresh draws of it are taken.
    """

    features: Tensor
    pids: Tensor
    views: Tensor
    release: Release

    @classmethod
    def of(cls, target: Target, ctx: RunContext, name: str, keys: int = 1) -> "Own":
        """Return what goes through the target's own protection and release.

        Args:
            target: whose they are.
            ctx: the run.
            name: keys beyond the first, which all attacks share, are drawn under it.
            keys: under so many the pictures are published, where anything protects them; entries of
                one person then differ by the key as well.
        """
        auxiliary, views = target.data.auxiliary, views_of(target.data)
        keys = keys if target.publish is not None else 1
        seen = [own_pictures(target, ctx).features]
        seen += [
            publish_own(target, auxiliary, ctx, f"{name}.key{key}")[1] for key in range(1, keys)
        ]

        columns = auxiliary.pids.repeat(keys), views.repeat(keys)
        return cls(torch.cat(seen), *columns, target.release)

    def take(self, rows: Tensor) -> "Own":
        """Those at ``rows``, positions or a mask."""
        columns = {name: getattr(self, name)[rows] for name in ("features", "pids", "views")}
        return replace(self, **columns)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return a fresh release ``(N, D)`` of all.

        Raises:
            ModelError: if it contains NaN or infinity.
        """
        return self.release(self.features, generator)


def study(own: Own, prepare: Prepare, generator: torch.Generator) -> People | None:
    """Model auxiliary people's stored entries; None where there are fewer than two people.

    Args:
        own: the people.
        prepare: what is done to entries before they are modelled.
        generator: of the releases.
    """
    if len(own.pids.unique()) < 2:
        return None
    rows, noise = study_draws(lambda draws: prepare(own.draw(draws)).double(), generator)
    people = fit_people(rows, own.pids)
    return replace(people, within=people.within + noise)


def study_draws(
    draw: Callable[[torch.Generator], Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the mean ``(N, D)`` of several draws, and the noise that it lacks ``(D, D)``.

    The latter is the covariance by which one draw spreads more than the mean of all.
    """
    first, second = draw(generator), draw(generator)
    width = first.shape[1]
    if torch.equal(first, second):
        return first, torch.zeros(width, width, dtype=torch.float64)
    total, scatter = torch.zeros_like(first), torch.zeros(width, width, dtype=torch.float64)
    step = second - first  # about the first draw, so that no digits are lost
    for count in range(1, DRAWS):
        if count > 1:
            step = draw(generator) - first
        total += step
        scatter += step.T @ step
    shift = total / DRAWS
    noise = (scatter - DRAWS * shift.T @ shift) / (len(first) * (DRAWS - 1))
    return first + shift, noise * (1 - 1 / DRAWS)
