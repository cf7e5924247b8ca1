"""What each protection costs and hides, as a Markdown table.

`python benchmarks/frontier.py report.json …`, of records made by
`audit run --config benchmarks/frontier.yaml --model MODEL --data DATA`, together or a few
protections at a time. A scenario is dominated if another one keeps as much utility or more, leaves
as little reversibility or less, and does better in one of the two. Mechanisms whose key goes by
person are listed and not compared: whoever protects a query with the key knows whom it shows, so
their utility is not the extractor's own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from auditor.metrics.scores import trade_off
from auditor.report import AuditReport, Measurement, Scenario, load
from reports.plots.trade_off import ON_FRONT, standings


def table(reports: Sequence[AuditReport]) -> str:
    """Return one row per scenario that was measured; below them those that failed."""
    points: dict[str, tuple[float, float]] = {}
    scenarios: dict[str, Scenario] = {}
    found: dict[str, Measurement] = {}
    for report in reports:
        found |= dict(report.measurements())
        for s in report.scenarios:
            scenarios[s.defense] = s
            if point := trade_off(s.scores):
                points[s.defense] = point
    lines = [
        "| scenario | mAP | of the bare mAP | found by reconstruction | excess left | identity"
        " | URR | PU inversion | PU identity | |",
        f"|{'---|' * 10}",
    ]
    biased = {name for name in points if scenarios[name].utility_bias}
    places = standings({name: (kept, excess) for name, (excess, kept) in points.items()}, biased)
    for name, (excess, kept) in points.items():
        figures = (found.get(f"{name}/{a}") for a in ("utility/map", "identity_lda/top1"))
        utility, identity = map(shown, figures)
        reversal = shown(strongest(scenarios[name]))
        scores = {score.name: score.measurement for score in scenarios[name].scores}
        pu = [shown(scores.get(f"pu_{family}")) for family in ("inversion", "identity")]
        cells = (name, utility, f"{kept:.0%}", reversal, f"{excess:.0%}", identity)
        ends = (ratio(scores.get("urr1")), *pu, places[name] if places[name] != ON_FRONT else "")
        lines.append(f"| {' | '.join((*cells, *ends))} |")
    lines += [f"| {s.defense} | {s.reason} {'| ' * 9}" for s in scenarios.values() if s.reason]
    return "\n".join(lines)


def strongest(scenario: Scenario) -> Measurement | None:
    """Return how often a reconstruction finds its person, by an independent judge.

    The worst attack's.
    """
    measured = (m for finding in scenario.findings for m in finding.measurements)
    independent = [m for m in measured if m.metric.startswith("reid_rank1.")]
    return max(independent, key=lambda m: m.value, default=None)


def shown(m: Measurement | None) -> str:
    """Return value and interval in percent."""
    return "–" if m is None else f"{m.value:.1%} ({m.low:.1%}–{m.high:.1%})"


def ratio(m: Measurement | None) -> str:
    """Return value and interval; 1 is the undefended model."""
    return "–" if m is None else f"{m.value:.2f} ({m.low:.2f}–{m.high:.2f})"


if __name__ == "__main__":
    print(table([load(Path(path)) for path in sys.argv[1:]]))
