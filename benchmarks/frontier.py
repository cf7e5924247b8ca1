"""What each protection costs and hides, as a Markdown table.

`python benchmarks/frontier.py report.json`, of a record made by
`audit run --config benchmarks/frontier.yaml --model MODEL --data DATA`. A scenario is dominated if
another one keeps as much utility or more, leaves as little reversibility or less, and does better
in one of the two.
"""

import sys
from pathlib import Path

from auditor.report import AuditReport, Measurement, Scenario, load
from reports.scatter import front


def table(report: AuditReport) -> str:
    """One row per scenario that was measured; below them those that failed."""
    (urr2,) = (score for score in report.scores if score.name == "urr2")
    points = {
        s.defense: (urr2.inputs[f"{s.defense}.excess"], urr2.inputs[f"{s.defense}.utility"])
        for s in report.scenarios
        if f"{s.defense}.excess" in urr2.inputs
    }
    found = dict(report.measurements())
    scenarios = {scenario.defense: scenario for scenario in report.scenarios}
    lines = [
        "| scenario | mAP | of the bare mAP | found by reconstruction | excess left | identity | |",
        "|---|---|---|---|---|---|---|",
    ]
    best = front([(kept, excess) for excess, kept in points.values()])
    for (name, (excess, kept)), optimal in zip(points.items(), best, strict=True):
        figures = (found.get(f"{name}/{a}") for a in ("utility/map", "identity_lda/top1"))
        utility, identity = map(shown, figures)
        reversal = shown(strongest(scenarios[name]))
        mark = "" if optimal else "dominated"
        lines.append(
            f"| {name} | {utility} | {kept:.0%} | {reversal} | {excess:.0%} | {identity} | {mark} |"
        )
    lines += [f"| {s.defense} | {s.reason} | | | | | |" for s in report.scenarios if s.reason]
    return "\n".join(lines)


def strongest(scenario: Scenario) -> Measurement | None:
    """How often a reconstruction finds its person, by an independent judge; the worst attack's."""
    measured = (m for finding in scenario.findings for m in finding.measurements)
    independent = [m for m in measured if m.metric.startswith("reid_rank1.")]
    return max(independent, key=lambda m: m.value, default=None)


def shown(m: Measurement | None) -> str:
    """Value and interval in percent."""
    return "–" if m is None else f"{m.value:.1%} ({m.low:.1%}–{m.high:.1%})"


if __name__ == "__main__":
    print(table(load(Path(sys.argv[1]))))
