"""Two records side by side as Markdown, for pull requests."""

from collections.abc import Iterator
from pathlib import Path

from auditor.artifacts.atomic import write
from auditor.gates.comparison import Comparison, Difference
from reports.ci.markdown import MARKS, MOST, code, escape, table
from reports.content.wording import number

MARK = {"worse": "🔺 worse", "better": "🔽 better", "no difference shown": "–"}


def render(comparison: Comparison, path: Path) -> None:
    """Write the table.

    Args:
        comparison: from `auditor.gates.comparison.compare`.
        path: the file to write, whole or not at all.
    """
    write(path, ("\n".join(_lines(comparison)) + "\n").encode())


def _lines(made: Comparison) -> Iterator[str]:
    verdict = "" if made.margin is None else f": {MARKS[made.outcome]}"
    yield f"## Privacy audit compared{verdict}"
    yield ""
    yield f"{code(made.before)} → {code(made.after)}. {escape(made.reason)}".strip()
    rows = [_row(difference) for difference in made.differences[:MOST]]
    if rows:
        yield from table(["figure", "before", "after", "difference (95%)", "", "how"], rows)
    if not made.named_alike:
        yield "\nThe records name people differently, so nothing is paired."
    if len(made.differences) > MOST:
        yield f"\n… and {len(made.differences) - MOST} more figures."
    judged = [d for d in made.differences if d.outcome not in (None, "pass")]
    yield from _listed("Against the margin", [_verdict(d) for d in judged])
    alone = [f"{code(name)}: before alone" for name in made.missing]
    alone += [f"{code(name)}: after alone" for name in made.added]
    yield from _listed("Not compared", alone)
    changed = [f"{code(c.key)}: {code(c.before)} → {code(c.after)}" for c in made.changed]
    yield from _listed("Settings that differ", changed)


def _row(d: Difference) -> list[str]:
    unit = d.after.unit
    ends = f"{_signed(d.low, unit)} to {_signed(d.high, unit)}"
    how = f"{d.how}, {d.people} people" if d.people else d.how
    return [
        code(d.address),
        number(d.before.value, unit),
        number(d.after.value, unit),
        f"{_signed(d.value, unit)} ({ends})",
        MARK[d.direction],
        how,
    ]


def _signed(value: float, unit: str) -> str:
    return ("+" if value > 0 else "") + number(value, unit)


def _verdict(d: Difference) -> str:
    return f"{MARKS[d.outcome or 'measured']} {code(d.address)}: {escape(d.reason)}"


def _listed(title: str, rows: list[str]) -> Iterator[str]:
    if not rows:
        return
    yield f"\n**{title}**\n"
    yield from (f"- {row}" for row in rows[:MOST])
    if len(rows) > MOST:
        yield f"\n… and {len(rows) - MOST} more."
