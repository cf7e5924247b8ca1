"""`audit report`: a saved record drawn again, and how every command draws one. Needs no torch."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.gate import ConfigFile, PolicyFile, Today, verdicts_of
from auditor.console import printable
from auditor.errors import AuditError

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
    from auditor import plugins
    from auditor.artifacts.atomic import owners_alone
    from auditor.artifacts.manifest import announce, seal

    revealing = reveal and record.real_people
    names = list(formats or plugins.installed("renderers"))
    if revealing:
        announce(folder, [f"report.{name}" for name in names])
    written, failures = [], dict[str, int]()
    for name in names:
        path = folder / f"report.{name}"
        try:
            with owners_alone() if revealing else nullcontext():
                plugins.draw("renderers", name, record, verdicts, path, root=root, reveal=reveal)
        except AuditError as error:
            failures.setdefault(str(error), error.exit_code)
        except Exception as error:  # a stranger's renderer may raise anything
            said = printable(f"{type(error).__name__}: {error}")
            failures[f"the renderer {name!r} failed: {said}"] = AuditError.exit_code
        else:
            written.append(path)
            typer.echo(f"wrote {path}")
    seal(folder, written, revealed=revealing)
    for said in failures:
        typer.echo(f"audit: {said}", err=True)
    return next(iter(failures.values()), 0)
