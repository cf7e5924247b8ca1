"""From a target and a configuration to the record, as a plan of named steps.

The plan: ``probe``; for ``none`` and each defense the utility and every attack, trained from
scratch; before an attack first runs, its two controls; after it, its budget curves if any are asked
for.
"""

import json
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from auditor import controls, journal, personal, plugins
from auditor.assembly import assemble, blank_finding
from auditor.budget import budget_curves
from auditor.chain import Links, applied, links_of, plugin_of
from auditor.config import BARE, AuditConfig
from auditor.containment import contained
from auditor.embedding import forget
from auditor.errors import AuditError, ModelError, UnsupportedTargetError
from auditor.exposure import worst_case
from auditor.files import write
from auditor.journal import Budget, Controls, Result, Step, Utility
from auditor.metrics.similarity import Distance
from auditor.progress import Display
from auditor.quiz import STUDY
from auditor.report import (
    AuditReport,
    Finding,
    Measurement,
    ProbeCheck,
    dumps,
)
from auditor.results import attacked, reason_of
from auditor.retrained import Shelf
from auditor.study_material import save_material
from auditor.subgroups import gaps, subgroups
from auditor.types import Attack, AttackResult, Progress, RunContext, Target
from auditor.utility import utility

log = logging.getLogger(__name__)

RETRAINED = "retrained"
"""Folder, among what is personal, for what defenses have learned."""

Probe = Callable[[RunContext], tuple[ProbeCheck, ...]]
Work = Callable[[Progress], Result]


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything a run needs beside its plan.

    Attributes:
        config: the resolved configuration.
        target: the bare target.
        ctx: its ``workdir`` is the output folder.
        distance: what the deployment ranks by.
        probe: asks the sanity questions.
        head: the record before any step has run.
        targets: what came of every defense, or chain of them, that was needed so far.
    """

    config: AuditConfig
    target: Target
    ctx: RunContext
    distance: Distance
    probe: Probe
    head: AuditReport
    targets: dict[str, Target | Exception] = field(default_factory=dict)

    @cached_property
    def pseudonyms(self) -> dict[str, str]:
        """A pseudonym for everybody in the dataset; distractors are nobody."""
        data = self.target.data
        splits = (data.train, data.query, data.gallery, data.auxiliary)
        pids = torch.cat([split.pids for split in splits]).unique()
        known = [str(pid) for pid in pids.tolist() if pid > 0]
        order = torch.randperm(len(known), generator=self.ctx.generator("pseudonyms"))
        return personal.pseudonyms(known, order.tolist())

    def attack(self, label: str) -> Attack:
        """The configured attack, freshly built."""
        return plugins.build("attacks", *plugin_of(label, self.config.attacks[label]))  # type: ignore[no-any-return]

    def scenario(self, label: str, ctx: RunContext) -> Target:
        """The target under its defenses; what chains begin with in common is applied once per run.

        Raises:
            Exception: what a defense raised; the same once more whenever it is asked for again.
        """
        if label == BARE:
            return self.target
        return self._defended(links_of(label, self.config.defenses[label]), ctx)

    def _defended(self, links: Links, ctx: RunContext) -> Target:
        if not links:
            return self.target
        key = json.dumps(links, sort_keys=True, default=str)
        if key not in self.targets:
            before = self._defended(links[:-1], ctx)
            try:
                self.targets[key] = self._made(links, before, ctx)
            except Exception as error:
                self.targets[key] = error
        found = self.targets[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _made(self, links: Links, before: Target, ctx: RunContext) -> Target:
        """What the last link makes of a target, as an earlier run has kept it if it did."""
        target = self.shelf.recall(links, before, ctx.device)
        if target is None:
            _, target = applied(*links[-1], before, ctx)
            self.shelf.keep(links, before, target, ctx.device)
        return target

    @property
    def shelf(self) -> Shelf:
        """Where what defenses have learned is kept."""
        return Shelf(personal.folder(self.ctx.workdir) / RETRAINED)

    def learned(self, label: str) -> dict[str, list[str]]:
        """Which networks and pictures results under a defense are of, as far as there are any."""
        links = links_of(label, self.config.defenses[label]) if label != BARE else []
        hashes = self.shelf.hashes(links)
        return {"learned": hashes} if hashes else {}


def run_audit(world: World, display: Display | None = None, *, resume: bool = False) -> AuditReport:
    """Run the whole plan; ``report.json`` is up to date after every step.

    Args:
        world: what is audited.
        display: told of every step.
        resume: whether finished steps in the output folder are kept, where they were of the same
            settings; that all else is the same is for `auditor.resuming` to see.

    Raises:
        ModelError: if the sanity probe fails and ``force`` is off.
        KeyboardInterrupt: after the record of what is finished was written.
    """
    if not resume:
        world.shelf.clear()
    steps = plan(world)
    display = display or Display(len(steps))
    out = world.ctx.workdir
    head = replace(
        world.head,
        data=personal.save_facts(out, world.head.data),
        pseudonyms=personal.save_names(out, world.pseudonyms),
    )

    def save(results: Mapping[str, Result]) -> None:
        complete = len(results) == len(steps)
        report = assemble(world.config, head, results, complete=complete)
        write(out / "report.json", dumps(report).encode())

    results = journal.run(steps, out / "steps", display, save, resume=resume)
    return assemble(world.config, head, results, complete=True)


def plan(world: World) -> list[Step]:
    """The steps of a run, in order; the name of each is its address."""
    settings = world.config.resolved()
    ranked = {key: settings[key] for key in ("ranking", "rank_lists", "study")}
    steps = [Step("probe", partial(_probe, world))]
    for scenario in (BARE, *world.config.defenses):
        defended = {"defense": settings["defenses"].get(scenario)}
        learned = partial(world.learned, scenario)
        measure = partial(_utility, world, scenario)
        steps.append(Step(f"{scenario}/utility", measure, defended | ranked, learned))
        for attack in world.config.attacks:
            attacked = {"attack": settings["attacks"][attack]}
            if scenario == BARE and world.config.controls:
                certify = partial(_controls, world, attack)
                steps.append(Step(f"controls/{attack}", certify, attacked))
            both = defended | attacked
            run = partial(_attack, world, scenario, attack)
            steps.append(Step(f"{scenario}/{attack}", run, both, learned))
            if world.config.budget and scenario in world.config.budget_scenarios:
                repeat = partial(_budget, world, scenario, attack)
                fractions = {"budget": settings["budget"]}
                steps.append(Step(f"{scenario}/{attack}/budget", repeat, both | fractions, learned))
    rename = personal.under(world.pseudonyms)
    return [replace(step, work=partial(_nameless, world, rename, step.work)) for step in steps]


def _nameless(world: World, rename: personal.Rename, work: Work, progress: Progress) -> Result:
    """What a step came to, under pseudonyms; what it drew is locked away."""
    try:
        with contained():
            return personal.renamed(work(progress), rename)
    finally:
        personal.lock(world.ctx.workdir)


def _probe(world: World, progress: Progress) -> tuple[ProbeCheck, ...]:
    checks = world.probe(replace(world.ctx, progress=progress))
    broken = [check for check in checks if check.outcome == "fail"]
    for check in checks:
        if check.outcome != "pass":
            log.warning("probe: %s", check.detail)
    if broken and not world.config.force:
        raise ModelError(broken[0].detail)
    return checks


def _utility(world: World, scenario: str, progress: Progress) -> Utility:
    ctx = replace(world.ctx, progress=progress)
    workdir = personal.folder(world.ctx.workdir) / scenario / "utility"
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        target = world.scenario(scenario, ctx)
        found = utility(target, replace(ctx, workdir=workdir), world.config, world.distance)
    except AuditError as error:
        if scenario == BARE:
            raise
        return Utility(reason=str(error))
    except Exception as error:
        if scenario == BARE:
            raise
        log.warning("%s crashed:\n%s", scenario, traceback.format_exc())
        return Utility(reason=reason_of(error))
    if world.config.study and (scenario == BARE or target.originals is not None):
        place = personal.folder(world.ctx.workdir) / scenario / STUDY
        place.mkdir(exist_ok=True)
        save_material(target, replace(ctx, workdir=place), scenario, world.config.study)
    lists = (replace(x, picture=_relative(world, x.picture)) for x in found.rank_lists)
    return replace(
        found,
        claims=target.claims,
        co_trained=target.co_trained,
        notes=(*target.notes, *found.notes),
        bias=target.utility_bias,
        rank_lists=tuple(lists),
    )


def _controls(world: World, label: str, progress: Progress) -> Controls:
    """Run an attack on both controls; a control that cannot run leaves it without power."""
    attack = world.attack(label)
    headline = getattr(attack, "headline", "")
    halves = _halves(progress)
    results = []
    for name, half in zip(("planted", "null"), halves, strict=True):
        target = None
        try:
            target = _control(name, attack, world)
            judge = target.extractor if name == "planted" else world.target.extractor
            # what a control draws shows real people too, and nobody needs it
            with TemporaryDirectory(dir=personal.folder(world.ctx.workdir)) as workdir:
                # an attack that asks for a judge by its label meets the control's own there
                judges = dict.fromkeys(["target", *world.ctx.judges], judge)
                ctx = replace(world.ctx, workdir=Path(workdir), judges=judges)
                result = attacked(attack, target, replace(ctx, progress=half))
            results.append(result)
        except UnsupportedTargetError as error:
            reason = f"the {name} control does not suit it: {error}"
            return Controls(powers=(controls.failed(headline, reason),))
        except Exception as error:
            log.warning("%s control of %s crashed:\n%s", name, label, traceback.format_exc())
            reason = f"its {name} control crashed: {reason_of(error)}"
            return Controls(powers=(controls.failed(headline, reason),))
        finally:
            if target is not None:
                _forget(world, target)
    planted, null = results
    judged = _headline(planted, headline).metric
    powers = controls.certificates(judged, planted.measurements, null.measurements)
    return Controls(powers=powers)


def _control(name: str, attack: Attack, world: World) -> Target:
    """The attack's own ``planted`` or ``null`` world, or the general one."""
    own = getattr(attack, name, None)
    if own is not None:
        with contained("its own control"):
            target: Target = own(world.target, world.ctx)
        return target
    if name == "planted":
        return controls.planted_target(world.target.data, world.ctx)
    return controls.null_target(world.target.data)


def _halves(progress: Progress) -> tuple[Progress, Progress]:
    def first(fraction: float, detail: str = "") -> None:
        progress(fraction / 2, f"planted: {detail}")

    def second(fraction: float, detail: str = "") -> None:
        progress(0.5 + fraction / 2, f"null: {detail}")

    return first, second


def _headline(result: AttackResult, name: str) -> Measurement:
    """The measurement an attack is judged by: its declared one, or the first."""
    named = [m for m in result.measurements if m.metric == name]
    return (named or list(result.measurements))[0]


def _forget(world: World, target: Target) -> None:
    """Drop a control's features: nobody asks for them again."""
    gone = {target, target.extractor} - {world.target, world.target.extractor}
    forget(world.ctx, *gone)


def _attack(world: World, scenario: str, label: str, progress: Progress) -> Finding:
    attack = world.attack(label)
    workdir = personal.folder(world.ctx.workdir) / scenario / label
    workdir.mkdir(parents=True, exist_ok=True)
    data = world.target.data
    finding = blank_finding(world.config, label, status="failed")
    try:
        ctx = replace(world.ctx, workdir=workdir, progress=progress)
        result = attacked(attack, world.scenario(scenario, ctx), ctx)
    except UnsupportedTargetError as error:
        return replace(finding, status="not-applicable", reason=str(error))
    except Exception as error:
        log.warning("%s/%s crashed:\n%s", scenario, label, traceback.format_exc())
        return replace(finding, reason=reason_of(error))
    headline = _headline(result, getattr(attack, "headline", ""))
    return replace(
        finding,
        status="done",
        measurements=result.measurements,
        curves=result.curves,
        worst_case=worst_case(headline),
        subgroups=subgroups(headline, data),
        gaps=gaps(headline, data),
        exhibits={name: _relative(world, path) for name, path in result.exhibits.items()},
        notes=result.notes,
    )


def _budget(world: World, scenario: str, label: str, progress: Progress) -> Budget:
    """The attack's headline with less of everything; what it draws on the way nobody needs."""
    attack, ctx = world.attack(label), replace(world.ctx, progress=progress)

    def trial(attack: Attack, target: Target, progress: Progress) -> Measurement:
        with TemporaryDirectory(dir=personal.folder(world.ctx.workdir)) as workdir:
            own = replace(ctx, workdir=Path(workdir), progress=progress)
            result = attacked(attack, target, own)
        return _headline(result, getattr(attack, "headline", ""))

    try:
        target = world.scenario(scenario, ctx)
    except Exception as error:
        return Budget(curves=(), notes=(f"its budget curves could not be measured: {error}",))
    return budget_curves(attack, target, world.config.budget, ctx, trial)


def _relative(world: World, path: Path | str) -> str:
    """Where a picture lies, as the record says it."""
    return Path(path).relative_to(world.ctx.workdir).as_posix()
