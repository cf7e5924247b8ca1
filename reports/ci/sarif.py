"""The verdicts as SARIF 2.1.0 (OASIS), for code-scanning dashboards.

What holds is left out: a dashboard lists what is wrong. A gate that could not be settled is a
result of kind ``fail`` and level ``warning``; the standard's kind ``open`` would be truer, but it
must have the level ``none``, which dashboards hide, and what was not shown must not look well.
Waived verdicts are notifications and no results: dashboards that do not know suppressions, GitHub's
for one, would open them as alerts again. No picture and no identity is in it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from auditor import __version__
from auditor.artifacts.atomic import json_bytes, write
from auditor.gates import Verdict
from auditor.report import AuditReport
from reports.ci.checks import Check, checks
from reports.redaction.sanitize import clean

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
RECORD = "report.json"
SHOWN = "audit/shown"
"""The rule that everything planned must be shown, whatever the gates."""
LEVELS = {"failed": "error", "error": "warning", "skipped": "note"}
WAIVED = "waived"
UNCOUNTED = ("not-applicable", "not-counted")
"""Kinds of skipped checks in which nothing is wrong."""


def render(
    report: AuditReport, verdicts: Sequence[Verdict], path: Path, *, root: Path, reveal: bool
) -> None:
    """Results for code-scanning dashboards: what failed, what is open, what is waived.

    Args:
        report: the record.
        verdicts: of the gates, from `auditor.gates.check` or `auditor.gates.policy_check.judge`.
        path: the file to write, whole or not at all.
        root: folder of the record; it is named as it lies in its repository.
        reveal: not used; there are no pictures.
    """
    found = [c for c in checks(report, verdicts) if c.state != "passed"]
    wrong = [check for check in found if check.kind not in (*UNCOUNTED, WAIVED)]
    waived = [check for check in found if check.kind == WAIVED]
    record = _in_repository((root / RECORD).resolve())
    rules = _rules(wrong)
    run = {
        "tool": {
            "driver": {
                "name": "reid-privacy-auditor",
                "version": __version__,
                "rules": list(rules.values()),
            }
        },
        "automationDetails": {"id": f"audit/{clean(report.title, 200)}"},
        "invocations": [
            {
                "executionSuccessful": report.complete,
                "toolExecutionNotifications": [_notification(check) for check in waived],
            }
        ],
        "results": [_result(check, list(rules), record) for check in wrong],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    write(path, json_bytes(log))


def _rules(wrong: Sequence[Check]) -> dict[str, dict[str, Any]]:
    """Return one rule per gate, and one that everything planned must be shown."""
    rules: dict[str, dict[str, Any]] = {}
    for check in wrong:
        name = _rule(check)
        summary = (
            f"{check.pattern} must be shown to keep its limit ({check.wanted})"
            if check.wanted
            else "everything that was planned must be shown"
        )
        rule = {
            "id": name,
            "shortDescription": {"text": _message(summary)},
            "fullDescription": {"text": _message(check.cites or summary)},
            "defaultConfiguration": {"level": "error"},
        }
        rules.setdefault(name, rule)
    return rules


def _rule(check: Check) -> str:
    """Return the gate and its limit: one address may have a gate of either level."""
    return f"{check.pattern} {check.wanted}".strip() if check.wanted else SHOWN


def _notification(check: Check) -> dict[str, Any]:
    text = _message(f"{check.name}: {check.kind}: {check.reason}")
    return {"level": "note", "message": {"text": text}}


def _in_repository(record: Path) -> str:
    """Return the record's address from the root of its repository, if it has one.

    A folder's name may contain what an address may not.
    """
    roots = (folder for folder in record.parents if (folder / ".git").exists())
    root = next(roots, record.parent)
    return quote(record.relative_to(root).as_posix())


def _result(check: Check, rules: Sequence[str], record: str) -> dict[str, Any]:
    name = _rule(check)
    return {
        "ruleId": name,
        "ruleIndex": rules.index(name),
        "kind": "fail",
        "level": LEVELS[check.state],
        "message": {"text": _message(f"{check.name}: {check.kind}: {check.reason}")},
        "locations": [_location(check, record)],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(name, check.name)},
        "properties": {"outcome": check.kind, "observed": check.observed, "limit": check.wanted},
    }


def _location(check: Check, record: str) -> dict[str, Any]:
    # dashboards want a file and a line; what it is about is the logical location
    artifact = {"uri": record, "uriBaseId": "%SRCROOT%"}
    return {
        "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": 1}},
        "logicalLocations": [{"fullyQualifiedName": check.name, "kind": "member"}],
    }


def _fingerprint(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def _message(text: str) -> str:
    r"""Plain text in which nothing is a link and nothing a placeholder (SARIF 3.11.5, 3.11.6).

    >>> _message("see [here](https://example.org) {0}")
    'see \\[here\\](https://example.org) {{0}}'
    """
    escaped = text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return escaped.replace("{", "{{").replace("}", "}}")
