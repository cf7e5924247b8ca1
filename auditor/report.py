"""The one record of an audit: plain data, JSON in and out, no torch.

Every page, sheet and verdict is made from `AuditReport` alone. Rates are fractions in [0, 1];
percent signs appear only in templates. A number never travels without its interval, its sample
size and what a blind adversary would reach.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from auditor.errors import UsageError
from auditor.older_records import upgraded

SCHEMA = 2
AFRESH = "_fresh"
"""Ends a co-trained metric that a fresh adversary reached on the very same material."""
SMALLEST_GROUP = 20
"""A group of fewer people is not shown by itself."""
LISTED = 5
"""Matches of a rank list."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number with everything needed to judge it.

    Attributes:
        metric: name within its finding, such as ``top1`` or ``gender.balanced_accuracy``.
        value: in ``unit``; rates are fractions.
        n: independent samples, which are identities, never images.
        low: lower end of the 95 % interval over identities.
        high: upper end of the 95 % interval over identities.
        chance: what an adversary without access reaches; None where the question has no answer.
        worse: the direction in which privacy (or utility) gets worse.
        unit: ``fraction``, ``dB``, ``distance`` or ``ratio``.
        persons: pseudonym -> (sum of its images' values, number of images); the value is the ratio
            of the sums where the metric is a mean over images. It feeds paired comparisons.
        note: one sentence on how to read the number, if it needs one.

    Raises:
        ValueError: for a non-finite number (what could not be measured is left out, never NaN), or
            a value outside its own interval.
    """

    metric: str
    value: float
    n: int
    low: float
    high: float
    chance: float | None = None
    worse: Literal["higher", "lower"] = "higher"
    unit: Literal["fraction", "dB", "distance", "ratio"] = "fraction"
    persons: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        numbers = [self.value, self.low, self.high, 0.0 if self.chance is None else self.chance]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"measurement {self.metric!r} holds a non-finite number: {numbers}")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"measurement {self.metric!r} lies outside its interval: {numbers}")

    @property
    def pessimistic(self) -> float:
        """The end of the interval a careful reader would quote."""
        return self.high if self.worse == "higher" else self.low

    @property
    def optimistic(self) -> float:
        """The other end: the least that was shown."""
        return self.low if self.worse == "higher" else self.high


BOUNDS: Mapping[str, tuple[float, float]] = {
    "fraction": (0.0, 1.0),
    "ratio": (-1.0, 1.0),
    "distance": (0.0, 1.0),
    "dB": (0.0, 60.0),
}
"""Unit -> between which values an image that nobody has seen may lie.

Ratios of images are cosines and the like; beyond 60 dB two pictures of 8 bits are the same.
"""

PrivacyVerdict = Literal["CONSISTENT", "OVER-CLAIMED", "VIOLATED", "NOT-DP", "VOID"]
"""The claim holds; less is certified than claimed; refuted by experiment; no finite ε at all; a
later step undid what it was about, or anybody can draw its noise again."""


@dataclass(frozen=True, kw_only=True)
class AuditedEpsilon:
    """What telling neighbouring inputs apart proves: ε is at least this.

    Attributes:
        epsilon: lower bound from Clopper-Pearson limits, whatever the noise.
        epsilon_gaussian: sharper, but assumes Gaussian scores; None where the noise is not.
        ceiling: the most that so many trials could have shown.
        confidence: that ε is at least the bound.
        trials: runs of the mechanism on either input; or canaries of one training.
        pair: which inputs these were.
    """

    epsilon: float
    epsilon_gaussian: float | None
    ceiling: float
    confidence: float
    trials: int
    pair: str


@dataclass(frozen=True, kw_only=True)
class DistanceEpsilon:
    """Metric privacy: ε between two rows that are a measured distance apart.

    Attributes:
        between: whose rows, in words; the distance was read off this gallery.
        distance: in the norm of the claim.
        epsilon: at the claim's delta, over its releases; None if it is not finite.
    """

    between: str
    distance: float
    epsilon: float | None


@dataclass(frozen=True, kw_only=True)
class ReconstructionBound:
    """The most often any attack can name whose data the release holds (ReRo).

    Attributes:
        prior: how often the best informed guess is right without the release.
        image: the bound for an attack on one row.
        identity: on all rows of one person.
    """

    prior: float
    image: float
    identity: float


@dataclass(frozen=True, kw_only=True)
class NoisyTraining:
    """Differentially private training: the steps that a claim's ε adds up.

    Attributes:
        noise_multiplier: deviation of the noise over the norm at which gradients are cut.
        sampling_rate: chance that a unit takes part in a step.
        steps: of one run.
        runs: trainings on these people that count, because somebody looked at their outcome.
        accountants: who added the steps up -> ε; None if it is not finite.
        scratch: whether the weights were drawn anew; otherwise the first ones must be public.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    runs: int
    accountants: Mapping[str, float | None]
    scratch: bool = False


OF_THE_DATA = (
    "audited",
    "distances",
    "images_per_identity",
    "epsilon_identity",
    "reconstruction",
    "reason",
    "remarks",
)
"""Fields of a claim that follow from the clean data, unless whoever makes it says otherwise."""


@dataclass(frozen=True, kw_only=True)
class PrivacyClaim:
    """What a mechanism promises, beside what its own numbers certify and what an experiment proves.

    Attributes:
        mechanism: the noise and its calibration, in words.
        unit: whose data two neighbouring galleries differ in.
        neighbours: how they differ.
        delta: failure probability, the same for every epsilon here.
        sigma: standard deviation of the noise per coordinate.
        sensitivity: how far neighbours may lie apart in ``norm``, for ``unit``; None if nothing
            bounds it.
        epsilon_claimed: as configured.
        epsilon_certified: recomputed from sigma and sensitivity, composed over ``releases``; None
            if it is not finite.
        epsilon_identity: the same at the level of a person with ``images_per_identity`` rows.
        releases: how many independent draws an adversary may see.
        images_per_identity: the most rows one person has in the gallery.
        remarks: sentences a reader must see beside the numbers.
        noise: its distribution.
        norm: in which the sensitivity and the distances are measured.
        sticky: whether a record always gets the same noise, so that releases do not add up.
        audited: lower bound by experiment; None in records from before there was one.
        distances: metric privacy at measured distances.
        reconstruction: bound on any reconstruction; None where nothing is certified.
        verdict: what the claim is worth; empty in records from before there was one.
        reason: why, in one sentence.
        training: the noise of a training, whose people alone the claim is about; None where the
            claim is about the release of a gallery.
        private: the fields that tell something of the clean data which no ε covers. They are for
            the owner; `audit defend` keeps them with the key.
    """

    mechanism: str
    unit: Literal["image", "identity"]
    neighbours: str
    delta: float
    sigma: float
    sensitivity: float | None
    epsilon_claimed: float
    epsilon_certified: float | None
    epsilon_identity: float | None
    releases: int
    images_per_identity: int
    remarks: tuple[str, ...] = ()
    noise: Literal["gaussian", "laplace"] = "gaussian"
    norm: Literal["L1", "L2"] = "L2"
    sticky: bool = False
    audited: AuditedEpsilon | None = None
    distances: tuple[DistanceEpsilon, ...] = ()
    reconstruction: ReconstructionBound | None = None
    verdict: PrivacyVerdict | Literal[""] = ""
    reason: str = ""
    training: NoisyTraining | None = None
    private: tuple[str, ...] = OF_THE_DATA


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A figure against what it cost, or against where it was cut.

    Attributes:
        name: unique within its finding, such as ``auxiliary_people``, ``queries`` or ``roc``.
        metric: the figure on the vertical axis; a measurement's metric where there is one.
        x: what the horizontal axis shows, with its unit, in words.
        points: ``(x, value, low, high)`` in ascending x, with 95 % intervals over people.
        log_x: whether the horizontal axis is logarithmic.
        statement: what the curve says, in one sentence (whether it is saturated, for one).

    Raises:
        ValueError: for a non-finite number, or points that do not ascend.
    """

    name: str
    metric: str
    x: str
    points: tuple[tuple[float, float, float, float], ...]
    log_x: bool = False
    statement: str = ""

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for point in self.points for number in point):
            raise ValueError(f"curve {self.name!r} holds a non-finite number")
        places = [point[0] for point in self.points]
        if places != sorted(places):
            raise ValueError(f"curve {self.name!r} does not ascend in x")


PowerOutcome = Literal["shown", "weak", "self-deceived", "nothing-to-find", "not-run"]
"""It finds the leak; too little of it; it claims one where there is none; not even the reference
finds any through this release; the controls gave no figure."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """The certificate that an attack, in this scenario and by this metric, tells a leak from none.

    Attributes:
        metric: the figure it vouches for, with its readings by group and of the worst off.
        planted: what the attack recovers of a planted leak; None where that control gave no figure.
        null: the same attack where there is nothing to find; its interval must hold chance.
        reference: what the reference adversary recovers of the planted leak; None where none is
            known.
        adversary: who the reference adversary is, in a few words.
        required: the efficiency that is asked for.
        outcome: ``shown``; ``weak``, so that low figures prove nothing; ``self-deceived``, so that
            no figure proves anything; ``nothing-to-find``, where the reference itself is at
            chance; ``not-run``.
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
        nothing = self.outcome == "nothing-to-find"
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


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One attack against one scenario.

    Attributes:
        attack: label in the configuration, unique within the audit.
        plugin: name of the installed attack.
        family: what it recovers; attacks of one family are rungs of one ladder.
        summary: first line of its docstring.
        threat_model: the rest of its docstring's first paragraphs: what the adversary holds.
        adversary: the same in a few words; None where the plug-in does not say.
        params: its hyper-parameters.
        status: ``done``, ``not-applicable`` (see ``reason``) or ``failed`` (crash, interruption).
        measurements: the first one is the headline.
        curves: the figures against budget or threshold.
        worst_case: the headline for whom it is worst: the share of people whose every image was
            hit, and the mean over the most exposed 5 %; empty where people cannot be told apart.
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
        """The certificate that vouches for ``metric``, or for the headline where none is named.

        Figures by group and of the people worst off, such as ``top1@gender=female`` and
        ``top1.fully_exposed``, are readings of the figure that they begin with.
        """
        if not metric:
            return next(iter(self.powers), None)
        worst_off = any(m.metric == metric for m in self.worst_case)
        name = metric.rpartition(".")[0] if worst_off else metric.partition("@")[0]
        return next((power for power in self.powers if power.metric == name), None)

    def figures(self) -> Iterator[Measurement]:
        """Everything that was measured: the figures, the worst case, and the subgroups."""
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


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """One of the most exposed people, under a pseudonym.

    Attributes:
        pseudonym: the same person has the same one everywhere in an audit.
        leakage: the share of this person's images that the worst attack succeeded on.
        attack: which attack that was.
        images: how many images that rests on.
        average: the mean over all attacks.
    """

    pseudonym: str
    leakage: float
    attack: str
    images: int
    average: float


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Who is worst off in one scenario, over all attacks that do not fool themselves.

    Attributes:
        attacks: those whose headline counts images of single people.
        people: how many people they were tried on.
        fully: share of people whose every image was hit by at least one of the attacks.
        most: the most exposed 1 %, at least one and at most twenty.
        tied: how many people are exposed as much as the last of them.
    """

    attacks: tuple[str, ...]
    people: int
    fully: Measurement
    most: tuple[Exposed, ...]
    tied: int


@dataclass(frozen=True, kw_only=True)
class Match:
    """The best gallery match of one query, cross-camera; identities are pseudonyms, 0 is nobody."""

    query_id: str
    query_camera: str
    match_id: str
    match_camera: str
    similarity: float
    correct: bool
    rank: float


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One entry of a rank list; ``similarity`` is a cosine, or minus a Euclidean distance."""

    match_id: str
    match_camera: str
    similarity: float
    correct: bool


@dataclass(frozen=True, kw_only=True)
class RankList:
    """The best gallery matches of one query, those of its person by its own camera set aside.

    Attributes:
        query_id: whom the query shows, as a pseudonym.
        query_camera: which camera took it.
        rank: of the first right match, ties counted as their mean.
        matches: the nearest first, `LISTED` at most.
        picture: path of a strip of `LISTED` + 1 cells of equal width, the query's first, relative
            to the report; each cell is a picture within a margin of 4 % of the cell's width.
    """

    query_id: str
    query_camera: str
    rank: float
    matches: tuple[Ranked, ...]
    picture: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one stored feature lies in a drawing of many; places mean nothing, distances little.

    Attributes:
        person: from 0; the same person has the same number in every scenario, and no other name.
        x: horizontally.
        y: vertically.
    """

    person: int
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """Utility and leakage in one number, never gated on alone.

    Attributes:
        definition: identifier of the formula, such as ``urr-1``; it changes when the formula does.
        formula: the formula in words and symbols.
        measurement: the number; None where it is undefined.
        inputs: every quantity that went in.
        undefined: why there is no number.
        weighted: (weight of privacy from 0 to 2, the number with it), where the formula weighs;
            that of utility is 2 minus it.
    """

    name: str
    definition: str
    formula: str
    measurement: Measurement | None
    inputs: Mapping[str, float] = field(default_factory=dict)
    undefined: str = ""
    weighted: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The target under one defense; ``none`` is the bare target.

    Attributes:
        defense: label in the configuration, unique within the audit.
        plugin: name of the installed defense, empty for ``none``.
        summary: first line of its docstring.
        params: its hyper-parameters.
        claims: what the release promises.
        co_trained: how the adversaries fared that the defense was trained against. They have no
            address, so no gate or ladder counts them.
        utility: rank1, rank5, rank10, map, minp of the re-identification itself; where the
            deployment mends its ranking, the same once more as ``rank1_reranked`` and so on.
        findings: one per attack, in the order of the configuration.
        ladders: the strongest rung per family and metric; headlines first.
        exposure: who is worst off; None where no attack counts images of people.
        scores: PU-score and URR of this scenario.
        matches: query -> best match, cross-camera.
        rank_lists: the best matches of a few queries, those it gets wrong first.
        embedding: the stored features of a few people in two dimensions (t-SNE).
        status: ``failed`` if the defense or the utility measurement crashed; then see ``reason``.
        reason: why it is not ``done``.
        notes: what a reader must know about how the defense was applied.
        utility_bias: why ``utility``, and every score made of it, reads better than it should;
            empty if it does not. Nothing passes by such figures.
    """

    defense: str
    plugin: str = ""
    summary: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[PrivacyClaim, ...] = ()
    co_trained: tuple[Finding, ...] = ()
    utility: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    ladders: tuple[Ladder, ...] = ()
    exposure: Exposure | None = None
    scores: tuple[Score, ...] = ()
    matches: tuple[Match, ...] = ()
    rank_lists: tuple[RankList, ...] = ()
    embedding: tuple[Place, ...] = ()
    status: Literal["done", "failed"] = "done"
    reason: str = ""
    notes: tuple[str, ...] = ()
    utility_bias: str = ""

    def ladder(self, name: str) -> Ladder | None:
        """The ladder of that name, such as ``inversion.reid_rank1``, if there is one."""
        return next((ladder for ladder in self.ladders if ladder.name == name), None)


@dataclass(frozen=True, kw_only=True)
class ProbeCheck:
    """One question of the sanity probe, asked before any attack."""

    name: str
    outcome: Literal["pass", "warn", "fail"]
    detail: str


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The whole audit.

    Attributes:
        title: what was audited, for the head of the page.
        config: the resolved configuration.
        model: facts about the audited model, its preprocessing card among them.
        data: facts about the dataset: counts, cameras, broken files.
        environment: versions and device; when and by which command it ran lies in ``run.json``
            beside it, so that a repetition gives the same record to the last byte.
        probe: the sanity probe's answers.
        scenarios: ``none`` first.
        scores: scores over all scenarios (URR-2).
        complete: False while running, and for ever if the run was interrupted.
        real_people: whether the pictures show real people; then only blurred ones are embedded
            unasked.
        pseudonyms: digest of the table that undoes the pseudonyms. Records with the same one call
            the same people alike; in any others, one name is two people. Empty in records from
            before there was one, which hold the dataset's own identities.
        schema: version of this record's form.
    """

    title: str
    config: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    probe: tuple[ProbeCheck, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    scores: tuple[Score, ...] = ()
    complete: bool = False
    real_people: bool = True
    pseudonyms: str = ""
    schema: int = SCHEMA

    def measurements(self) -> Iterator[tuple[str, Measurement]]:
        """Yield (address, measurement), such as ``("dp_gallery/identity/top1", m)``.

        Addresses are ``scenario/attack/metric``, where the attack may also be ``utility``,
        ``scores``, or ``ladder`` with a metric such as ``inversion.reid_rank1``. A subgroup's
        metric is such as ``top1@gender=female``.
        """
        for scenario in self.scenarios:
            for measurement in scenario.utility:
                yield f"{scenario.defense}/utility/{measurement.metric}", measurement
            for finding in scenario.findings:
                for measurement in finding.figures():
                    yield f"{scenario.defense}/{finding.attack}/{measurement.metric}", measurement
            for ladder in scenario.ladders:
                yield f"{scenario.defense}/ladder/{ladder.name}", ladder.measurement
            for score in scenario.scores:
                if score.measurement is not None:
                    yield f"{scenario.defense}/scores/{score.name}", score.measurement

    def scenario(self, name: str) -> Scenario | None:
        """The scenario of that label, if there is one."""
        return next((s for s in self.scenarios if s.defense == name), None)

    def finding(self, scenario: str, attack: str) -> Finding | None:
        """The finding of ``attack`` under ``scenario``, if there is one."""
        under = self.scenario(scenario)
        findings = under.findings if under else ()
        return next((f for f in findings if f.attack == attack), None)


_ADAPTER = TypeAdapter(AuditReport)


def dumps(report: AuditReport) -> str:
    """The record as strict JSON: no NaN, keys in the order of the fields."""
    plain = _encodable(_ADAPTER.dump_python(report, mode="python"))
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _encodable(value: Any) -> Any:
    """Plain data whose text survives UTF-8: a file name may hold bytes that are no text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def loads(text: str | bytes, source: str = "report") -> AuditReport:
    """Read a record back.

    Raises:
        UsageError: if it is not JSON of this schema.
    """
    try:
        plain = json.loads(text)
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if schema not in (None, *range(1, SCHEMA + 1)):
            raise UsageError(f"{source} has schema {schema}; this version reads up to {SCHEMA}")
        return _ADAPTER.validate_python(upgraded(plain))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise UsageError(f"{source} is not an audit record: {error}") from None
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "top level"
        raise UsageError(f"{source} is not an audit record: {place}: {first['msg']}") from None


def load(path: Path) -> AuditReport:
    """Read ``report.json``.

    Raises:
        UsageError: if the file is missing or is not an audit record.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file; give the report.json of an audit")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return loads(text, str(path))
