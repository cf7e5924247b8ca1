"""The command `audit`. Judging, rendering, listing and helping never import torch.

Exit codes: 0 every error-level gate proven · 1 internal error · 2 usage, configuration, data or
model · 3 a gate failed · 4 inconclusive · 5 model refused · 6 environment · 130/143 interrupted.
"""

import errno
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from auditor import __version__
from auditor.cli.artifacts import purge, sign, verify
from auditor.cli.cache import cache
from auditor.cli.compare import compare
from auditor.cli.convert_weights import convert_weights
from auditor.cli.data import app as data_commands
from auditor.cli.defend import defend
from auditor.cli.gate import gate
from auditor.cli.inspect import inspect
from auditor.cli.plan import plan
from auditor.cli.prior import app as prior_commands
from auditor.cli.report import report
from auditor.cli.reproduce import reproduce
from auditor.cli.run import demo, run
from auditor.cli.schema import schema
from auditor.cli.shift import shift
from auditor.cli.status import status
from auditor.cli.study import app as study_commands
from auditor.cli.train import train
from auditor.console import patient_output, printable
from auditor.errors import AuditError, EnvironmentUnmetError, UsageError
from auditor.plugins.containment import interrupted, nobody, signals_heeded, stopped_by

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
app.add_typer(prior_commands)

CLICK_ERROR: type[Any] = typer.BadParameter.__mro__[2]
"""Click's base error; newer releases of typer bring their own copy of click."""

INTERRUPTED = 130
DISK_REFUSES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
)
NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
NO_TEMPORARY = "No usable temporary directory"
"""Begins what Python says, as of a missing file, where no folder for such files has space."""


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Measure what a re-identification model gives away."""
    if version:
        typer.echo(f"audit {__version__}")
        raise typer.Exit


def list_plugins() -> None:
    """List the installed attacks, defenses and renderers."""
    from auditor.cli.listing import summaries

    for kind, rows in summaries().items():
        typer.echo(f"{kind}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, summary in rows:
            typer.echo(f"  {name:<{width}}  {summary}")


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("audit.yaml"),
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


COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "plan": plan,
    "demo": demo,
    "inspect": inspect,
    "convert-weights": convert_weights,
    "report": report,
    "list": list_plugins,
    "init": init,
    "gate": gate,
    "compare": compare,
    "train": train,
    "defend": defend,
    "shift": shift,
    "reproduce": reproduce,
    "status": status,
    "cache": cache,
    "purge": purge,
    "verify": verify,
    "sign": sign,
    "schema": schema,
}
for name, command in COMMANDS.items():
    app.command(name, epilog=EPILOG)(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command in this process and end it with its exit code."""
    sys.exit(execute(arguments))


def execute(arguments: Sequence[str] | None = None, *, heard: Callable[[], None] = nobody) -> int:
    """Run the command; gives its exit code.

    Args:
        arguments: of the command line; None: those of the process.
        heard: called when a signal that asks to stop has arrived.
    """
    with signals_heeded(heard), patient_output() as output:
        code = _command(arguments)
        if output.lost:
            typer.echo(f"audit: output could not be written: {output.lost}", err=True)
            code = code or EnvironmentUnmetError.exit_code
        return code


def _with_value(arguments: list[str]) -> list[str]:
    """Return the arguments with the value that a flag without one stands for.

    ``run --resume`` alone means ``--resume auto``, as before it took a value.
    """
    if arguments[:1] not in (["run"], ["plan"]) or "--resume" not in arguments:
        return arguments
    after = arguments.index("--resume") + 1
    if arguments[after : after + 1] and not arguments[after].startswith("-"):
        return arguments
    return [*arguments[:after], "auto", *arguments[after:]]


def _command(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    aborted = False
    try:
        code = app(args=_with_value(given), standalone_mode=False)
    except CLICK_ERROR as error:
        error.show()
        code = error.exit_code
    except AuditError as error:
        # further lines are indented: no file's name can begin one that reads as ours
        lines = [printable(line, 2000) for line in str(error).splitlines()]
        typer.echo("audit: " + "\n  ".join(lines[:100]), err=True)
        code = error.exit_code
    except OSError as error:
        text = str(error.strerror)
        misnamed = error.errno in NO_SUCH_NAME
        if not misnamed and error.errno not in DISK_REFUSES and not text.startswith(NO_TEMPORARY):
            raise
        where = f" {printable(str(error.filename), 300)}" if error.filename else ""
        typer.echo(f"audit: cannot use{where}: {printable(text, 300)}", err=True)
        code = UsageError.exit_code if misnamed else EnvironmentUnmetError.exit_code
    except (KeyboardInterrupt, typer.Abort) as error:
        if not isinstance(error, typer.Abort) and not interrupted(error):
            raise
        code, aborted = INTERRUPTED, True
    except SystemExit as error:
        typer.echo(f"audit: some code in it ended the program ({error.code})", err=True)
        code = 1
    if code == INTERRUPTED and (aborted or stopped_by()):  # `audit status` says it of another run
        typer.echo("audit: interrupted", err=True)
        code = 128 + stopped_by() if stopped_by() else code
    return code if isinstance(code, int) else 0
