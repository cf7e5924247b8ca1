"""`audit train`; its options are read without torch."""

from pathlib import Path
from typing import Annotated

import typer

from auditor.config import parse_settings
from auditor.errors import UsageError


def train(
    data: Annotated[Path, typer.Option("--data", help="Folder or manifest.csv.")],
    out: Annotated[Path, typer.Option("--out", help="Weights to write (.safetensors).")],
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="osnet_x0_25, reid_resnet50, pcb, timm:NAME, package:factory."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Weights to fine-tune; default: from scratch.")
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(
            "--card", help="Preprocessing preset (default: the weights' own, else torchreid)."
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="HxW", help="Input, such as 256x128.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, max=1_000_000, help="Number of epochs.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the recipe."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="Number of devices of this machine.")
    ] = 1,
    num_nodes: Annotated[
        int,
        typer.Option(
            "--num-nodes",
            min=1,
            help="Number of machines; the same command is started on each, by torchrun or SLURM.",
        ),
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Train a re-ID network, or fine-tune one, and measure it on people it was not trained on."""
    given = {"epochs": epochs, "lr": lr, **parse_settings(settings or [])}
    chosen = {name: value for name, value in given.items() if value is not None}
    shape = _size(size)
    from auditor.console import Display
    from auditor.models.described import arch_for, card_for, read_description
    from auditor.pipeline.environment import pick_device  # torch starts here
    from auditor.training import job as run
    from auditor.training.recipe import Recipe, recipe_from

    said = None if weights is None else read_description(weights)
    job = run.TrainingJob(
        data=data,
        out=out,
        arch=arch_for(said, arch),
        card=card_for(said, card, shape),
        start=weights,
        recipe=recipe_from(Recipe, chosen, "training"),
        seed=seed,
        device=pick_device(device),
        devices=devices,
        num_nodes=num_nodes,
        resume=resume,
        overwrite=overwrite,
    )
    for line in run.lines(run.train(job, Display(job.steps))):
        typer.echo(line)


def _size(text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise UsageError(f"--size {text}: write it as HEIGHTxWIDTH, such as 256x128")
    return {"height": int(height), "width": int(width)}
