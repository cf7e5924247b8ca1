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

from attacks.gaussian import People, fit_people
from attacks.publication import published, released
from auditor.types import RunContext, Target

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
        ).ridged()
        variances, columns = scipy.linalg.eigh(pooled.between.numpy(), pooled.within.numpy())
        axes = torch.from_numpy(columns)
        return cls(pooled.mean, axes, torch.from_numpy(variances).clamp_min(0))

    def project(self, entries: Tensor) -> Tensor:
        """Entries ``(N, D)`` along the axes, float64."""
        return (entries.double() - self.mean) @ self.axes

    def weigh(self, entries: Tensor) -> Tensor:
        """Entries ``(N, D)`` to ``(N, D)`` whose cosine tells whether two show one person.

        The inner product is the part of the likelihood ratio that depends on both entries.
        """
        return (self.project(entries) * (self.between / (1 + 2 * self.between)).sqrt()).float()


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
        counts = labels.bincount().double()[:, None]
        rows = plda.project(entries)
        means = torch.zeros(len(counts), rows.shape[1], dtype=torch.float64)
        means = means.index_add_(0, labels, rows) / counts
        gain = counts * plda.between / (1 + counts * plda.between)
        return cls(plda, gain * means, 1 + plda.between / (1 + counts * plda.between))

    def log_likelihood(self, entries: Tensor) -> Tensor:
        """How likely entries ``(N, D)`` are each person's ``(N, P)``, but for a constant a row."""
        rows = self.plda.project(entries)
        bias = (self.expected.square() / self.spread + self.spread.log()).sum(1)
        squares = rows.square() @ (1 / self.spread).T
        return rows @ (self.expected / self.spread).T - (squares + bias) / 2


def study_auxiliary(
    target: Target,
    prepare: Callable[[Tensor], Tensor],
    ctx: RunContext,
    name: str,
    publications: int = 1,
) -> People | None:
    """The model of auxiliary people's stored entries; None where there are fewer than two people.

    Args:
        target: whose protection and release the pictures go through.
        prepare: what is done to entries before they are modelled. Covariances are shrunk towards a
            ball, in which a faint coordinate has no place unless all are on one scale.
        ctx: the run.
        name: draws are made under it.
        publications: under so many own keys the pictures are published, where anything protects
            them; entries of one person then differ by the key as well.

    Raises:
        ModelError: if the release gives NaN or infinity.
    """
    auxiliary = target.data.auxiliary
    if len(auxiliary.pids.unique()) < 2:
        return None
    keys = publications if target.publish is not None else 1
    seen = torch.cat(
        [published(target, auxiliary, ctx, f"{name}.key{key}")[1] for key in range(keys)]
    )

    def draw(generator: torch.Generator) -> Tensor:
        return prepare(released(target, seen, generator)).double()

    rows, noise = study_draws(draw, ctx.generator(f"{name}.release"))
    people = fit_people(rows, auxiliary.pids.repeat(keys))
    return replace(people, within=people.within + noise)


def study_draws(
    draw: Callable[[torch.Generator], Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The mean ``(N, D)`` of several draws, and the noise that it lacks ``(D, D)``.

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
