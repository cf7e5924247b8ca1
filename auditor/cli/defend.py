"""The command `audit defend`; its options are read without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.options import Isolation, TrainedWith, WeightsKey
from auditor.config.blocks import CHAIN
from auditor.config.chain import parse
from auditor.deployment.handover import key_folder
from auditor.errors import UsageError
from auditor.report import pluralize

if TYPE_CHECKING:
    from auditor.config import AuditConfig


def defend(
    out: Annotated[Path, typer.Option("--out", help="Folder for the result to deploy.")],
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME[:K=V,…]",
            help="A defense; repeatable, or several joined by +: the first is applied first.",
        ),
    ] = None,
    add: Annotated[
        bool,
        typer.Option(
            "--add",
            help="Add the gallery pictures that are not stored yet to an earlier result, under its "
            "own defenses and key, in the place of --with.",
        ),
    ] = False,
    model: Annotated[Path | None, typer.Option("--model", help="Model file.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder or manifest.csv.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file that names model and data.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", help="Architecture of a state dict.")
    ] = None,
    trained_with: TrainedWith = None,
    weights_key: WeightsKey = None,
    isolation: Isolation = None,
    card: Annotated[str | None, typer.Option("--card", help="Preprocessing preset.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="quick or full: the defenses' defaults.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override any configuration key."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="For tests: it can undo the defense."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier result and its key.")
    ] = False,
) -> None:
    """Write a defended model, gallery or data set with its claims, and the key separately."""
    from auditor import config as configuration

    if add == bool(chosen):
        raise UsageError("give either --with, for a new result, or --add, to let one grow")
    if add and (seed is not None or overwrite):
        raise UsageError("--add goes by the earlier result's key; leave out --seed and --overwrite")
    flags = {
        "model": {
            "path": _text(model),
            "arch": arch,
            "trained_with": _text(trained_with),
            "weights_key": weights_key,
            "card": card,
            "isolation": isolation,
        },
        "data": {"path": _text(data)},
        "preset": preset,
        "device": device,
        "defenses": {"defended": _join(chosen)} if chosen else None,
    }
    resolved = configuration.load(config, flags, settings or [])
    if resolved.model is None:
        raise UsageError("no model given; use --model FILE or 'model: {path: …}'")
    if resolved.data is None:
        raise UsageError("no data given; use --data DIR or 'data: {path: …}'")
    if add:
        _add(resolved, out)
        return
    defenses = resolved.defenses["defended"]
    from auditor.console import Display
    from auditor.deployment import defend as deploying  # torch starts here

    job = deploying.DeploymentJob(
        model=resolved.model,
        data=resolved.data,
        defenses=defenses,
        out=out,
        seed=seed,
        device=resolved.device,
        weights=resolved.weights,
        overwrite=overwrite,
    )
    outcome = deploying.defend(job, Display(4 + len(defenses)))
    for line in deploying.lines(job, outcome):
        typer.echo(line)


def _add(resolved: "AuditConfig", out: Path) -> None:
    """Let the gallery in ``out`` grow."""
    assert resolved.model is not None
    assert resolved.data is not None
    from auditor.console import Display
    from auditor.deployment import grow  # torch starts here

    job = grow.Growth(
        model=resolved.model,
        data=resolved.data,
        out=out,
        device=resolved.device,
        weights=resolved.weights,
    )
    rows = grow.add(job, Display(2))
    typer.echo(f"added {pluralize(rows, 'row')} to {out}; its key in {key_folder(out)} is updated")


def _join(texts: list[str]) -> dict[str, Any]:
    """Return one chain of everything that was asked for."""
    blocks: list[Any] = []
    for text in texts:
        _, block = parse(text, "--with")
        blocks += block.get(CHAIN, [block])
    return {CHAIN: blocks}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
