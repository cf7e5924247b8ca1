"""A faint leak whose best adversary is known: what every attack's power is measured by.

People are Gaussian codes, and so are their pictures: a person has a centre, made of a faint
direction per attribute value and of a part of their own, and each picture is a step from it. The
code is painted as a few large cells that fill the picture, and the extractor reads the cells, so
the leak passes through whatever a scenario does to pictures and to features. How much of the
variance lies between people is set so that the best adversary names about `AIM` of them.

`Truth` is what that adversary knows and no attack does: the moments of codes, exactly, and how the
scenario's mechanism passes them on, from a large sample of further people. From Gaussian moments
follow the Bayes classifier of the two-covariance model, the linear discriminant of attributes, the
axes along which two pictures tell of one person, and the posterior mean of a code.

No audited model takes part: the faint extractor stands in its place. So no model can tell a control
from the real thing and behave there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.embedding import features_of
from auditor.feature_cache import FeatureCache
from auditor.types import MISSING, Protection, ReIDDataset, RunContext, Split, Target

CELLS = (8, 2)
"""Rows and columns of a picture; each cell has three channels. Large cells survive a blur."""
DIM = 3 * CELLS[0] * CELLS[1]
AMPLITUDE = 0.11
"""Pixel values per unit of a code: four deviations fit between black and white."""
AIM = 0.7
"""What the best adversary should reach in naming people by the known half of their pictures."""
ATTRIBUTE_SHARE = 0.25
"""At most this share of a code's variance spells attributes."""
DISTINCT = 1.5
"""At most so long is the direction of an attribute value, in deviations of a code."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many people, and how many of their pictures, a plant copies from the audited data.

    Attributes:
        attacked: people in query and gallery.
        auxiliary: people of the adversary.
        pictures: of one person in one split.
    """

    attacked: int = 300
    auxiliary: int = 300
    pictures: int = 9


@dataclass(frozen=True)
class PaintedCodes:
    """Pictures that contain nothing but a code each.

    Attributes:
        codes: ``(N, DIM)``, of deviation 1 or a little more.
    """

    codes: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        return paint(self.codes[torch.as_tensor(indices, dtype=torch.long)], size)


def paint(codes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures ``(N, 3, height, width)`` of codes ``(N, DIM)``."""
    cells = (0.5 + AMPLITUDE * codes).clamp(0, 1).unflatten(1, (3, *CELLS))
    return F.interpolate(cells, size, mode="nearest")


class FaintLeak(nn.Module):
    """Features ``(B, DIM)``: the codes as they are read off the pictures, ``scale`` long."""

    feature_dim = DIM
    input_size = (64, 32)

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, 64, 32)`` in [0, 1] to features."""
        cells = F.adaptive_avg_pool2d(images, CELLS).flatten(1)
        features: Tensor = (cells - 0.5) * (self.scale / (AMPLITUDE * DIM**0.5))
        return features


@dataclass(frozen=True, eq=False)
class Code:
    """How a code comes about; everything random in it depends on the person or picture alone.

    Attributes:
        directions: attribute -> ``(values, DIM)``.
        own: variance per coordinate of what is a person's own.
        step: the same of a picture's step from its person; both add up to 1.
    """

    directions: Mapping[str, Tensor]
    own: float
    step: float

    @classmethod
    def of(cls, attribute_values: Mapping[str, tuple[str, ...]], own: float) -> "Code":
        """With directions of a length that leaves most of the variance to the person."""
        # one of many values is harder to tell, so it may be spelled more clearly
        bits = {name: math.log2(max(2, len(v))) for name, v in sorted(attribute_values.items())}
        unit = min(DISTINCT, (ATTRIBUTE_SHARE * DIM / max(1.0, sum(bits.values()))) ** 0.5)
        generator = torch.Generator().manual_seed(0)
        directions = {
            name: unit
            * bits[name] ** 0.5
            * F.normalize(torch.randn(len(attribute_values[name]), DIM, generator=generator))
            for name in bits
        }
        return cls(directions, own, 1 - own)

    def centres(self, pids: Tensor, attributes: Mapping[str, Tensor]) -> Tensor:
        """Return each row's person's centre ``(N, DIM)``; what is not annotated says nothing."""
        people, person = pids.unique(return_inverse=True)
        parts = [_normal(int(pid)) for pid in people]
        centres: Tensor = self.own**0.5 * torch.stack(parts)[person]
        for name, column in attributes.items():
            spelled = self.directions[name][column.clamp_min(0)]
            centres = centres + spelled * (column != MISSING)[:, None]
        return centres

    def steps(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return the steps ``(rows, DIM)`` of pictures from their people."""
        steps: Tensor = self.step**0.5 * torch.randn(rows, DIM, generator=generator)
        return steps


def _normal(seed: int) -> Tensor:
    return torch.randn(DIM, generator=torch.Generator().manual_seed(seed + 1))


def faint_code(data: ReIDDataset, attacked: Split, known: float) -> Code:
    """Return the code by which the best adversary names `AIM` of the people in ``attacked``.

    Whoever has ``known`` pictures of each, and one more to name, on average; the Bayes rate is
    simulated on common random numbers, and a person's own share is searched by halving.
    """
    people, first = _first_rows(attacked.pids)
    attributes = {name: column[first] for name, column in attacked.attributes.items()}
    rounds = max(2, 400 // max(1, len(people)))
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2, rounds, len(people), DIM, generator=generator)
    own, halved = 0.5, 0.25
    while halved > 0.01:
        code = Code.of(data.attribute_values, own)
        reached = _bayes_rate(draws, code.centres(people, attributes), code.step, known)
        own += halved if reached < AIM else -halved
        halved /= 2
    return Code.of(data.attribute_values, own)


def _first_rows(pids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the people of ``pids (N,)`` and the row in which each comes first."""
    people, person = pids.unique(return_inverse=True)
    first = torch.full_like(people, len(pids))
    return people, first.scatter_reduce(0, person, torch.arange(len(pids)), "amin")


def _bayes_rate(draws: Tensor, centres: Tensor, step: float, known: float) -> float:
    """Return how often the likeliest person is right.

    Draws ``(2, rounds, P, DIM)`` of means and asked.
    """
    left = step / known
    gain = _variance(centres) / (_variance(centres) + left)
    guesses = centres.mean(0) + gain * (centres + left**0.5 * draws[0] - centres.mean(0))
    distances = torch.cdist(centres + step**0.5 * draws[1], guesses)
    return float((distances.argmin(2) == torch.arange(len(centres))).float().mean())


def _variance(centres: Tensor) -> float:
    return float((centres - centres.mean(0)).square().mean()) + 1e-12


@dataclass(frozen=True, eq=False)
class Planted:
    """A faint leak behind one scenario's mechanisms, and what its best adversary knows.

    Attributes:
        target: what the attack meets.
        code: how the codes came about.
        people: attacked people in it.
    """

    target: Target
    code: Code
    people: int
    _whole: "Planted | None" = None
    _truth: dict[str, "Truth"] = field(default_factory=dict)

    def truth(self, ctx: RunContext) -> "Truth":
        """Return moments of codes on both sides of the mechanisms; measured once, for any size."""
        if self._whole is not None:
            return self._whole.truth(ctx)
        if "truth" not in self._truth:
            self._truth["truth"] = _study(self, ctx)
        return self._truth["truth"]

    def smaller(self, size: Size, ctx: RunContext) -> "Planted":
        """Return the same plant with fewer people and pictures, published and studied already."""
        target = self.target
        attacked = _some(target.data.gallery.pids, size.attacked, ctx)
        others = _some(target.data.auxiliary.pids, size.auxiliary, ctx)

        def taken(split: Split, people: Tensor) -> Split:
            return split.take(_rows(split.pids, people, size.pictures))

        auxiliary = taken(target.data.auxiliary, others)
        data = replace(
            target.data,
            train=auxiliary,
            query=taken(target.data.query, attacked),
            gallery=taken(target.data.gallery, attacked),
            auxiliary=auxiliary,
        )
        protection = target.protection
        if protection is not None:
            protection = replace(protection, originals=taken(protection.originals, attacked))
        shown = replace(target, data=data, protection=protection)
        return Planted(shown, self.code, len(attacked), self._whole or self)

    def behind(self, target: Target) -> "Planted":
        """Return the same plant under another target's mechanisms, whose truth is another one."""
        return Planted(target, self.code, self.people)


def plant(scenario: Target, data: ReIDDataset, size: Size, ctx: RunContext) -> Planted:
    """Return a faint leak with the people, cameras and attributes of ``data``, up to ``size``.

    Args:
        scenario: whose ``publish`` and ``release`` the leak goes through.
        data: the audited people; nothing but their labels is used.
        size: see `Size`.
        ctx: draws who takes part.
    """
    attacked = _some(data.gallery.pids, size.attacked, ctx)
    others = _some(data.auxiliary.pids, size.auxiliary, ctx)
    rows = {
        name: _rows(split.pids, people, size.pictures)
        for name, split, people in (
            ("query", data.query, attacked),
            ("gallery", data.gallery, attacked),
            ("auxiliary", data.auxiliary, others),
        )
    }
    known = max(1.0, len(rows["gallery"]) / max(1, len(attacked)) / 2)
    code = faint_code(data, data.gallery.take(rows["gallery"]), known)
    query, gallery, auxiliary = (
        _paint(getattr(data, name).take(chosen), code, ctx.generator(f"plant.{name}"))
        for name, chosen in rows.items()
    )
    painted = replace(
        data,
        train=auxiliary,
        query=query,
        gallery=gallery,
        auxiliary=auxiliary,
        real_people=False,
        facts={},
    )
    target = _behind(scenario, painted, ctx)
    return Planted(target, code, len(attacked))


def _some(pids: Tensor, count: int, ctx: RunContext) -> Tensor:
    """Return at most ``count`` of the people; distractors are nobody."""
    people = pids[pids > 0].unique()
    order = torch.randperm(len(people), generator=ctx.generator("plant.people"))
    chosen: Tensor = people[order[:count]].sort().values
    return chosen


def _rows(pids: Tensor, people: Tensor, most: int) -> Tensor:
    """Return the first ``most`` rows of each of the people, in order."""
    rows = [(pids == pid).nonzero().flatten()[:most] for pid in people]
    return torch.cat(rows).sort().values if rows else torch.empty(0, dtype=torch.long)


def _paint(split: Split, code: Code, generator: torch.Generator) -> Split:
    codes = code.steps(len(split), generator)
    if len(split):
        codes = codes + code.centres(split.pids, split.attributes)
    return replace(split, images=PaintedCodes(codes), partners=None)


def _behind(scenario: Target, data: ReIDDataset, ctx: RunContext) -> Target:
    """Put the faint leak behind the scenario's mechanisms, scaled to the audited features."""
    real = features_of(scenario.extractor, scenario.data.gallery, ctx)
    leak = FaintLeak(float(real.norm(dim=1).mean()) or 1.0)
    target = Target(leak, data, release=scenario.release)
    if scenario.publish is None:
        return target
    gallery = scenario.publish(data.gallery, ctx.generator("plant.publish"))
    hidden = replace(data, gallery=gallery)
    protection = Protection(originals=data.gallery, publish=scenario.publish)
    return replace(target, data=hidden, protection=protection)


STUDIED = (4000, 2)
"""Further people, and pictures of each, from whom the best adversary knows the moments."""
PUBLISHED = (400, 2)
"""The same where their pictures have to be protected, which may take long."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What the best adversary knows: how codes come about, and how the mechanisms pass them on.

    The moments of codes are known exactly. Those of stored rows are what is linear in the code,
    and a remainder that is measured: the smaller it is, the less is left to chance.

    Attributes:
        pids: ``(N,)`` of the sample.
        centres: ``(N, DIM)`` their centres.
        codes: ``(N, DIM)`` of their pictures.
        rows: ``(N, DIM)`` float64, what is stored of those.
        labels: attribute -> ``(N,)``.
        values: attribute -> how many values it has.
        spread: covariance ``(DIM, DIM)`` float64 of people's centres.
        step: variance per coordinate of a picture's step from its person.
    """

    pids: Tensor
    centres: Tensor
    codes: Tensor
    rows: Tensor
    labels: Mapping[str, Tensor]
    values: Mapping[str, int]
    spread: Tensor
    step: float

    @cached_property
    def mean(self) -> Tensor:
        """``(DIM,)`` of stored rows."""
        return self.rows.mean(0)

    @cached_property
    def passed(self) -> Tensor:
        """``(DIM, DIM)``: what a code is multiplied by on its way to a stored row, at best."""
        codes = self.codes.double() - self.codes.double().mean(0)
        passed: Tensor = torch.linalg.lstsq(codes, self.rows - self.mean).solution
        return passed

    @cached_property
    def within(self) -> Tensor:
        """Covariance ``(DIM, DIM)`` of stored rows about their people."""
        within: Tensor = self.step * self.passed.T @ self.passed + self._remainder[1]
        return within + _floor(self.rows)

    @cached_property
    def between(self) -> Tensor:
        """Covariance ``(DIM, DIM)`` of people's stored centres."""
        between: Tensor = self.passed.T @ self.spread @ self.passed + self._remainder[0]
        return between + _floor(self.rows)

    @cached_property
    def _remainder(self) -> tuple[Tensor, Tensor]:
        """What of stored rows is not linear in their codes: between people, and within."""
        codes = self.codes.double() - self.codes.double().mean(0)
        rest = self.rows - self.mean - codes @ self.passed
        people, person = self.pids.unique(return_inverse=True)
        sums = torch.zeros(len(people), DIM, dtype=torch.float64).index_add_(0, person, rest)
        steps = rest - (sums / person.bincount()[:, None])[person]
        within = steps.T @ steps / (len(rest) - len(people))
        variances, axes = torch.linalg.eigh(rest.T @ rest / len(rest) - within)
        return (axes * variances.clamp_min(0)) @ axes.T, within

    def centre_of(self, rows: Tensor) -> Tensor:
        """Return the centre ``(M, DIM)`` float32 expected of whom stored rows ``(M, DIM)`` show."""
        return self._expect(self.spread, rows)

    def code_of(self, rows: Tensor) -> Tensor:
        """Return the expected code ``(M, DIM)`` float32 of the pictures behind stored rows."""
        return self._expect(self.spread + self.step * torch.eye(DIM, dtype=torch.float64), rows)

    def _expect(self, spread: Tensor, rows: Tensor) -> Tensor:
        gain = torch.linalg.solve(self.between + self.within, self.passed.T @ spread)
        expected: Tensor = (rows.double() - self.mean) @ gain + self.codes.double().mean(0)
        return expected.float()

    def linking(self, rows: Tensor) -> Tensor:
        """Map stored rows ``(M, DIM)`` so that cosine tells whether two show one person."""
        total = self.between + self.within
        axes, _ = canonical(total, total, self.between)
        return ((rows.double() - self.mean) @ axes).float()

    def finding(self, codes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of clean pictures and stored rows, whose cosine tells whether they show a person.

        Args:
            codes: ``(Q, DIM)``.
            rows: ``(M, DIM)``.
        """
        total = self.spread + self.step * torch.eye(DIM, dtype=torch.float64)
        left, right = canonical(total, self.between + self.within, self.spread @ self.passed)
        asked = (codes.double() - self.codes.double().mean(0)) @ left
        return asked.float(), ((rows.double() - self.mean) @ right).float()

    def deciding(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Log-likelihood ratios ``(Q, M)`` that codes of clean pictures and rows show one person.

        They can be compared across queries, so that one threshold decides who is there at all.

        Args:
            codes: ``(Q, DIM)``.
            rows: ``(M, DIM)``.
        """
        total = self.spread + self.step * torch.eye(DIM, dtype=torch.float64)
        left, right, shared = correlate(
            total, self.between + self.within, self.spread @ self.passed
        )
        asked = (codes.double() - self.codes.double().mean(0)) @ left
        stored = (rows.double() - self.mean) @ right
        alone = shared.square() / (1 - shared.square())
        own = [(side.square() @ alone) / 2 for side in (asked, stored)]
        both = (asked * (shared / (1 - shared.square()))) @ stored.T
        ratio: Tensor = both - own[0][:, None] - own[1] - (1 - shared.square()).log().sum() / 2
        return ratio

    def naming(self, known: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
        """Log-likelihoods ``(M, P)`` of whom rows ``(M, DIM)`` show, given ``known`` rows of each.

        The Bayes classifier of the two-covariance model.

        Args:
            known: ``(K, DIM)``.
            labels: ``(K,)`` positions of their people.
            asked: ``(M, DIM)``.
        """
        counts = labels.bincount()
        sums = torch.zeros(len(counts), DIM, dtype=torch.float64)
        means = sums.index_add_(0, labels, known.double() - self.mean) / counts[:, None]
        scores = torch.empty(len(asked), len(counts), dtype=torch.float64)
        for count in counts.unique().tolist():
            gain = torch.linalg.solve(self.between + self.within / count, self.between)
            spread = self.between - self.between @ gain + self.within
            chosen = (counts == count).nonzero().flatten()
            density = torch.distributions.MultivariateNormal(means[chosen] @ gain, spread)
            scores[:, chosen] = density.log_prob((asked.double() - self.mean)[:, None])
        return scores

    def reading(self, name: str, codes: Sequence[int], means: Tensor, asked: Tensor) -> Tensor:
        """Return the log-likelihood ``(M, K)`` of an attribute's values for rows ``(M, DIM)``.

        The linear discriminant with the true spread about each value.

        Args:
            name: the attribute.
            codes: its K values.
            means: ``(K, DIM)`` of their rows.
            asked: ``(M, DIM)``.
        """
        label, spread = self.labels[name], _floor(self.rows)
        known = 0
        for code in codes:
            rows = self.rows[label == code]
            steps = rows - rows.mean(0)
            spread, known = spread + steps.T @ steps, known + len(rows)
        spread = spread / max(1, known - len(codes))
        weights = torch.linalg.solve(spread, means.T)
        scores: Tensor = asked.double() @ weights - (means * weights.T).sum(1) / 2
        return scores


def canonical(left: Tensor, right: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Axes ``(D, D)`` for either side, along which inner products tell what belongs together.

    Those of canonical correlation, each weighed by what it tells: the inner product is the part of
    the likelihood ratio of two Gaussian vectors that depends on both. Arguments as for `correlate`.
    """
    first, second, shared = correlate(left, right, cross)
    weights = (shared / (1 - shared.square())).sqrt()
    return first * weights, second * weights


def correlate(left: Tensor, right: Tensor, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Axes ``(D, D)`` of canonical correlation for either side, and the correlations ``(D,)``.

    Args:
        left: covariance ``(D, D)`` of one side.
        right: of the other.
        cross: between both.
    """
    roots = [torch.linalg.inv(torch.linalg.cholesky(covariance)).T for covariance in (left, right)]
    first, correlations, second = torch.linalg.svd(roots[0].T @ cross @ roots[1])
    return roots[0] @ first, roots[1] @ second.T, correlations.clamp(0, 1 - 1e-9)


def _floor(rows: Tensor) -> Tensor:
    """Next to nothing on the diagonal, for coordinates that a mechanism has emptied."""
    scale = float((rows - rows.mean(0)).square().mean())
    return (1e-6 * scale + 1e-18) * torch.eye(rows.shape[1], dtype=torch.float64)


def _study(planted: Planted, ctx: RunContext) -> Truth:
    """Return codes of further people, before and after the mechanisms."""
    target, code = planted.target, planted.code
    data, generator = target.data, ctx.generator("plant.study")
    people, pictures = STUDIED if target.publish is None else PUBLISHED
    first = 1 + max(int(split.pids.max()) for split in (data.gallery, data.auxiliary))
    pids = torch.arange(first, first + people).repeat_interleave(pictures)
    labels = _labels(data.auxiliary, people, pictures, generator)
    spelled = replace(code, own=0.0).centres(pids, labels).double()
    spread = torch.cov(spelled.T) + code.own * torch.eye(DIM, dtype=torch.float64)
    centres = code.centres(pids, labels)
    codes = centres + code.steps(len(pids), generator)
    cameras = torch.full_like(pids, MISSING)
    split = Split(PaintedCodes(codes), pids, cameras, labels)
    if target.publish is not None:
        split = target.publish(split, ctx.generator("plant.study.publish"))
    clean = features_of(target.extractor, split, replace(ctx, cache=FeatureCache()))
    rows = target.release(clean, ctx.generator("plant.study.release")).double()
    values = {name: len(words) for name, words in data.attribute_values.items()}
    return Truth(pids, centres, codes, rows, labels, values, spread, code.step)


def _labels(
    known: Split, people: int, pictures: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Attributes ``(people · pictures,)`` of further people, each like one in ``known``."""
    _, first = _first_rows(known.pids)
    if not len(first):
        return {}
    like = first[torch.randint(len(first), (people,), generator=generator)]
    return {n: column[like].repeat_interleave(pictures) for n, column in known.attributes.items()}
