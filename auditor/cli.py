"""The command `audit`. Judging, rendering, listing and helping never import torch.

Exit codes: 0 every error-level gate proven · 1 internal error · 2 usage, configuration, data or
model · 3 a gate failed · 4 inconclusive · 5 model refused · 6 environment · 130/143 interrupted.
"""

import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor import __version__
from auditor.chain import parse_all
from auditor.commands.compare import compare
from auditor.commands.data import app as data_commands
from auditor.commands.defend import defend
from auditor.commands.gate import ConfigFile, PolicyFile, Today, conclude, gate, verdicts_of
from auditor.commands.keeping import purge, sign, verify
from auditor.commands.reproduce import reproduce
from auditor.commands.schema import schema
from auditor.commands.shift import shift
from auditor.commands.study import app as study_commands
from auditor.commands.train import train
from auditor.errors import AuditError, UsageError

if TYPE_CHECKING:
    from auditor.config import AuditConfig
    from auditor.gates import Verdict
    from auditor.report import AuditReport

EPILOG = (
    "Exit codes: 0 every error-level gate proven; 1 internal error; 2 usage, configuration, "
    "data or model; 3 a gate failed; 4 inconclusive; 5 model refused; 6 environment; "
    "130/143 interrupted."
)

app = typer.Typer(
    name="audit",
    help="Measure what a re-identification model gives away about the people in its gallery.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_commands)
app.add_typer(study_commands)

CLICK_ERROR: type[Any] = typer.BadParameter.__mro__[2]
"""Click's base error; newer releases of typer bring their own copy of click."""

INTERRUPTED = 130

Out = Annotated[Path, typer.Option("--out", help="Folder for the record and the reports.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
Reveal = Annotated[
    bool, typer.Option("--reveal", help="Name real people and show their pictures sharp.")
]
Force = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, if there is one.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override any configuration key."),
]

Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="FRACTIONS",
        help="Repeat each attack with less auxiliary data and training, such as 0.1,0.25,0.5.",
    ),
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Measure what a re-identification model gives away."""
    if version:
        typer.echo(f"audit {__version__}")
        raise typer.Exit


@app.command(epilog=EPILOG)
def run(
    model: Annotated[Path | None, typer.Option("--model", help="Model file.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder or manifest.csv.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML configuration.")] = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="Architecture of a state dict: osnet_x0_25, resnet50, pkg:fn."),
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(
            "--card",
            help="Preprocessing: torchreid, fastreid, transreid, imagenet "
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
    reveal: Reveal = False,
    overwrite: Force = False,
    resume: Resume = False,
) -> None:
    """Audit a model: attack it, defend it, attack again, judge, report.

    With --resume, finished steps are kept, and whatever was interrupted, failed, added or set
    otherwise since is run.
    """
    from auditor import config as configuration

    if resume and overwrite:
        raise UsageError("--resume keeps what --overwrite throws away; pass one of them")
    flags = {
        "model": {"path": _text(model), "arch": arch, "card": card},
        "data": {"path": _text(data)},
        "preset": preset,
        "defenses": parse_all(defend) if defend else None,
        "device": device,
        "seed": seed,
        "budget": _fractions(budget),
    }
    resolved = configuration.load(config, flags, settings or [])
    _prepare(out, overwrite=overwrite, resume=resume)
    _audit(
        lambda session: session.audit(resolved, out, resume=resume),
        resolved,
        out,
        reveal=reveal,
        again="; --resume goes on with it",
    )


@app.command(epilog=EPILOG)
def demo(
    out: Out = Path("audit-demo"),
    device: Device = None,
    seed: Seed = None,
    budget: Budget = None,
    settings: Settings = None,
    overwrite: Force = True,
) -> None:
    """Audit the shipped reference extractor on drawn people; no data, download or GPU needed."""
    from auditor import config as configuration

    flags = {"preset": "demo", "device": device, "seed": seed, "budget": _fractions(budget)}
    resolved = configuration.load(None, flags, settings or [])
    _prepare(out, overwrite=overwrite)
    _audit(lambda session: session.demo(resolved, out), resolved, out)


@app.command(epilog=EPILOG)
def report(
    record: Annotated[Path, typer.Argument(help="report.json of an earlier run.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Renderer; default: all installed.")
    ] = None,
    config: ConfigFile = None,
    policy: PolicyFile = None,
    today: Today = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; default: the record's.")
    ] = None,
    reveal: Reveal = False,
) -> None:
    """Render a saved record again."""
    from auditor.report import load

    loaded = load(record)
    verdicts = verdicts_of(loaded, config, policy, today)
    _render(loaded, verdicts, out or record.parent, record.parent, formats, reveal=reveal)


@app.command("list", epilog=EPILOG)
def list_plugins() -> None:
    """List the installed attacks, defenses and renderers."""
    from auditor.listing import summaries

    for kind, rows in summaries().items():
        typer.echo(f"{kind}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, summary in rows:
            typer.echo(f"  {name:<{width}}  {summary}")


@app.command(epilog=EPILOG)
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("audit.yaml"),
) -> None:
    """Write a commented configuration to start from."""
    text = resources.files("auditor").joinpath("presets/audit.yaml").read_text()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists; move it away or name another file") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    typer.echo(f"wrote {path}; name your model and data in it, then: audit run --config {path}")


for command in (gate, compare, train, defend, shift, reproduce, purge, verify, sign, schema):
    app.command(epilog=EPILOG)(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    stops: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        stops.append(number)
        raise KeyboardInterrupt  # like Ctrl-C: what is finished stays readable

    signal.signal(signal.SIGTERM, terminate)
    try:
        code = app(args=arguments, standalone_mode=False)
    except CLICK_ERROR as error:
        error.show()
        code = error.exit_code
    except AuditError as error:
        typer.echo(f"audit: {error}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        code = 0
    if code == INTERRUPTED:
        typer.echo("audit: interrupted", err=True)
        code = 128 + stops[-1] if stops else code
    sys.exit(code if isinstance(code, int) else 0)


def _audit(
    start: Callable[[Any], "AuditReport"],
    config: "AuditConfig",
    out: Path,
    *,
    reveal: bool = False,
    again: str = "",
) -> None:
    from auditor import session  # torch starts here, after everything that may be wrong without it
    from auditor.gates import check
    from auditor.report import load

    try:
        record = start(session)
    except KeyboardInterrupt:
        if (out / "report.json").exists():
            record = load(out / "report.json")
            _render(record, check(record, config.gates), out, out, None, reveal=reveal)
            typer.echo(f"audit: what is finished is in {out}{again}", err=True)
        raise
    verdicts = check(record, config.gates)
    _render(record, verdicts, out, out, None, reveal=reveal)
    typer.echo(_digest(record))
    raise typer.Exit(conclude(record, verdicts))


def _prepare(out: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Refuse to mix two runs in one folder; when told to overwrite, clear the earlier one."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    if resume or not (out / "report.json").exists():
        return
    from auditor.manifest import OWN

    if not overwrite:
        raise UsageError(
            f"{out} holds an earlier run; name another --out, or pass --resume or --overwrite"
        )
    for folder in (out / "steps", out / "personal"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in (*out.glob("report.*"), *(out / name for name in ("run.json", *OWN))):
        path.unlink(missing_ok=True)


def _render(
    record: "AuditReport",
    verdicts: "Sequence[Verdict]",
    folder: Path,
    root: Path,
    formats: Sequence[str] | None,
    *,
    reveal: bool,
) -> None:
    from auditor import plugins
    from auditor.manifest import seal

    written = []
    for name in formats or plugins.installed("renderers"):
        path = folder / f"report.{name}"
        render = plugins.load("renderers", name)
        render(record, verdicts, path, root=root, reveal=reveal)
        written.append(path)
        typer.echo(f"wrote {path}")
    seal(folder, written, revealed=reveal and record.real_people)


def _digest(record: "AuditReport") -> str:
    """The headline figures, one line each."""
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
        claims = [claim for claim in scenario.claims if claim.verdict]
        lines += [f"{scenario.defense}: {claim.verdict}: {claim.reason}" for claim in claims]
    return "\n".join(lines)


def _fractions(text: str | None) -> list[str] | None:
    return None if text is None else [part for part in text.split(",") if part]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
