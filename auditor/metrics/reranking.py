"""Rankings beyond the plain distance: k-reciprocal re-ranking and query expansion.

Both look at neighbours only, never at who is who. Re-ranking follows Zhong et al. (CVPR 2017,
equations 3 to 12), expansion Chum et al. (ICCV 2007, the average) and Radenović et al. (TPAMI 2019,
weighted by a power of the cosine).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import normalize

from auditor.metrics.similarity import Distance, Scores, Similarities

BLOCK = 256
PAIRS = 4096
"""Pairs of features whose distance is computed at once."""


def expand_queries(
    query: Tensor,
    gallery: Tensor,
    *,
    k: int = 5,
    alpha: float = 3.0,
    distance: Distance = "cosine",
) -> Tensor:
    """Return each query averaged with its ``k`` nearest gallery entries, as queries ``(Q, D)``.

    An entry weighs its cosine to the query to the power of ``alpha`` (negative ones nothing), the
    query itself weighs one. O(Q G D) time, O(BLOCK · G) memory.

    Args:
        query: ``(Q, D)``.
        gallery: ``(G, D)``.
        k: entries to average with; 0 changes no ranking, more than G means G.
        alpha: 0 gives the plain average.
        distance: what the deployment ranks by; for cosines all rows are brought to unit length.

    Raises:
        ModelError: for non-finite features.
    """
    scores = Similarities.of(query, gallery, distance)
    query, gallery = query.float(), gallery.float()
    directions = normalize(query, dim=1), normalize(gallery, dim=1)
    if distance == "cosine":
        query, gallery = directions
    parts = []
    for start in range(0, len(query), BLOCK):
        block = slice(start, start + BLOCK)
        near = _nearest(scores(block), k)
        cosines = torch.einsum("bd,bkd->bk", directions[0][block], directions[1][near])
        weights = cosines.clamp_min(0).pow(alpha)
        total = query[block] + torch.einsum("bk,bkd->bd", weights, gallery[near])
        parts.append(total / (1 + weights.sum(1, keepdim=True)))
    return torch.cat(parts)


def k_reciprocal(
    query: Tensor,
    gallery: Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    distance: Distance = "cosine",
) -> Scores:
    """Return scores by which queries and gallery are ranked again, for `evaluate_scores`.

    Two pictures are close if they count each other, and the same others, among their nearest.
    Minus ``(1 − weight) · Jaccard distance + weight · own distance``, where the own distance is the
    squared one (for cosines of unit rows), divided by the query's largest. As in the published
    protocol, queries and gallery form one pool of N = Q + G pictures, so queries are one another's
    neighbours too. Ties among neighbours go to the earlier picture, queries first.

    O(N² D) time for the neighbours; memory O(N · (D + k1 · k2)), where only non-zero entries of
    the neighbourhood vectors are kept, beside blocks of O(BLOCK · N).

    Args:
        query: ``(Q, D)``.
        gallery: ``(G, D)``.
        k1: neighbours that must be mutual; more than there are means all.
        k2: entries, the picture itself included, whose neighbourhoods are averaged; 1 is off.
        weight: of the own distance (λ); 1 is the plain ranking.
        distance: what the deployment ranks by.

    Raises:
        ModelError: for non-finite features.
    """
    Similarities.of(query, gallery, distance)  # refuses by name what cannot be ranked
    everyone = torch.cat([query, gallery])
    pool = Similarities.of(everyone, everyone, distance)
    near, farthest = _neighbourhoods(pool, max(k1 + 1, k2))
    reach = _expand_sets(near, k1)
    vectors = _mean_rows(_weigh(reach, pool, farthest), near[:, :k2])
    return _Reranked(pool, farthest, vectors[: len(query)], vectors[len(query) :].tocsc(), weight)


@dataclass(frozen=True, eq=False)
class _Reranked:
    """The final distance, negated, block by block.

    ``queries`` and ``gallery`` hold the neighbourhood vectors ``(Q, N)`` and, by columns,
    ``(G, N)``.
    """

    pool: Similarities
    farthest: Tensor
    queries: Any
    gallery: Any
    weight: float

    def __call__(self, block: slice) -> Tensor:
        start, stop, _ = block.indices(self.queries.shape[0])
        count = self.gallery.shape[0]
        shared = np.stack([self._overlap(row) for row in range(start, stop)])
        # each vector sums to one, so the largest of two adds up to two minus the smallest
        jaccard = torch.from_numpy(1 - shared / (2 - shared)).to(self.pool.query.device)
        rows = slice(start, stop)
        own = _square(self.pool, torch.arange(start, stop), self.pool(rows)).double()
        own = own[:, -count:] / self.farthest[rows, None].double()
        return -(1 - self.weight) * jaccard - self.weight * own

    def _overlap(self, row: int) -> np.ndarray:
        """Sum ``(G,)`` of the smaller of two vectors, from the columns the query has at all."""
        part = slice(*self.queries.indptr[row : row + 2])
        columns = self.gallery[:, self.queries.indices[part]]
        mine = np.repeat(self.queries.data[part], np.diff(columns.indptr))
        smaller = np.minimum(columns.data, mine)
        return np.bincount(columns.indices, smaller, minlength=self.gallery.shape[0])


def _nearest(scores: Tensor, k: int) -> Tensor:
    """Return ``k`` highest of each row ``(B, K)``, highest first.

    Among equals the earlier first.
    """
    k = min(k, scores.shape[1])
    values, order = scores.topk(min(k + 1, scores.shape[1]))
    tied = (values[:, 1:] == values[:, :-1]).any(1)
    if tied.any():  # a stable sort of whole rows is slow, and ties are rare
        whole = scores[tied].sort(dim=1, descending=True, stable=True).indices
        order[tied] = whole[:, : order.shape[1]]
    return order[:, :k]


def _neighbourhoods(pool: Similarities, k: int) -> tuple[np.ndarray, Tensor]:
    """Each picture and its nearest ones ``(N, k)``, itself first, and its largest distance."""
    near, farthest = [], []
    for start in range(0, len(pool.gallery), BLOCK):
        scores = pool(slice(start, start + BLOCK))
        rows = torch.arange(start, start + len(scores))
        farthest.append(_square(pool, rows, scores.min(1).values))
        scores[range(len(rows)), rows] = torch.inf
        near.append(_nearest(scores, k).cpu())
    # where all pictures are one, every distance is zero
    return torch.cat(near).numpy(), torch.cat(farthest).clamp_min(1e-12)


def _square(pool: Similarities, rows: Tensor, scores: Tensor) -> Tensor:
    """Return the squared Euclidean distances behind the ``scores (R, …)`` of ``rows (R,)``."""
    if pool.distance == "cosine":
        return (2 - 2 * scores).clamp_min(0)
    return pool.similarity(rows, scores).square()


def _reciprocal(near: np.ndarray, k: int) -> Any:
    """Who is among whose ``k`` nearest and the other way round: sparse 0/1 ``(N, N)``, eq. 3."""
    near = near[:, : k + 1]
    forward = _sparse(near, np.ones(near.shape, np.float32))
    return forward.multiply(forward.T).tocsr()


def _expand_sets(near: np.ndarray, k1: int) -> Any:
    """Return the robust sets R*: a mutual neighbour's own half set joins if it fits, eq. 5.

    It fits if at least two thirds of it are in the set it joins.
    """
    whole, half = _reciprocal(near, k1), _reciprocal(near, round(k1 / 2))
    size = np.asarray(half.sum(1)).ravel()
    common = whole.multiply(whole @ half.T).tocsr()  # (p, q): how much of q's half set p has
    common.data = (3 * common.data >= 2 * size[common.indices]).astype(np.float32)
    reach = (whole + common @ half).tocsr()
    reach.eliminate_zeros()
    reach.sort_indices()
    return reach


def _weigh(reach: Any, pool: Similarities, farthest: Tensor) -> Any:
    """Return the sets as vectors that sum to one, an entry weighing exp(−distance), eq. 7."""
    rows = torch.from_numpy(np.repeat(np.arange(reach.shape[0]), np.diff(reach.indptr)))
    columns = torch.from_numpy(reach.indices.astype(np.int64))
    weights = []
    for i, j in zip(rows.split(PAIRS), columns.split(PAIRS), strict=True):
        squared = _square(pool, i, pool.of_pairs(i, j))
        weights.append(torch.exp(-squared / farthest[i]))
    vectors = reach.astype(np.float64)
    vectors.data = torch.cat(weights).double().cpu().numpy()
    totals = np.asarray(vectors.sum(1)).ravel()
    vectors.data /= np.repeat(totals, np.diff(vectors.indptr))
    return vectors


def _mean_rows(vectors: Any, near: np.ndarray) -> Any:
    """Return each picture's vector averaged with those of its nearest ``near (N, k2)``, eq. 11."""
    return (_sparse(near, np.full(near.shape, 1 / near.shape[1])) @ vectors).tocsr()


def _sparse(columns: np.ndarray, values: np.ndarray) -> Any:
    """Return ``values (N, k)`` at ``columns (N, k)`` of a sparse ``(N, N)``."""
    count, k = columns.shape
    ends = np.arange(0, count * k + 1, k)
    return sparse.csr_array((values.ravel(), columns.ravel(), ends), shape=(count, count))
