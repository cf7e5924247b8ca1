"""What is not linear in a feature, as columns that a linear model can read.

A system can hide who somebody is from every linear probe and still tell it by a magnitude, a norm
or the product of two coordinates. Which of these tell people apart, or the values of an attribute,
is found by analysis of variance on auxiliary people: all pairs of coordinates are looked through,
the best are kept.
"""

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from attacks.learners.people import PersonMeans, sum_groups
from attacks.learners.standardising import Standardise
from auditor.types import MISSING

RAW = 512
"""At most so many coordinates are kept as they are."""
COLUMNS = 192
"""At most so many functions of one coordinate are, and at most so many products of two."""
CLEARLY = 4.0
"""Standard errors by which people must differ in a column more than chance has it."""
FALSE_ALARM = 0.05
"""Chance that among all columns one seems to tell an attribute's values that none tells."""


class Expansion(nn.Module):
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

    def __init__(
        self, centre: Tensor, pairs: Tensor, kept: Tensor, standardise: Standardise
    ) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("pairs", pairs)
        self.register_buffer("kept", kept)
        self.standardise = standardise

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

    @classmethod
    def of_attributes(cls, rows: Tensor, pids: Tensor, labels: Tensor) -> "Expansion":
        """With coordinates as they are, and what else tells the classes of an attribute.

        Args:
            rows: ``(N, D)`` of own people.
            pids: ``(N,)`` of whom.
            labels: ``(N, A)`` classes, -1 where missing.
        """
        centre = rows.mean(0)
        pairs = _pairs_for_attributes(rows - centre, labels)
        columns = _columns(rows, centre, pairs)
        width = rows.shape[1]
        chances = torch.stack([_chance_of(columns, pids, label) for label in labels.T]).amin(0)
        raw = chances[:width].argsort(stable=True)[:RAW]
        # pairs are those of many that seemed to tell most
        tried = (width * (width + 1) + columns.shape[1]) * labels.shape[1]
        other = width + chances[width:].argsort(stable=True)[: 2 * COLUMNS]
        other = other[chances[other] < FALSE_ALARM / tried]
        kept = torch.cat([raw, other]).sort().values
        return cls(centre, pairs, kept, Standardise(columns[:, kept]))

    def forward(self, stored: Tensor) -> Tensor:
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
    """Return how many standard errors beyond chance people differ in each of columns ``(N, E)``."""
    columns = columns.double()
    between = (PersonMeans.of(columns, pids).of_each - columns.mean(0)).square().sum(0)
    within = (columns - columns.mean(0)).square().sum(0) - between
    return _beyond_chance(between, within, len(columns), len(pids.unique()))


def _beyond_chance(between: Tensor, within: Tensor, rows: int, people: int) -> Tensor:
    """Fisher's ratio, in standard errors above its value for no difference."""
    free, freedom = people - 1, max(1, rows - people)
    score: Tensor = (_ratio(between, within, free, freedom) - 1) / (2 / free + 2 / freedom) ** 0.5
    return score


def _ratio(between: Tensor, within: Tensor, free: int, freedom: int) -> Tensor:
    """Fisher's ratio of sums of squares; 1 where nothing varies."""
    floor = 1e-12 * between.clamp_min(1e-30)
    ratio: Tensor = (between / free) / (within / freedom).clamp_min(floor)
    return ratio.nan_to_num(1.0)


def _telling_pairs(about: Tensor, pids: Tensor) -> Tensor:
    """Return the pairs ``(2, K)`` of coordinates in whose product people differ most clearly.

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


def _pairs_for_attributes(about: Tensor, labels: Tensor) -> Tensor:
    """Return pairs ``(2, K)`` of coordinates by whose product classes ``(N, A)`` differ most."""
    most = max(1, COLUMNS // labels.shape[1])
    pairs = [_pairs_for_classes(about, label, most) for label in labels.T]
    distinct: Tensor = torch.cat(pairs, dim=1).unique(dim=1)
    return distinct


def _pairs_for_classes(about: Tensor, label: Tensor, most: int) -> Tensor:
    present = label != MISSING
    about, label = about[present].float(), label[present]
    about = about / about.square().mean(0).sqrt().clamp_min(1e-30)
    mean, squares = about.T @ about / len(about), about.square()
    total = squares.T @ squares / len(about) - mean.square()
    between = torch.zeros_like(total)
    for value in label.unique():
        mine = about[label == value]
        between += len(mine) / len(about) * (mine.T @ mine / len(mine) - mean).square()
    score: Tensor = (between / total.clamp_min(1e-9)).triu()
    best = score.flatten().topk(min(most, score.numel())).indices
    return torch.stack([best // len(score), best % len(score)])


def _chance_of(columns: Tensor, pids: Tensor, label: Tensor) -> Tensor:
    """Return how likely the classes ``(N,)`` differ so much in each column ``(E,)`` by chance.

    The F test on means over a person's pictures, which are not independent of each other.
    """
    present = label != MISSING
    both = torch.stack([label, pids])[:, present]
    people, person = both.unique(dim=1, return_inverse=True)
    sums = sum_groups(columns[present].double(), person, people.shape[1])
    means = sums / person.bincount()[:, None]
    classes, free = people[0], len(people[0].unique()) - 1
    freedom = len(classes) - free - 1
    if free < 1 or freedom < 1:
        return torch.ones(columns.shape[1], dtype=torch.float64)
    between = (PersonMeans.of(means, classes).of_each - means.mean(0)).square().sum(0)
    within = (means - means.mean(0)).square().sum(0) - between
    chance = stats.f.sf(_ratio(between, within, free, freedom).numpy(), free, freedom)
    return torch.as_tensor(chance, dtype=torch.float64)
