"""Train the shipped prior on synthetic people: ``python -m auditor.training.train_prior``.

The people are of another world than any demo's, test's or the shipped extractor's, and each is seen
by many cameras.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from auditor.console import Display
from auditor.models.prior import WEIGHTS
from auditor.training.prior import RECIPES
from auditor.training.prior_job import PriorJob, lines, train

PEOPLE, EPOCHS = 600, 3

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Where to write the prior.")] = WEIGHTS,
    epochs: Annotated[int, typer.Option(help="Passes over the pictures.")] = EPOCHS,
    people: Annotated[int, typer.Option(help="Synthetic people to train on.")] = PEOPLE,
) -> None:
    """Train the shipped prior, write it, and measure what was written."""
    start = time.perf_counter()
    recipe = replace(RECIPES["small"], epochs=epochs)
    job = PriorJob(out=out, synthetic=people, recipe=recipe, overwrite=True)
    for line in lines(job, train(job, Display(2))):
        typer.echo(line)
    typer.echo(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    app()
