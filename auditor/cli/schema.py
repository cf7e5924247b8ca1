"""`audit schema`: what a record looks like, for whoever reads it with other tools."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auditor.artifacts.atomic import write


def schema(
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: standard output.")
    ] = None,
) -> None:
    """Print the JSON Schema of report.json."""
    from auditor.report.schema import record_schema

    text = json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write(out, text.encode())
    typer.echo(f"wrote {out}")
