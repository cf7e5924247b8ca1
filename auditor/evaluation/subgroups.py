"""Whether some people are worse off than others: a headline by attribute value.

Groups below `SMALLEST_GROUP` are not shown. Where one alone would be hidden, so that it follows
from the others and the total, the next smallest is hidden with it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from auditor.report import SMALLEST_GROUP, Gap, Measurement, Subgroup
from auditor.statistics.intervals import rate_interval
from auditor.statistics.multiplicity import holm
from auditor.types import MISSING, ReIDDataset

PERMUTATIONS = 1999

Groups = Mapping[str, list[str]]
"""Attribute value -> the identities that carry it."""


def subgroups(headline: Measurement, data: ReIDDataset) -> tuple[Subgroup, ...]:
    """Return the headline per attribute value; nothing if it is not known person by person."""
    found = []
    for attribute, groups in _attributes(headline, data).items():
        hidden = hidden_values({value: len(people) for value, people in groups.items()})
        for value, people in groups.items():
            name = f"{headline.metric}@{attribute}={value}"
            shown = None if value in hidden else _among(headline, name, people)
            found.append(Subgroup(attribute=attribute, value=value, measurement=shown))
    return tuple(found)


def gaps(headline: Measurement, data: ReIDDataset) -> tuple[Gap, ...]:
    """Return the widest difference within each attribute, the surest first.

    The p-value is that of a permutation test over people: values are dealt out at random, and the
    widest difference is taken again. Holm's correction is over the attributes.
    """
    tested = []
    for attribute, groups in _attributes(headline, data).items():
        hidden = hidden_values({value: len(people) for value, people in groups.items()})
        shown = {value: people for value, people in groups.items() if value not in hidden}
        if len(shown) > 1:
            tested.append((attribute, *_widest(headline, shown)))
    adjusted = holm([p for *_, p in tested])
    rows = [
        Gap(attribute=name, higher=high, lower=low, difference=d, p=p, p_adjusted=q)
        for (name, high, low, d, p), q in zip(tested, adjusted, strict=True)
    ]
    return tuple(sorted(rows, key=lambda gap: (gap.p_adjusted, gap.p, -gap.difference)))


def _attributes(headline: Measurement, data: ReIDDataset) -> dict[str, dict[str, list[str]]]:
    """Attribute -> value -> the identities among the headline's persons that carry it."""
    if headline.unit != "fraction":
        return {}
    pids = torch.cat([data.query.pids, data.gallery.pids])
    table = {}
    for name in sorted(set(data.query.attributes) & set(data.gallery.attributes)):
        column = torch.cat([data.query.attributes[name], data.gallery.attributes[name]])
        groups: dict[str, list[str]] = {}
        for pid, code in _majority(pids, column).items():
            if headline.persons.get(pid, (0.0, 0.0))[1] > 0:
                groups.setdefault(data.attribute_values[name][code], []).append(pid)
        table[name] = {
            value: groups[value] for value in data.attribute_values[name] if value in groups
        }
    return table


def _majority(pids: Tensor, column: Tensor) -> dict[str, int]:
    """Return each person's most frequent code, the smallest of equals; who has none is left out."""
    known = (column != MISSING) & (pids > 0)
    pairs, counts = torch.stack([pids[known], column[known]]).unique(dim=1, return_counts=True)
    best: dict[int, tuple[int, int]] = {}
    for pid, code, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        best[pid] = max(best.get(pid, (0, 0)), (count, -code))
    return {str(pid): -code for pid, (_, code) in best.items()}


def hidden_values(sizes: Mapping[str, int]) -> set[str]:
    """Return the values that are not shown, so that no small group can be told from the rest."""
    small = {value for value, people in sizes.items() if people < SMALLEST_GROUP}
    if len(small) == 1 and len(sizes) > 1:
        small.add(min(sizes.keys() - small, key=lambda value: sizes[value]))
    return small


def _among(headline: Measurement, name: str, people: list[str]) -> Measurement:
    persons = {pid: headline.persons[pid] for pid in people}
    low, high = rate_interval(persons)
    value = sum(hits for hits, _ in persons.values()) / sum(n for _, n in persons.values())
    return Measurement(
        metric=name,
        value=value,
        n=len(persons),
        low=min(low, value),
        high=max(high, value),
        chance=headline.chance,
        worse=headline.worse,
    )


def _widest(headline: Measurement, groups: Groups) -> tuple[str, str, float, float]:
    """Return the worst and the best value, their difference, and its p-value under permutation."""
    people = [pid for members in groups.values() for pid in members]
    table = np.array([headline.persons[pid] for pid in people])
    ends = np.cumsum([len(members) for members in groups.values()])
    rows = np.split(np.arange(len(people)), ends[:-1])

    def spread(*dealt: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        sums = [table[members].sum(axis=-2) for members in dealt]
        rates = np.stack([each[..., 0] / each[..., 1] for each in sums])
        return np.asarray(rates.max(0) - rates.min(0))

    found = stats.permutation_test(
        rows,
        spread,
        permutation_type="independent",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=200,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    rates = [float(table[m, 0].sum() / table[m, 1].sum()) for m in rows]
    names, sign = list(groups), 1 if headline.worse == "higher" else -1
    order = sorted(range(len(names)), key=lambda n: sign * rates[n])
    high, low = order[-1], order[0]
    return names[high], names[low], abs(rates[high] - rates[low]), float(found.pvalue)
