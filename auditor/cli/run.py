"""`audit run` and `audit demo`: from flags to a record, judged and rendered.

Errors that can be detected without torch are reported before torch is imported.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from auditor.cli.gate import conclude
from auditor.cli.options import (
    Address,
    Budget,
    Device,
    EngineOption,
    Force,
    GpusPerStep,
    Out,
    Resume,
    Seed,
    Settings,
    Workers,
    check_engine,
    configured,
    goes_on,
    parse_fractions,
)
from auditor.cli.report import Reveal, render

if TYPE_CHECKING:
    from auditor.config import AuditConfig
    from auditor.report import AuditReport


@configured
def run(
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
    """Audit a model: attack it, defend it, attack again, judge, report.

    The same command continues an interrupted run: finished steps are kept; steps that were
    interrupted, failed, added or changed are run. A run of something else is refused.
    """
    going_on = goes_on(overwrite=overwrite, resume=resume)
    check_engine(engine, workers, address, gpus_per_step)
    from auditor.api.folder import prepare
    from auditor.artifacts.ownership import hold_folder

    def start(session: Any) -> "AuditReport":
        if engine == "local":
            return session.audit(config, out, resume=going_on)  # type: ignore[no-any-return]
        from auditor.pipeline.engines import open_engine

        with closing(open_engine(engine, workers, address, gpus_per_step or 1.0)) as opened:
            return session.audit(config, out, resume=going_on, engine=opened)  # type: ignore[no-any-return]

    with hold_folder(out):
        prepare(out, overwrite=overwrite, resume=going_on)
        _audit(
            start,
            config,
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

    flags = {"preset": "demo", "device": device, "seed": seed, "budget": parse_fractions(budget)}
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
