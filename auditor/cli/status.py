"""`audit status`: how far a run is, from its folder alone. Needs no torch."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.console import printable

if TYPE_CHECKING:
    from auditor.artifacts.status import RunStatus

EXIT_CODES = {"finished": 0, "purged": 0, "running": 4, "interrupted": 130}
"""Finished; too early to say; to be gone on with."""


def status(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an audit.")],
    *,
    plain: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say how far a run is, and which command comes next.

    Exit code 0 means that it is finished, 4 that it is running, 130 that it was interrupted.
    """
    from auditor.artifacts.status import look

    found = look(folder)
    typer.echo(_json(found) if plain else _text(found))
    raise typer.Exit(EXIT_CODES[found.outcome])


def _json(found: "RunStatus") -> str:
    from dataclasses import asdict

    from auditor.artifacts.atomic import json_bytes

    return json_bytes(asdict(found)).decode().rstrip()


def _text(found: "RunStatus") -> str:
    lines = [printable(f"{found.folder}: {found.title or 'no record yet'}")]
    process = "" if found.pid is None else f", process {found.pid}"
    lines.append(f"{found.outcome}{process}{'' if found.alive else ' (ended)' if process else ''}")
    began = f"began {printable(found.began, 40)}; " if found.began else ""
    done, planned = found.count("done"), len(found.steps)
    lines.append(f"{began}{done} of {planned} steps are done, in {_clock(found.seconds)}")
    width = max((len(step.name) for step in found.steps), default=0)
    for step in found.steps:
        took = "" if step.seconds is None else _clock(step.seconds)
        lines.append(f"  {step.state:<8} {printable(step.name):<{width}} {took}".rstrip())
    lines.append(f"next: {printable(found.next)}")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    """Return the seconds as a person reads them.

    >>> _clock(0.25), _clock(3725)
    ('0.2 s', '1:02:05')
    """
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
