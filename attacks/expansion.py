"""What is not linear in a feature, as columns that a linear model can read.

A system can hide who somebody is from every linear probe and still tell it by a magnitude, a norm
or the product of two coordinates. Which of these tell people apart is found by analysis of
variance on auxiliary people: all pairs of coordinates are looked through, the best are kept.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.attributes.rows import person_means
from attacks.standardising import Standardise

RAW = 512
"""At most so many coordinates are kept as they are."""
COLUMNS = 192
"""At most so many functions of one coordinate are, and at most so many products of two."""
CLEARLY = 4.0
"""Standard errors by which people must differ in a column more than chance has it."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """Stored features ``(N, D)`` to columns ``(N, E)`` on one scale.

    Attributes:
        centre: ``(D,)`` about which products are formed.
        pairs: ``(2, K)`` the coordinates of each product.
        kept: ``(E,)`` which of all columns are.
        standardise: of those.
    """

    centre: Tensor
    pairs: Tensor
    kept: Tensor
    standardise: Standardise

    @classmethod
    def of(cls, stored: Tensor, rows: Tensor, pids: Tensor) -> "Expansion":
        """For ``stored (G, D)``, with what tells apart the people ``pids (N,)`` of ``rows``."""
        centre = rows.mean(0)
        pairs = _telling_pairs(rows - centre, pids)
        columns = _columns(rows, centre, pairs)
        score = variance_ratio(columns, pids)
        width = rows.shape[1]
        raw = score[:width].topk(min(RAW, width)).indices
        other = width + score[width:].topk(min(2 * COLUMNS, len(score) - width)).indices
        kept = torch.cat([raw, other])
        # where nothing tells people apart, the one that seems to must do
        kept = kept[score[kept] > min(CLEARLY, float(score[kept].max()) - 1e-9)].sort().values
        scale = Standardise(_columns(stored, centre, pairs)[:, kept])
        return cls(centre, pairs, kept, scale)

    def __call__(self, stored: Tensor) -> Tensor:
        """See the class."""
        columns: Tensor = self.standardise(_columns(stored, self.centre, self.pairs)[:, self.kept])
        return columns


def _columns(rows: Tensor, centre: Tensor, pairs: Tensor) -> Tensor:
    """All columns: coordinates, functions of one, products of two, and the row's own norms."""
    rows = rows.float()
    about = rows - centre
    products = about[:, pairs[0]] * about[:, pairs[1]]
    norms = [rows.norm(dim=1), rows.norm(p=1, dim=1), rows.amax(1), rows.amin(1), rows.mean(1)]
    whole = torch.stack([*norms, rows.norm(dim=1).clamp_min(1e-12).log()], dim=1)
    ranks = rows.argsort(1).argsort(1).float()
    single = [about.abs(), about.sign(), F.normalize(rows, dim=1), ranks]
    return torch.cat([rows, *single, whole, products, products.sign()], dim=1)


def variance_ratio(columns: Tensor, pids: Tensor) -> Tensor:
    """How many standard errors beyond chance people differ in each of columns ``(N, E)``."""
    columns = columns.double()
    between = (person_means(columns, pids) - columns.mean(0)).square().sum(0)
    within = (columns - columns.mean(0)).square().sum(0) - between
    return _beyond_chance(between, within, len(columns), len(pids.unique()))


def _beyond_chance(between: Tensor, within: Tensor, rows: int, people: int) -> Tensor:
    """Fisher's ratio of sums of squares, in standard errors above its value for no difference."""
    free, freedom = people - 1, max(1, rows - people)
    ratio = (between / free) / (within / freedom).clamp_min(1e-12 * between.clamp_min(1e-30))
    score: Tensor = (ratio.nan_to_num(1.0) - 1) / (2 / free + 2 / freedom) ** 0.5
    return score


def _telling_pairs(about: Tensor, pids: Tensor) -> Tensor:
    """The pairs ``(2, K)`` of coordinates in whose product people differ most clearly.

    Sums over people of squared mean products stand for all D² products at a time.
    """
    about = about.double()
    between = about.new_zeros(about.shape[1], about.shape[1])
    mean = about.T @ about / len(about)
    squares = about.square()
    total = squares.T @ squares - len(about) * mean.square()
    for pid in pids.unique():
        mine = about[pids == pid]
        between += len(mine) * (mine.T @ mine / len(mine) - mean).square()
    score = _beyond_chance(between, total - between, len(about), len(pids.unique()))
    score = score.triu()
    count = min(COLUMNS, int((score > CLEARLY).sum()))
    best = score.flatten().topk(count).indices
    return torch.stack([best // len(score), best % len(score)])
