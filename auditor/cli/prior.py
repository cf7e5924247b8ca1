"""`audit prior train`: a generator of people's pictures, learned once for every later attack."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from auditor.config import parse_settings

app = typer.Typer(
    name="prior",
    help="Train what reconstructs pictures: 'audit prior train'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def group() -> None:
    """Train what reconstructs pictures."""


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", help="Prior to write (.safetensors).")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder or manifest.csv, of whose auxiliary people to learn."),
    ] = None,
    synthetic: Annotated[
        int | None,
        typer.Option("--synthetic", min=2, help="Number of synthetic people to learn of instead."),
    ] = None,
    preset: Annotated[
        Literal["small", "large"],
        typer.Option("--preset", help="small: 64x32, minutes on a CPU; large: 128x64, on a GPU."),
    ] = "small",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Number of epochs.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the recipe."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Learn what people look like from pictures of the adversary's own people.

    'prior_inversion' takes the file as its parameter 'prior'. People who are to be attacked take no
    part: of a dataset, only the auxiliary people do.
    """
    chosen = parse_settings(settings or [])
    if epochs is not None:
        chosen["epochs"] = epochs
    from auditor.console import Display
    from auditor.pipeline.environment import pick_device  # torch starts here
    from auditor.training import prior_job as run

    job = run.PriorJob(
        data=data,
        synthetic=synthetic,
        out=out,
        preset=preset,
        recipe=run.recipe_for(preset, chosen),
        seed=seed,
        device=pick_device(device),
        resume=resume,
        overwrite=overwrite,
    )
    for line in run.lines(job, run.train(job, Display(2))):
        typer.echo(line)
