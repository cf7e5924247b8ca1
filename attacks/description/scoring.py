"""Whom a description finds, and how many people fit it: the anonymity set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from attacks.attribute.labels import recode
from attacks.learners.people import sum_groups
from attacks.protocol.matching import Blind
from auditor.errors import UnsupportedTargetError
from auditor.evaluation.subgroups import hidden_values
from auditor.metrics import measure
from auditor.metrics.retrieval import evaluate_scores
from auditor.metrics.similarity import Scores, Truth
from auditor.report import Measurement
from auditor.row_blocks import fit_block
from auditor.types import MISSING, AttackResult, ReIDDataset, Split

BLOCK = 1024
"""Descriptions compared with all entries at a time, at most."""
QUANTILES = {"median": 0.5, "q05": 0.05}


@dataclass(frozen=True, eq=False)
class Described:
    """People and the words for them.

    Attributes:
        pids: ``(P,)``.
        labels: ``(P, A)`` positions in ``codes``; −1 where nothing is said.
        codes: attribute -> the codes that can be described.
    """

    pids: Tensor
    labels: Tensor
    codes: Mapping[str, Sequence[int]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each attribute has."""
        return tuple(map(len, self.codes.values()))


def describe_people(gallery: Split, codes: Mapping[str, list[int]]) -> Described:
    """Describe everybody in the gallery by the commonest annotation of their entries.

    Raises:
        UnsupportedTargetError: if fewer than two people can be described.
    """
    labels = recode(gallery, codes)
    people, person = gallery.pids.unique(return_inverse=True)
    columns = []
    for column, values in enumerate(codes.values()):
        label = labels[:, column]
        hot = F.one_hot(label.clamp_min(0), len(values)).double() * (label != MISSING)[:, None]
        counts = sum_groups(hot, person, len(people))
        columns.append(torch.where(counts.sum(1) > 0, counts.argmax(1), MISSING))
    words = torch.stack(columns, dim=1)
    told = (people > 0) & (words != MISSING).any(1)
    if int(told.sum()) < 2:
        raise UnsupportedTargetError(
            f"annotated people in the gallery: {int(told.sum())}; to tell people apart by "
            "description takes two"
        )
    return Described(people[told], words[told], codes)


def score_descriptions(
    score: Scores, described: Described, data: ReIDDataset, note: str, *, groups: bool = True
) -> AttackResult:
    """Measure how well entries fit descriptions.

    Args:
        score: a block of the descriptions to ``(B, G)``, higher for better.
        described: the P people.
        data: whose gallery it is.
        note: how entries were read.
        groups: whether anonymity sets are told by attribute value.
    """
    pids = data.gallery.pids
    anywhere = torch.full_like(described.pids, MISSING), torch.full_like(pids, MISSING)
    truth = Truth(described.pids, pids, *anywhere, cross_camera=False)
    found = evaluate_scores(lambda block: score(block).float(), truth)
    matches = _count_entries(described, pids)
    blind = Blind(matches, torch.full_like(matches, len(pids)))
    rank1, precision = (float(chance.mean()) for chance in (blind.rank1, blind.precision))
    sets = count_fitting(score, described, pids)
    unread = count_fitting(_guess(described, pids), described, pids)
    most = len(pids[pids > 0].unique()) + int((pids <= 0).sum())
    figures = [
        measure.rate("described_rank1", found.hit(1), described.pids, chance=rank1),
        measure.mean("described_map", found.average_precision, described.pids, chance=precision),
        *measure_sets(sets, unread, most, ""),
    ]
    if groups:
        figures += _measure_groups(sets, unread, most, described, data)
    notes = (
        f"{len(described.pids)} people were each described by {len(described.codes)} attributes; "
        "whoever could read these off every entry would reach rank-1 "
        f"{_find_ceiling(described, pids):.3f}, because some people share a description",
        note,
    )
    return AttackResult(tuple(figures), notes=tuple(filter(None, notes)))


def _guess(described: Described, pids: Tensor) -> Scores:
    """Return scores of blocks, asked for one after another, that tell nothing."""
    generator = torch.Generator().manual_seed(0)

    def score(block: slice) -> Tensor:
        shape = len(described.pids[block]), len(pids)
        return torch.rand(shape, generator=generator).double()

    return score


def count_fitting(score: Scores, described: Described, pids: Tensor) -> Tensor:
    """Count the people ``(P,)`` who fit each description at least as well as its person does.

    A person fits as well as their best entry, and always fits their own description; distractors
    count as one person each.
    """
    alone = -1 - torch.arange(len(pids))
    people, person = torch.where(pids > 0, pids, alone).unique(return_inverse=True)
    own, size = torch.searchsorted(people, described.pids), fit_block(len(pids), BLOCK)
    counts = []
    for start in range(0, len(own), size):
        scores = score(slice(start, start + size))
        best = scores.new_full((len(scores), len(people)), -torch.inf)
        best = best.scatter_reduce(1, person.expand(len(scores), -1), scores, "amax")
        counts.append((best >= best.gather(1, own[start : start + size, None])).sum(1))
    return torch.cat(counts)


def _count_entries(described: Described, pids: Tensor) -> Tensor:
    """Return how many of entries ``pids (N,)`` show each of the people ``(P,)``, as float64."""
    people, counts = pids.unique(return_counts=True)
    entries: Tensor = counts[torch.searchsorted(people, described.pids)]
    return entries.double()


def measure_sets(sets: Tensor, unread: Tensor, most: int, group: str) -> Iterator[Measurement]:
    """Yield median and 5% quantile of anonymity sets ``(P,)``, with exact intervals over people.

    Chance is that of sets ``unread``, of entries that are ranked at random. ``most`` people can be
    in a set: the end of an interval that too few people leave open.
    """
    sizes = sets.numpy()
    for name, share in QUANTILES.items():
        value, chance = (
            float(np.quantile(each, share, method="inverted_cdf")) for each in (sizes, unread)
        )
        low, high = stats.quantile_test(sizes, p=share).confidence_interval()
        yield Measurement(
            metric=f"anonymity_{name}{group}",
            value=value,
            n=len(sizes),
            low=1.0 if np.isnan(low) else min(float(low), value),
            high=float(most) if np.isnan(high) else max(float(high), value),
            chance=chance,
            worse="lower",
            unit="people",
        )


def _measure_groups(
    sets: Tensor, unread: Tensor, most: int, described: Described, data: ReIDDataset
) -> Iterator[Measurement]:
    """Yield the same among the people of each attribute value that enough of them share."""
    for column, (name, codes) in enumerate(described.codes.items()):
        label = described.labels[:, column]
        counts = {str(place): int((label == place).sum()) for place in range(len(codes))}
        hidden = hidden_values({place: count for place, count in counts.items() if count})
        for place, code in enumerate(codes):
            if counts[str(place)] and str(place) not in hidden:
                group = f"@{name}={data.attribute_values[name][code]}"
                yield from measure_sets(sets[label == place], unread, most, group)


def _find_ceiling(described: Described, pids: Tensor) -> float:
    """Return the rank-1 of whoever ranks the entries that share a description at random."""
    _, kind = described.labels.unique(dim=0, return_inverse=True)
    entries = _count_entries(described, pids)
    alike = sum_groups(entries, kind, int(kind.max()) + 1)
    return float((entries / alike[kind]).mean())
