"""`audit run` and `audit demo`: from flags to a record, judged and rendered.

Errors that can be detected without torch are reported before torch is imported.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from auditor.cli.gate import conclude
from auditor.cli.report import Reveal, render
from auditor.config.chain import parse_all
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.config import AuditConfig
    from auditor.report import AuditReport

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

Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="FRACTIONS",
        help="Repeat each attack at reduced budgets (data and training), such as 0.1,0.25,0.5.",
    ),
]


def run(
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
    out: Out = Path("audit-out"),
    device: Device = None,
    seed: Seed = None,
    budget: Budget = None,
    settings: Settings = None,
    cache: Cache = None,
    reveal: Reveal = False,
    overwrite: Force = False,
    resume: Resume = None,
) -> None:
    """Audit a model: attack it, defend it, attack again, judge, report.

    The same command continues an interrupted run: finished steps are kept; steps that were
    interrupted, failed, added or changed are run. A run of something else is refused.
    """
    from auditor import config as configuration

    if resume == "auto" and overwrite:
        raise UsageError("--resume auto keeps what --overwrite throws away; pass one of them")
    going_on = resume != "never" and not overwrite
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
        "budget": _fractions(budget),
        "cache": _text(cache),
    }
    resolved = configuration.load(config, flags, settings or [])
    from auditor.api.folder import prepare
    from auditor.artifacts.ownership import hold_folder

    with hold_folder(out):
        prepare(out, overwrite=overwrite, resume=going_on)
        _audit(
            lambda session: session.audit(resolved, out, resume=going_on),
            resolved,
            out,
            reveal=reveal,
            again="; the same command continues it",
        )


def demo(
    out: Out = Path("audit-demo"),
    device: Device = None,
    seed: Seed = None,
    budget: Budget = None,
    settings: Settings = None,
    overwrite: Force = True,
) -> None:
    """Audit the shipped reference extractor on synthetic people; no data, download or GPU needed.

    Its gates show a pass, a failure and an open question. They do not affect the exit code, which
    is 0 if everything planned was measured; your own gates (--set) do.
    """
    from auditor import config as configuration

    flags = {"preset": "demo", "device": device, "seed": seed, "budget": _fractions(budget)}
    resolved = configuration.load(None, flags, settings or [])
    from auditor.api.folder import prepare
    from auditor.artifacts.ownership import hold_folder

    with hold_folder(out):
        prepare(out, overwrite=overwrite)
        own = any(setting.startswith("gates") for setting in settings or [])
        _audit(lambda session: session.demo(resolved, out), resolved, out, demonstrates=not own)


def _audit(
    start: Callable[[Any], "AuditReport"],
    config: "AuditConfig",
    out: Path,
    *,
    reveal: bool = False,
    again: str = "",
    demonstrates: bool = False,
) -> None:
    from auditor.gates import check
    from auditor.pipeline import (
        session,  # torch starts here, after everything that may be wrong without it
    )
    from auditor.report import load

    try:
        record = start(session)
    except KeyboardInterrupt:
        if (out / "report.json").exists():
            record = load(out / "report.json")
            render(record, check(record, config.gates), out, out, None, reveal=reveal)
            typer.echo(f"audit: what is finished is in {out}{again}", err=True)
        raise
    record = load(out / "report.json")  # what is judged is what was written
    verdicts = check(record, config.gates)
    unrendered = render(record, verdicts, out, out, None, reveal=reveal)
    typer.echo(_digest(record))
    code = conclude(record, verdicts)
    if demonstrates:
        code = _end_demonstration(record, out)
    raise typer.Exit(code or unrendered)


def _end_demonstration(record: "AuditReport", out: Path) -> int:
    """Return the exit code of a demonstration, whose own gates judge nobody's model."""
    from auditor.gates import exit_code, overall

    if record.config.get("gates"):
        typer.echo(
            "these gates are the demo's own, set to show all three outcomes; they do not decide "
            f"its exit code, but that of: audit gate {out / 'report.json'}"
        )
    return exit_code(overall(record, ()))


def _digest(record: "AuditReport") -> str:
    """Return the headline figures, one line each."""
    lines = []
    for scenario in record.scenarios:
        headlines = ("rank1", "map", "rank1_reranked", "map_reranked")
        shown = [("utility", m) for m in scenario.utility if m.metric in headlines]
        for finding in scenario.findings:
            shown += [(finding.attack, m) for m in finding.measurements[:1]]
            if finding.status != "done":
                lines.append(
                    f"{scenario.defense}/{finding.attack}: {finding.status}: {finding.reason}"
                )
        for attack, m in shown:
            chance = "" if m.chance is None else f", chance {m.chance:.1%}"
            lines.append(
                f"{scenario.defense}/{attack}/{m.metric}: {m.value:.1%} "
                f"({m.low:.1%} to {m.high:.1%}{chance}, {m.n} people)"
            )
        if scenario.utility_bias:
            lines.append(
                f"{scenario.defense}: its utility is overestimated: {scenario.utility_bias}"
            )
        claims = [claim for claim in scenario.claims if claim.verdict]
        lines += [f"{scenario.defense}: {claim.verdict}: {claim.reason}" for claim in claims]
    return "\n".join(lines)


def _fractions(text: str | None) -> list[str] | None:
    return None if text is None else [part for part in text.split(",") if part]


def _file_or_service(model: str | None) -> dict[str, Any]:
    """Return where the model is, as the configuration says it."""
    if model is not None and model.startswith(("http://", "https://")):
        return {"service": {"url": model}}
    return {"path": model}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
