"""`audit convert-weights`: from a pickled network to its weights alone."""

from pathlib import Path
from typing import Annotated

import typer

from auditor.errors import ModelRefusedError, UsageError

SNIPPET = """\
import torch, safetensors.torch
model = torch.load({path!r}, weights_only=False)  # runs what the file says
state = model.state_dict() if hasattr(model, "state_dict") else model
safetensors.torch.save_file({{k: v.contiguous() for k, v in state.items()}}, {out!r})"""
CONVERTED = ("checkpoint", "legacy-checkpoint", "legacy-pickle")


def convert_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A pickled network.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write (default: FILE.safetensors).")
    ] = None,
    trusted: Annotated[
        bool,
        typer.Option(
            "--i-trust-this-file", help="Convert it, in a worker and without running its code."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Show how to convert a pickled network to plain weights, or convert it."""
    target = out or file.with_suffix(".safetensors")
    from auditor.models.sniff import sniff

    form = sniff(file)
    if form not in CONVERTED:
        raise UsageError(f"{file} is {form}, and no pickle; nothing is to be converted")
    if not trusted:
        typer.echo("Where its author is trusted and its code is installed, this converts it:\n")
        typer.echo(SNIPPET.format(path=str(file), out=str(target)))
        raise ModelRefusedError(
            f"{file} is a pickle and was not opened; --i-trust-this-file takes the weights out of "
            "it here, in a worker and without any code that it names"
        )
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists; name another --out or pass --overwrite")
    from auditor.models.loaders import convert

    names, level = convert(file, form, target)
    typer.echo(f"wrote {target}: {names} tensors, taken out in a worker (isolation {level})")
    typer.echo(f"next: audit run --model {target} --arch …")
