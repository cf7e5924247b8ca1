"""The first two sheets: what came out, and every gate."""

from collections.abc import Sequence

from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from auditor.gates import Verdict
from auditor.report import AuditReport
from reports.content import context, risks, tables
from reports.content.caveats import caveats
from reports.content.key_findings import KeyFinding, key_findings, next_steps
from reports.content.wording import sentence
from reports.excel.cells import FACE, Row, colour_outcomes, write_table


def summary(sheet: Worksheet, report: AuditReport, verdicts: Sequence[Verdict]) -> None:
    """Write the ruling, the key findings, what to do next, the scope, and what must be known."""
    ruling = tables.verdict_of(report, verdicts)
    body: list[Row] = [
        ("verdict", ruling.outcome, ""),
        ("reason", ruling.sentence, ""),
        ("audited", report.title, ""),
        *(row for finding in key_findings(report, verdicts) for row in _found(finding)),
        *(("what to do next", step, "") for step in next_steps(report, verdicts)),
        *(("scope", value, name) for name, value in context.scope(report)),
        *(("not shown", sentence(reason), place) for place, reason in ruling.doubts),
        *(("limitation", text, "") for text in caveats(report)),
        *(("not tested", text, "") for text in risks.untested(report)),
        *(("reproducibility", value, name) for name, value in context.identity(report)),
    ]
    last = write_table(sheet, ["what", "value", "about"], [18, 110, 36], body, wrapped=["value"])
    sheet["B2"].font = Font(name=FACE, bold=True, size=14)
    colour_outcomes(sheet, f"B2:B{max(last, 2)}")


def _found(finding: KeyFinding) -> list[Row]:
    """Return a key finding: a sentence per family of attacks, beside the risk and its verdict."""
    about = f"{finding.name}: {finding.standing}"
    texts = [statement.text for statement in finding.statements]
    return [
        ("key finding", text, about)
        for text in texts or ["No attack in this audit tests this risk."]
    ]


def gates(sheet: Worksheet, verdicts: Sequence[Verdict]) -> None:
    """One verdict per row, in the units that the limits are written in."""
    head = ["outcome", "gate", "limit", "observed", "level", "judged by", "reason", "cites"]
    head += ["waived by", "until"]
    body = [_gate(verdict) for verdict in verdicts]
    widths = [16, 44, 10, 14, 9, 13, 80, 60, 24, 12]
    last = write_table(sheet, head, widths, body, wrapped=["reason", "cites"])
    colour_outcomes(sheet, f"A2:A{max(last, 2)}")


def _gate(v: Verdict) -> Row:
    gate, waiver = v.gate, v.waiver
    judged = (v.standing, v.address, gate.limit, v.observed, gate.level, gate.judge, v.reason)
    borne = (waiver.owner, waiver.expires.isoformat()) if waiver else ("", "")
    return (*judged, gate.cites, *borne)
