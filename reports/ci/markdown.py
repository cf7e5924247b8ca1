"""The verdict as a short Markdown text, for pull requests and job summaries.

Names from outside stand in code spans, in which nothing is markup; other text from outside is
escaped. No picture, no HTML and no identity is in it.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from auditor.artifacts.atomic import write
from auditor.gates import Verdict
from auditor.report import AuditReport, Measurement, Scenario
from reports.ci.checks import Check, checks
from reports.content import tables
from reports.content.caveats import DISCLAIMER
from reports.content.key_findings import key_findings, next_steps
from reports.content.wording import interval, number
from reports.redaction.identities import discretion
from reports.redaction.sanitize import clean

MOST = 40
"""Rows of a table: a summary that nobody reads to its end is none."""
LONGEST = 240
"""Characters of a reason."""
SAID = 1_000
"""Characters of a key finding."""
ENTITIES = str.maketrans({"&": "&amp;", "\\": "&#92;", "<": "&lt;", ">": "&gt;", "|": "&#124;"})
MARKS = {
    "pass": "✅ pass",
    "measured": "⚪ measured",
    "fail": "❌ fail",
    "inconclusive": "❓ inconclusive",
    "crash": "💥 crash",
    "interrupted": "💥 interrupted",
    "waived": "📝 waived",
    "warning": "⚠️ warning",
}
STANDINGS = {name: MARKS[name] for name in ("pass", "fail", "inconclusive")}
ORDER = ("fail", "crash", "interrupted", "inconclusive", "warning", "waived", "pass")


def render(
    report: AuditReport, verdicts: Sequence[Verdict], path: Path, *, root: Path, reveal: bool
) -> None:
    """Write a summary for pull requests: the verdict, its reasons, the headline figures.

    Args:
        report: the record.
        verdicts: of the gates, from `auditor.gates.check` or `auditor.gates.policy_check.judge`.
        path: the file to write, whole or not at all.
        root: not used; there are no pictures.
        reveal: not used, likewise.
    """
    write(path, ("\n".join(_lines(report, verdicts)) + "\n").encode())


def _lines(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[str]:
    ruling = tables.verdict_of(report, verdicts)
    found = checks(report, verdicts)
    yield f"## Privacy audit: {MARKS[ruling.outcome]}"
    yield ""
    yield f"{code(report.title)}: {escape(ruling.sentence, 1000)}"
    yield from _key_findings(report, verdicts)
    yield from _gates([check for check in found if check.group == "gates"])
    yield from _open([check for check in found if check.group == "attacks"])
    yield from _figures(report)
    yield ""
    yield f"{DISCLAIMER} The whole report: `report.html`."


def _key_findings(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield each risk in a line or a few, then what to do next."""
    discreet = discretion(report)
    yield from ("", "**Key findings**", "")
    for finding in key_findings(report, verdicts):
        mark = STANDINGS.get(finding.standing, finding.standing)
        texts = [statement.text for statement in finding.statements]
        said = " ".join(texts) or "No attack in this audit tests this risk."
        yield f"- {finding.name} ({mark}): {escape(discreet(said, SAID), SAID)}"
    yield from ("", "**What to do next**", "")
    yield from (f"- {escape(discreet(s, SAID), SAID)}" for s in next_steps(report, verdicts))


def _gates(found: Sequence[Check]) -> Iterator[str]:
    ordered = sorted(found, key=lambda check: ORDER.index(check.kind))
    rows = [
        [MARKS[c.kind], code(c.name), escape(c.wanted), escape(c.observed), _why(c)]
        for c in ordered[:MOST]
    ]
    if rows:
        yield from table(["", "gate", "wanted", "observed", "why"], rows)
        yield from _more(len(ordered))


def _why(check: Check) -> str:
    reason = escape(check.reason, LONGEST)
    if check.cites and check.kind != "pass":
        return f"{reason}. Limit: {escape(check.cites, LONGEST)}"
    return reason


def _open(found: Sequence[Check]) -> Iterator[str]:
    """Yield what was planned and not shown."""
    wrong = [check for check in found if check.state == "error"]
    if not wrong:
        return
    yield ""
    yield "**Not shown**"
    yield ""
    for check in wrong[:MOST]:
        yield f"- {MARKS[check.kind]} {code(check.name)}: {escape(check.reason, LONGEST)}"
    yield from _more(len(wrong))


def _more(count: int) -> Iterator[str]:
    if count > MOST:
        yield ""
        yield f"… and {count - MOST} more, in `report.html`."


def _figures(report: AuditReport) -> Iterator[str]:
    """Per scenario its utility, the worst rung of every family, and what its claim is worth."""
    shown = [(s, tables.figures(s)) for s in report.scenarios if s.status == "done"][:MOST]
    heads = {f.key: f.title for _, figures in shown for f in figures if not f.rung}
    rows = []
    for scenario, figures in shown:
        cells = {figure.key: _cell(figure.measurement, figure.reason) for figure in figures}
        claims = ", ".join(_claims(scenario)) or "–"
        rows.append([code(scenario.defense), *(cells.get(key, "–") for key in heads), claims])
    if rows and heads:
        yield from table(["scenario", *map(escape, heads.values()), "privacy claim"], rows)


def _cell(measurement: Measurement | None, reason: str) -> str:
    if measurement is None:
        return "–"
    value = f"{number(measurement.value, measurement.unit)} ({interval(measurement)})"
    return f"{value} ❓" if reason else value


def _claims(scenario: Scenario) -> Iterator[str]:
    for claim in scenario.claims:
        yield claim.verdict or "not judged"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table, an empty one first; the cells are escaped already."""
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---'] * len(head))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def code(text: str) -> str:
    """Return a name in a code span, which nothing in it can end.

    >>> code("none/identity/top1"), code("a|b`c"), code("")
    ('`none/identity/top1`', '`a¦b’c`', '`–`')
    """
    plain = " ".join(clean(text, 160).replace("|", "¦").replace("`", "’").split())
    return f"`{plain or '–'}`"


def escape(text: str, longest: int = LONGEST) -> str:
    r"""Text in which nothing is markup, on one line; capital letter and stop are the caller's.

    >>> escape("*no* <b>html</b> | [x](y)")
    '\\*no\\* &lt;b&gt;html&lt;/b&gt; &#124; \\[x\\](y)'
    """
    plain = " ".join(clean(text, longest).split())
    # addresses of the web, and names that would call somebody or link to an issue
    plain = plain.replace("://", ":\u200b//").replace("www.", "www\u200b.")
    plain = re.sub(r"(?<!\w)([@#])(?=\w)", "\\1\u200b", plain)
    return re.sub(r"([*_~`\[\]])", r"\\\1", plain.translate(ENTITIES))
