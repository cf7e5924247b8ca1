"""How every rung learns: on own people, calibrated on those of them that it did not learn from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.attribute.colours import with_colours
from attacks.attribute.labels import attackable, recode
from attacks.attribute.pooling import choose_neighbours, fit_whitening, folds, pool_neighbours
from attacks.attribute.scoring import score_attributes
from attacks.learners.people import sum_groups
from attacks.protocol.publication import own_pictures
from attacks.protocol.sampling import note_sample, sample_entries
from auditor.embedding import stored_gallery
from auditor.types import MISSING, AttackResult, RunContext, Split, Target

FOLDS = 3
"""Parts of the adversary's people, of which each in turn is held out to calibrate on."""
FLATTEST = 0.1
"""Least distance between classes, in standard deviations, that a calibration gives a score."""


@dataclass(frozen=True, eq=False)
class Known:
    """What the adversary learns from.

    Attributes:
        rows: ``(N, D)`` float32 pooled features of own people.
        labels: ``(N, A)`` classes, −1 where missing.
        pids: ``(N,)`` of whom.
        sizes: classes of each attribute.
    """

    rows: Tensor
    labels: Tensor
    pids: Tensor
    sizes: tuple[int, ...]

    def take(self, chosen: Tensor) -> "Known":
        """Return the rows that a mask ``(N,)`` chooses."""
        rows, labels, pids = (column[chosen] for column in (self.rows, self.labels, self.pids))
        return replace(self, rows=rows, labels=labels, pids=pids)

    @property
    def weights(self) -> Tensor:
        """``(N, A)`` float64, 0 where missing, otherwise 1 on average.

        The classes of an attribute weigh the same, and so do the people of a class.
        """
        _, person, images = self.pids.unique(return_inverse=True, return_counts=True)
        each = 1 / images[person].double()
        columns = []
        for column, size in enumerate(self.sizes):
            label = self.labels[:, column]
            present = label != MISSING
            shares = sum_groups(each[present], label[present], size)
            weight = torch.zeros(len(label)).double()
            weight[present] = each[present] / shares[label[present]]
            columns.append(weight * present.sum() / weight.sum().clamp_min(1e-12))
        return torch.stack(columns, dim=1)


Reader = Callable[[Tensor], list[Tensor]]
"""Rows ``(M, D)`` to scores ``(M, classes)`` of each attribute, higher for likelier."""
Learn = Callable[[Known], Reader]


def learn_from(
    target: Target, auxiliary: Split, codes: Mapping[str, list[int]], name: str, ctx: RunContext
) -> Known:
    """Return the adversary's own annotated people, as they are released.

    Args:
        target: whose gallery is attacked.
        auxiliary: the people, with the attributes that are read.
        codes: attribute -> its values.
        name: the release is drawn under it.
        ctx: the run.
    """
    released = target.release(own_pictures(target, ctx).features, ctx.generator(name))
    return Known(
        released, recode(auxiliary, codes), auxiliary.pids, tuple(map(len, codes.values()))
    )


Prepare = Callable[[Known, Tensor, Tensor, RunContext], tuple[Known, Tensor, str]]
"""Own and stored rows as they are released, and which of these are asked for, to the rows that are
read, and what was done to them."""


def read_attributes(
    learn: Learn, target: Target, ctx: RunContext, *, min_people: int, prepare: Prepare
) -> AttackResult:
    """Learn from auxiliary people, read the stored gallery; the same protocol for every rung."""
    data = target.data
    auxiliary, gallery = with_colours(data.auxiliary, data.gallery)
    asked = sample_entries(gallery.pids, ctx)
    if len(asked) < len(gallery):
        gallery = gallery.take(asked)
    codes = attackable(auxiliary, gallery, min_people)
    own_people = learn_from(target, auxiliary, codes, "attacks.attributes.release", ctx)
    known, stored, note = prepare(own_people, stored_gallery(target, ctx), asked, ctx)
    held_out = folds(known.pids, FOLDS, ctx.generator("attacks.attributes.folds"))
    scores = calibrate_learner(learn, known, held_out, stored)
    notes = (note, *note_sample(asked, data.gallery.pids))
    return score_attributes(scores, gallery, codes, set(data.gallery.attributes), notes)


def as_stored(
    own: Known, stored: Tensor, asked: Tensor, ctx: RunContext
) -> tuple[Known, Tensor, str]:
    """Return every entry by itself, on the scale on which it is stored."""
    return own, stored[asked], "each stored entry is read by itself"


def pool_entries(neighbours: int | None) -> Prepare:
    """Whitened entries, averaged with so many nearest ones; none: as held-out people have it."""

    def prepare(
        own: Known, stored: Tensor, asked: Tensor, ctx: RunContext
    ) -> tuple[Known, Tensor, str]:
        whiten = fit_whitening(own.rows, own.pids)
        rows, count = whiten(own.rows), neighbours
        if count is None:
            generator = ctx.generator("attacks.attributes.neighbours")
            count = choose_neighbours(rows, own.labels, own.pids, own.sizes, generator)
        known = replace(own, rows=pool_neighbours(rows, count))
        return known, pool_neighbours(whiten(stored), count, asked), _note(count)

    return prepare


def calibrate_learner(learn: Learn, known: Known, held_out: Tensor, asked: Tensor) -> list[Tensor]:
    """Return scores ``(M, classes)`` of rows ``(M, D)`` as log-odds, for classes equally likely.

    What a learner says of people it did not learn from, fold by fold ``(N,)``, tells how far its
    scores can be trusted and where they are to be cut. Otherwise a class that few people carry is
    hardly ever named.
    """
    fresh = score_freshly(learn, known, held_out)
    found, weights = learn(known)(asked), known.weights
    return [
        calibrate(fresh[a], known.labels[:, a], weights[:, a], found[a].double())
        for a in range(len(known.sizes))
    ]


def score_freshly(learn: Learn, known: Known, held_out: Tensor) -> list[Tensor]:
    """Score own rows ``(N, classes)`` without learning from their fold ``(N,)``; NaN without."""
    fresh = [torch.full((len(known.pids), size), torch.nan).double() for size in known.sizes]
    for fold in held_out.unique().tolist():
        out = held_out == fold
        if out.all():
            continue
        for column, scores in zip(fresh, learn(known.take(~out))(known.rows[out]), strict=True):
            column[out] = scores.double()
    return fresh


def calibrate(fresh: Tensor, labels: Tensor, weights: Tensor, scores: Tensor) -> Tensor:
    """Scores ``(M, K)`` as log-odds, given ``fresh (N, K)`` ones of ``labels (N,)``, −1 missing.

    Each class against the rest, as if the scores of both were Gaussian with one variance.
    Rows of ``fresh`` that are not finite count nowhere.
    """
    if scores.shape[1] == 2:
        gap, fresh = scores[:, 1] - scores[:, 0], fresh[:, 1] - fresh[:, 0]
        half = _log_odds(fresh, labels == 1, labels == 0, weights, gap) / 2
        return torch.stack([-half, half], dim=1)
    columns = []
    for k in range(scores.shape[1]):
        rest = (labels != k) & (labels != MISSING)
        columns.append(_log_odds(fresh[:, k], labels == k, rest, weights, scores[:, k]))
    return torch.stack(columns, dim=1)


def _log_odds(
    fresh: Tensor, inside: Tensor, outside: Tensor, weights: Tensor, scores: Tensor
) -> Tensor:
    usable = fresh.isfinite()
    moments = [_moments(fresh[usable & side], weights[usable & side]) for side in (inside, outside)]
    (mean, variance), (other, other_variance) = moments
    pooled_variance = (variance + other_variance) / 2
    if not float(pooled_variance) > 0:  # also where a side is empty, and its moments are NaN
        return scores
    spread = pooled_variance.sqrt()
    # held-out people ranked the wrong way round are chance, not knowledge
    distance = torch.maximum(mean - other, FLATTEST * spread)
    return distance / pooled_variance * (scores - (mean + other) / 2)


def _moments(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    total = weights.sum()
    mean = (weights * values).sum() / total
    return mean, (weights * (values - mean).square()).sum() / total


def _note(neighbours: int) -> str:
    if not neighbours:
        return "each stored entry is read by itself"
    return f"each stored entry is averaged with its {neighbours} nearest ones before it is read"
