"""Simulated people on whom `coverage.py` tries what is more than a rate of single people.

Searches with a threshold, anonymity sets, clusters of entries, and shares of attribute values.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from attacks.description.scoring import measure_sets
from attacks.distribution.scoring import Property, score_shares
from attacks.distribution.shares import maximise_expectation
from attacks.movement.scoring import score_entries, score_pairs
from attacks.movement.sightings import Sightings
from auditor.metrics.open_set import Searches, identification_rates

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[float, float, float]]
"""A sample's (low, high, truth)."""
Figure = Callable[[np.random.Generator], tuple[float, float, float]]
"""A sample's (value, low, high)."""

PICTURES = 3
"""Of each person, where they are searched for or their attributes are read."""
CAMERAS = 4
"""Where people are followed, each sees everybody once."""
DOUBLES = 0.1
"""Share of people who have a double, where some have."""
OWN_SHARE = 0.3
"""Of an attribute value among the adversary's own people; half of those attacked have it."""
TRUTHS = 200
"""Samples whose mean value is the truth, where that depends on how many people there are."""


def about_mean(figure: Figure) -> Draw:
    """Return samples of an interval that should hold the mean of the same figure."""
    rng = np.random.default_rng(1)
    truth = float(np.mean([figure(rng)[0] for _ in range(TRUTHS)]))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        _, low, high = figure(rng)
        return low, high, truth

    return draw


def searches(people: int, limit: float, distance: float, *, doubles: bool) -> tuple[float, Draw]:
    """TPIR at a rate of false alarms, the truth first.

    Half the variance of a score is the person's own. Whoever has a double is taken for them in all
    searches that should find nobody.
    """
    share = DOUBLES if doubles else 0.0
    levels = np.linspace(-10, 10 + distance, 200_001)
    alarms = (1 - share) * stats.norm.sf(levels) + share * stats.norm.sf(levels - distance)
    truth = float(stats.norm.sf(levels[np.argmax(alarms <= limit)] - distance))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        pids = torch.arange(people).repeat_interleave(PICTURES)
        listed, absent = (_scores(rng, people) for _ in range(2))
        absent += distance * (rng.random(people) < share).repeat(PICTURES)
        none = torch.zeros(2 * len(pids), dtype=torch.float64)
        found = Searches(
            pids.repeat(2),
            torch.arange(2 * len(pids)) < len(pids),
            torch.from_numpy(np.concatenate([listed + distance, absent])),
            first=none,
            share=none,
        )
        ((_, low, high),) = identification_rates(found, [limit])
        return low, high, truth

    return truth, draw


def _scores(rng: np.random.Generator, people: int) -> Array:
    """Draw a standard normal value of each picture, of which half is the person's own."""
    own, picture = rng.normal(size=people).repeat(PICTURES), rng.normal(size=people * PICTURES)
    return np.asarray((own + picture) / np.sqrt(2))


def anonymity(people: int, name: str, share: float, usual: float) -> Draw:
    """Return quantiles of anonymity sets whose sizes are geometric, of mean ``usual``."""
    truth = float(stats.geom.ppf(share, 1 / usual))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        sets = rng.geometric(1 / usual, people)
        most = max(int(sets.max()), round(10 * usual))
        found = measure_sets(torch.from_numpy(sets), torch.ones(1), most, "")
        ends = {m.metric: (m.low, m.high) for m in found}
        return *ends[f"anonymity_{name}"], truth

    return draw


def clusters(metric: str, people: int, alike: int, taken: float) -> Draw:
    """F1 of people's clusters; one person in five is split in two.

    People look like one of ``alike`` others, and a share ``taken`` of them is put together with all
    of these who are.
    """
    measure = {"pairwise_f1": score_pairs, "bcubed_f1": score_entries}[metric]

    def figure(rng: np.random.Generator) -> tuple[float, float, float]:
        everybody = np.arange(people)
        looks = people + rng.integers(0, alike, people)
        owner = np.where(rng.random(people) < taken, looks, everybody)
        second = np.arange(people * CAMERAS) % 2 == 1
        split = (rng.random(people) < 0.2).repeat(CAMERAS) & second
        pids = torch.from_numpy(1 + everybody.repeat(CAMERAS))
        camids = torch.arange(CAMERAS).repeat(people)
        stored = Sightings(torch.zeros(len(pids), 0), pids, camids)
        measured = measure(torch.from_numpy(2 * owner.repeat(CAMERAS) + split), stored)
        return measured.value, measured.low, measured.high

    return about_mean(figure)


def shares(metric: str, people: int, attributes: int, distance: float) -> Draw:
    """Shares of attributes, of which pictures tell by normal scores so far apart."""

    def figure(rng: np.random.Generator) -> tuple[float, float, float]:
        properties = [_property(rng, people, distance) for _ in range(attributes)]
        pids = torch.arange(1, people + 1).repeat_interleave(PICTURES)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        found = score_shares(properties, pids, 10, generator).measurements
        measured = {m.metric: m for m in found}[metric]
        return measured.value, measured.low, measured.high

    return about_mean(figure)


def _property(rng: np.random.Generator, people: int, distance: float) -> Property:
    value = (rng.random(people) < 0.5).astype(int).repeat(PICTURES)
    ratio = distance * (_scores(rng, people) + distance * (value - 0.5))
    likelihoods = torch.from_numpy(np.stack([-ratio / 2, ratio / 2], axis=1)).softmax(1)
    prior = torch.tensor([1 - OWN_SHARE, OWN_SHARE], dtype=torch.float64)
    guess = partial(maximise_expectation, likelihoods, prior)
    return Property("", guess, prior, torch.from_numpy(value))
