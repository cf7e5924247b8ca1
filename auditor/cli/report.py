"""`audit report`: render a saved record, as every command does at its end. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.gate import ConfigFile, PolicyFile, Today, verdicts_of

if TYPE_CHECKING:
    from auditor.gates import Verdict
    from auditor.report import AuditReport

Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show real people's names and unblurred pictures.")
]


MANY = 100
"""Scenarios; a page of a thousand takes minutes."""


def report(
    record: Annotated[Path, typer.Argument(help="report.json of an earlier run.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Renderer; default: all installed.")
    ] = None,
    config: ConfigFile = None,
    policy: PolicyFile = None,
    today: Today = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder; default: that of the record.")
    ] = None,
    reveal: Reveal = False,
) -> None:
    """Render a saved record again."""
    from auditor.report import load

    loaded = load(record)
    verdicts = verdicts_of(loaded, config, policy, today)
    code = render(loaded, verdicts, out or record.parent, record.parent, formats, reveal=reveal)
    if code:
        raise typer.Exit(code)


def render(
    record: "AuditReport",
    verdicts: "Sequence[Verdict]",
    folder: Path,
    root: Path,
    formats: Sequence[str] | None,
    *,
    reveal: bool,
) -> int:
    """Render a record as `auditor.api.folder.render` does, and print what was written or failed.

    Returns:
        The exit code of the first failure; 0 where there is none.
    """
    from auditor.api import folder as drawing

    if len(record.scenarios) > MANY:
        typer.echo(
            f"drawing {len(record.scenarios)} scenarios: the page and the sheets take a while, "
            "--format md and junit.xml seconds",
            err=True,
        )
    done = drawing.render(record, verdicts, folder, root, formats, reveal=reveal)
    for path in done.written:
        typer.echo(f"wrote {path}")
    for said in done.failures:
        typer.echo(f"audit: {said}", err=True)
    return done.exit_code
