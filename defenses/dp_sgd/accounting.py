"""What noisy gradients certify, by two accountants that know nothing of each other.

Every step is a Gaussian mechanism on a Poisson sample (Abadi et al., CCS 2016; Mironov et al.,
2019). Opacus and dp-accounting each compose the steps by Rényi divergence, with code of their own;
what is certified is the larger of their answers.
"""

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier
from scipy.stats import binom

from auditor.errors import UsageError

# it reports every order whose series does not converge, and takes the best of the others
logging.getLogger("absl").setLevel(logging.ERROR)

RESOLUTION = 1e-2
"""Step at which privacy losses are rounded up, where they are of the order of one."""
SHARP = 50.0
"""Images per noise multiplier beyond which the exact bound for a person is not worth its time."""


@dataclass(frozen=True)
class Steps:
    """Noisy gradient steps on Poisson samples; one unit is added or taken away between neighbours.

    Attributes:
        noise_multiplier: deviation of the noise over the norm at which gradients are cut.
        rate: chance that a unit takes part in a step.
        count: steps, over all runs that count.
    """

    noise_multiplier: float
    rate: float
    count: int

    def accountants(self, delta: float) -> Mapping[str, float]:
        """Accountant -> ε; infinite without noise."""
        return {
            "Opacus (RDP)": _opacus(self, delta),
            "dp-accounting (RDP)": _dp_accounting(self, delta),
        }

    def epsilon(self, delta: float) -> float | None:
        """Return the larger answer; None if it is not finite."""
        epsilon = max(self.accountants(delta).values())
        return epsilon if math.isfinite(epsilon) else None

    def group_epsilon(self, members: int, delta: float) -> float | None:
        """ε for ``members`` units at once, each sampled by itself: all pictures of a person.

        How many of them a step sees is binomial, which makes it a mixture of Gaussians; its loss
        distribution is composed exactly (Ganesh, 2024). Where that has too many places, the bound
        is the step in which either none or all of them take part, which is never less.
        """
        if members == 1 or self.noise_multiplier == 0:
            return self.epsilon(delta)
        if members / self.noise_multiplier <= SHARP:
            return _mixture(self, members, delta)
        some = 1 - (1 - self.rate) ** members
        return Steps(self.noise_multiplier / members, some, self.count).epsilon(delta)


def calibrate(epsilon: float, delta: float, rate: float, count: int) -> float:
    """About the least noise multiplier that certifies (ε, δ).

    Raises:
        UsageError: if no noise does.
    """
    with _no_advice():
        try:
            noise: float = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=count,
                accountant="rdp",
                epsilon_tolerance=epsilon / 1000,
            )
        except ValueError:
            raise UsageError(
                f"no noise certifies epsilon {epsilon:g} at delta {delta:g} over {count} steps; "
                "allow a larger epsilon, or train for fewer epochs"
            ) from None
    # where ε is large, orders near one count, for which the other accountant's series may diverge
    while _dp_accounting(Steps(noise, rate, count), delta) > epsilon:
        noise *= 1.01
    return noise


def _opacus(steps: Steps, delta: float) -> float:
    accountant = RDPAccountant()
    accountant.history = [(steps.noise_multiplier, steps.rate, steps.count)]
    with _no_advice():
        return float(accountant.get_epsilon(delta=delta))


def _dp_accounting(steps: Steps, delta: float) -> float:
    if steps.noise_multiplier == 0:
        return math.inf
    step = dp_event.PoissonSampledDpEvent(
        steps.rate, dp_event.GaussianDpEvent(steps.noise_multiplier)
    )
    event = dp_event.SelfComposedDpEvent(step, steps.count)
    # the orders that the other one tries, so that both look for the same bound
    accountant = RdpAccountant(orders=RDPAccountant.DEFAULT_ALPHAS)
    return float(accountant.compose(event).get_epsilon(delta))


@cache
def _mixture(steps: Steps, members: int, delta: float) -> float | None:
    sizes = list(range(members + 1))
    chances = [float(p) for p in binom.pmf(sizes, members, steps.rate)]
    step = dp_event.MixtureOfGaussiansDpEvent(steps.noise_multiplier, sizes, chances)
    # a loss reaches to about (members / σ)², so that the number of places stays the same
    scale = max(1.0, (members / steps.noise_multiplier) ** 2 / 50)
    accountant = PLDAccountant(value_discretization_interval=RESOLUTION * scale)
    accountant.compose(dp_event.SelfComposedDpEvent(step, steps.count))
    epsilon = float(accountant.get_epsilon(delta))
    return epsilon if math.isfinite(epsilon) else None


class _no_advice(warnings.catch_warnings):  # noqa: N801 - a context manager, used like a function
    """Without Opacus' advice on its list of orders: a bound by any order is valid."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", message="Optimal order is the .*")
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="opacus")
