"""What a compliance team files: headings of legal and technical texts, pre-filled from the record.

The texts are paraphrased, never quoted, and nothing here says that a duty is met.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditor.gates.evidence import family_of
from auditor.report import AuditReport, PrivacyClaim, Scenario, pluralize
from reports.content.claims import epsilons, neighbours
from reports.content.coverage import figure, headlines, results
from reports.content.wording import interval, label, listing, number, quantity, sentence

CONTROLLER = "For the controller to state."
NOT_MEASURED = "Not measured in this audit."
MOST = 8
"""Figures that one heading names; the rest is in the tables of the page."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A heading of a form, and what this audit has to say under it."""

    heading: str
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Annex:
    """One form: its name, what it is for, and its headings."""

    title: str
    about: str
    entries: tuple[Entry, ...]


def annexes(report: AuditReport) -> tuple[Annex, ...]:
    """Return the forms that a record can fill in part."""
    return (_dpia(report), _testing(report), _annex_iv(report), _protection(report), *_dp(report))


def _dpia(report: AuditReport) -> Annex:
    everything = sorted({family_of(f) for s in report.scenarios for f in s.findings})
    bare = report.scenarios[0] if report.scenarios else None
    risks = list(headlines(bare, everything))[:MOST] if bare else []
    return Annex(
        title="GDPR Art. 35(7): data protection impact assessment",
        about="Parts of an impact assessment that this audit can fill.",
        entries=(
            Entry(
                heading="(a) Description of the processing",
                texts=(
                    _subject(report),
                    "Features of people in the gallery are treated as personal data unless shown "
                    "otherwise.",
                    "Purposes and interests pursued: for the controller to state.",
                ),
            ),
            Entry(heading="(b) Necessity and proportionality", texts=(CONTROLLER,)),
            Entry(
                heading="(c) Risks to the people concerned",
                texts=(
                    *(sentence(f"undefended, {text}") for text in risks),
                    *_worst(bare),
                    "How likely and how severe this is for them: for the controller to state.",
                ),
            ),
            Entry(heading="(d) Measures envisaged", texts=tuple(_measures(report))),
        ),
    )


def _subject(report: AuditReport) -> str:
    data = report.data.get("name") or report.data.get("root_name") or report.data.get("layout")
    people = "real people" if report.real_people else "synthetic people"
    known = f" ({data})" if data else ""
    return sentence(f"pictures of {people}{known} are turned into features: {report.title}")


def _worst(bare: Scenario | None) -> Iterator[str]:
    if bare and bare.exposure:
        fully = bare.exposure.fully
        yield (
            f"{number(fully.value, 'fraction')} of {bare.exposure.people} people "
            f"({interval(fully)}) are fully exposed: an attack succeeded on all their pictures."
        )


def _measures(report: AuditReport) -> Iterator[str]:
    """Yield each defense with what is left of leakage and of use."""
    for scenario in report.scenarios[1:]:
        if scenario.status == "failed":
            yield sentence(
                f"scenario {scenario.defense} failed, so it is not a measure: {scenario.reason}"
            )
            continue
        families = sorted({family_of(f) for f in scenario.findings})
        left = [figure(m) for m in scenario.utility if m.metric in ("rank1", "map")]
        yield sentence(
            f"scenario {scenario.defense} ({scenario.summary.rstrip('.')}); use: {', '.join(left)}"
        )
        yield from (
            sentence(f"scenario {scenario.defense}, {text}") for text in _some(scenario, families)
        )
    if len(report.scenarios) < 2:
        yield "No defense was audited."


def _some(scenario: Scenario, families: Sequence[str]) -> list[str]:
    return list(headlines(scenario, families))[:MOST]


def _testing(report: AuditReport) -> Annex:
    controls = sum(bool(f.powers) for s in report.scenarios for f in s.findings)
    runs = sum(len(s.findings) for s in report.scenarios)
    gates = report.config.get("gates") or ()
    return Annex(
        title="GDPR Art. 32(1)(d): regular testing of security measures",
        about="Evidence of one test. Regular testing is shown by the records of several.",
        entries=(
            Entry(
                heading="What was tested",
                texts=(
                    f"{pluralize(len(report.scenarios), 'scenario')} and "
                    f"{pluralize(runs, 'attack run')}, {controls} of them with controls (a planted "
                    "leak and a null model).",
                ),
            ),
            Entry(
                heading="How effectiveness was assessed",
                texts=(
                    f"Limits set beforehand: {len(gates)}; see the verdict."
                    if gates
                    else "No limits were set beforehand: the audit measured and did not judge.",
                    "Whether the audit is complete: " + ("yes." if report.complete else "no."),
                ),
            ),
            Entry(
                heading="How often it is repeated",
                texts=(CONTROLLER, "Keep the records: audit verify shows that one is unchanged."),
            ),
        ),
    )


def _annex_iv(report: AuditReport) -> Annex:
    model, environment = report.model, report.environment
    metrics = sorted({label(m.metric) for s in report.scenarios for m in s.utility})
    attacks = list(dict.fromkeys(f.attack for s in report.scenarios for f in s.findings))
    versions = [
        f"model file {model.get('file', 'unknown')}, SHA-256 {model.get('sha256', 'unknown')}",
        f"auditor {environment.get('auditor', 'unknown')}, Python "
        f"{environment.get('python', 'unknown')}",
    ]
    return Annex(
        title="AI Act, Annex IV: technical documentation",
        about="On privacy testing only; whether the Act applies is for the provider to determine.",
        entries=(
            Entry(heading="1. Versions", texts=tuple(map(sentence, versions))),
            Entry(
                heading="2(d) Data used",
                texts=(_subject(report), "Provenance and collection: for the provider to state."),
            ),
            Entry(
                heading="2(g) Validation and testing",
                texts=(
                    sentence(f"privacy tests: {listing(attacks, 40) or 'none'}"),
                    sentence(f"measures of use: {listing(metrics, 40) or 'none'}"),
                    "Test log: report.json. The Annex asks for test reports that are dated and "
                    "signed by those responsible: see the sign-off, and audit sign.",
                ),
            ),
            Entry(
                heading="3. Capabilities and limitations",
                texts=("See the limitations of this report.",),
            ),
            Entry(
                heading="4. Whether the metrics are appropriate",
                texts=(
                    "Every rate is given with an interval over people and a chance level; "
                    "every attack with certificates of how well it finds a planted leak.",
                ),
            ),
        ),
    )


def _protection(report: AuditReport) -> Annex:
    unlinkable = tuple(_metric(report, "d_sys"))
    use = tuple(
        sentence(f"scenario {s.defense}: {', '.join(figure(m) for m in s.utility[:5])}")
        for s in report.scenarios
        if s.utility
    )
    return Annex(
        title="ISO/IEC 24745 and ISO/IEC 30136: protection of biometric references",
        about="The properties of the first and the measurements of the second, as headings.",
        entries=(
            Entry(
                heading="24745: irreversibility",
                texts=_or_not(results(report, ("inversion", "score_api"))),
            ),
            Entry(heading="24745: unlinkability", texts=unlinkable or (NOT_MEASURED,)),
            Entry(
                heading="24745: renewability",
                texts=(
                    NOT_MEASURED,
                    "Linkability between two releases, where it was measured, is a part of it.",
                ),
            ),
            Entry(heading="30136: accuracy", texts=use or (NOT_MEASURED,)),
            Entry(
                heading="30136: probability of a successful attack",
                texts=_or_not(results(report, ("identity", "inversion", "linkage"))),
            ),
            Entry(
                heading="30136: information leaked",
                texts=_or_not(results(report, ("attribute", "membership"))),
            ),
            Entry(
                heading="30136: diversity and unlinkability", texts=unlinkable or (NOT_MEASURED,)
            ),
        ),
    )


def _or_not(texts: Iterator[str]) -> tuple[str, ...]:
    return tuple(texts) or (NOT_MEASURED,)


def _metric(report: AuditReport, metric: str) -> Iterator[str]:
    for scenario in report.scenarios:
        for finding in scenario.findings:
            for m in finding.measurements:
                if m.metric == metric:
                    yield sentence(f"scenario {scenario.defense}, {finding.attack}: {figure(m)}")


def _dp(report: AuditReport) -> Iterator[Annex]:
    """Yield one card per claim, from the top of the guidelines' pyramid to its base."""
    for scenario in report.scenarios:
        for claim in scenario.claims:
            yield Annex(
                title=f"NIST SP 800-226: differential privacy of {scenario.defense}",
                about="The parts of a claim, each resting on those below it.",
                entries=tuple(_card(claim)),
            )


def _card(claim: PrivacyClaim) -> Iterator[Entry]:
    values = "; ".join(f"{name}: {value}" for name, value in epsilons(claim))
    verdict = f"{claim.verdict}: {claim.reason}" if claim.verdict else "not audited"
    composed = (
        "noise of a record never changes" if claim.sticky else pluralize(claim.releases, "release")
    )
    yield Entry(
        heading="ε and δ", texts=tuple(map(sentence, (values, f"δ: {quantity(claim.delta)}")))
    )
    yield Entry(
        heading="Unit of privacy",
        texts=(
            sentence(claim.unit),
            sentence(neighbours(claim)),
            f"One person has {pluralize(claim.images_per_identity, 'image')} at most.",
        ),
    )
    yield Entry(
        heading="Mechanism and its correctness",
        texts=tuple(map(sentence, (claim.mechanism, f"composition: {composed}", verdict))),
    )
    yield Entry(
        heading="Trust model",
        texts=(
            "Who can see clean features, and who has the noise's seed: for the operator to state.",
        ),
    )
    yield Entry(heading="Collection, storage and access", texts=("For the operator to state.",))
