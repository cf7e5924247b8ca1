"""Runs attacks on their controls: is a known leak found, and nothing where there is nothing?

An attack that brings its reference adversary is tried on the faint plant of
`auditor.certification.planting`, in each scenario through that scenario's own release and published
pictures. Where a scenario changes neither, the bare certificate holds. The null control is run once
per attack: noise that has nothing to do with people has nothing to do with them behind any
mechanism either.

An attack without a reference adversary is tried in a world without noise, its own or the strong
leak of `auditor.certification.controls`, where whoever knows how reaches certainty.
"""

import logging
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, runtime_checkable

import torch

from auditor.certification import controls
from auditor.certification.certificates import certificates, doubt, not_run
from auditor.certification.planting import Planted, Size, plant
from auditor.console import trace
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics.resemblance import MOST, separability
from auditor.plugins import describe
from auditor.plugins.containment import contain
from auditor.plugins.results import reason_of, run_contained
from auditor.report import (
    Measurement,
    Power,
)
from auditor.types import Attack, AttackResult, FeatureExtractor, Progress, RunContext, Target

log = logging.getLogger(__name__)

FULL = Size()
SMALL = Size(attacked=40, auxiliary=60, pictures=6)
"""The plant of a rung that says it is slow."""
UNLIKE = 0.9
"""Entries that are told apart with a larger AUC are of two kinds."""


@dataclass(frozen=True, kw_only=True)
class Controls:
    """What an attack came to on its controls, in one scenario.

    Attributes:
        powers: one certificate per metric.
        as_bare: whether those of the bare scenario hold here too, because nothing that the controls
            pass through was changed.
    """

    powers: tuple[Power, ...] = ()
    as_bare: bool = False


@runtime_checkable
class Referenced(Attack, Protocol):
    """An attack whose best possible counterpart on the faint plant is known."""

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return what the best adversary reaches with the same knowledge and the truth besides.

        The first line of its docstring says who that is, for the record.
        """
        ...


@dataclass(frozen=True, eq=False)
class Prover:
    """Tries attacks on controls; plants are made once per scenario and size.

    Attributes:
        bare: the target without a defense.
        ctx: its ``workdir`` takes what controls draw, for as long as they run.
        required: the efficiency asked for.
    """

    bare: Target
    ctx: RunContext
    required: float
    _plants: dict[tuple[str, Size], Planted] = field(default_factory=dict)
    _unlike: dict[str, str] = field(default_factory=dict)

    def prove(self, attack: Attack, label: str, scenario: Target, progress: Progress) -> Controls:
        """Return the attack's certificates in the scenario ``label``.

        A control that cannot run leaves the attack without power.
        """
        bare = scenario is self.bare
        if not bare and (not isinstance(attack, Referenced) or self._passes_nothing(scenario)):
            return Controls(as_bare=True)
        tried = self._prove_by_plant if isinstance(attack, Referenced) else self._prove_by_own
        try:
            with contain("a control"):
                powers = tried(attack, label, scenario, progress)  # type: ignore[arg-type]
            return Controls(powers=powers)
        except UnsupportedTargetError as error:
            reason = f"a control does not suit it: {error}"
        except Exception as error:
            log.warning("a control of %s crashed:\n%s", label, trace())
            reason = f"a control crashed: {reason_of(error)}"
        return Controls(powers=(not_run(describe(attack).headline, reason, self.required),))

    def compare(self, controls: Controls, attack: Attack, label: str, scenario: Target) -> Controls:
        """Return certificates, which count if what the attack learns from resembles the gallery.

        A control's people are all of one kind. Whoever learns from the adversary's own entries and
        finds little in a gallery of another kind, such as one that was protected in a way of which
        nobody is told, may have missed what is there.
        """
        adversary = describe(attack).adversary
        if controls.as_bare or adversary is None or not adversary.learns:
            return controls
        if label not in self._unlike:
            try:
                with contain("the model or its release"):
                    self._unlike[label] = self._tell_apart(scenario)
            except Exception as error:
                self._unlike[label] = f"its entries cannot be compared: {reason_of(error)}"
        unlike = self._unlike[label]
        return replace(controls, powers=doubt(controls.powers, unlike)) if unlike else controls

    def _tell_apart(self, scenario: Target) -> str:
        """Why the adversary's own entries do not resemble the stored ones, or an empty string."""
        own, gallery = scenario.data.auxiliary, scenario.data.gallery
        if not len(own) or not len(gallery):
            return ""
        generator = self.ctx.generator("proving.resemblance")
        if scenario.publish is not None:
            own = own.take(torch.randperm(len(own), generator=generator)[:MOST].sort().values)
            own = scenario.publish(own, generator)
        released = scenario.release(features_of(scenario.extractor, own, self.ctx), generator)
        stored = stored_gallery(scenario, self.ctx)
        found = separability([(released, own.pids), (stored, gallery.pids)], generator)
        if found.value <= UNLIKE or found.low <= 0.5:
            return ""
        return (
            "what it learns from does not resemble the stored gallery: whose entry one is, the "
            f"adversary's or the gallery's, can be told with an AUC of {found.value:.3f} "
            f"({found.low:.3f} to {found.high:.3f})"
        )

    def _passes_nothing(self, scenario: Target) -> bool:
        """Return whether what the plant goes through is the same as without a defense."""
        return scenario.release is self.bare.release and scenario.publish is self.bare.publish

    def _prove_by_plant(
        self, attack: Referenced, label: str, scenario: Target, progress: Progress
    ) -> tuple[Power, ...]:
        info = describe(attack)
        planted = self._plant(label, scenario, SMALL if info.slow else FULL)
        if info.disguise is not None:
            planted = info.disguise(planted)
        target, judge = planted.target, planted.target.extractor
        first, second = _halves(progress) if scenario is self.bare else (progress, progress)
        found = self._run(partial(run_contained, attack), target, judge, first)
        best = self._run(lambda _, ctx: attack.reference(planted, ctx), target, judge, first)
        null = None
        if scenario is self.bare:
            clear = controls.make_null_target(target.data)
            blind = clear if info.make_null is None else info.make_null(target, self.ctx)
            null = self._run(partial(run_contained, attack), blind, judge, second).measurements
        return certificates(
            headline(found, attack).metric,
            found.measurements,
            null,
            {m.metric: m for m in best.measurements},
            adversary=_summary(attack),
            required=self.required,
            remark=self._remark(planted),
        )

    def _plant(self, label: str, scenario: Target, size: Size) -> Planted:
        if (label, FULL) not in self._plants:
            self._plants[label, FULL] = plant(scenario, self.bare.data, FULL, self.ctx)
        if (label, size) not in self._plants:
            self._plants[label, size] = self._plants[label, FULL].smaller(size, self.ctx)
        return self._plants[label, size]

    def _remark(self, planted: Planted) -> str:
        if planted.people == self._people:
            return ""
        return f"tried on {planted.people} of {self._people} people"

    @cached_property
    def _people(self) -> int:
        pids = self.bare.data.gallery.pids
        return len(pids[pids > 0].unique())

    def _prove_by_own(
        self, attack: Attack, label: str, scenario: Target, progress: Progress
    ) -> tuple[Power, ...]:
        data = self.bare.data
        own = {"planted": describe(attack).make_planted, "null": describe(attack).make_null}
        general = {
            "planted": lambda *_: controls.make_planted_target(data, self.ctx),
            "null": lambda *_: controls.make_null_target(data),
        }
        results = []
        for (name, make), part in zip(own.items(), _halves(progress), strict=True):
            target: Target = (make or general[name])(self.bare, self.ctx)
            judge = target.extractor if name == "planted" else self.bare.extractor
            results.append(self._run(partial(run_contained, attack), target, judge, part))
        planted, null = results
        return certificates(
            headline(planted, attack).metric,
            planted.measurements,
            null.measurements,
            None,
            required=self.required,
            remark="in a separate world, not behind any defense",
        )

    def _run(
        self,
        run: Callable[[Target, RunContext], AttackResult],
        target: Target,
        judge: FeatureExtractor,
        progress: Progress,
    ) -> AttackResult:
        """Return a control's figures; its features are forgotten, and whatever it draws."""
        # an attack that asks for a judge by its label meets the control's own there; one for each,
        # so that what it measures under a judge of that name is certified too
        judges = {name: copy(judge) for name in self.ctx.judges} | {"target": judge}
        with TemporaryDirectory(dir=self.ctx.workdir) as workdir:
            ctx = replace(self.ctx, workdir=Path(workdir), judges=judges, progress=progress)
            return run(target, replace(ctx, cache=self.ctx.cache.branch()))


def headline(result: AttackResult, attack: Attack) -> Measurement:
    """Return the measurement an attack is judged by: its declared one, or the first."""
    name = describe(attack).headline
    named = [m for m in result.measurements if m.metric == name]
    return (named or list(result.measurements))[0]


def _summary(attack: Referenced) -> str:
    """Return what the attack says about its reference adversary, in a line."""
    summary = (type(attack).reference.__doc__ or "").strip().splitlines()[0].rstrip(".")
    what = summary.removeprefix("Return ")
    return what[:1].upper() + what[1:]


def _halves(progress: Progress) -> tuple[Progress, Progress]:
    def first(fraction: float, detail: str = "") -> None:
        progress(fraction / 2, f"planted: {detail}")

    def second(fraction: float, detail: str = "") -> None:
        progress(0.5 + fraction / 2, f"null: {detail}")

    return first, second
