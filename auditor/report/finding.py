"""What one attack found, on whom, and what it has proved it can find."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from auditor.report.measurement import Curve, Measurement

PowerOutcome = Literal[
    "shown", "weak", "small-control", "self-deceived", "nothing-to-find", "not-run"
]
"""It finds the leak; too little of it; the leak is too faint for the reference, too; it claims one
where there is none; not even the reference finds any through this release; no figure was had."""


AFRESH = "_fresh"
"""Ends a co-trained metric that a fresh adversary reached on the very same material."""


SMALLEST_GROUP = 20
"""A group of fewer people is not shown by itself."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """The certificate that an attack, in this scenario and by this metric, tells a leak from none.

    Attributes:
        metric: the figure it vouches for, with its readings by group and of the worst off.
        planted: what the attack recovers of a planted leak; None where that control gave no figure.
        null: the same attack where there is nothing to find; its interval must contain chance.
        reference: what the reference adversary recovers of the planted leak; None where none is
            known.
        adversary: who the reference adversary is, in a few words.
        required: the efficiency that is asked for.
        outcome: ``shown``; ``weak``, so that low figures prove nothing; ``small-control``, so that
            they prove nothing either, for even without a defense the reference itself is near
            chance; ``self-deceived``, so that no figure proves anything; ``nothing-to-find``, where
            a defense leaves the reference near chance; ``not-run``.
        reason: one sentence, for every outcome.
    """

    metric: str
    planted: Measurement | None
    null: Measurement | None
    reference: float | None
    adversary: str
    required: float
    outcome: PowerOutcome
    reason: str

    @property
    def shown(self) -> bool:
        """Whether both controls came out as they must."""
        return self.outcome == "shown"

    @property
    def efficiency(self) -> float | None:
        """The share of the reference's excess over chance that is recovered; None without any."""
        nothing = self.outcome in ("nothing-to-find", "small-control")
        if self.planted is None or self.reference is None or nothing:
            return None
        chance = self.planted.chance or 0.0
        sign = 1.0 if self.planted.worse == "higher" else -1.0
        if sign * (self.reference - chance) <= 0:
            return None
        return (self.planted.value - chance) / (self.reference - chance)


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """A headline among the people who share an attribute value.

    Attributes:
        attribute: such as ``gender``.
        value: such as ``female``.
        measurement: its metric is ``METRIC@attribute=value``; None where the group is too small to
            be shown, or would give away one that is.
    """

    attribute: str
    value: str
    measurement: Measurement | None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The widest difference between two values of one attribute.

    Attributes:
        attribute: such as ``gender``.
        higher: the value whose people are worse off.
        lower: the value whose people are better off.
        difference: between the two, in the metric's unit.
        p: how often as wide a difference comes about when values are dealt to people at random.
        p_adjusted: the same after Holm's correction for all attributes of the finding.
    """

    attribute: str
    higher: str
    lower: str
    difference: float
    p: float
    p_adjusted: float


OTHERS = "own pictures of other people"
"""How the auxiliary data of an adversary begins who learns from people that are not attacked."""


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """Whom an attack supposes, in a threat model's terms; its budget is the attack's parameters.

    Attributes:
        knowledge: what is known beforehand of the deployment and its people.
        access: to what of the deployment, and whether it may be queried.
        auxiliary: data of their own.
    """

    knowledge: str
    access: str
    auxiliary: str

    @property
    def learns(self) -> bool:
        """Whether it learns from other people, whose pictures have to resemble those attacked.

        >>> Adversary(knowledge="", access="", auxiliary="none").learns
        False
        """
        return self.auxiliary.startswith(OTHERS)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One attack against one scenario.

    Attributes:
        attack: label in the configuration, unique within the audit.
        plugin: name of the installed attack.
        family: what it recovers; attacks of one family are rungs of one ladder.
        summary: first line of its docstring.
        threat_model: the rest of its docstring's first paragraphs: what the adversary has.
        adversary: the same in a few words; None where the plug-in does not say.
        params: its hyper-parameters.
        status: ``done``, ``not-applicable`` (see ``reason``) or ``failed`` (crash, interruption).
        measurements: the first one is the headline.
        curves: the figures against budget or threshold.
        worst_case: the headline for whom it is worst: the share of people whose every image was
            hit, and the mean over the most exposed 5%; empty where people cannot be told apart.
        subgroups: the headline by attribute value.
        gaps: the widest difference per attribute, the surest first.
        powers: one certificate per metric that the controls measured, the headline's first; none
            where the controls were switched off.
        exhibits: name -> path of a picture, relative to the report.
        notes: what a reader must know about how the numbers came about.
        reason: why it is not ``done``.
    """

    attack: str
    plugin: str
    family: str = ""
    summary: str
    threat_model: str = ""
    adversary: Adversary | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["done", "not-applicable", "failed"]
    measurements: tuple[Measurement, ...] = ()
    curves: tuple[Curve, ...] = ()
    worst_case: tuple[Measurement, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()
    gaps: tuple[Gap, ...] = ()
    powers: tuple[Power, ...] = ()
    exhibits: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def headline(self) -> Measurement | None:
        """The figure it is judged by: the one its first certificate names, or its first."""
        wanted = self.powers[0].metric if self.powers else ""
        named = [m for m in self.measurements if m.metric == wanted]
        return next(iter([*named, *self.measurements]), None)

    def power(self, metric: str = "") -> Power | None:
        """Return the certificate for ``metric``, or for the headline if none is named.

        Figures by group and of the most exposed people, such as ``top1@gender=female`` and
        ``top1.fully_exposed``, are readings of the figure that they begin with.
        """
        if not metric:
            return next(iter(self.powers), None)
        worst_off = any(m.metric == metric for m in self.worst_case)
        name = metric.rpartition(".")[0] if worst_off else metric.partition("@")[0]
        return next((power for power in self.powers if power.metric == name), None)

    def figures(self) -> Iterator[Measurement]:
        """Yield everything that was measured: the figures, the worst case, and the subgroups."""
        yield from self.measurements
        yield from self.worst_case
        yield from (group.measurement for group in self.subgroups if group.measurement)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The strongest rung of a family by one metric: the figure that counts.

    Attributes:
        family: what its rungs recover.
        rungs: the attacks compared: all that measured it, but for those that claim success where
            there is nothing to find; all of them if every one does.
        strongest: the one whose value is worst.
        measurement: that value, its chance and its interval; either end is the worst over the
            rungs, the favourable ones widened for having picked one of several (Bonferroni).
        shown: whether a low figure counts: a certificate vouches for a rung, and none crashed.
        reason: why it does not.
        void: whether a high figure does not count either, because every rung fools itself.
    """

    family: str
    rungs: tuple[str, ...]
    strongest: str
    measurement: Measurement
    shown: bool
    reason: str = ""
    void: bool = False

    @property
    def name(self) -> str:
        """The last part of its address, such as ``inversion.reid_rank1``."""
        return f"{self.family}.{self.measurement.metric}"
