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

SCHEMA = 1


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
        persons: identity -> (sum of its images' values, number of images); the value is the ratio
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


@dataclass(frozen=True, kw_only=True)
class PrivacyClaim:
    """What a mechanism promises, beside what its own numbers certify.

    Attributes:
        mechanism: the noise and its calibration, in words.
        unit: whose data two neighbouring galleries differ in.
        neighbours: how they differ.
        delta: failure probability, the same for every epsilon here.
        sigma: standard deviation of the noise per coordinate.
        sensitivity: L2 sensitivity of the released rows, for ``unit``.
        epsilon_claimed: as configured.
        epsilon_certified: recomputed from sigma and sensitivity, composed over ``releases``.
        epsilon_identity: the same at the level of a person with ``images_per_identity`` rows.
        releases: how many independent draws an adversary may see.
        images_per_identity: the most rows one person has in the gallery.
        remarks: sentences a reader must see beside the numbers.
    """

    mechanism: str
    unit: Literal["image", "identity"]
    neighbours: str
    delta: float
    sigma: float
    sensitivity: float
    epsilon_claimed: float
    epsilon_certified: float
    epsilon_identity: float
    releases: int
    images_per_identity: int
    remarks: tuple[str, ...] = ()


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


@dataclass(frozen=True, kw_only=True)
class Power:
    """The certificate that an attack can tell a leak from none.

    Attributes:
        metric: the attack's headline metric, on which both controls are judged.
        planted: result against an extractor with a planted leak; it must reach ``required``.
        null: result against an extractor that ignores the image; its interval must hold chance.
        required: what ``planted.low`` has to reach.
        shown: both controls came out as they must.
        reason: one sentence, for either outcome.
    """

    metric: str
    planted: Measurement | None
    null: Measurement | None
    required: float
    shown: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One attack against one scenario.

    Attributes:
        attack: label in the configuration, unique within the audit.
        plugin: name of the installed attack.
        family: what it recovers; attacks of one family are rungs of one ladder.
        summary: first line of its docstring.
        threat_model: the rest of its docstring's first paragraphs: what the adversary holds.
        params: its hyper-parameters.
        status: ``done``, ``not-applicable`` (see ``reason``) or ``failed`` (crash, interruption).
        measurements: the first one is the headline.
        curves: the figures against budget or threshold.
        power: the certificate; None where the controls were switched off or did not run.
        exhibits: name -> path of a picture, relative to the report.
        notes: what a reader must know about how the numbers came about.
        reason: why it is not ``done``.
        seconds: wall-clock time.
    """

    attack: str
    plugin: str
    family: str = ""
    summary: str
    threat_model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["done", "not-applicable", "failed"]
    measurements: tuple[Measurement, ...] = ()
    curves: tuple[Curve, ...] = ()
    power: Power | None = None
    exhibits: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Match:
    """The best gallery match of one query, cross-camera: a row of the matching sheet."""

    query_id: str
    query_camera: str
    match_id: str
    match_camera: str
    similarity: float
    correct: bool
    rank: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """Utility and leakage in one number, never gated on alone.

    Attributes:
        definition: identifier of the formula, such as ``urr-1``; it changes when the formula does.
        formula: the formula in words and symbols.
        measurement: the number; None where it is undefined.
        inputs: every quantity that went in.
        undefined: why there is no number.
    """

    name: str
    definition: str
    formula: str
    measurement: Measurement | None
    inputs: Mapping[str, float] = field(default_factory=dict)
    undefined: str = ""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The target under one defense; ``none`` is the bare target.

    Attributes:
        defense: label in the configuration, unique within the audit.
        plugin: name of the installed defense, empty for ``none``.
        summary: first line of its docstring.
        params: its hyper-parameters.
        claims: what the release promises.
        utility: rank1, rank5, rank10, map, minp of the re-identification itself.
        findings: one per attack, in the order of the configuration.
        scores: PU-score and URR of this scenario.
        matches: query -> best match, cross-camera.
        status: ``failed`` if the defense or the utility measurement crashed; then see ``reason``.
        reason: why it is not ``done``.
    """

    defense: str
    plugin: str = ""
    summary: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[PrivacyClaim, ...] = ()
    utility: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    scores: tuple[Score, ...] = ()
    matches: tuple[Match, ...] = ()
    status: Literal["done", "failed"] = "done"
    reason: str = ""


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
        environment: versions, device, hashes, when and by which command.
        probe: the sanity probe's answers.
        scenarios: ``none`` first.
        scores: scores over all scenarios (URR-2).
        complete: False while running, and for ever if the run was interrupted.
        real_people: whether the pictures show real people; then none are embedded unasked.
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
    schema: int = SCHEMA

    def measurements(self) -> Iterator[tuple[str, Measurement]]:
        """Yield (address, measurement), such as ``("dp_gallery/identity/top1", m)``."""
        for scenario in self.scenarios:
            for measurement in scenario.utility:
                yield f"{scenario.defense}/utility/{measurement.metric}", measurement
            for finding in scenario.findings:
                for measurement in finding.measurements:
                    yield f"{scenario.defense}/{finding.attack}/{measurement.metric}", measurement
            for score in scenario.scores:
                if score.measurement is not None:
                    yield f"{scenario.defense}/scores/{score.name}", score.measurement

    def finding(self, scenario: str, attack: str) -> Finding | None:
        """The finding of ``attack`` under ``scenario``, if there is one."""
        for candidate in self.scenarios:
            for finding in candidate.findings:
                if (candidate.defense, finding.attack) == (scenario, attack):
                    return finding
        return None


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
        if schema not in (None, SCHEMA):
            raise UsageError(f"{source} has schema {schema}; this version reads {SCHEMA}")
        return _ADAPTER.validate_python(plain)
    except ValueError as error:
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
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return loads(text, str(path))
