"""What a reader must not conclude: the limitations of one audit, as sentences."""

from collections.abc import Iterator, Mapping

from auditor.gates.evidence import covered, powerless
from auditor.report import AuditReport, Finding, pluralize
from reports.content.wording import sentence

DISCLAIMER = "This report does not constitute a determination of anonymity or of compliance."
FEW = 30
"""Identities below which an interval is too wide to settle much."""


def caveats(report: AuditReport) -> list[str]:
    """Return the sentences of the section on limitations, the standing ones first."""
    found = [
        DISCLAIMER,
        "The figures are lower bounds on what can be recovered: they apply to the attacks, budgets "
        "and auxiliary data listed here, and a stronger adversary may recover more.",
        "Intervals cover 95% over the people of this dataset; they say nothing about other "
        "people, cameras or later versions of the model.",
        *_people(report),
        *_copies(report),
        *_claims(report),
        *_judges(report),
        *_not_shown(report),
    ]
    return [sentence(text) for text in found]


def _people(report: AuditReport) -> Iterator[str]:
    if not report.real_people:
        yield (
            "The people in this audit are synthetic: it exercises the method, and its "
            "figures do not carry over to a deployment."
        )
    sizes = [m.n for s in report.scenarios for f in s.findings for m in f.measurements]
    if sizes and min(sizes) < FEW:
        people = pluralize(min(sizes), "person", "people")
        yield f"Some figures rest on {people} only, so their intervals are wide."


def _copies(report: AuditReport) -> Iterator[str]:
    found = report.data.get("near_duplicates")
    if not isinstance(found, Mapping) or not (count := found.get("count")):
        return
    if found.get("dropped"):
        yield f"{count} auxiliary or train pictures were left out as copies of attacked pictures."
    else:
        yield (
            f"{count} auxiliary or train pictures are near-duplicates of pictures of attacked "
            "people, so the adversary held some of what the attacks recovered: remove them, or set "
            "data.near_duplicates to drop."
        )


def _claims(report: AuditReport) -> Iterator[str]:
    if any(scenario.claims for scenario in report.scenarios):
        yield (
            "Certified ε follows from accounting, under the stated neighbours; audited ε is what "
            "an experiment proves at least, and may lie far below it."
        )


def _judges(report: AuditReport) -> Iterator[str]:
    drawn = {
        m.metric
        for s in report.scenarios
        for f in s.findings
        for m in f.measurements
        if m.metric.startswith("reid_rank1")
    }
    if drawn == {"reid_rank1"}:
        yield (
            "Reconstructions were judged by the audited extractor alone; an independent judge "
            "would rule out that it merely responds to patterns optimised against it."
        )


def _not_shown(report: AuditReport) -> Iterator[str]:
    if not report.complete:
        yield "The audit was interrupted: what is missing here was not tried."
    for scenario in report.scenarios:
        if scenario.status == "failed":
            yield f"The scenario {scenario.defense} failed and was not attacked: {scenario.reason}"
        for finding in scenario.findings:
            place = f"The attack {scenario.defense}/{finding.attack}"
            if finding.status == "not-applicable":
                yield f"{place} does not apply: {finding.reason}"
            elif finding.status == "failed":
                yield f"{place} failed: {finding.reason}"
            elif shortfall := _shortfall(finding):
                others = powerless(finding) and covered(scenario, finding)
                able = "; another rung of its family passed its controls" if others else ""
                yield f"{place} {shortfall}{able}"


def _shortfall(finding: Finding) -> str:
    """Return what the controls did not show of an attack, or an empty string."""
    power = finding.power()
    if power is None:
        return "was not run on the controls, so a low figure proves nothing"
    return {
        "shown": "",
        "weak": f"did not pass its controls, so a low figure proves nothing ({power.reason})",
        "small-control": f"was tried on too small a control, so a low figure proves nothing "
        f"({power.reason})",
        "not-run": f"did not pass its controls, so a low figure proves nothing ({power.reason})",
        "self-deceived": f"failed its null control, so its figures prove nothing ({power.reason})",
        "nothing-to-find": f"had nothing to find through this release ({power.reason})",
    }[power.outcome]
