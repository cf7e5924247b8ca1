"""`audit compare`: two saved records side by side, and whether the second one got worse."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.console import printable

if TYPE_CHECKING:
    from auditor.gates.comparison import Comparison, Difference

SHOWN = 20
"""Settings that differ; more are counted."""
LONGEST = 60
"""Characters of a setting."""

UNALIKE = (
    "note: the records name people differently (another seed, or other people), so nothing is "
    "paired and the intervals are wider"
)


def compare(
    before: Annotated[Path, typer.Argument(help="report.json to compare with.")],
    after: Annotated[Path, typer.Argument(help="report.json to check for regressions.")],
    addresses: Annotated[
        list[str] | None,
        typer.Option(
            "--address",
            metavar="PATTERN",
            help="What to compare, such as '*/identity/*'; repeatable. Default: rank1, mAP and the "
            "headline of every attack.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--fail-on-regression",
            metavar="MARGIN",
            min=0,
            help="Fail if a figure gets worse by more than this, such as 0.02.",
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the table to a file.")
    ] = None,
) -> None:
    """Compare two saved records, person by person if both contain the same people."""
    from auditor import plugins
    from auditor.gates import comparison, exit_code
    from auditor.report import load

    made = comparison.compare(load(before), load(after), addresses or [], margin)
    for line in lines(made):
        typer.echo(line)
    if markdown is not None:
        plugins.render("comparison_renderers", "md", made, markdown)
        typer.echo(f"wrote {markdown}")
    raise typer.Exit(exit_code(made.outcome))


def lines(made: "Comparison") -> list[str]:
    """Return the comparison as a terminal shows it."""
    shown = [f"before: {made.before}", f"after:  {made.after}", *_list_changes(made), ""]
    width = min(80, max((len(d.address) for d in made.differences), default=0))
    shown += [_row(difference, width) for difference in made.differences]
    if not made.named_alike:
        shown.append(UNALIKE)
    for word, names in (("before", made.missing), ("after", made.added)):
        shown += [f"{name}: measured {word} alone" for name in names]
    shown += [
        f"{d.outcome.upper()} {d.address}: {d.reason}"
        for d in made.differences
        if d.outcome and d.outcome != "pass"
    ]
    if made.margin is not None:
        why = f" ({made.reason})" if made.reason else ""
        shown.append(f"verdict: {made.outcome.upper()}{why}")
    return [printable(line) for line in shown]


def _list_changes(made: "Comparison") -> list[str]:
    if not made.changed:
        return ["settings, model, data and versions are the same"]
    rows = [
        f"differs: {_short(c.key)}: {_short(c.before)} → {_short(c.after)}" for c in made.changed
    ]
    more = len(rows) - SHOWN
    return rows if more <= 0 else [*rows[:SHOWN], f"… and {more} more settings"]


def _short(text: str) -> str:
    return printable(text or "nothing", LONGEST)


def _row(d: "Difference", width: int) -> str:
    scale, sign, digits = (100.0, "%", 1) if d.after.unit == "fraction" else (1.0, "", 3)
    values = " ".join(f"{m.value * scale:8.{digits}f}{sign:1}" for m in (d.before, d.after))
    value, low, high = (f"{scale * x + 0.0:+.{digits}f}" for x in (d.value, d.low, d.high))
    change = f"{value} ({low} to {high})"
    how = f"{d.how}, {d.people} people" if d.people else d.how
    return f"{printable(d.address, 160):<{width}} {values}  {change:<26} {d.direction} [{how}]"
