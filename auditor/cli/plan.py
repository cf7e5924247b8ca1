"""`audit plan`: what an `audit run` with the same options would do, and how long it would take."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from auditor.cli.options import (
    Address,
    EngineOption,
    Force,
    GpusPerStep,
    Out,
    Resume,
    Workers,
    check_engine,
    configured,
    goes_on,
)
from auditor.cli.report import Reveal
from auditor.console import printable

if TYPE_CHECKING:
    from auditor.config import AuditConfig
    from auditor.pipeline.forecast import Embedding, Forecast, PlannedStep


@configured
def plan(
    config: "AuditConfig",
    out: Out = Path("audit-out"),
    reveal: Reveal = False,
    overwrite: Force = False,
    resume: Resume = None,
    engine: EngineOption = "local",
    workers: Workers = None,
    address: Address = None,
    gpus_per_step: GpusPerStep = None,
) -> None:
    """List the steps of an `audit run` with these options, those already done, and an estimate.

    The model is tried on a few pictures, for seconds; nothing is run and nothing is written. Times
    are ranges, for an estimate can be off by a factor of three. A cluster is not asked how many
    steps it takes at a time; --workers says so.
    """
    from auditor.api.folder import check_free
    from auditor.artifacts.ownership import check

    going_on = goes_on(overwrite=overwrite, resume=resume)
    check_engine(engine, workers, address, gpus_per_step)
    check(out)
    check_free(out, overwrite=overwrite, resume=going_on)
    from auditor.pipeline import session

    at_once = None
    if engine != "local":
        from auditor.pipeline.engines import count_workers

        at_once = count_workers(engine, workers, address)
    typer.echo(_text(session.plan(config, out, resume=going_on, workers=at_once), out))
    if reveal:
        typer.echo("the reports will show real people's names and unblurred pictures")


def _text(found: "Forecast", out: Path) -> str:
    lines = [printable(found.title)]
    width = max(len(step.name) for step in found.steps)
    lines += [_step(step, width) for step in found.steps]
    if found.features:
        lines.append(f"features: {', '.join(map(_embedding, found.features))}")
    rate = "" if found.speed.pictures is None else f"{found.speed.pictures:.0f} pictures and "
    lines.append(f"speed: {rate}{found.speed.gflops:.0f} GFLOP a second, one process")
    if found.kept:
        lines.append(printable(f"{found.kept} steps are done in {out}"))
    return "\n".join([*lines, found.summary])


def _step(step: "PlannedStep", width: int) -> str:
    from auditor.pipeline.forecast import span

    if step.kept:
        took = f"{step.seconds:.1f} s"
    else:
        took = "no figure" if step.seconds is None else span(step.seconds)
    return f"  {'done' if step.kept else 'to do':<6} {printable(step.name):<{width}}  {took}"


def _embedding(features: "Embedding") -> str:
    return f"{features.split} {features.rows:,}{' (cached)' if features.kept else ''}"
