"""`audit gate`: a saved record judged again, against its own gates, a configuration or a policy.

Needs no torch and answers in a third of a second, so that it can run on every push.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.console import printable
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.gates import Verdict
    from auditor.report import AuditReport

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with the gates; default: those in the record."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="YAML file with limits, the reasons for them, and waivers."),
]
Today = Annotated[
    datetime | None,
    typer.Option(
        "--today",
        formats=["%Y-%m-%d"],
        help="Date for waivers; default: today.",
    ),
]


def gate(
    report: Annotated[Path, typer.Argument(help="report.json of an earlier run.")],
    config: ConfigFile = None,
    policy: PolicyFile = None,
    today: Today = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option("--sarif", metavar="FILE", help="Write SARIF 2.1.0.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write a Markdown summary.")
    ] = None,
) -> None:
    """Judge a saved record again."""
    from auditor import plugins
    from auditor.report import load

    record = load(report)
    verdicts = verdicts_of(record, config, policy, today)
    for name, path in {"junit.xml": junit, "sarif": sarif, "md": markdown}.items():
        if path is not None:  # written before any exit code says that a gate failed
            place = {"root": report.parent, "reveal": False}
            plugins.render("renderers", name, record, verdicts, path, **place)
            typer.echo(f"wrote {path}")
    raise typer.Exit(conclude(record, verdicts))


def verdicts_of(
    record: "AuditReport", config: Path | None, policy: Path | None, today: datetime | None
) -> "list[Verdict]":
    """Return the verdicts on a record: of a policy, of a configuration's gates, or of its own.

    Raises:
        UsageError: if both files are named, or the one that is cannot be followed.
    """
    if policy is None:
        from auditor import config as configuration
        from auditor.gates import check, own_gates

        if today is not None:
            raise UsageError("--today is the day of a policy's waivers; give --policy too")
        gates = own_gates(record) if config is None else configuration.gates_in(config)
        return check(record, gates)
    if config is not None:
        raise UsageError("--config and --policy both set gates; give one of them")
    from auditor.gates import policy as policies
    from auditor.gates import policy_check

    day = today.date() if today else date.today()
    asked = policies.load(policy)
    policy_check.check_isolation(record, asked)
    verdicts = policy_check.judge(record, asked, day)
    for waiver in policy_check.idle_waivers(asked, verdicts):
        typer.echo(
            f"note: nothing needs the waiver on {printable(waiver.address)}; take it out", err=True
        )
    return verdicts


def conclude(record: "AuditReport", verdicts: "Sequence[Verdict]") -> int:
    """Print the verdicts and the ruling; gives the exit code."""
    from auditor.gates import exit_code, outranked, overall

    for verdict in verdicts:
        level = "" if verdict.gate.level == "error" else " (warning only)"
        address = printable(verdict.address, 160)
        typer.echo(f"{verdict.standing.upper()}{level} {address}: {printable(verdict.reason)}")
        if verdict.gate.cites and verdict.outcome != "pass":
            typer.echo(f"    reason for the limit: {printable(verdict.gate.cites)}")
    for warning in outranked(record, verdicts):
        typer.echo(f"warning: {printable(warning, 400)}", err=True)
    outcome = overall(record, verdicts)
    typer.echo(
        f"verdict: {outcome.upper()}{_waived(verdicts)}"
        if verdicts
        else f"no gates set; {_unjudged(outcome)}"
    )
    return exit_code(outcome)


def _waived(verdicts: "Sequence[Verdict]") -> str:
    count = sum(verdict.waiver is not None for verdict in verdicts)
    return f", {count} waived" if count else ""


def _unjudged(outcome: str) -> str:
    return (
        "everything planned was measured and every attack passed its controls"
        if outcome == "pass"
        else "inconclusive: something planned was not shown, see the report"
    )
