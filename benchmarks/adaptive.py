"""What adversaries who protect their own pictures find, as a Markdown table.

`python benchmarks/adaptive.py report.json …`, of records made by `benchmarks/adaptive.yaml` or
`benchmarks/adaptive_retrained.yaml`, together or a few protections at a time. Where an attack asked
in two ways, an arrow leads from the adversary's clean pictures to the worse of both.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from auditor.report import AuditReport, Measurement, load

COLUMNS = {
    "mAP": "utility/map",
    "names found": "identity_lda/top1",
    "found by own pictures": "identity_retrieval/retrieved_rank1",
    "attributes": "attribute_logistic/mean_balanced_accuracy",
    "found by reconstruction": "composite/reid_rank1.",
}
CLEAN = re.compile(r"clean ([\d.]+), protected")


def table(reports: Iterable[AuditReport]) -> str:
    """Return one row per scenario; a later record's row counts."""
    rows: dict[str, str] = {}
    for report in reports:
        figures = dict(report.measurements())
        for scenario in (s.defense for s in report.scenarios):
            cells = [shown(first(figures, f"{scenario}/{start}")) for start in COLUMNS.values()]
            rows[scenario] = f"| {' | '.join((scenario, *cells))} |"
    head = f"| {' | '.join(('scenario', *COLUMNS))} |"
    return "\n".join((head, "|---" * (1 + len(COLUMNS)) + "|", *rows.values()))


def first(figures: dict[str, Measurement], start: str) -> Measurement | None:
    """Return the figure whose address is ``start``, or goes on with the name of the only judge."""
    return next((m for address, m in figures.items() if address.startswith(start)), None)


def shown(m: Measurement | None) -> str:
    """Return value and interval in percent."""
    if m is None:
        return "–"
    clean = CLEAN.search(m.note)
    before = f"{100 * float(clean[1]):.1f} → " if clean else ""
    return f"{before}{100 * m.value:.1f} ({100 * m.low:.1f}–{100 * m.high:.1f})"


if __name__ == "__main__":
    print(table([load(Path(path)) for path in sys.argv[1:]]))
