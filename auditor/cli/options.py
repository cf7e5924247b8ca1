"""The options of `audit run` that make a configuration, shared by the commands that take them.

Nothing here needs torch.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Literal, ParamSpec

import typer

from auditor.config.chain import parse_all
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.config import AuditConfig

Own = ParamSpec("Own")

Out = Annotated[Path, typer.Option("--out", help="Folder for the record and the reports.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
Force = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]
Resume = Annotated[
    Literal["auto", "never"] | None,
    typer.Option(
        "--resume",
        help="auto: continue the run in --out, if there is one of the same model, people and "
        "seed; never: refuse an --out that contains a run (default: auto without --overwrite).",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override any configuration key."),
]

Isolation = Annotated[
    str | None,
    typer.Option(
        "--isolation",
        help="Isolation of a model that is more than data: auto, strong (or refuse it), weak, or "
        "none, if you trust its author.",
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        "--weights-key",
        help="Which of several networks in a checkpoint to use: state_dict_ema, teacher, …",
    ),
]

TrainedWith = Annotated[
    Path | None,
    typer.Option(
        "--trained-with",
        metavar="FILE.yml",
        help="Training configuration of fast-reid, TransReID or a related code base: sets arch "
        "and card.",
    ),
]

Pattern = Annotated[
    str | None,
    typer.Option("--pattern", help="Regular expression for the pictures' file names; see Data."),
]
FollowLinks = Annotated[
    bool | None, typer.Option("--follow-links", help="Follow links that lead out of --data.")
]

Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", metavar="DIR", help="Keep features here, for later runs of the same model."
    ),
]

Fast = Annotated[
    bool | None,
    typer.Option("--fast", help="Compute features in bfloat16, where device and model can."),
]

Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="FRACTIONS",
        help="Repeat each attack at reduced budgets (data and training), such as 0.1,0.25,0.5.",
    ),
]

EngineOption = Annotated[
    Literal["local", "processes", "ray"],
    typer.Option(
        "--engine",
        help="Work on steps one by one in this process (local), or several at a time in processes "
        "of this machine or in tasks of a Ray cluster.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=1024, help="Steps at a time (default: as there are processors)."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="Ray cluster to use, or auto (default: one of its own, for this run)."
    ),
]
GpusPerStep = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-step",
        min=0.01,
        max=8,
        help="Share of a GPU that Ray gives to each step (default: 1).",
    ),
]


def configure(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="FILE|URL",
            help="Model file, or https://… of a service.",
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder or manifest.csv.")] = None,
    pattern: Pattern = None,
    follow_links: FollowLinks = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE",
            help="Stored features instead of --model and --data: Parquet, npz or safetensors.",
        ),
    ] = None,
    query: Annotated[
        Path | None,
        typer.Option(
            "--query", metavar="FILE", help="Features of the queries (default: some rows)."
        ),
    ] = None,
    auxiliary: Annotated[
        Path | None,
        typer.Option(
            "--auxiliary",
            metavar="FILE",
            help="Features of the adversary's own people (default: every second person).",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML configuration.")] = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="Architecture of a state dict: osnet_x0_25, resnet50, pkg:fn."),
    ] = None,
    trained_with: TrainedWith = None,
    weights_key: WeightsKey = None,
    isolation: Isolation = None,
    card: Annotated[
        str | None,
        typer.Option(
            "--card",
            help="Preprocessing: torchreid, fastreid, transreid, openvino, imagenet, arcface "
            "(default: the file's own, else torchreid).",
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="quick or full.")] = None,
    defend: Annotated[
        list[str] | None,
        typer.Option(
            "--defend",
            metavar="[LABEL=]NAME[:K=V,…]",
            help="Audit under this defense too; repeatable. Join several by + to chain them.",
        ),
    ] = None,
    device: Device = None,
    seed: Seed = None,
    budget: Budget = None,
    settings: Settings = None,
    cache: Cache = None,
    fast: Fast = None,
) -> "AuditConfig":
    """Return the configuration that the options ask for.

    Raises:
        UsageError: if they cannot be followed.
    """
    from auditor import config as configuration

    flags = {
        "model": {
            **_file_or_service(model),
            "arch": arch,
            "trained_with": _text(trained_with),
            "weights_key": weights_key,
            "card": card,
            "isolation": isolation,
        },
        "data": {"path": _text(data), "pattern": pattern, "follow_links": follow_links},
        "features": {
            "gallery": _text(features),
            "query": _text(query),
            "auxiliary": _text(auxiliary),
        },
        "preset": preset,
        "defenses": parse_all(defend) if defend else None,
        "device": device,
        "seed": seed,
        "budget": parse_fractions(budget),
        "cache": _text(cache),
        "fast": fast,
    }
    return configuration.load(config, flags, settings or [])


def configured(command: "Callable[Concatenate[AuditConfig, Own], None]") -> Callable[..., None]:
    """Return ``command`` with the options of `configure` in the place of its first argument."""
    ours = inspect.signature(configure).parameters
    _, *theirs = inspect.signature(command).parameters.values()

    def configured_command(**given: Any) -> None:
        config = configure(**{name: given.pop(name) for name in ours})
        command(config, **given)  # type: ignore[call-arg]

    options = [option.replace(kind=option.KEYWORD_ONLY) for option in (*ours.values(), *theirs)]
    # which is what typer reads
    configured_command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    configured_command.__annotations__ = {option.name: option.annotation for option in options}
    configured_command.__name__, configured_command.__doc__ = command.__name__, command.__doc__
    return configured_command


def goes_on(*, overwrite: bool, resume: str | None) -> bool:
    """Return whether a run in the output folder is gone on with.

    Raises:
        UsageError: if the options contradict each other.
    """
    if resume == "auto" and overwrite:
        raise UsageError("--resume auto keeps what --overwrite throws away; pass one of them")
    return resume != "never" and not overwrite


def check_engine(
    engine: str, workers: int | None, address: str | None, gpus_per_step: float | None
) -> None:
    """Refuse options of another engine than the one that is asked for.

    Raises:
        UsageError: if one would be ignored.
    """
    if engine == "local" and workers:
        raise UsageError("--workers goes with --engine processes or ray")
    if engine != "ray" and (address or gpus_per_step):
        option = "--address" if address else "--gpus-per-step"
        raise UsageError(f"{option} is of a Ray cluster; pass --engine ray, or leave it out")


def parse_fractions(text: str | None) -> list[str] | None:
    """Return the parts of ``--budget``."""
    return None if text is None else [part for part in text.split(",") if part]


def _file_or_service(model: str | None) -> dict[str, Any]:
    """Return where the model is, as the configuration says it."""
    if model is not None and model.startswith(("http://", "https://")):
        return {"service": {"url": model}}
    return {"path": model}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
