"""`audit purge`, `audit verify` and `audit sign`: what becomes of an audit's folder afterwards."""

from pathlib import Path
from typing import Annotated

import typer

from auditor.console import printable
from auditor.errors import UsageError
from auditor.gates import EXIT_FAILED

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an audit.")]


def purge(folder: Folder) -> None:
    """Remove everything that names or shows people from an audit, and record what was removed."""
    from auditor.artifacts import purge as purging

    removed = purging.purge(folder).files
    if not removed:
        typer.echo(f"{folder} contains nothing personal any more")
        return
    size = sum(file.size for file in removed.values())
    typer.echo(f"removed {len(removed)} files, {size / 2**20:.1f} MiB; see {folder / 'purge.json'}")
    if rendered := [path for path in removed if path.startswith("report.")]:
        again = f"audit report {folder / 'report.json'}"
        named = printable(", ".join(rendered))
        typer.echo(f"{named} named real people; to write them without: {again}")


def verify(
    folder: Folder,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", help="Ed25519 key in PEM that must have signed it."),
    ] = None,
) -> None:
    """Compare an audit's files with its manifest; exit code 3 if any differ."""
    from auditor.artifacts import manifest, signing

    found = manifest.verify(folder)
    for what in ("changed", "missing", "added"):
        for path in getattr(found, what):
            typer.echo(f"{what}: {printable(path)}")
    good = found.whole
    if public_key is not None:
        good &= (fits := signing.signed(folder, public_key))
        typer.echo("signature: good" if fits else "signature: not by this key over this manifest")
    elif (folder / manifest.SIGNATURE).exists():
        typer.echo("signature: not checked; name the key with --public-key")
    gone = f", {len(found.purged)} purged" if found.purged else ""
    typer.echo(f"{'whole' if good else 'NOT WHOLE'}: {len(found.same)} files as they were{gone}")
    if not good:
        raise typer.Exit(EXIT_FAILED)


def sign(
    folder: Folder,
    key: Annotated[Path, typer.Option("--key", help="Ed25519 private key in PEM.")],
) -> None:
    """Sign an audit's manifest offline; refuse a folder that differs from it."""
    from auditor.artifacts import manifest, signing

    if not manifest.verify(folder).whole:
        raise UsageError(f"{folder} differs from its manifest; see: audit verify {folder}")
    signing.sign(folder, key)
    typer.echo(f"wrote {folder / manifest.SIGNATURE}")
