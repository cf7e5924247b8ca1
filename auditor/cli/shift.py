"""`audit shift`: an identity-shifted data set."""

from pathlib import Path
from typing import Annotated

import typer

from auditor.artifacts.atomic import refuse_existing
from auditor.deployment.handover import key_folder
from auditor.errors import UsageError


def shift(
    data: Annotated[Path, typer.Option("--data", help="Folder or manifest.csv.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the shifted data set.")],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="DIR",
            help="Key of an earlier shift: further pictures of its people are shifted as before, "
            "and new people are added to it.",
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="quick (default) or full.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a parameter of pis."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder with pretrained backbones.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="For tests: it can undo the shift."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier data set and its key.")
    ] = False,
) -> None:
    """Write an identity-shifted data set, and the key separately."""
    from auditor import config as configuration

    _refuse(out, overwrite=overwrite)
    if key is not None:
        if preset or settings:
            raise UsageError("--key brings the parameters of its shift; leave out --preset, --set")
        from auditor.deployment import shift as shifting  # torch starts here

        facts = shifting.shift_more(data, out, key=key, seed=seed, device=device, weights=weights)
    else:
        params = configuration.shift_parameters(preset or "quick", settings or [])
        from auditor.deployment import shift as shifting  # torch starts here

        facts = shifting.shift(data, out, params=params, seed=seed, device=device, weights=weights)
    typer.echo(f"wrote {out}: {facts['identities']} people, pose: {facts['pose']}")
    typer.echo(f"wrote {key_folder(out)}: keep it secret, or delete it")


def _refuse(out: Path, *, overwrite: bool) -> None:
    """Refuse to replace a data set, or a key that would be lost, unless told to."""
    if not out.name:
        raise UsageError(f"--out {out} has no name; name a new folder")
    for place in (out, key_folder(out)):
        if place.exists() and not place.is_dir():
            raise UsageError(f"{place} is a file; name another --out")
        refuse_existing(place, overwrite=overwrite)
