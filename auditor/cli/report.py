"""`audit report`: a saved record drawn again, and how every command draws one. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.gate import ConfigFile, PolicyFile, Today, verdicts_of

if TYPE_CHECKING:
    from auditor.gates import Verdict
    from auditor.report import AuditReport

Reveal = Annotated[
    bool, typer.Option("--reveal", help="Name real people and show their pictures sharp.")
]


def report(
    record: Annotated[Path, typer.Argument(help="report.json of an earlier run.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Renderer; default: all installed.")
    ] = None,
    config: ConfigFile = None,
    policy: PolicyFile = None,
    today: Today = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; default: the record's.")
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
    """Write ``record`` in the named formats, or in all installed ones, and seal the folder.

    A renderer that fails takes no other report along. The first one's exit code is given back, and
    0 where none failed.

    Args:
        record: what to draw.
        verdicts: on its gates.
        folder: where to.
        root: the record's folder, below which its pictures lie.
        formats: names of renderers; None: all.
        reveal: whether real people are named and shown sharp.
    """
    from auditor.api import folder as drawing

    done = drawing.render(record, verdicts, folder, root, formats, reveal=reveal)
    for path in done.written:
        typer.echo(f"wrote {path}")
    for said in done.failures:
        typer.echo(f"audit: {said}", err=True)
    return done.exit_code
