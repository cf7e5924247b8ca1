"""Two kinds of noise, and what each certifies."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor.metrics.dp import (
    Scores,
    classic_sigma,
    gaussian_epsilon,
    gaussian_reconstruction,
    gaussian_sigma,
    pure_reconstruction,
)

Rows = NDArray[np.float64]


class Noise(Protocol):
    """Independent noise on every coordinate of a row.

    ``distance`` is how far two neighbouring rows lie apart, in ``norm``; ``draws`` how many rows
    are released with independent noise.
    """

    name: ClassVar[Literal["gaussian", "laplace"]]
    norm: ClassVar[Literal["L1", "L2"]]

    @property
    def sigma(self) -> float:
        """Standard deviation per coordinate."""
        ...

    @property
    def delta(self) -> float:
        """Of every ε here."""
        ...

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Rows:
        """Return noise of a shape."""
        ...

    def epsilon(self, distance: float, draws: int) -> float | None:
        """Return the exact ε; None if it is not finite."""
        ...

    def reconstruction(self, prior: float, distance: float, draws: int) -> float:
        """Bound the success of any attack on the draws that succeeds ``prior`` without them."""
        ...

    def evidence(self, rows: Rows, first: Rows, second: Rows) -> Scores:
        """Log-likelihood ratio ``(M,)`` of released ``rows (M, D)``: high for ``second``."""
        ...


@dataclass(frozen=True)
class GaussianNoise:
    """Normal noise of deviation ``sigma``; ε is that of the analytic Gaussian mechanism."""

    sigma: float
    delta: float

    name: ClassVar[Literal["gaussian", "laplace"]] = "gaussian"
    norm: ClassVar[Literal["L1", "L2"]] = "L2"

    @classmethod
    def calibrate(
        cls, epsilon: float, delta: float, sensitivity: float, draws: int, *, classic: bool = False
    ) -> "GaussianNoise":
        """Return noise for (ε, δ): the least that suffices, or what the classic bound asks for."""
        unit = classic_sigma(epsilon, delta) if classic else gaussian_sigma(epsilon, delta)
        return cls(unit * sensitivity * math.sqrt(draws), delta)

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Rows:
        """See `Noise`."""
        return generator.standard_normal(shape) * self.sigma

    def epsilon(self, distance: float, draws: int) -> float | None:
        """See `Noise`."""
        mu = self._mu(distance, draws)
        return gaussian_epsilon(mu, self.delta) if math.isfinite(mu) else None

    def reconstruction(self, prior: float, distance: float, draws: int) -> float:
        """See `Noise`."""
        return gaussian_reconstruction(prior, self._mu(distance, draws))

    def evidence(self, rows: Rows, first: Rows, second: Rows) -> Scores:
        """See `Noise`; no test tells two Gaussians better apart than this linear one."""
        scores: Scores = (rows - (first + second) / 2) @ (second - first)
        return scores

    def _mu(self, distance: float, draws: int) -> float:
        if distance == 0:
            return 0.0
        return distance * math.sqrt(draws) / self.sigma if self.sigma else math.inf


@dataclass(frozen=True)
class LaplaceNoise:
    """Double-exponential noise; ε is distance / scale, added up over the draws, and δ is 0."""

    scale: float

    name: ClassVar[Literal["gaussian", "laplace"]] = "laplace"
    norm: ClassVar[Literal["L1", "L2"]] = "L1"

    @property
    def sigma(self) -> float:
        """Standard deviation per coordinate."""
        return math.sqrt(2) * self.scale

    @property
    def delta(self) -> float:
        """Pure differential privacy."""
        return 0.0

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Rows:
        """See `Noise`."""
        return generator.laplace(0.0, self.scale, shape)

    def epsilon(self, distance: float, draws: int) -> float | None:
        """See `Noise`."""
        return distance * draws / self.scale

    def reconstruction(self, prior: float, distance: float, draws: int) -> float:
        """See `Noise`."""
        return pure_reconstruction(prior, distance * draws / self.scale)

    def evidence(self, rows: Rows, first: Rows, second: Rows) -> Scores:
        """See `Noise`."""
        scores: Scores = np.abs(rows - first).sum(1) - np.abs(rows - second).sum(1)
        return scores
