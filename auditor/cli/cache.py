"""`audit cache`: what features are kept between runs, and deleting them. Needs no torch."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.console import printable

if TYPE_CHECKING:
    from auditor.artifacts.feature_store import Entry

DAY = 86400
MOST = 1e9
"""Days or gigabytes that can be named; infinitely many can neither be counted nor meant."""


def cache(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder given to --cache.")],
    *,
    unused: Annotated[
        float | None,
        typer.Option(
            "--prune-unused",
            metavar="DAYS",
            min=0,
            max=MOST,
            help="Delete what was not used for so long.",
        ),
    ] = None,
    largest: Annotated[
        float | None,
        typer.Option(
            "--prune-to",
            metavar="GB",
            min=0,
            max=MOST,
            help="Delete what was used least recently, down to this size.",
        ),
    ] = None,
) -> None:
    """Show the features that runs have kept with --cache, and delete old ones."""
    from auditor.artifacts.feature_store import entries, prune

    if unused is not None or largest is not None:
        gone = prune(folder, days=unused, size=None if largest is None else int(largest * 1e9))
        typer.echo(f"deleted {len(gone)} files, {_gigabytes(gone)}")
    kept = entries(folder)
    for entry in kept:
        days = (time.time() - entry.used) / DAY
        typer.echo(
            f"{entry.path.stem[:12]}  {entry.rows:>8} × {entry.columns:<5} "
            f"{entry.size / 1e6:8.1f} MB  used {days:.0f} days ago  {printable(entry.model, 60)}"
        )
    typer.echo(f"{len(kept)} files, {_gigabytes(kept)}")


def _gigabytes(entries: list["Entry"]) -> str:
    return f"{sum(entry.size for entry in entries) / 1e9:.3f} GB"
