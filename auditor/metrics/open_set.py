"""Open-set search: is this person on the list at all? Error rates as in ISO/IEC 19795-1.

A search gives the entries whose score passes a threshold. Of searches for people who are not on the
list, the share that gives any entry is the false-positive identification rate (FPIR); of searches
for people who are, the share that does not give them is the false-negative identification rate
(FNIR), and the rest the true-positive rate (TPIR). With a threshold, an entry counts at whatever
rank; by rank alone, the list is read down to the first entry, whoever was asked for.

Every person who is on the list is searched for twice: as they are, and as if they were absent, in
the list without their own entries. So nothing hangs on how a few people happen to be divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.metrics import roc
from auditor.metrics.similarity import Scores, Truth
from auditor.report import Curve, Measurement
from auditor.statistics import intervals
from auditor.statistics.intervals import FEWER_DRAWS, high_end, low_end, simulate, unseen_images

Array = NDArray[np.float64]

BLOCK = 64
LIMITS = {"1pct": 0.01, "0_1pct": 0.001}
"""Rates of false alarms at which misses are read; the name of each."""
GRID = 16


@dataclass(frozen=True, eq=False)
class Searches:
    """What each search came to; one row per search.

    Attributes:
        pids: ``(S,)`` of whom was searched for.
        listed: ``(S,)`` bool, whether they are on the list.
        score: ``(S,)`` the best of their own entries, or of all entries where they have none.
        first: ``(S,)`` float64, how likely an entry of theirs comes first; 0 where they have none.
        share: ``(S,)`` float64, what part of the entries that are ranked is theirs.
    """

    pids: Tensor
    listed: Tensor
    score: Tensor
    first: Tensor
    share: Tensor

    @property
    def absent(self) -> int:
        """How many searches were for people who are not on the list."""
        return int((~self.listed).sum())

    @classmethod
    def join(cls, parts: Sequence["Searches"]) -> "Searches":
        """Return all searches of several parts."""
        columns = ([getattr(part, f.name) for part in parts] for f in fields(cls))
        return cls(*map(torch.cat, columns))


def search_list(scores: Scores, truth: Truth) -> Searches:
    """Search the list for every query, and the list without the query's person.

    Entries of the query's person by the query's own camera, and entries that a protection mixed the
    person into, are set aside.

    Args:
        scores: of all queries and all entries.
        truth: who is who.
    """
    rows: list[Searches] = []
    plain = replace(truth, gallery_partners=None)
    for start in range(0, len(truth.query_pids), BLOCK):
        block = slice(start, start + BLOCK)
        part, pids = scores(block), truth.query_pids[block]
        matches, aside = plain.relevant(block)
        own = part[matches.row, matches.entry]
        part[matches.row, matches.entry] = -torch.inf
        part[aside.row, aside.entry] = -torch.inf
        if truth.gallery_partners is not None:
            part.masked_fill_(truth.gallery_partners == pids[:, None], -torch.inf)
        rows += _search(pids, matches.row, own, part)
    return Searches.join(rows)


def _search(
    pids: Tensor, row: Tensor, matches: Tensor, others: Tensor
) -> tuple[Searches, Searches]:
    """Return a block of queries.

    Args:
        pids: ``(B,)`` whose they are.
        row: ``(M,)`` the query that each of a person's own entries belongs to.
        matches: ``(M,)`` the scores of these.
        others: ``(B, G)`` the scores of everybody else's, −∞ for whatever is not ranked.
    """
    own = others.new_full((len(pids),), -torch.inf).scatter_reduce(0, row, matches, "amax")
    best = others.max(1).values
    equal = row[matches == own[row]].bincount(minlength=len(pids)).double()
    rivals, drawn = torch.zeros_like(equal), (own == best).nonzero().flatten()
    rivals[drawn] = (others[drawn] == own[drawn, None]).sum(1).double()
    first = torch.where(own >= best, equal / (equal + rivals).clamp_min(1), 0.0)
    count = row.bincount(minlength=len(pids)).double()
    share = count / (count + others.isfinite().sum(1)).clamp_min(1)
    nothing = torch.zeros_like(first)
    listed = torch.ones_like(pids, dtype=torch.bool)
    there, absent = own.isfinite(), best.isfinite()
    return (
        Searches(*(c[there].cpu() for c in (pids, listed, own.double(), first, share))),
        Searches(*(c[absent].cpu() for c in (pids, ~listed, best.double(), nothing, nothing))),
    )


def identification_rate(found: Searches, limit: float, metric: str) -> Measurement:
    """TPIR at the threshold that a share ``limit`` of searches for absent people passes."""
    ((value, low, high),) = identification_rates(found, [limit])
    mated = found.listed
    scores = found.score.numpy()
    level = _threshold(scores[~mated.numpy()], limit)
    return Measurement(
        metric=metric,
        value=value,
        n=len(found.pids[mated].unique()),
        low=low,
        high=high,
        chance=_chance(found, limit),
        persons=intervals.by_person((found.score[mated] > level).double(), found.pids[mated]),
        note=f"threshold form, at FPIR {100 * limit:g}% over {found.absent} searches for people "
        "who are not there",
    )


def miss_rate(found: Searches, limit: float, metric: str) -> Measurement:
    """FNIR at the same threshold: 1 − TPIR; the fewer, the more is given away."""
    tpir = identification_rate(found, limit, metric)
    return replace(
        tpir,
        value=1 - tpir.value,
        low=1 - tpir.high,
        high=1 - tpir.low,
        chance=1 - (tpir.chance or 0.0),
        worse="lower",
        persons={pid: (count - hits, count) for pid, (hits, count) in tpir.persons.items()},
    )


def identification_rates(
    found: Searches, limits: Sequence[float]
) -> list[tuple[float, float, float]]:
    """TPIR at each rate of false alarms, with its 95% interval over people.

    People weigh at random with all their searches, so that threshold and hits move together. For
    the lower end, one more search for somebody absent passes whatever threshold, because the
    largest of a few scores is not the largest there can be, and one more person is found in no
    search; for the upper end, in all.
    """
    people, person = found.pids.unique(return_inverse=True)
    owner, member = person.numpy(), found.listed.numpy()
    scores = found.score.numpy()
    counts, absent = (
        np.bincount(owner, side, minlength=len(people)).astype(np.float64)
        for side in (member, ~member)
    )
    size = unseen_images(counts[counts > 0])

    def rates(weights: Array, alarms: Array) -> Array:
        """TPIR ``(A, …, limits)`` where one more search, of weight ``alarms (A, …)``, passes."""
        fpir, tpir = roc.points(scores, member, weights[..., owner])
        alarm, searches = alarms[..., None], (weights @ absent)[..., None]
        fpir = (fpir * searches + alarm) / (searches + alarm)
        return np.stack([roc.tpr_at_fpr(fpir, tpir, limit) for limit in limits], axis=-1)

    def ends(weights: Array) -> Array:
        seen, unseen = weights[..., :-1], weights[..., -1]
        images, more = (seen @ counts)[..., None], size * unseen[..., None]
        fewest, most = np.nan_to_num(rates(seen, np.stack([unseen, 0 * unseen]))) * images
        return np.stack([fewest, most + more], axis=-1) / (images + more)[..., None]

    values = rates(np.ones(len(people)), np.zeros(1))[0]
    drawn = simulate(len(people) + 1, ends, FEWER_DRAWS)
    return [
        (
            float(value),
            min(float(value), low_end(drawn[:, k, 0])),
            max(float(value), high_end(drawn[:, k, 1])),
        )
        for k, value in enumerate(values)
    ]


def det_curve(found: Searches) -> Curve:
    """FNIR against FPIR (detection error trade-off), from one false alarm in all upwards."""
    grid = np.unique(np.append(np.geomspace(1 / found.absent, 1, GRID), list(LIMITS.values())))
    grid = grid[grid >= 1 / found.absent]
    rates = identification_rates(found, grid.tolist())
    points = [
        (float(limit), 1 - value, 1 - high, 1 - low)
        for limit, (value, low, high) in zip(grid, rates, strict=True)
    ]
    return Curve(
        name="det",
        metric="fnir",
        x="FPIR",
        points=tuple(points),
        log_x=True,
        statement=f"Of searches for people who are there, {100 * points[0][1]:.1f}% miss them "
        f"where one false alarm in {found.absent} is borne.",
    )


def _threshold(absent: Array, limit: float) -> float:
    """Return the score that at most a share ``limit`` of ``absent (A,)`` exceeds."""
    return float(np.sort(absent)[::-1][int(limit * len(absent) + 1e-9)])


def _chance(found: Searches, limit: float) -> float:
    """Return how often an entry of theirs passes where scores are drawn at random.

    A list of n entries passes with probability ``limit``, so m of them do with 1 − (1 − limit)^m/n.
    """
    share = found.share[found.listed]
    return float((1 - (1 - limit) ** share).mean())
