"""How close estimated shares come to the true ones, beyond guessing one's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from attacks.learners.people import sum_groups
from auditor.report import Measurement
from auditor.statistics.intervals import CONFIDENCE, proportion
from auditor.types import MISSING, AttackResult

Guess = Callable[[Tensor], Tensor]
"""From how much each stored entry weighs ``(S, M)`` to shares ``(S, K)``."""
GROUPS = 10
"""Parts of the people, of which each in turn is left out to see how much figures depend on whom."""


@dataclass(frozen=True, eq=False)
class Property:
    """An attribute, and how its shares are guessed.

    Attributes:
        name: of the attribute.
        guess: the adversary's estimate.
        prior: ``(K,)`` shares among the adversary's own people.
        label: ``(M,)`` true value of each stored entry; −1 where it has none.
    """

    name: str
    guess: Guess
    prior: Tensor
    label: Tensor

    def true_shares(self, weights: Tensor) -> Tensor:
        """Return the shares ``(S, K)`` in galleries whose entries weigh ``(S, M)``."""
        hot = self.label[:, None] == torch.arange(len(self.prior))
        weights = weights * (self.label != MISSING)
        shares: Tensor = weights @ hot.double() / weights.sum(1, keepdim=True)
        return shares

    def errors(self, weights: Tensor, *, constant: bool) -> tuple[Tensor, Tensor]:
        """Compute the distance to the truth ``(R, S)`` of the estimate and of a blind guess.

        Distances are total variation. What a blind guess is depends: of one gallery nobody knows
        more than their own shares, of many the best constant is the median of all.

        Args:
            weights: ``(R, S, M)`` of entries in S galleries, R times; those without a value count
                nowhere.
            constant: whether the blind guess is the best constant one.
        """
        flat = weights.flatten(0, 1)
        true = self.true_shares(flat).unflatten(0, weights.shape[:2])
        found = self.guess(flat * (self.label != MISSING)).unflatten(0, weights.shape[:2])
        blind = true.median(1, keepdim=True).values if constant else self.prior
        return (found - true).abs().sum(2) / 2, (blind - true).abs().sum(2) / 2


Errors = tuple[Tensor, Tensor]
"""Of the estimate and of a blind guess ``(1 + G, S)``: with everybody, and without each group."""


def score_shares(
    properties: Sequence[Property], pids: Tensor, galleries: int, generator: torch.Generator
) -> AttackResult:
    """Measure estimated shares.

    Args:
        properties: what is estimated.
        pids: ``(M,)`` of stored entries.
        galleries: as many with other shares are made of these people for each property.
        generator: draws them.
    """
    people, person = pids.unique(return_inverse=True)
    kept = leave_groups_out(people)

    def errors(each: Property, drawn: Tensor, *, constant: bool) -> Errors:
        weights = (kept[:, None] * drawn[None])[:, :, person]
        return each.errors(weights, constant=constant)

    made, audited = [], []
    for each in properties:
        counts = draw_galleries(each, people, person, galleries, generator)
        made.append(errors(each, counts, constant=True))
        audited.append(errors(each, (people > 0).double()[None], constant=False))
    known = int((people > 0).sum())
    notes = [_tell_shares(each, pids) for each in properties]
    names = [f"{each.name}.share_error" for each in properties]
    figures = (
        _explained(made, galleries, known),
        _error("share_error", _mean_errors(audited), known),
        *(_error(*row) for row in zip(names, audited, [known] * len(names), notes, strict=True)),
    )
    note = (
        f"shares of {len(properties)} attributes were estimated; errors are total variation, and "
        "for the audited gallery chance is to guess the shares among one's own people"
    )
    return AttackResult(figures, notes=(note,))


def _mean_errors(each: Sequence[Errors]) -> Errors:
    """Return the mean over properties of both errors."""
    found, blind = (torch.stack([pair[k] for pair in each]).mean(0) for k in (0, 1))
    return found, blind


def _explained(made: Sequence[Errors], galleries: int, people: int) -> Measurement:
    found, blind = (errors.mean(1) for errors in _mean_errors(made))
    left = found / blind.clamp_min(1e-12)
    # how far it hangs on which galleries were made
    gaps = torch.stack([mine[0] - left[0] * theirs[0] for mine, theirs in made])
    drawn = (gaps.var(1).sum() / galleries).sqrt() / (len(made) * blind[0]).clamp_min(1e-12)
    return _measured(
        "shares_explained",
        (1 - left).clamp(0, 1),
        people,
        chance=0.0,
        reach=_log_reach(left, float(drawn)),
        note=f"over {galleries} galleries of other shares for each attribute: 1 less the mean "
        "error of the estimate over that of the best constant guess",
    )


def _log_reach(left: Tensor, drawn: float) -> tuple[float, float]:
    """Return how far below and above ``1 − left (1 + G,)`` the truth may lie.

    Shares of an error are as often halved as doubled, so the jackknife is of their logarithms.
    """
    logs = left.clamp_min(1e-12).log()
    error = np.hypot(_jackknife(logs), drawn / float(left[0].clamp_min(1e-12)))
    factor = np.exp(min(_quantile(len(left) - 1) * error, 50.0))
    share = float(left[0])
    return share * (factor - 1), share * (1 - 1 / factor)


def _error(metric: str, errors: Errors, people: int, note: str = "") -> Measurement:
    found, blind = (error.mean(1) for error in errors)
    chance = float(blind[0])
    return _measured(metric, found, people, chance=chance, worse="lower", note=note)


def draw_galleries(
    each: Property, people: Tensor, person: Tensor, galleries: int, generator: torch.Generator
) -> Tensor:
    """Draw how often each of the people ``(P,)`` is in each gallery ``(S, P)``.

    The shares of values are uniform on all that are possible, and as many people take part as the
    audited gallery holds, drawn with replacement among those of a value.
    """
    size = len(each.prior)
    hot = (each.label[:, None] == torch.arange(size)).double()
    carried = sum_groups(hot, person, len(people))
    value = torch.where((carried.sum(1) > 0) & (people > 0), carried.argmax(1), MISSING)
    members = [(value == k).nonzero().flatten() for k in range(size)]
    total = int((value != MISSING).sum())
    counts = torch.zeros(galleries, len(people), dtype=torch.float64)
    for row in counts:
        wanted = torch.rand(size, generator=generator).double().clamp_min(1e-9).log().neg()
        drawn = torch.multinomial(wanted, total, replacement=True, generator=generator)
        for k, having in enumerate(members):
            chosen = torch.randint(len(having), (int((drawn == k).sum()),), generator=generator)
            row.index_add_(0, having[chosen], torch.ones(len(chosen), dtype=torch.float64))
    return counts


def leave_groups_out(people: Tensor) -> Tensor:
    """Return weights ``(1 + G, P)``: everybody, then everybody but one group after another."""
    groups = min(GROUPS, len(people))
    group = torch.arange(len(people)) * groups // len(people)
    rows = [torch.ones(len(people)), *((group != gone).float() for gone in range(groups))]
    return torch.stack(rows).double()


def _measured(
    metric: str,
    values: Tensor,
    people: int,
    *,
    chance: float,
    worse: Literal["higher", "lower"] = "higher",
    reach: tuple[float, float] | None = None,
    note: str = "",
) -> Measurement:
    """Measure ``values (1 + G,)``, the first of everybody, by a delete-a-group jackknife.

    Where groups agree, what is compatible with none and with all of so many people stays open.
    """
    value = float(values[0])
    below, above = reach or (_quantile(len(values) - 1) * _jackknife(values),) * 2
    least, most = proportion(people, people)[0], proportion(0, people)[1]
    return Measurement(
        metric=metric,
        value=value,
        n=people,
        low=max(0.0, min(value - below, least)),
        high=min(1.0, max(value + above, most)),
        chance=chance,
        worse=worse,
        note=note,
    )


def _jackknife(values: Tensor) -> float:
    """Return the standard error of the first of ``values (1 + G,)``, by those without a group."""
    left = values[1:].numpy()
    return float(np.sqrt((len(left) - 1) * np.var(left)))


def _quantile(groups: int) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, groups - 1))


def _tell_shares(each: Property, pids: Tensor) -> str:
    """Return estimated, true and own shares in words."""
    weights = (pids > 0).double()[None]
    shares = (
        each.guess(weights * (each.label != MISSING))[0],
        each.true_shares(weights)[0],
        each.prior,
    )
    estimated, actual, own = (", ".join(f"{share:.3f}" for share in row) for row in shares)
    return f"shares of its values: estimated {estimated}; true {actual}; among own people {own}"
