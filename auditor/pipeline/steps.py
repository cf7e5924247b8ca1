"""The work of each step: what it hands to an attack, and what it takes back."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from auditor import plugins
from auditor.artifacts import personal
from auditor.certification.certificates import not_run
from auditor.certification.proving import Controls, Prover, headline
from auditor.config import BARE, AuditConfig
from auditor.console import trace
from auditor.errors import AuditError, ModelError, UnsupportedTargetError
from auditor.evaluation.budget import Budget, budget_curves
from auditor.evaluation.claims import apply_defense
from auditor.evaluation.exposure import worst_case
from auditor.evaluation.subgroups import gaps, subgroups
from auditor.evaluation.utility import Utility, utility
from auditor.metrics.similarity import Distance
from auditor.pipeline.assemble import blank_finding
from auditor.pipeline.environment import require_device
from auditor.pipeline.journal import Result
from auditor.pipeline.retrained import Shelf, key_of
from auditor.plugins.containment import contain
from auditor.plugins.results import reason_of, run_contained
from auditor.report import AuditReport, Finding, Measurement, ProbeCheck
from auditor.types import Attack, Defense, Progress, RunContext, Target
from auditor.user_study.material import save_material
from auditor.user_study.quiz import STUDY

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
        metered: whether each picture that the model is given counts, as with a service.
        targets: what came of every defense, or chain of them, that was needed so far.
        refused: scenarios and attacks that turned out not to go together.
    """

    config: AuditConfig
    target: Target
    ctx: RunContext
    distance: Distance
    probe: Probe
    head: AuditReport
    metered: bool = False
    targets: dict[str, Target | Exception] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)

    @cached_property
    def pseudonyms(self) -> dict[str, str]:
        """A pseudonym for everybody in the dataset; distractors are nobody."""
        data = self.target.data
        splits = (data.train, data.query, data.gallery, data.auxiliary)
        pids = torch.cat([split.pids for split in splits]).unique()
        known = [str(pid) for pid in pids.tolist() if pid > 0]
        order = torch.randperm(len(known), generator=self.ctx.generator("pseudonyms"))
        return personal.pseudonyms(known, order.tolist())

    @cached_property
    def prover(self) -> Prover:
        """Tries attacks on controls."""
        # what a control draws shows real people too, and nobody needs it
        drawn = replace(self.ctx, workdir=personal.folder(self.ctx.workdir))
        return Prover(self.target, drawn, self.config.required_efficiency)

    def attack(self, label: str) -> Attack:
        """Return the attack of that label, as it was before any run."""
        return plugins.fresh(self.config.attacks[label])

    def scenario(self, label: str, ctx: RunContext) -> Target:
        """Return the target under its defenses; what chains begin with in common is applied once.

        Raises:
            Exception: what a defense raised; the same once more whenever it is asked for again.
        """
        if label == BARE:
            return self.target
        return self._defend(self.config.defenses[label], ctx)

    def _defend(self, chain: Sequence[Defense], ctx: RunContext) -> Target:
        if not chain:
            return self.target
        key = key_of(chain)
        if key not in self.targets:
            before = self._defend(chain[:-1], ctx)
            try:
                self.targets[key] = self._apply_last(chain, before, ctx)
            except Exception as error:
                self.targets[key] = error
        found = self.targets[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _apply_last(self, chain: Sequence[Defense], before: Target, ctx: RunContext) -> Target:
        """Apply the last defense to a target, or recall what an earlier run has kept of it."""
        target = self.shelf.recall(chain, before, ctx.device)
        if target is None:
            target = apply_defense(plugins.fresh(chain[-1]), before, ctx)
            self.shelf.keep(chain, before, target, ctx.device)
        return target

    @property
    def shelf(self) -> Shelf:
        """Where what defenses have learned is kept."""
        return Shelf(personal.folder(self.ctx.workdir) / RETRAINED)

    def learned(self, label: str) -> dict[str, list[str]]:
        """Which networks and pictures results under a defense are of, as far as there are any."""
        chain = self.config.defenses[label] if label != BARE else ()
        hashes = self.shelf.hashes(chain)
        return {"learned": hashes} if hashes else {}


def without_names(world: World, rename: personal.Rename, work: Work, progress: Progress) -> Result:
    """Return what a step came to, under pseudonyms; what it drew is locked away.

    Raises:
        EnvironmentUnmetError: if the GPU was lost: no failure from then on is the attack's.
    """
    try:
        with contain():
            return personal.rename_people(work(progress), rename)
    finally:
        personal.lock(world.ctx.workdir)
        require_device(world.ctx.device)


def ask(world: World, progress: Progress) -> tuple[ProbeCheck, ...]:
    """Put the sanity questions; a wrongly fed model ends the audit unless it is forced."""
    checks = world.probe(replace(world.ctx, progress=progress))
    broken = [check for check in checks if check.outcome == "fail"]
    for check in checks:
        if check.outcome != "pass":
            log.warning("probe: %s", check.detail)
    if broken and not world.config.force:
        raise ModelError(broken[0].detail)
    return checks


def measure_utility(world: World, scenario: str, progress: Progress) -> Utility:
    """Measure the scenario's re-identification, and take over what its defenses promise."""
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
        log.warning("%s crashed:\n%s", scenario, trace())
        return Utility(reason=reason_of(error))
    if world.config.study and (scenario == BARE or target.protection is not None):
        place = personal.folder(world.ctx.workdir) / scenario / STUDY
        place.mkdir(exist_ok=True)
        save_material(target, replace(ctx, workdir=place), scenario, world.config.study)
    lists = (
        replace(x, picture=_relative(world, x.picture)) if x.picture else x
        for x in found.rank_lists
    )
    return replace(
        found,
        claims=target.claims,
        co_trained=target.co_trained,
        notes=(*target.notes, *found.notes),
        bias=target.utility_bias,
        rank_lists=tuple(lists),
    )


def certify(world: World, scenario: str, label: str, progress: Progress) -> Controls:
    """Return the attack's certificates in a scenario; one that cannot be made gives none."""
    if (scenario, label) in world.refused:
        return Controls()
    attack = world.attack(label)
    try:
        target = world.scenario(scenario, replace(world.ctx, progress=progress))
    except Exception as error:
        reason = f"the scenario failed: {error}"
        return Controls(powers=(not_run(plugins.describe(attack).headline, reason),))
    found = world.prover.prove(attack, scenario, target, progress)
    return world.prover.compare(found, attack, scenario, target)


def run_attack(world: World, scenario: str, label: str, progress: Progress) -> Finding:
    """Attack the scenario from scratch; whatever goes wrong becomes part of the finding."""
    attack = world.attack(label)
    workdir = personal.folder(world.ctx.workdir) / scenario / label
    workdir.mkdir(parents=True, exist_ok=True)
    data = world.target.data
    finding = blank_finding(label, attack, status="failed")
    try:
        ctx = replace(world.ctx, workdir=workdir, progress=progress)
        result = run_contained(attack, world.scenario(scenario, ctx), ctx)
    except UnsupportedTargetError as error:
        world.refused.add((scenario, label))
        return replace(finding, status="not-applicable", reason=str(error))
    except Exception as error:
        log.warning("%s/%s crashed:\n%s", scenario, label, trace())
        return replace(finding, reason=reason_of(error))
    judged = headline(result, attack)
    return replace(
        finding,
        status="done",
        measurements=result.measurements,
        curves=result.curves,
        worst_case=worst_case(judged),
        subgroups=subgroups(judged, data),
        gaps=gaps(judged, data),
        exhibits={name: _relative(world, path) for name, path in result.exhibits.items()},
        notes=result.notes,
    )


def measure_budget(world: World, scenario: str, label: str, progress: Progress) -> Budget:
    """Return the attack's headline at a reduced budget; its pictures are not kept."""
    attack, ctx = world.attack(label), replace(world.ctx, progress=progress)

    def trial(attack: Attack, target: Target, progress: Progress) -> Measurement:
        with TemporaryDirectory(dir=personal.folder(world.ctx.workdir)) as workdir:
            own = replace(ctx, workdir=Path(workdir), progress=progress)
            result = run_contained(attack, target, own)
        return headline(result, attack)

    try:
        target = world.scenario(scenario, ctx)
    except Exception as error:
        return Budget(curves=(), notes=(f"its budget curves could not be measured: {error}",))
    return budget_curves(attack, target, world.config.budget, ctx, trial)


def _relative(world: World, path: Path | str) -> str:
    """Return where a picture lies, as the record says it."""
    return Path(path).relative_to(world.ctx.workdir).as_posix()
