"""Tables on what a model gives away: each row is a scenario of an audit, each column an address.

A defended model is attacked by adversaries trained against it, and every attack runs on its
controls, so a table of the paper comes with what the paper's own measurement could not show.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from auditor import config as configuration
from auditor.artifacts.atomic import write
from auditor.artifacts.ownership import hold_folder
from auditor.pipeline import session
from auditor.pipeline.resume import AnotherRunError
from auditor.report import AuditReport, Measurement, PowerOutcome, PrivacyClaim, Scenario
from auditor.reproduction.plan import RowPlan, block_of
from auditor.reproduction.scene import RowResult, Scene

UNSHOWN: Mapping[PowerOutcome, str] = {
    "weak": "did not pass its controls",
    "small-control": "was tried on too small a control",
    "self-deceived": "fools itself",
    "nothing-to-find": "has nothing to find",
    "not-run": "was not tried on its controls",
}
"""How a row says of an attack which certificate it lacks."""


def run(scene: Scene) -> Mapping[str, RowResult]:
    """Audit every model with all its rows' defenses; gives row name -> outcome."""
    outcomes: dict[str, RowResult] = {}
    for model, rows in _by_model(scene).items():
        record = _audit(scene, model, rows)
        for name, row in rows.items():
            outcomes[name] = _read(scene, record, name if row.defense else configuration.BARE, row)
    return outcomes


def _by_model(scene: Scene) -> dict[str, dict[str, RowPlan]]:
    first = next(iter(scene.preset.models))
    grouped: dict[str, dict[str, RowPlan]] = {}
    for name, row in scene.plan.rows.items():
        grouped.setdefault(row.model or first, {})[name] = row
    return grouped


def _audit(scene: Scene, model: str, rows: Mapping[str, RowPlan]) -> AuditReport:
    """Return an audit's record; what an earlier one of the same model and people found is kept."""
    defenses = {name: block_of(row, scene.preset) for name, row in rows.items() if row.defense}
    settings: dict[str, Any] = {
        "model": {"path": str(scene.model(model).resolve())},
        "data": {"path": str(scene.path.resolve())},
        "attacks": scene.preset.attacks,
        "defenses": defenses,
        "controls": scene.preset.controls,
        "device": scene.device.type,
        "seed": scene.seed,
        # a model meant to protect may well fail to tell people apart, which is for the table to say
        "force": True,
        **({"weights": str(scene.weights.resolve())} if scene.weights else {}),
    }
    out = scene.folder / "audits" / model
    # as a file, so that a reader can repeat this part alone: audit run --config audit.yaml
    write(out / "audit.yaml", yaml.safe_dump(settings, sort_keys=False).encode())
    config = configuration.load(out / "audit.yaml", {})
    scene.say(f"auditing {model} under {len(defenses)} protections")
    with hold_folder(out):
        try:
            return session.audit(config, out, resume=True)
        except AnotherRunError:
            return session.audit(config, out)


def _read(scene: Scene, record: AuditReport, label: str, row: RowPlan) -> RowResult:
    """Return the measurements that fill a row, and what the scenario has to say."""
    scenario = record.scenario(label)
    if scenario is None or not scenario.utility:
        return RowResult(reason=_why_empty(scenario))
    found = dict(record.measurements())
    # no evidence, and so behind no address of the record; but it is what papers print
    for finding in scenario.co_trained:
        found |= {f"{label}/co_trained/{m.metric}": m for m in finding.measurements}
    figures: dict[str, Measurement] = {}
    for key, column in scene.plan.columns.items():
        address = f"{label}/{column.address.format(attack=row.attack)}"
        if address in found:
            figures[key] = found[address]
    return RowResult(
        figures=figures,
        notes=_unshown(scenario, row),
        claims=tuple(_claim(claim) for claim in scenario.claims),
    )


def _why_empty(scenario: Scenario | None) -> str:
    if scenario is None:
        return "the audit ended before this row"
    return scenario.reason or "the protection could not be applied"


def _unshown(scenario: Scenario, row: RowPlan) -> tuple[str, ...]:
    """Return which attacks did not run, or did not show that they work."""
    notes = []
    for finding in scenario.findings:
        if row.attack and finding.attack != row.attack:
            continue
        if finding.status != "done":
            notes.append(f"{finding.attack}: {finding.status}: {finding.reason}.")
        elif (power := finding.power()) is not None and not power.shown:
            notes.append(f"{finding.attack} {UNSHOWN[power.outcome]}: {power.reason}.")
    return tuple(notes)


def _claim(claim: PrivacyClaim) -> str:
    verdict = f"{claim.verdict}: " if claim.verdict else ""
    return (
        f"{verdict}{claim.mechanism}; claimed ε {claim.epsilon_claimed:g}, certified "
        f"{_epsilon(claim.epsilon_certified)} per {claim.unit} and "
        f"{_epsilon(claim.epsilon_identity)} for a whole person"
    )


def _epsilon(value: float | None) -> str:
    return "∞" if value is None else f"{value:.4g}"
