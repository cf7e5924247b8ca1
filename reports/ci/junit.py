"""The verdicts as JUnit XML, which every build server reads.

A failed gate is a ``failure``; what crashed or could not be settled is an ``error``; what was
waived, does not apply or does not count is ``skipped``. No picture and no identity is in it.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

from auditor.artifacts.atomic import write
from auditor.gates import Verdict
from auditor.report import AuditReport
from reports.ci.checks import Check, State, checks
from reports.redaction.sanitize import clean

ELEMENTS: dict[State, str] = {"failed": "failure", "error": "error", "skipped": "skipped"}


def render(
    report: AuditReport, verdicts: Sequence[Verdict], path: Path, *, root: Path, reveal: bool
) -> None:
    """Test results for build servers: one case per verdict and attack.

    Args:
        report: the record.
        verdicts: of the gates, from `auditor.gates.check` or `auditor.gates.policy_check.judge`.
        path: the file to write, whole or not at all.
        root: not used; there are no pictures.
        reveal: not used, likewise.
    """
    found = checks(report, verdicts)
    suites = ET.Element("testsuites", {"name": clean(report.title, 200), **_counts(found)})
    for group, members in groupby(found, key=lambda check: check.group):
        cases = list(members)
        suite = ET.SubElement(suites, "testsuite", {"name": group, **_counts(cases)})
        met = Counter[str]()
        for check in cases:
            met[check.name] += 1
            again = met[check.name]
            _case(suite, check, check.name if again == 1 else f"{check.name} ({again})")
    ET.indent(suites)
    write(path, ET.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n")


def _counts(found: Sequence[Check]) -> dict[str, str]:
    states = [check.state for check in found]
    return {
        "tests": str(len(states)),
        "failures": str(states.count("failed")),
        "errors": str(states.count("error")),
        "skipped": str(states.count("skipped")),
    }


def _case(suite: ET.Element, check: Check, name: str) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": f"audit.{check.group}"})
    case.set("name", name)  # unique: build servers keep one case of a name
    if check.state in ELEMENTS:
        said = {"type": check.kind, "message": f"{check.kind}: {check.reason}"}
        ET.SubElement(case, ELEMENTS[check.state], said).text = _detail(check)
    else:
        ET.SubElement(case, "system-out").text = _detail(check)


def _detail(check: Check) -> str:
    rows = {
        "reason": check.reason,
        "gate": check.pattern,
        "wanted": check.wanted,
        "observed": check.observed,
        "reason for the limit": check.cites,
    }
    return "\n".join(f"{name}: {text}" for name, text in rows.items() if text)
