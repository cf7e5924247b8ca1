"""`audit report`: a saved record drawn again, and how every command draws one. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.commands.gate import ConfigFile, PolicyFile, Today, verdicts_of

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
    render(loaded, verdicts, out or record.parent, record.parent, formats, reveal=reveal)


def render(
    record: "AuditReport",
    verdicts: "Sequence[Verdict]",
    folder: Path,
    root: Path,
    formats: Sequence[str] | None,
    *,
    reveal: bool,
) -> None:
    """Write ``record`` in the named formats, or in all installed ones, and seal the folder.

    Args:
        record: what to draw.
        verdicts: on its gates.
        folder: where to.
        root: the record's folder, below which its pictures lie.
        formats: names of renderers; None: all.
        reveal: whether real people are named and shown sharp.
    """
    from auditor import plugins
    from auditor.manifest import seal

    written = []
    for name in formats or plugins.installed("renderers"):
        path = folder / f"report.{name}"
        draw = plugins.load("renderers", name)
        draw(record, verdicts, path, root=root, reveal=reveal)
        written.append(path)
        typer.echo(f"wrote {path}")
    seal(folder, written, revealed=reveal and record.real_people)
