"""Gaussian models of noisy features: one denoises them, one matches them with clean pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import scipy.linalg
import torch
import torch.nn.functional as F
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from attacks.learners.people import PersonMeans
from auditor.row_blocks import map_rows, split_rows

RIDGE = 1e-3
"""Share of the mean variance added to the spread within people, which few pictures understate."""


@dataclass(frozen=True)
class Scale:
    """What a release did to features before it added noise: unit length or not, times a factor."""

    unit: bool
    factor: float

    def __call__(self, features: Tensor) -> Tensor:
        """Map features ``(N, D)`` to the rows the noise is added to."""
        return self.factor * (F.normalize(features, dim=1) if self.unit else features)


def learn_scale(clean: Tensor, released: Tensor) -> Scale:
    """Return the scale that brings features ``clean (N, D)`` closest to ``released (N, D)``."""
    fits = []
    for unit in (False, True):
        rows = Scale(unit, 1.0)(clean)
        fits.append(
            Scale(unit, float((released * rows).sum() / rows.square().sum().clamp_min(1e-12)))
        )
    return min(fits, key=lambda scale: float((released - scale(clean)).square().sum()))


@dataclass(frozen=True, eq=False)
class Wiener:
    """Posterior mean of Gaussian rows under Gaussian noise, the same in every coordinate.

    Attributes:
        mean: ``(D,)`` of the noise-free rows.
        axes: ``(D, D)`` their principal axes, in columns.
        variances: ``(D,)`` along these.
        noise: variance per coordinate of one release.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    noise: float

    def __call__(self, averages: Tensor, count: int) -> Tensor:
        """Averages ``(N, D)`` of ``count`` releases to estimates ``(N, D)``."""
        gain = (self.variances / (self.variances + self.noise / count)).float()

        def estimate(rows: Tensor) -> Tensor:
            return self.mean + ((rows - self.mean) @ self.axes * gain) @ self.axes.T

        return map_rows(estimate, averages)


def fit_wiener(rows: Tensor, noise: float) -> Wiener:
    """Return a denoiser for rows like the noise-free ``rows (N, D)``.

    Covariance by Ledoit and Wolf.
    """
    covariance, _ = ledoit_wolf(rows.double().numpy())
    variances, axes = torch.linalg.eigh(torch.from_numpy(covariance))
    return Wiener(rows.mean(0), axes.float(), variances.clamp_min(1e-12), noise)


@dataclass(frozen=True, eq=False)
class Matcher:
    """Log-likelihood ratio that a clean picture and noisy entries are of one person or of two.

    The two-covariance model (Ioffe, ECCV 2006; Brümmer and de Villiers, Odyssey 2010): a person is
    a Gaussian centre, a picture a Gaussian step from it, an entry has noise besides. What stays
    unknown of a person once the clean picture was seen is taken for each axis by itself, which is
    exact where both covariances share their axes.

    Attributes:
        mean: ``(D,)`` of all rows.
        axes: ``(D, D)`` columns in which one entry's spread about its person is the unit matrix.
        between: ``(D,)`` variance of people's centres along them.
        centre: ``(D, D)`` a clean row, less the mean, to the expected centre along them.
        left: ``(D,)`` variance of the centre that a clean row leaves unknown.
    """

    mean: Tensor
    axes: Tensor
    between: Tensor
    centre: Tensor
    left: Tensor

    @classmethod
    def of(cls, mean: Tensor, between: Tensor, within: Tensor, noise: float) -> "Matcher":
        """From covariances ``(D, D)`` of centres and of pictures, and the noise of one entry."""
        spread = within + noise * torch.eye(len(within), dtype=within.dtype)
        variances, columns = scipy.linalg.eigh(between.numpy(), spread.numpy())
        axes = torch.from_numpy(columns)
        gain = torch.linalg.solve(between + within, between)
        left = (axes * ((between - between @ gain) @ axes)).sum(0).clamp_min(0)
        return cls(mean, axes, torch.from_numpy(variances).clamp_min(0), gain @ axes, left)

    def decide(self, entries: Tensor) -> Callable[[Tensor], Tensor]:
        """Return what gives the log-likelihood ratios of clean rows and entries ``(N, D)``.

        Clean rows ``(Q, D)`` to ``(Q, N)``, with constants: unlike the cosines of `vectors` they
        can be compared across queries.
        """
        same, other = 1 + self.left, 1 + self.between

        def weigh_alone(rows: Tensor) -> Tensor:
            seen = (rows.double() - self.mean) @ self.axes
            return (seen.square() * (1 / other - 1 / same) + (other / same).log()).sum(1) / 2

        alone = map_rows(weigh_alone, entries)

        def ratios(clean: Tensor) -> Tensor:
            guess = (clean.double() - self.mean) @ self.centre
            aimed = (guess / same) @ self.axes.T
            parts = [aimed @ (rows.double() - self.mean).T for rows in split_rows(entries)]
            own = (guess.square() @ (1 / same))[:, None] / 2
            return torch.cat(parts, dim=1) - own + alone

        return ratios

    def vectors(self, clean: Tensor, entries: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors whose cosine ranks entries by likelihood ratio.

        Args:
            clean: ``(Q, D)`` rows of clean pictures.
            entries: ``(N, D)`` noisy entries, or means of several of one person.
            counts: ``(N,)`` how many each is the mean of.

        Returns:
            ``(Q, 2D + 2)`` and ``(N, 2D + 2)`` float32. Their inner product is the ratio, but for a
            constant of each clean row; the last column gives all entries one length.
        """
        guess = (clean.double() - self.mean) @ self.centre
        asked = torch.cat([guess, guess.square(), torch.ones(len(guess), 1).double()], dim=1)
        pairs = list(zip(split_rows(entries), split_rows(counts), strict=True))
        # taking the mean away moves all entries of a query alike, and keeps digits
        mean = torch.stack([self._expand(*pair).sum(0) for pair in pairs]).sum(0) / len(entries)
        stored, squares = torch.empty(len(entries), len(mean) + 1), []
        for pair, rows in zip(pairs, split_rows(stored), strict=True):
            centred = self._expand(*pair) - mean
            rows[:, :-1] = centred
            squares.append(centred.square().sum(1))
        length = torch.cat(squares)
        stored[:, -1] = (length.max() - length).sqrt()
        return F.pad(asked, (0, 1)).float(), stored

    def _expand(self, entries: Tensor, counts: Tensor) -> Tensor:
        """Return what of the ratio depends on each entry ``(N, 2D + 1)``, see `vectors`."""
        seen = (entries.double() - self.mean) @ self.axes
        alone = 1 / counts.double()[:, None]
        same, other = alone + self.left, alone + self.between
        bias = (seen.square() * (1 / other - 1 / same) + (other / same).log()).sum(1) / 2
        return torch.cat([seen / same, -0.5 / same, bias[:, None]], dim=1)


@dataclass(frozen=True, eq=False)
class People:
    """The two-covariance model: a person is a Gaussian centre, a row a Gaussian step from it.

    Attributes:
        mean: ``(D,)`` of people's centres.
        between: ``(D, D)`` covariance of the centres.
        within: ``(D, D)`` covariance of the steps.
        people: how many it was fitted to.
        freedom: rows beyond each person's first, which is what ``within`` rests on.
    """

    mean: Tensor
    between: Tensor
    within: Tensor
    people: int
    freedom: int

    def ridge(self) -> "People":
        """With a little more spread within people, which few rows of each understate."""
        ridge = RIDGE * (self.between + self.within).diagonal()
        floor = RIDGE * ridge.mean() + 1e-12
        return replace(self, within=self.within + torch.diag(ridge.clamp_min(floor)))


def fit_people(rows: Tensor, pids: Tensor) -> People:
    """Return the model of ``rows (N, D)`` of ``pids (N,)``, two people or more.

    Rows of one person each tell nothing of the spread within people, which is then next to nothing.
    """
    rows = rows.double()
    means = PersonMeans.of(rows, pids)
    centre = means.rows.mean(0)
    within = _covariance(rows - means.of_each) * len(rows) / max(1, means.freedom)
    # a mean of few rows strays from the person's centre
    strays = within * (1 / means.counts.double()).mean()
    centres = _covariance(means.rows - centre) - strays
    variances, axes = torch.linalg.eigh(centres)
    between = (axes * variances.clamp_min(0)) @ axes.T
    return People(centre, between, within, len(means.people), means.freedom)


def _covariance(steps: Tensor) -> Tensor:
    """Covariance ``(D, D)`` of rows ``(N, D)`` about 0, shrunk towards its diagonal.

    That is Ledoit and Wolf's of coordinates on one scale: a loud coordinate does not decide how
    much of a faint one is believed.
    """
    unit = steps.square().mean(0).sqrt()
    unit = torch.where(unit > 0, unit, 1.0)
    shrunk, _ = ledoit_wolf((steps / unit).numpy(), assume_centered=True)
    return torch.from_numpy(shrunk) * torch.outer(unit, unit)


def fit_matcher(rows: Tensor, pids: Tensor, noise: float) -> Matcher:
    """Fit a matcher to the noise-free ``rows (N, D)`` of two or more people, ``pids (N,)``."""
    model = fit_people(rows, pids).ridge()
    return Matcher.of(model.mean, model.between, model.within, noise)
