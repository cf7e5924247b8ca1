"""Which classes of attacks an audit tried: in scope and executed are two things.

The classes are those of paragraph 55 of the EDPB's Opinion 28/2024. Which attack stands for which
is this report's own reading; the Opinion does not say how a class shows in re-identification.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.gates.evidence import family_of, powerless
from auditor.report import AuditReport, Finding, Measurement, Scenario
from reports.content.wording import interval, label, listing, number, sentence

Executed = Literal["executed", "failed", "not run", "not recorded"]


@dataclass(frozen=True, kw_only=True)
class AttackClass:
    """A class of attacks that paragraph 55 of Opinion 28/2024 names.

    Attributes:
        name: as the Opinion calls it.
        place: item of the paragraph.
        families: attacks of this project that stand for it.
        reading: how it shows in re-identification, or why it is out of scope.
    """

    name: str
    place: str
    families: tuple[str, ...]
    reading: str


CLASSES = (
    AttackClass(
        name="attribute inference",
        place="55 (i)",
        families=("attribute", "distribution"),
        reading="attributes of people are read from their stored features",
    ),
    AttackClass(
        name="membership inference",
        place="55 (i)",
        families=("membership",),
        reading="whether a person was trained on is inferred from the features of their pictures",
    ),
    AttackClass(
        name="exfiltration",
        place="55 (ii)",
        families=(
            "identity",
            "search",
            "description",
            "linkage",
            "movement",
            "translation",
            "averaging",
            "unshift",
            "extraction",
            "alignment",
        ),
        reading="the gallery or the model is stolen, and the entries are named or linked",
    ),
    AttackClass(
        name="regurgitation of training data",
        place="55 (iii)",
        families=(),
        reading="the model returns features and generates no pictures that it could repeat",
    ),
    AttackClass(
        name="model inversion",
        place="55 (iv)",
        families=("inversion", "score_api"),
        reading="pictures or features are recovered from what the model returns",
    ),
    AttackClass(
        name="reconstruction",
        place="55 (v)",
        families=("inversion", "gradient"),
        reading="pictures are reconstructed from stored features or from shared gradients",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """One class of attacks in this audit; being in scope and having run are two things.

    Attributes:
        attack_class: its name.
        place: where the Opinion names it.
        in_scope: whether the class can apply to a feature extractor at all.
        reading: how it shows, or why it is out of scope.
        executed: whether an attack of the class came to a figure.
        methods: the attacks, and why those that came to none did not.
        results: one sentence per scenario.
        limits: what the results do not show.
    """

    attack_class: str
    place: str
    in_scope: bool
    reading: str
    executed: Executed
    methods: str
    results: tuple[str, ...]
    limits: tuple[str, ...]


def coverage(report: AuditReport) -> tuple[Coverage, ...]:
    """Return every class of paragraph 55, whether it was tried or not."""
    return tuple(_cover(report, attack_class) for attack_class in CLASSES)


def _cover(report: AuditReport, wanted: AttackClass) -> Coverage:
    runs = list(_of(report, wanted.families))
    findings = [finding for _, finding in runs]
    unproven = sorted({f.attack for f in findings if f.status == "done" and powerless(f)})
    limits = [f"did not pass the controls: {listing(unproven)}"] if unproven else []
    if wanted.families and not any(f.status == "done" for f in findings):
        limits.append("nothing of this class was measured, which is no evidence of safety")
    return Coverage(
        attack_class=wanted.name,
        place=wanted.place,
        in_scope=bool(wanted.families),
        reading=sentence(wanted.reading),
        executed=_count_executed(report, findings),
        methods=_methods(findings),
        results=tuple(results(report, wanted.families)),
        limits=tuple(map(sentence, limits)),
    )


def _of(report: AuditReport, families: Sequence[str]) -> Iterator[tuple[Scenario, Finding]]:
    for scenario in report.scenarios:
        for finding in scenario.findings:
            if family_of(finding) in families:
                yield scenario, finding


def _count_executed(report: AuditReport, findings: Sequence[Finding]) -> Executed:
    if not report.scenarios:
        return "not recorded"
    if any(finding.status == "done" for finding in findings):
        return "executed"
    return "failed" if any(finding.status == "failed" for finding in findings) else "not run"


def _methods(findings: Sequence[Finding]) -> str:
    """Return the attacks by name; of those that came to nothing, why."""
    told: dict[str, str] = {}
    for finding in findings:
        done = finding.status == "done"
        why = "" if done else f" ({finding.status}: {finding.reason})"
        told[finding.attack] = "" if done else told.get(finding.attack, why)
    return ", ".join(f"{attack}{why}" for attack, why in told.items())


def results(report: AuditReport, families: Sequence[str]) -> Iterator[str]:
    """Yield one sentence per scenario in which an attack of the families came to a figure."""
    for scenario in report.scenarios:
        figures = list(headlines(scenario, families))
        if figures:
            yield sentence(f"scenario {scenario.defense}: {'; '.join(figures)}")


def headlines(scenario: Scenario, families: Sequence[str]) -> Iterator[str]:
    """Yield the headline of each family: of its strongest rung, if it has several."""
    for family in families:
        ladder = next((rung for rung in scenario.ladders if rung.family == family), None)
        if ladder:
            yield f"{ladder.strongest}: {figure(ladder.measurement)}"
            continue
        for finding in scenario.findings:
            if family_of(finding) == family and finding.status == "done" and finding.headline:
                yield f"{finding.attack}: {figure(finding.headline)}"


def figure(m: Measurement) -> str:
    """Return a figure with its interval, what chance reaches and how many people it rests on."""
    chance = "" if m.chance is None else f", chance {number(m.chance, m.unit)}"
    ends = f"{interval(m)}{chance}, {m.n} people"
    return f"{label(m.metric)} {number(m.value, m.unit)} ({ends})"
