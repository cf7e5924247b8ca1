"""From a target and a configuration to the record, as a plan of named steps.

The plan: ``probe``; for ``none`` and each defense the utility and every attack, trained from
scratch; before an attack runs, its controls; after it, its budget curves if any are asked for.
Where features came alone, the controls follow the attack, and are run only if it applies.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from auditor import plugins
from auditor.artifacts import personal
from auditor.artifacts.atomic import write
from auditor.artifacts.manifest import STEPS, now
from auditor.artifacts.progress import Followed
from auditor.config import BARE
from auditor.console import Display
from auditor.data.features.rows import StoredFeatures
from auditor.evaluation.claims import void_refuted
from auditor.pipeline import journal
from auditor.pipeline.assemble import assemble
from auditor.pipeline.fanout import AuditJob, Engine, fan_out
from auditor.pipeline.forecast import warn_of_length
from auditor.pipeline.journal import Journal, Result, Step, controls_of
from auditor.pipeline.resume import basis
from auditor.pipeline.steps import (
    World,
    ask,
    certify,
    measure_budget,
    measure_utility,
    run_attack,
    without_names,
)
from auditor.report import AuditReport, dumps
from auditor.types import ReIDDataset, as_is


def run_audit(
    world: World,
    display: Display | type[Display] = Display,
    *,
    resume: bool = False,
    engine: Engine | None = None,
) -> AuditReport:
    """Run the whole plan; ``report.json`` is up to date after every step.

    Args:
        world: what is audited.
        display: told of every step; or what makes one, told how many there are.
        resume: whether finished steps in the output folder are kept, where they were of the same
            settings; that all else is the same is for `auditor.pipeline.resume` to see.
        engine: where steps are worked on, several at a time; None: here, one after the other.

    Raises:
        ModelError: if the sanity probe fails and ``force`` is off.
        KeyboardInterrupt: after the record of what is finished was written.
    """
    if not resume:
        world.shelf.clear()
    if world.target.claims:
        plain = replace(world.target, release=as_is, claims=())
        world = replace(world, target=void_refuted(plain, world.target, world.ctx))
    steps = plan_steps(world)
    display = display(len(steps)) if isinstance(display, type) else display
    out = world.ctx.workdir
    if said := warn_of_length(world, steps, out / STEPS if resume else None, engine):
        display.tell(said)
    head = replace(
        world.head,
        data=personal.save_facts(out, world.head.data),
        pseudonyms=personal.save_names(out, world.pseudonyms),
    )

    def save(results: Mapping[str, Result]) -> None:
        complete = len(results) == len(steps)
        report = assemble(world.config, head, results, complete=complete)
        write(out / "report.json", dumps(report).encode())

    followed = Followed(display, out, basis(world.head), [step.name for step in steps])

    def elsewhere(missing: Sequence[Step], journal: Journal) -> None:
        assert engine is not None
        job = AuditJob(key=f"{out.resolve()} {now()}", config=world.config, folder=str(Path.cwd()))
        fan_out(engine, job, missing, out, journal, followed, save)

    results = journal.run(
        steps, out / STEPS, followed, save, resume=resume, elsewhere=elsewhere if engine else None
    )
    followed.end()
    return assemble(world.config, head, results, complete=True)


def plan_steps(world: World) -> list[Step]:
    """Return the steps of a run, in order; the name of each is its address."""
    settings = world.config.to_record()
    ranked = {key: settings[key] for key in ("ranking", "rank_lists", "study")}
    # features that came alone suit few attacks, and those that refuse them need no controls
    alone = isinstance(world.target.extractor, StoredFeatures)
    steps = [Step("probe", partial(ask, world))]
    attacks = {
        label: {"attack": settings["attacks"][label]} | _files("attack", [attack])
        for label, attack in world.config.attacks.items()
    }
    for scenario in (BARE, *world.config.defenses):
        defended = {"defense": settings["defenses"].get(scenario)}
        defended |= _files("defense", world.config.defenses.get(scenario, ()))
        learned = partial(world.learned, scenario)
        measure = partial(measure_utility, world, scenario)
        inputs = defended | ranked
        steps.append(Step(f"{scenario}/utility", measure, inputs, learned, "utility", scenario))
        for attack, attacked in attacks.items():
            both = defended | attacked
            name = f"{scenario}/{attack}"
            work = partial(run_attack, world, scenario, attack)
            run = Step(name, work, both, learned, "attack", scenario, attack)
            steps += [run, *_controls(world, scenario, attack, both)][:: 1 if alone else -1]
            if world.config.budget and scenario in world.config.budget_scenarios:
                name = f"{scenario}/{attack}/budget"
                repeat = partial(measure_budget, world, scenario, attack)
                inputs = both | {"budget": settings["budget"]}
                steps.append(Step(name, repeat, inputs, learned, "budget", scenario, attack))
    rename = personal.under(world.pseudonyms)
    people = {"people": _hash_labels(world.target.data)}
    return [
        replace(
            step,
            work=partial(without_names, world, rename, step.work),
            inputs={**step.inputs, **people},
        )
        for step in steps
    ]


def _hash_labels(data: ReIDDataset) -> str:
    """Return the SHA-256 of all that is known of the pictures, which have hashes of their own."""
    rest = (sorted(data.attribute_values.items()), data.cross_camera)
    digest = hashlib.sha256(repr(rest).encode())
    for split in (data.train, data.query, data.gallery, data.auxiliary):
        for name, column in sorted(split.columns().items()):
            digest.update(f"{name} {len(column)} ".encode())
            digest.update(column.cpu().numpy().tobytes())
    return digest.hexdigest()


def _files(kind: str, chain: Sequence[object]) -> dict[str, Any]:
    """Return hashes of the files that plug-ins name, if they name any."""
    named = [plugins.named_files(plugin) for plugin in chain]
    return {f"{kind}_files": named} if any(named) else {}


def _controls(world: World, scenario: str, attack: str, settings: Mapping[str, Any]) -> list[Step]:
    """Return the step that certifies an attack, if that is asked for."""
    if not world.config.controls:
        return []
    inputs = {**settings, "required_efficiency": world.config.required_efficiency}
    prove = partial(certify, world, scenario, attack)
    name = controls_of(scenario, attack)
    return [Step(name, prove, inputs, dict, "controls", scenario, attack)]
