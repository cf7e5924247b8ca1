"""`audit inspect`: what a model file is, without running any of it. Needs no torch."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auditor.console import printable


def inspect(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a model file and how it would be opened, without running any of it."""
    from dataclasses import asdict

    from auditor.models.inspection.describe import inspect as outlined
    from auditor.models.inspection.describe import lines

    found = outlined(model)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
        return
    for line in lines(found):
        typer.echo(printable(line, 400))
