"""What a notebook shows: escaped text in a frame that can run nothing and reach nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from auditor.gates import Verdict
from auditor.report import AuditReport, Finding, Measurement, Scenario

ROW = 29
"""Pixels of a table's row."""
TALLEST = 720
"""Pixels of a frame; what is longer scrolls."""
STYLE = """
body { font: 13px/1.4 system-ui, sans-serif; margin: 4px; color: #1b1f24; background: #fff }
table { border-collapse: collapse } th, td { padding: 4px 10px; text-align: left }
th { border-bottom: 1px solid #8c959f } td.n { text-align: right }
td { border-bottom: 1px solid #d8dee4 } p { margin: 4px 0 } .fail { color: #a40e26 }
.pass { color: #116329 } .inconclusive, .waived { color: #7d4e00 }
"""
UTILITY = ("rank1", "map")


class Page:
    """A whole page for a notebook to show.

    Attributes:
        content: its HTML.
    """

    def __init__(self, content: str) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"<Page of {len(self.content) / 2**20:.1f} MiB; a notebook shows it>"

    def _repr_html_(self) -> str:
        return _frame(self.content, TALLEST)


def sandbox(body: str, rows: int) -> str:
    """Return a frame around ``body``, tall enough for so many rows; its scripts would not run."""
    page = f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{body}"
    return _frame(page, min(TALLEST, ROW * rows + 40))


def _frame(page: str, height: int) -> str:
    return (
        f'<iframe sandbox srcdoc="{escape(page)}" '
        f'style="width:100%;height:{height}px;border:0" title="privacy audit"></iframe>'
    )


def summary(record: AuditReport, verdict: str) -> tuple[str, int]:
    """Return the figures that an audit is about, as HTML, and how many rows they take."""
    rows = [row for scenario in record.scenarios for row in _rows(scenario)]
    head = ("scenario", "attack", "figure", "value", "95% interval", "chance", "people", "control")
    table = _table(head, rows)
    return f"<p><b>{escape(record.title)}</b></p><p>{escape(verdict)}</p>{table}", len(rows) + 4


def _rows(scenario: Scenario) -> Iterable[Sequence[Any]]:
    if scenario.status != "done":
        yield (scenario.defense, "", scenario.status, scenario.reason, "", "", "", "")
    for measurement in scenario.utility:
        if measurement.metric in UTILITY:
            yield (scenario.defense, "utility", *_cells(measurement), "")
    for finding in scenario.findings:
        yield _finding(scenario.defense, finding)


def _finding(scenario: str, finding: Finding) -> Sequence[Any]:
    if finding.status != "done" or finding.headline is None:
        return (scenario, finding.attack, finding.status, finding.reason, "", "", "", "")
    power = finding.power()
    control = "not run" if power is None else "passed" if power.shown else power.outcome
    return (scenario, finding.attack, *_cells(finding.headline), control)


def _cells(m: Measurement) -> Sequence[str]:
    scale, sign = (100.0, "%") if m.unit == "fraction" else (1.0, "")
    chance = "" if m.chance is None else f"{scale * m.chance:.1f}{sign}"
    interval = f"{scale * m.low:.1f}–{scale * m.high:.1f}{sign}"
    return m.metric, f"{scale * m.value:.1f}{sign}", interval, chance, str(m.n)


def verdict_table(verdicts: Iterable[Verdict], outcome: str) -> str:
    """Return the verdicts as HTML."""
    head = ("verdict", "address", "limit", "observed", "reason")
    rows = [
        (v.standing, v.address, f"{v.gate.limit:g}",
         "" if v.observed is None else f"{v.observed:.3g}", v.reason)
        for v in verdicts
    ]  # fmt: skip
    return f'<p>verdict: <b class="{escape(outcome)}">{escape(outcome)}</b></p>{_table(head, rows)}'


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{titles}</tr>{body}</table>"
