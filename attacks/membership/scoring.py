"""How well scores tell members from non-members, beyond what blind extractors' scores do.

The split itself may tell them apart (other cameras, another season, brighter pictures), and no
extractor has to memorise anything for that. So the same attack runs again on two extractors that
saw neither side: the shipped reference network, which sees clothes and shapes, and plain
thumbnails, which see light and colour. The headline ``identity_excess`` is what the audited one
adds: ``2 · (AUC − max(½, blind AUCs))``, 0 where the attack is no better than dataset shift or
chance, 1 where it is certain and the split tells nothing. Its interval is a bootstrap over people,
the same people for all extractors. The AUC itself is not the headline: judged against a blind AUC
taken for a fixed number it would raise false alarms, and dividing by the distance from blind AUC to
1 would turn the last hundredth of a large shift into a memory of everything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from attacks.membership.candidates import Candidates
from attacks.protocol.own_network import shipped_network
from auditor.metrics import roc
from auditor.report import Curve, Measurement
from auditor.statistics.intervals import proportion, resample
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

HEADLINE = "identity_excess"
LIMITS = {"1pct": 0.01, "0_1pct": 0.001}
"""False positive rates at which the true positive rate is read; the name of each."""

Statistic = Callable[[roc.Array, roc.Array], roc.Array]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of candidates under one extractor; higher means more likely a member.

    Attributes:
        identity: ``(P,)`` in the order of pids.
        image: ``(N,)``; None where the attack does not judge single pictures.
    """

    identity: Tensor
    image: Tensor | None = None


Scorer = Callable[[FeatureExtractor], Scores]


class Thumbnails(nn.Module):
    """Features ``(B, 384)`` that are the pixels of a 16×8 copy."""

    feature_dim = 384
    input_size = (16, 8)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, 16, 8)`` in [0, 1] to features around 0."""
        return images.flatten(1) - 0.5


@cache
def blind_extractors(device: torch.device) -> Mapping[str, FeatureExtractor]:
    """Extractors that saw neither side: trained on synthetic people alone, or not at all."""
    return {"reference": shipped_network(device), "thumbnails": Thumbnails()}


def compare_with_blind(
    people: Candidates, score: Scorer, target: Target, ctx: RunContext, note: str
) -> AttackResult:
    """Run an attack on the audited extractor and on the blind ones; see `score_membership`."""
    ours = score(target.extractor)
    extractors = blind_extractors(ctx.device)
    return score_membership(people, ours, {name: score(e) for name, e in extractors.items()}, note)


def score_membership(
    people: Candidates, ours: Scores, blind: Mapping[str, Scores], note: str
) -> AttackResult:
    """Return all figures of an attack's scores.

    Args:
        people: the candidates who were scored.
        ours: under the audited extractor.
        blind: under each extractor that saw neither side.
        note: what the adversary had to know.
    """
    labels, nobody = people.people_are_members.numpy(), np.arange(len(people.people_are_members))
    of_people = {name: scores.identity for name, scores in blind.items()}
    identity = Level("identity", ours.identity, of_people, labels, nobody)
    levels = [identity]
    of_images = {name: s.image for name, s in blind.items() if s.image is not None}
    if ours.image is not None:
        member, person = people.member.numpy(), people.person.numpy()
        levels.append(Level("image", ours.image, of_images, member, person))
    notes = (
        note,
        f"{int(labels.sum())} members, {int((~labels).sum())} non-members; n is the smaller side",
        "chance of AUC and TPR is the best that the same attack reaches on extractors that saw "
        f"neither side ({' and '.join(blind)}), if that is above guessing; a shift between the "
        "sides that these cannot see would still pass for memory, so take both sides from one pool "
        "of people and cameras",
        *(level.left_out() for level in levels if level.left_out()),
    )
    found = (identity.excess(), *(m for level in levels for m in level.figures()))
    return AttackResult(found, notes=notes, curves=(identity.curve(),))


class Level:
    """Scores ``(N,)`` of people or of their pictures under each extractor, and whose they are."""

    def __init__(
        self,
        name: str,
        ours: Tensor,
        blind: Mapping[str, Tensor],
        member: roc.Flags,
        person: np.ndarray,
    ) -> None:
        self.name, self.member, self.person = name, member, person
        self.ours = ours.double().numpy()
        self.blind = {word: scores.double().numpy() for word, scores in blind.items()}
        self.people = int(person.max()) + 1
        inside = len(np.unique(person[member]))
        self.sides = inside, self.people - inside
        self.others = int((~member).sum())

    def excess(self) -> Measurement:
        """Return how far the AUC is above ½ and every blind AUC, on a scale up to 1."""

        def beyond(ours: roc.Array, *blind: roc.Array) -> roc.Array:
            return np.asarray(np.clip(2 * (ours - np.maximum(0.5, np.max(blind, axis=0))), 0, 1))

        everything = (self.ours, *self.blind.values())
        ours, *blind = (self._value(scores, roc.auc) for scores in everything)
        drawn = resample(
            self.people,
            lambda drawn: beyond(
                *(self._resample(drawn, scores, roc.auc) for scores in everything)
            ),
        )
        # a bootstrap has no width where members and others do not overlap
        bounds = roc.auc_interval(float(ours), *self.sides)
        ends = [*drawn, *(float(beyond(np.array(bound), *blind)) for bound in bounds)]
        note = "2 · (AUC − the largest of ½ and the blind AUCs)"
        return self._measure(f"{self.name}_excess", beyond(ours, *blind), ends, 0, note)

    def figures(self) -> list[Measurement]:
        """Return the AUC, those of the blind extractors, and TPR where non-members are enough."""
        chance = max(0.5, *(float(self._value(scores, roc.auc)) for scores in self.blind.values()))
        areas = [self._area(f"{self.name}_auc", self.ours, chance)]
        for word, scores in self.blind.items():
            areas.append(self._area(f"blind_{self.name}_auc.{word}", scores, 0.5))
        rates = [
            self._rate(f"{self.name}_tpr_at_fpr_{word}", limit)
            for word, limit in LIMITS.items()
            if self.others >= 1 / limit
        ]
        return [*areas, *rates]

    def left_out(self) -> str:
        """Return which rates cannot be read; empty if all can."""
        missing = [limit for limit in LIMITS.values() if self.others < 1 / limit]
        if not missing:
            return ""
        rates = " and ".join(f"{100 * limit:g}%" for limit in missing)
        unit = "non-members" if self.name == "identity" else "pictures of non-members"
        return f"no TPR at {rates} FPR by {self.name}: {self.others} {unit} are too few to count it"

    def curve(self) -> Curve:
        """TPR against FPR, from one non-member in all upwards."""
        grid = np.unique(np.append(np.geomspace(1 / self.others, 1, 16), [0.01, 0.1]))
        limits = grid[grid >= 1 / self.others].tolist()
        points = tuple(self._rate(f"{self.name}_tpr", limit).at(limit) for limit in limits)
        area, *blind = (float(self._value(s, roc.auc)) for s in (self.ours, *self.blind.values()))
        return Curve(
            name="roc",
            metric=f"{self.name}_tpr",
            x="false positive rate",
            points=points,
            log_x=True,
            statement=f"AUC {area:.3f}; of blind extractors at most {max(blind):.3f}.",
        )

    def _area(self, metric: str, scores: np.ndarray, chance: float) -> Measurement:
        value = self._value(scores, roc.auc)
        drawn = resample(self.people, lambda drawn: self._resample(drawn, scores, roc.auc))
        ends = roc.auc_interval(float(value), *self.sides)
        return self._measure(metric, value, [*drawn, *ends], chance)

    def _rate(self, metric: str, limit: float) -> Measurement:
        def rate(fpr: roc.Array, tpr: roc.Array) -> roc.Array:
            return roc.tpr_at_fpr(fpr, tpr, limit)

        value = self._value(self.ours, rate)
        drawn = resample(self.people, lambda drawn: self._resample(drawn, self.ours, rate))
        inside = self.sides[0]
        # a bootstrap has no width where no member, or every member, is found
        ends = proportion(float(value) * inside, inside)
        chance = max(limit, *(float(self._value(scores, rate)) for scores in self.blind.values()))
        return self._measure(metric, value, [*drawn, *ends], chance)

    def _value(self, scores: np.ndarray, statistic: Statistic) -> roc.Array:
        return statistic(*roc.points(scores, self.member))

    def _resample(self, people: np.ndarray, scores: np.ndarray, statistic: Statistic) -> roc.Array:
        """Return the statistic ``(…)`` with people, and all their scores, weighted ``(…, P)``."""
        return statistic(*roc.points(scores, self.member, people[..., self.person]))

    def _measure(
        self, metric: str, value: roc.Array, ends: list[float], chance: float, note: str = ""
    ) -> Measurement:
        low, high = min([*ends, float(value)]), max([*ends, float(value)])
        return Measurement(
            metric=metric,
            value=float(value),
            n=min(self.sides),
            low=low,
            high=high,
            chance=chance,
            note=note,
        )
