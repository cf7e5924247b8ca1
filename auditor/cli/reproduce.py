"""`audit reproduce`: a paper's table beside what is measured. Options are read without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.artifacts.atomic import refuse_existing

if TYPE_CHECKING:
    from auditor.reproduction.record import Figure, Reproduction


def reproduce(
    table: Annotated[str, typer.Argument(help="Table, such as pepr-table1; 'list' lists all.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder or manifest.csv; default: synthetic people."),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="quick (synthetic people), reduced (CPU) or full (GPU).")
    ] = "quick",
    against: Annotated[
        str, typer.Option("--against", help="Data set whose printed figures to compare with.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (default: audit-TABLE).")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder with pretrained weights.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace finished results.")
    ] = False,
) -> None:
    """Reproduce a paper's table: print its figures beside the measured ones.

    Finished models and audits in --out are reused, so an interrupted command can be repeated.
    """
    from auditor.reproduction import plan

    if table == "list":
        for name in plan.names():
            typer.echo(f"{name:<12}  {plan.table(name).title}")
        return
    plan.table(table)
    folder = out or Path(f"audit-{table}")
    refuse_existing(folder / "reproduction.json", overwrite=overwrite)
    from auditor.pipeline.environment import pick_device  # torch starts here
    from auditor.reproduction import run

    job = run.ReproductionJob(
        table=table,
        out=folder,
        data=data,
        preset=preset,
        against=against,
        weights=weights,
        seed=seed,
        device=pick_device(device),
        say=lambda text: typer.echo(text, err=True),
    )
    record = run.reproduce(job)
    show(record)
    render(record, folder)


def render(record: "Reproduction", folder: Path) -> None:
    """Write the table in every installed format."""
    from auditor import plugins

    for name in plugins.installed("table_renderers"):
        path = folder / f"reproduction.{name}"
        plugins.render("table_renderers", name, record, path)
        typer.echo(f"wrote {path}")


def show(record: "Reproduction") -> None:
    """Print the table: the paper's figure, an arrow, the measured one and its interval."""
    from rich.console import Console
    from rich.table import Table

    printed = f"; printed: {record.against}" if record.against else ""
    title = f"{record.title} ({record.source}{printed}; percent)"
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("row", overflow="fold")
    columns = record.measured_columns()
    for column in columns:
        table.add_column(column.label + (" (ours)" if column.ours else ""), justify="right")
    for row in record.rows:
        cells = [_cell(row.figures[column.key]) for column in columns]
        table.add_row(row.label + (" (ours)" if row.ours else ""), *cells)
    Console(width=max(100, 24 + 22 * len(columns)), markup=False).print(table)
    for row in record.rows:
        for text in filter(None, (row.note, *row.claims)):
            typer.echo(f"{row.label}: {text}")


def _cell(figure: "Figure") -> str:
    paper = "" if figure.paper is None else f"{figure.paper:.1%}"[:-1]
    if figure.measured is None:
        return f"{paper} -> –" if paper else "–"
    m = figure.measured
    measured = f"{m.value * 100:.1f} [{m.low * 100:.1f}, {m.high * 100:.1f}]"
    return f"{paper} -> {measured}" if paper else measured
