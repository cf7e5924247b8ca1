"""Cross-camera retrieval: CMC, mAP and mINP, streamed over blocks of queries.

The rank of a match is one more than the number of better-scored entries, so only matches are sorted
and no ``(num_query, num_gallery)`` matrix is ever held. Equal to torchreid's and fast-reid's
conventions (Zheng et al., ICCV 2015; Ye et al., TPAMI 2021, mINP): gallery entries with the query's
pid *and* camid are ignored, queries left without a match are skipped. Equal scores count as a
random order would on average, which the sorting evaluators leave to chance; otherwise a release
that gives every feature a twin would look perfectly private.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.errors import DataError, ModelError
from auditor.metrics.counting import count_better
from auditor.metrics.similarity import Distance, Pairs, Scores, Similarities, Truth

BLOCK_SCORES = 2**22
"""Scores held at once, unless fewer queries than `FEWEST` made so many."""
FEWEST, MOST = 64, 512
"""Queries whose scores are held at once."""


@dataclass(frozen=True)
class Retrieval:
    """One row per valid query, that is, one with at least one true match.

    Attributes:
        query_index: ``(V,)`` position of the query in the query set.
        rank: ``(V,)`` expected 1-based rank of the best-ranked true match.
        better: ``(V,)`` entries above that match.
        level: ``(V,)`` entries with its score, itself included.
        level_matches: ``(V,)`` true matches among those.
        average_precision: ``(V,)``, its mean over the orders of equal scores.
        inverse_penalty: ``(V,)`` matches divided by the rank of the hardest one.
        best_index: ``(V,)`` gallery position of the top entry.
        best_score: ``(V,)`` its similarity (cosine, or minus the Euclidean distance; from
            `evaluate_scores`, the score as it was given).
    """

    query_index: Tensor
    rank: Tensor
    better: Tensor
    level: Tensor
    level_matches: Tensor
    average_precision: Tensor
    inverse_penalty: Tensor
    best_index: Tensor
    best_score: Tensor

    def hit(self, k: int) -> Tensor:
        """Return ``(V,)`` float64: how likely a match is among the first ``k``.

        0 or 1 without ties.
        """
        missed = torch.ones_like(self.level)
        others = self.level - self.level_matches
        for drawn in range(k):
            # one more of the first k falls among the equal entries, and is again no match
            falls = drawn < k - self.better
            missed *= torch.where(falls, (others - drawn) / (self.level - drawn), 1).clamp_min(0)
        return 1 - missed

    def cmc(self, k: int) -> float:
        """Fraction of valid queries hit within the first ``k``."""
        return float(self.hit(k).mean())

    @property
    def mean_ap(self) -> float:
        """Mean average precision."""
        return float(self.average_precision.mean())

    @property
    def mean_inp(self) -> float:
        """Mean inverse negative penalty."""
        return float(self.inverse_penalty.mean())


def evaluate(
    query_features: Tensor,
    gallery_features: Tensor,
    truth: Truth,
    *,
    distance: Distance = "cosine",
) -> Retrieval:
    """Rank the gallery for each query by its features.

    Args:
        query_features: ``(Q, D)``.
        gallery_features: ``(G, D)``.
        truth: who is who.
        distance: ``cosine`` or ``euclidean``.

    Raises:
        ModelError: for non-finite features, which would rank like chance and look private.
        DataError: if no query has a true match.
    """
    scores = Similarities.of(query_features, gallery_features, distance)
    found = evaluate_scores(scores, truth)
    return replace(found, best_score=scores.similarity(found.query_index, found.best_score))


def evaluate_scores(scores: Scores | Tensor, truth: Truth) -> Retrieval:
    """Rank the gallery for each query by given similarities.

    Args:
        scores: ``(Q, G)``, the nearest entry highest (minus a distance, for one), or whoever gives
            them block by block, so that they need never be held at once.
        truth: who is who.

    Raises:
        ModelError: for scores that are not finite.
        DataError: if no query has a true match.
    """
    provider = (lambda block: scores[block].clone()) if isinstance(scores, Tensor) else scores
    rows: list[tuple[Tensor, ...]] = []
    size = min(max(BLOCK_SCORES // max(1, len(truth.gallery_pids)), FEWEST), MOST)
    for start in range(0, len(truth.query_pids), size):
        block = slice(start, start + size)
        part = provider(block)
        # the sum is quick, but may overflow, so what looks wrong is looked at again
        if not torch.isfinite(part.sum()) and not torch.isfinite(part).all():
            raise ModelError("the similarities contain NaN or infinity; they cannot be ranked")
        if truth.query_pids.device != part.device:
            truth = truth.to(part.device)
        matches, ignored = truth.relevant(block)
        part[ignored.row, ignored.entry] = -torch.inf
        rows.append(_rank_block(part, matches, start))
    columns = [torch.cat(column).cpu() for column in zip(*rows, strict=True)]
    if not columns or not len(columns[0]):
        raise DataError(
            "no query has a true match in the gallery once its own camera is set aside; "
            "check pids and camids, or set data.cross_camera: false"
        )
    return Retrieval(*columns)


def _rank_block(scores: Tensor, matches: Pairs, start: int) -> tuple[Tensor, ...]:
    """Rank every true match of a block of queries by counting better and equal entries."""
    counts = matches.row.bincount(minlength=len(scores))
    valid = counts.nonzero().flatten()
    if not len(valid):
        return _nobody(scores)
    width = int(counts.max())
    slots = torch.arange(width, device=scores.device) < counts[:, None]
    # true matches of each query, best first, padded with what comes last
    positives = scores.new_full(slots.shape, -torch.inf)
    positives[slots] = scores[matches.row, matches.entry]
    positives = positives.sort(1, descending=True).values
    above, at_least = count_better(scores, positives, counts)
    best_score, best_index = scores.max(1)
    first, group = _tie_groups(positives, slots)
    rank = _expected_rank(first, group, above, at_least)
    precision = _expected_precision(first, group, above, at_least).masked_fill_(~slots, 0)
    hardest = rank.masked_fill(~slots, 0).max(1).values
    columns = (
        rank[:, 0],
        above[:, 0],
        (at_least - above)[:, 0],
        group[:, 0],
        precision.sum(1) / counts,
        counts / hardest,
        best_index,
        best_score,
    )
    return valid + start, *(column[valid] for column in columns)


def _nobody(scores: Tensor) -> tuple[Tensor, ...]:
    """Return the columns of a block in which no query has a match."""
    figures, places = scores.new_empty(0, dtype=torch.float64), scores.new_empty(0).long()
    return (places, *[figures] * 6, places, scores.new_empty(0))


def _tie_groups(positives: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """For each true match ``(V, P)``, best first: how many score higher, and how many equally."""
    place = torch.arange(positives.shape[1], device=positives.device).expand_as(positives)
    opens = torch.ones_like(slots)
    opens[:, 1:] = positives[:, 1:] != positives[:, :-1]
    first = torch.where(opens, place, 0).cummax(1).values
    # the next group's first place, looked for from the end
    after = torch.where(opens, place, positives.shape[1]).roll(-1, 1)
    after[:, -1] = positives.shape[1]
    after = after.flip(1).cummin(1).values.flip(1)
    return first.double(), (after - first).double()


def _expected_rank(first: Tensor, group: Tensor, above: Tensor, at_least: Tensor) -> Tensor:
    """Return the expected rank of true matches ``(V, P)`` with equal scores in random order.

    In a tie group of p matches and e others below b better entries, the i-th match stands on
    average at ``b + i + e·i/(p+1)``.
    """
    place = torch.arange(first.shape[1], device=first.device) - first + 1
    others = at_least - above - group
    return above + place + others * place / (group + 1)


def _expected_precision(first: Tensor, group: Tensor, above: Tensor, at_least: Tensor) -> Tensor:
    """Return the expected precision at true matches ``(V, P)`` with equal scores in random order.

    In a tie group of t entries below b better ones, p of them matches and m matches above, an entry
    at ``b + j`` is a match with chance p/t and has ``m + 1 + (j−1)(p−1)/(t−1)`` matches up to it;
    the mean over j needs only ``Σ 1/(b+j)``. Each match of the group takes an equal share.
    """
    size = at_least - above
    harmonic = torch.digamma(at_least + 1) - torch.digamma(above + 1)
    slope = (group - 1) / (size - 1).clamp_min(1)
    mean = ((first + 1) * harmonic + slope * (size - (above + 1) * harmonic)) / size
    return torch.where(size == 1, (first + 1) / at_least, mean)
