"""Naming stored entries by own clean pictures: rank-1 and mAP, and what a blind guess reaches."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.metrics import measure
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.metrics.similarity import Truth
from auditor.report import Measurement
from auditor.statistics.multiplicity import widen
from auditor.types import ReIDDataset

EULER = 0.5772156649015329


def score_search(
    name: str, query: Tensor, entries: Tensor, data: ReIDDataset
) -> tuple[Measurement, Measurement]:
    """``NAME_rank1`` and ``NAME_map`` of finding the query's person in the gallery by cosine.

    Args:
        name: what the entries are.
        query: ``(Q, E)`` features of ``data.query``.
        entries: ``(G, E)`` of ``data.gallery``.
        data: labels, and whether matches are judged across cameras.
    """
    return rate_search(name, search(query, entries, data), data)


def search(
    query: Tensor, entries: Tensor, data: ReIDDataset, partners: Tensor | None = None
) -> Retrieval:
    """Return the gallery ranked for each query; ``partners (G,)`` as in `evaluate`."""
    return evaluate(
        query,
        entries,
        Truth.of(data.query, data.gallery, cross_camera=data.cross_camera, partners=partners),
    )


def rate_search(
    name: str, found: Retrieval, data: ReIDDataset, partners: Tensor | None = None
) -> tuple[Measurement, Measurement]:
    """Rank-1 and mAP of a search with the chance level of its queries."""
    rows, blind = found.query_index, Blind.of(data, partners)
    pids = data.query.pids[rows]
    rank1, mean_ap = (float(chance[rows].mean()) for chance in (blind.rank1, blind.precision))
    return (
        measure.rate(f"{name}_rank1", found.hit(1), pids, chance=rank1),
        measure.mean(f"{name}_map", found.average_precision, pids, chance=mean_ap),
    )


def worse(tries: Mapping[str, Measurement]) -> Measurement:
    """Return the try that is worse for privacy, its interval corrected for having picked it.

    Args:
        tries: what was done to the pictures held -> the same figure found with them.
    """
    figures = list(tries.values())
    picked = max(figures, key=lambda m: _badness(m, m.value))
    if len(figures) == 1:
        return picked
    best = picked.value - widen(picked.value - picked.optimistic, len(figures))
    if picked.unit == "fraction":
        best = min(max(best, 0.0), 1.0)
    worst = max((m.pessimistic for m in figures), key=lambda end: _badness(picked, end))
    low, high = sorted((best, worst))
    found = ", ".join(f"{kind} {m.value:.3f}" for kind, m in tries.items())
    note = "; ".join(filter(None, (picked.note, f"the worse of two ways of asking: {found}")))
    return replace(picked, low=low, high=high, note=note)


def _badness(m: Measurement, number: float) -> float:
    return number if m.worse == "higher" else -number


def worse_of_each(tries: Mapping[str, Sequence[Measurement]]) -> tuple[Measurement, ...]:
    """`worse`, figure by figure; all tries give the same ones in the same order."""
    columns = zip(*tries.values(), strict=True)
    return tuple(worse(dict(zip(tries, column, strict=True))) for column in columns)


@dataclass(frozen=True, eq=False)
class Blind:
    """What each query reaches in a random order of its candidates.

    Attributes:
        matches: ``(Q,)`` float64, entries that count as found.
        candidates: ``(Q,)`` float64, entries that are ranked.
    """

    matches: Tensor
    candidates: Tensor

    @classmethod
    def of(cls, data: ReIDDataset, partners: Tensor | None = None) -> "Blind":
        """Of the queries in the gallery; an entry matches its partner of ``partners (G,)`` too."""
        query, gallery = data.query, data.gallery
        entries = Counter(gallery.pids.tolist())
        seen = Counter(zip(gallery.pids.tolist(), gallery.camids.tolist(), strict=True))
        mixed: Counter[int] = Counter()
        if partners is not None:
            mixed = Counter(partners[partners != gallery.pids].tolist())
        rows = []
        for pid, camid in zip(query.pids.tolist(), query.camids.tolist(), strict=True):
            ignored = seen[pid, camid] if data.cross_camera and camid >= 0 else 0
            rows.append((entries[pid] - ignored + mixed[pid], max(1, len(gallery) - ignored)))
        matches, candidates = torch.tensor(rows, dtype=torch.float64).reshape(-1, 2).T
        return cls(matches, candidates)

    @property
    def rank1(self) -> Tensor:
        """``(Q,)`` how likely the first one is a match."""
        return self.matches / self.candidates

    @property
    def precision(self) -> Tensor:
        """``(Q,)`` expected average precision; only where there is a match."""
        harmonic = torch.digamma(self.candidates + 1) + EULER
        others = (self.matches - 1) / (self.candidates - 1).clamp_min(1)
        return (harmonic + others * (self.candidates - harmonic)) / self.candidates
