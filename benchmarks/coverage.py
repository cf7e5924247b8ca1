"""How often the intervals that gates read miss the truth, on either side: simulated people.

``python benchmarks/coverage.py [estimator …]`` brings ``coverage.csv`` and ``coverage.md`` beside
it up to date: the named estimators, or all in half an hour of one CPU. 2.5% are promised on either
side, whatever people are like: pictures of one person that agree not at all (independent), by half
(moderate, a beta distribution), or entirely (all or nothing), or a few people fully exposed among
others who are hit now and then (few exposed).
"""

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain, islice, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from attacks.membership.scoring import Level
from auditor.evaluation.exposure import WORST, worst_case
from auditor.metrics import leakage, measure
from auditor.metrics.auc import macro_auc
from auditor.metrics.scores import pu, pu_score, urr1
from auditor.metrics.unlinkability import d_sys_interval
from auditor.report import Measurement
from auditor.statistics.intervals import exceeds, proportion, rate_interval
from auditor.statistics.multiplicity import ALPHA, widen
from auditor.statistics.paired import paired_interval
from benchmarks import crowds
from benchmarks.crowds import Draw

Array = NDArray[np.float64]

PEOPLE = (5, 20, 100, 1000)
PICTURES = (1, 5, 50, 0)
"""How many each person has; 0 for 1, 4 or 20 by chance."""
UNEQUAL = (1, 4, 20)
RATES = (0.0, 0.001, 0.01, 0.1, 0.5, 0.99, 1.0)
KINDS = ("independent", "moderate", "all or nothing", "few exposed")
REPETITIONS = 2000
SIMULATED_REPETITIONS = 300
"""For what is itself simulated at every sample."""
WIDTHS = 15
"""Samples of which the median width is taken."""
CHUNK = 100
FPR = 0.1
FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One setting.

    Attributes:
        estimator: which interval.
        people: how many are measured.
        pictures: of each person; 0 for unequal numbers.
        rate: the truth.
        kind: how alike a person's pictures are.
        repetitions: samples drawn.
        below: share of intervals that end below the truth.
        above: share of intervals that start above the truth.
        width: median width.
        exact: median width of Clopper and Pearson's interval of as many people, each hit or not.
    """

    estimator: str
    people: int
    pictures: int
    rate: float
    kind: str
    repetitions: int
    below: float
    above: float
    width: float
    exact: float

    @property
    def worst(self) -> float:
        """The larger miss."""
        return max(self.below, self.above)

    @property
    def honest(self) -> bool:
        """Whether no side misses more often than the level, and chance, leave possible."""
        return self.worst * self.repetitions <= tolerated(self.repetitions) + 1e-9


def tolerated(draws: int) -> int:
    """Return the misses on one side that the promised level exceeds once in ten thousand cells."""
    return int(stats.binom.isf(1e-4, draws, ALPHA))


def sample(
    rng: np.random.Generator, rate: float, kind: str, counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Hits of people with so many pictures each, of any shape; the mean rate is ``rate``."""
    if kind == "independent" or rate in (0, 1):
        own: Array | float = rate
    elif kind == "moderate":
        own = rng.beta(rate, 1 - rate, counts.shape)
    else:
        exposed = rate if kind == "all or nothing" else rate / 2
        rest = 0.0 if kind == "all or nothing" else (rate - exposed) / (1 - exposed)
        own = np.where(rng.random(counts.shape) < exposed, 1.0, rest)
    return rng.binomial(counts, own)


def pictures_of(
    rng: np.random.Generator, shape: tuple[int, ...], pictures: int
) -> NDArray[np.int64]:
    """Return how many pictures each of ``shape`` people has."""
    if pictures:
        return np.full(shape, pictures)
    return rng.choice(UNEQUAL, shape)


def rates(name: str, people: int, pictures: int, rate: float, kind: str, repetitions: int) -> Cell:
    """Rates of people: rank-1, top-1, success attack rates, CMC and shares of all sorts."""
    rng = np.random.default_rng(0)
    counts = pictures_of(rng, (repetitions, people), pictures)
    hits = sample(rng, rate, kind, counts)
    sizes = np.unique(counts)
    sorts = [(hit, size) for size in sizes for hit in range(size + 1)]
    table = np.stack([((hits == h) & (counts == c)).sum(1) for h, c in sorts], 1).astype(float)
    unseen = (counts**2).sum(1) / counts.sum(1)
    gains = np.array([h - rate * c for h, c in sorts])
    table, gains = table[:, table.any(0)], gains[table.any(0)]
    rows = np.column_stack([table, np.ones(repetitions), unseen])
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    miss = [
        _missed(sign * gains, distinct[:, :-1], room * distinct[:, -1])[inverse.ravel()].mean()
        if room > 0
        else 0.0  # an end at the bound itself
        for sign, room in ((1, 1 - rate), (-1, rate))
    ]
    widths, exact = [], []
    for h, c in zip(hits[:WIDTHS], counts[:WIDTHS], strict=False):
        low, high = rate_interval(_persons(h, c))
        widths.append(high - low)
        low, high = proportion((h / c).sum(), people)
        exact.append(high - low)
    return Cell(
        estimator=name,
        people=people,
        pictures=pictures,
        rate=rate,
        kind=kind,
        repetitions=repetitions,
        below=float(miss[0]),
        above=float(miss[1]),
        width=float(np.median(widths)),
        exact=float(np.median(exact)),
    )


def _missed(gains: Array, people: Array, unseen: Array) -> NDArray[np.bool_]:
    """Return whether the interval ends short of the truth: without searching for its end.

    The chance to exceed the truth is below the level exactly if the end is below the truth.
    """
    found = []
    for start in range(0, len(people), CHUNK):
        part = slice(start, start + CHUNK)
        own = np.broadcast_to(gains, (len(people[part]), len(gains)))
        found.append(exceeds(np.column_stack([own, unseen[part]]), people[part]) < ALPHA)
    return np.concatenate(found)


def _persons(hits: Array, counts: Array) -> dict[str, tuple[float, float]]:
    return {str(n): (float(h), float(c)) for n, (h, c) in enumerate(zip(hits, counts, strict=True))}


def repeat(
    name: str, people: int, pictures: int, rate: float, kind: str, draw: Draw, repetitions: int
) -> Cell:
    """Return a cell of an estimator that is run as a whole on every sample."""
    rng = np.random.default_rng(0)
    low, high, truth = np.array([draw(rng) for _ in range(repetitions)]).T
    ends = proportion(rate * people, people)
    return Cell(
        estimator=name,
        people=people,
        pictures=pictures,
        rate=rate,
        kind=kind,
        repetitions=repetitions,
        below=float((high < truth - 1e-9).mean()),
        above=float((low > truth + 1e-9).mean()),
        width=float(np.median(high - low)),
        exact=ends[1] - ends[0],
    )


def average(people: int, rate: float) -> Draw:
    """Means of continuous values: mAP, mINP, cosines. Each person's value is beta-distributed."""

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        values = rng.beta(2 * rate, 2 * (1 - rate), people)
        return *rate_interval(_persons(values, np.ones(people))), rate

    return draw


def tail_mean(people: int, rate: float, kind: str) -> Draw:
    """Return the mean over the worst 5%; the truth is that of a million people."""
    counts = np.full(1_000_000, 5)
    worst = np.sort(sample(np.random.default_rng(1), rate, kind, counts) / 5)
    truth = float(worst[-int(WORST * len(worst)) :].mean())

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        counts = np.full(people, 5)
        persons = _persons(sample(rng, rate, kind, counts), counts)
        headline = Measurement(metric="m", value=0, n=people, low=0, high=1, persons={
            str(1 + int(pid)): row for pid, row in persons.items()
        })  # fmt: skip
        found = worst_case(headline)[1]
        return found.low, found.high, truth

    return draw


def confusion(
    formula: Callable[[int], leakage.Formula], carriers: Sequence[int], rate: float, kind: str
) -> Draw:
    """Balanced accuracy or F1, where every value is recognised at the same rate."""
    classes = len(carriers)
    truth_of = np.repeat(np.arange(classes), carriers)
    wrong = (1 - rate) / max(1, classes - 1)
    matrix = np.array(carriers)[:, None] * np.where(np.eye(classes) == 1, rate, wrong)
    truth = float(formula(classes)(matrix.ravel()))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        counts = np.full(len(truth_of), 4)
        hits = sample(rng, rate, kind, counts)
        table = np.zeros((len(truth_of), classes, classes))
        rows = np.arange(len(truth_of))
        missed = (counts - hits) / (classes - 1)
        for other in range(classes):
            right = other == 0
            table[rows, truth_of, (truth_of + other) % classes] = hits if right else missed
        flat = table.reshape(len(rows), -1)
        m = measure.statistic("m", flat, formula(classes), leakage.add_unseen(flat, [classes]))
        return m.low, m.high, truth

    return draw


def areas(carriers: Sequence[int], distance: float) -> Draw:
    """AUC of normal scores, of which half the variance is the person's own."""
    truth_of = torch.arange(2).repeat_interleave(torch.tensor(carriers)).repeat_interleave(4)
    person = torch.arange(sum(carriers)).repeat_interleave(4)
    truth = float(stats.norm.cdf(distance / np.sqrt(2)))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        own = rng.normal(size=sum(carriers)).repeat(4) + rng.normal(size=len(person))
        score = torch.from_numpy(own / np.sqrt(2)) + distance * truth_of
        both = torch.stack([torch.zeros_like(score), score], 1)
        m = measure.area("m", macro_auc(both, truth_of, person), chance=0.5)
        return m.low, m.high, truth

    return draw


def difference(people: int, before: float, after: float, kind: str) -> Draw:
    """Paired differences: whoever was hit stays hit as far as the rates allow."""

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        counts = np.full(people, 5)
        old = sample(rng, before, kind, counts)
        least = min(before, after)
        kept = rng.random(people) < least / max(before, 1e-12)
        new = np.where(kept, old, 0)
        if after > before:
            new = np.maximum(old, sample(rng, (after - before) / (1 - before), kind, counts))
        measured = []
        for hits in (old, new):
            value = float(hits.sum() / counts.sum())
            persons = _persons(hits, counts)
            measured.append(
                Measurement(metric="m", value=value, n=people, low=0, high=1, persons=persons)
            )
        return *paired_interval(*measured), after - before

    return draw


def ratio_of_scores(people: int, before: float, after: float) -> Draw:
    """URR-1 of a defense that keeps utility at 0.8 and reversal, over floors of 5%.

    As defined, reversal counts for no less than so few people could show.
    """
    truth = max(after - 0.05, proportion(0, people)[1]) / (before - 0.05)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        counts = np.ones(people, int)
        own = rng.random(people)
        floors = rng.binomial(people, 0.05, 2) / people
        shares = ((0.8, None), (after, floors[0]), (0.8, None), (before, floors[1]))
        figures = []
        for share, chance in shares:
            persons = _persons(own < share, counts)
            value = float((own < share).mean())
            low, high = rate_interval(persons)
            low, high = min(low, value), max(high, value)
            figures.append(
                Measurement(
                    metric="m",
                    value=value,
                    n=people,
                    low=low,
                    high=high,
                    chance=chance,
                    persons=persons,
                )
            )
        found = urr1(*figures).measurement
        return (found.low, found.high, 1 / truth) if found else (0.0, np.inf, 1 / truth)

    return draw


def strongest(people: int, rungs: int, rate: float) -> Draw:
    """Return the careful end of the strongest of several rungs that reach the same rate."""

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        counts = np.full(people, 5)
        ends = []
        for _ in range(rungs):
            hits = sample(rng, rate, "moderate", counts)
            ends.append((hits.sum() / counts.sum(), *rate_interval(_persons(hits, counts))))
        value, low, _ = max(ends)
        return value - widen(value - low, rungs), max(high for *_, high in ends), rate

    return draw


def linked(people: int) -> Draw:
    """D_sys of scores that tell nothing."""

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        owners = np.arange(people).repeat(3)
        pairs = np.stack([rng.permutation(people) for _ in range(20)]).reshape(-1, 2)
        scores = rng.normal(size=len(owners)), rng.normal(size=len(pairs))
        return *d_sys_interval(*scores, owners, pairs), 0.0

    return draw


def members(people: int, distance: float) -> Draw:
    """AUC of membership scores, one for each person."""
    truth = float(stats.norm.cdf(distance / np.sqrt(2)))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        member = np.arange(people) % 2 == 1
        scores = torch.from_numpy(rng.normal(size=people) + distance * member)
        level = Level("identity", scores, {}, member, np.arange(people))
        m = level._area("m", level.ours, 0.5)
        return m.low, m.high, truth

    return draw


def members_found(people: int, distance: float) -> Draw:
    """TPR at a tenth of false positives, of membership scores, one for each person."""
    truth = float(stats.norm.sf(stats.norm.isf(FPR) - distance))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        member = np.arange(people) % 2 == 1
        scores = torch.from_numpy(rng.normal(size=people) + distance * member)
        blind = {"blind": torch.zeros(people)}
        m = Level("identity", scores, blind, member, np.arange(people))._rate("m", FPR)
        return m.low, m.high, truth

    return draw


def harmonic_mean(people: int, used: float, leaked: float) -> Draw:
    """PU-score of two rates of the same people, neither of which tells of the other."""
    truth = pu_score(used, leaked)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        counts = np.full(people, 5)
        measured = [
            _measure(sample(rng, rate, "moderate", counts), counts) for rate in (used, leaked)
        ]
        found = pu("pu", *measured).measurement
        assert found is not None
        return found.low, found.high, truth

    return draw


def _measure(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> Measurement:
    """Return a rate with its interval."""
    value, persons = float(hits.sum() / counts.sum()), _persons(hits, counts)
    low, high = rate_interval(persons)
    ends = {"low": min(low, value), "high": max(high, value)}
    return Measurement(metric="m", value=value, n=len(hits), persons=persons, **ends)


Rate = tuple[int, int, float, str]
"""(people, pictures, truth, kind)"""
Setting = tuple[int, int, float, str, Draw]
"""The same and how a sample is drawn."""


def _rates() -> Iterator[Rate]:
    for people, pictures, rate, kind in product(PEOPLE, PICTURES, RATES, KINDS):
        # one picture of a person cannot disagree with another
        if pictures != 1 or kind == "independent":
            yield people, pictures, rate, kind


def _means() -> Iterator[Setting]:
    for people, rate in product((5, 20, 100), (0.01, 0.1, 0.5, 0.99)):
        yield people, 1, rate, "beta values", average(people, rate)


def _tails() -> Iterator[Setting]:
    for people, rate in product((20, 100, 400), (0.0, 0.01, 0.1, 0.5)):
        for kind in ("independent", "all or nothing"):
            yield people, 5, rate, kind, tail_mean(people, rate, kind)


def _tables(formula: Callable[[int], leakage.Formula]) -> Iterator[Setting]:
    carriers_grid = ((20, 20), (20, 200), (20, 20, 20, 200))
    for carriers, rate in product(carriers_grid, (0.5, 0.9, 0.99, 1.0)):
        for kind in ("independent", "all or nothing"):
            yield min(carriers), 4, rate, kind, confusion(formula, carriers, rate, kind)


def _areas() -> Iterator[Setting]:
    for carriers, distance in product(((20, 20), (20, 200)), (0.0, 1.0, 3.0)):
        truth = float(stats.norm.cdf(distance / np.sqrt(2)))
        yield min(carriers), 4, truth, "normal scores", areas(carriers, distance)


def _differences() -> Iterator[Setting]:
    pairs = ((0.5, 0.49), (0.1, 0.1), (0.1, 0.01), (0.02, 0.0), (0.0, 0.02))
    for people, (before, after) in product((5, 20, 100), pairs):
        draw = difference(people, before, after, "all or nothing")
        yield people, 5, abs(after - before), "all or nothing", draw


def _ratios() -> Iterator[Setting]:
    for people, (before, after) in product((20, 100), ((0.6, 0.6), (0.6, 0.3), (0.9, 0.1))):
        yield people, 1, after, "nested", ratio_of_scores(people, before, after)


def _ladders() -> Iterator[Setting]:
    for people, rungs, rate in product((20, 100), (2, 6), (0.01, 0.1, 0.5)):
        yield people, 5, rate, f"moderate, {rungs} rungs", strongest(people, rungs, rate)


def _links() -> Iterator[Setting]:
    for people in (20, 60):
        yield people, 3, 0.0, "nothing to link", linked(people)


def _members() -> Iterator[Setting]:
    for people, distance in product((20, 60, 200), (0.0, 1.0, 4.0)):
        truth = float(stats.norm.cdf(distance / np.sqrt(2)))
        yield people, 1, truth, "normal scores", members(people, distance)


def _found_members() -> Iterator[Setting]:
    for people, distance in product((40, 200), (0.0, 1.0, 3.0)):
        truth = float(stats.norm.sf(stats.norm.isf(FPR) - distance))
        yield people, 1, truth, "normal scores", members_found(people, distance)


def _harmonic_means() -> Iterator[Setting]:
    shares = ((0.9, 0.01), (0.5, 0.5), (0.05, 0.99), (0.99, 0.1))
    for people, (used, leaked) in product((5, 20, 100), shares):
        truth = pu_score(used, leaked)
        yield people, 5, truth, "moderate", harmonic_mean(people, used, leaked)


def _searches() -> Iterator[Setting]:
    grid = ((50, 0.01), (150, 0.01), (400, 0.001))
    for (people, limit), distance, doubles in product(grid, (1.0, 3.0), (False, True)):
        truth, draw = crowds.searches(people, limit, distance, doubles=doubles)
        kind = f"FPIR {limit:.1%}, {'some have a double' if doubles else 'normal scores'}"
        yield people, crowds.PICTURES, truth, kind, draw


def _anonymity() -> Iterator[Setting]:
    quantiles = (("median", 0.5), ("q05", 0.05))
    for people, (name, share), usual in product((2, 5, 20, 100), quantiles, (1.5, 5, 50)):
        draw = crowds.anonymity(people, name, share, usual)
        yield people, 1, share, f"quantile of sets of {usual:g} on average", draw


def _clusters(metric: str) -> Iterator[Setting]:
    for people, (taken, each) in product((20, 100), ((0.0, 1), (0.5, 1), (0.5, 3), (1.0, 5))):
        draw = crowds.clusters(metric, people, people // each, taken)
        kind = f"{taken:.0%} taken for others, {each} of a kind"
        yield people, crowds.CAMERAS, taken, kind, draw


def _shares(metric: str) -> Iterator[Setting]:
    for people, attributes, distance in product((40, 150), (1, 3), (1.0, 3.0)):
        draw = crowds.shares(metric, people, attributes, distance)
        yield people, crowds.PICTURES, 0.5, f"{attributes} of distance {distance:g}", draw


@dataclass(frozen=True, kw_only=True)
class Part:
    """The cells of one estimator.

    Attributes:
        settings: every cell's.
        measure: makes a cell of the estimator's name, a setting and how many samples are drawn.
        repetitions: that number.
        few: the number where it has to be fast, of one setting in so many.
    """

    settings: Callable[[], Iterator[Rate] | Iterator[Setting]]
    measure: Callable[..., Cell] = repeat
    repetitions: int = SIMULATED_REPETITIONS
    few: tuple[int, int] = (40, 5)


PARTS = {
    "rate": Part(settings=_rates, measure=rates, repetitions=REPETITIONS, few=(300, 23)),
    "mean": Part(settings=_means),
    "balanced_accuracy": Part(settings=lambda: _tables(leakage.balanced_accuracy)),
    "auc": Part(settings=_areas),
    "difference": Part(settings=_differences),
    "pu": Part(settings=_harmonic_means),
    "membership_auc": Part(settings=_members),
    "membership_tpr": Part(settings=_found_members),
    "f1": Part(settings=lambda: _tables(leakage.f1)),
    "worst_5_percent": Part(settings=_tails),
    "urr1": Part(settings=_ratios),
    "ladder": Part(settings=_ladders),
    "d_sys": Part(settings=_links),
    "tpir": Part(settings=_searches),
    "anonymity": Part(settings=_anonymity),
    "pairwise_f1": Part(settings=lambda: _clusters("pairwise_f1")),
    "bcubed_f1": Part(settings=lambda: _clusters("bcubed_f1")),
    "shares_explained": Part(settings=lambda: _shares("shares_explained")),
    "share_error": Part(settings=lambda: _shares("share_error")),
}


def study(name: str, *, fast: bool = False) -> Iterator[Cell]:
    """Yield all cells of an estimator; a few, of fewer samples, where it has to be ``fast``."""
    part = PARTS[name]
    count, step = part.few if fast else (part.repetitions, 1)
    for setting in islice(part.settings(), 0, None, step):
        yield part.measure(name, *setting, count)


def main(names: Sequence[str]) -> None:
    """Run the named parts of the study, or all, and write both files."""
    path, columns = FOLDER / "coverage.csv", [field.name for field in fields(Cell)]
    cells = {name: [] for name in PARTS} | read(path)
    for name in names or PARTS:
        cells[name] = list(study(name))
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for cell in chain(*cells.values()):
                values = [getattr(cell, column) for column in columns]
                writer.writerow([f"{v:.4g}" if isinstance(v, float) else v for v in values])
    (FOLDER / "coverage.md").write_text("\n".join(markdown(read(path))) + "\n")


def read(path: Path) -> dict[str, list[Cell]]:
    """Cells by estimator, as they were written; nothing where there is no file."""
    found: dict[str, list[Cell]] = {}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                values = {f.name: f.type(row[f.name]) for f in fields(Cell)}  # type: ignore[operator]
                found.setdefault(row["estimator"], []).append(Cell(**values))
    return found


def markdown(cells: dict[str, list[Cell]]) -> Iterator[str]:
    """Yield what was measured, the worst of each estimator, and how wide intervals are."""
    every = [cell for group in cells.values() for cell in group]
    yield "# How often intervals miss the truth"
    yield ""
    yield "Written by `python benchmarks/coverage.py`; all cells are in `coverage.csv`. The"
    yield "promise is 2.5% on either side."
    missing = sum(not cell.honest for cell in every)
    yield f"Of {len(every)} cells {missing} miss more"
    yield "often than 2.5% and chance allow, where one cell in ten thousand would:"
    limits = [(tolerated(n) / n, n) for n in (REPETITIONS, SIMULATED_REPETITIONS)]
    yield " and ".join(f"more than {share:.2%} of {n} samples" for share, n in limits) + "."
    yield ""
    yield "| estimator | cells | beyond chance | most often too low | too high | in the cell |"
    yield "|---|---|---|---|---|---|"
    for name, group in cells.items():
        cell = max(group, key=lambda c: c.worst)
        beyond = sum(not c.honest for c in group)
        below, above = (max(getattr(c, side) for c in group) for side in ("below", "above"))
        yield f"| `{name}` | {len(group)} | {beyond} | {below:.2%} | {above:.2%} | {_where(cell)} |"
    yield ""
    yield "## Widths of rates"
    yield ""
    yield "Medians, beside Clopper and Pearson's interval of as many people, each hit or not:"
    yield "where pictures of a person agree no shorter interval is honest."
    yield ""
    yield "| people | pictures each | rate | " + " | ".join(KINDS) + " | Clopper–Pearson |"
    yield "|---|---|---|" + "---|" * (len(KINDS) + 1)
    rows = cells.get("rate", [])
    for people, pictures, rate in product(PEOPLE, (5, 50, 0), (0.0, 0.01, 0.1, 0.5)):
        same = {
            c.kind: c for c in rows if (c.people, c.pictures, c.rate) == (people, pictures, rate)
        }
        if same:
            widths = " | ".join(f"{same[kind].width:.3f}" for kind in KINDS)
            exact = same["all or nothing"].exact
            many = pictures or "1, 4 or 20"
            yield f"| {people} | {many} | {rate:g} | {widths} | {exact:.3f} |"


def _where(cell: Cell) -> str:
    pictures = cell.pictures or "unequal"
    return f"{cell.people} people, {pictures} pictures, truth {cell.rate:.3g}, {cell.kind}"


if __name__ == "__main__":
    main(sys.argv[1:])
