"""Opens what a configuration names and runs the audit: the part of the command that needs torch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from auditor.artifacts.feature_store import TAG, FeatureStore, check_folder
from auditor.artifacts.manifest import OCCASION, STEPS
from auditor.certification.sanity_checks import probe
from auditor.config import AuditConfig, FeaturesConfig, ModelConfig
from auditor.console import Display
from auditor.data.features import Store, open_features
from auditor.data.tracklets import pool_dataset
from auditor.errors import UsageError
from auditor.feature_cache import FeatureCache
from auditor.metrics.perceptual import find_backbone
from auditor.models import LoadedModel
from auditor.models.hastening import hasten
from auditor.models.reference import WEIGHTS
from auditor.models.service import Meter
from auditor.pipeline import resume as resuming
from auditor.pipeline.environment import (
    describe,
    determinism,
    pick_device,
    save_occasion,
    save_queries,
    spent_queries,
)
from auditor.pipeline.fanout import Engine
from auditor.pipeline.forecast import Forecast, foresee
from auditor.pipeline.inputs import look_at, meter_of, open_configured, open_data
from auditor.pipeline.kept_features import KeptFeatures, keep_features
from auditor.pipeline.plan import plan_steps, run_audit
from auditor.pipeline.steps import World
from auditor.report import AuditReport
from auditor.types import ReIDDataset, RunContext, Target

log = logging.getLogger(__name__)

DEMO_IDENTITIES, DEMO_AUXILIARY = 80, 160
DEMO_SEED = 20
"""Of the demo's people; the reference extractor was trained on others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What an audit is of.

    Attributes:
        model: the audited one, or features that came without it.
        data: the people.
        judges: label -> an independent model that judges reconstructions.
    """

    model: LoadedModel | Store
    data: ReIDDataset
    judges: Mapping[str, LoadedModel] = field(default_factory=dict)


def audit(
    config: AuditConfig, out: Path, *, resume: bool = False, engine: Engine | None = None
) -> AuditReport:
    """Audit the configured model on the configured data.

    Args:
        config: what to do.
        out: folder for the record.
        resume: whether to go on with the run in ``out``, if there is one.
        engine: where steps are worked on, several at a time; None: here, one after the other.

    Raises:
        AuditError: if anything named cannot be opened, the sanity probe fails, or the run in
            ``out`` is of something else.
    """
    inputs = open_inputs(config, out, resume=resume)
    if engine is not None:
        _check_divisible(inputs)
    return run(config, out, inputs, resume=resume, engine=engine)


def _check_divisible(inputs: Inputs) -> None:
    """Refuse what only one process can work on."""
    if isinstance(inputs.model, Store):
        what = "which attacks suit features that came alone is found out one after the other"
    elif _meters(inputs):
        what = "a service is asked by one process, which counts its questions"
    else:
        return
    raise UsageError(f"{what}; leave out --engine")


def plan(
    config: AuditConfig, out: Path, *, resume: bool = False, workers: int | None = None
) -> Forecast:
    """Return what `audit` would have before it; nothing is written.

    Args:
        config: what to do.
        out: folder for the record.
        resume: whether the run in ``out`` would be gone on with, if there is one.
        workers: of an engine, how many steps it would work on at a time; None: there is none.

    Raises:
        AuditError: if anything named cannot be opened, or the run in ``out`` is of something else.
    """
    inputs = open_inputs(config, out, resume=resume)
    if workers is not None:
        _check_divisible(inputs)
    there = config.cache is not None and (config.cache / TAG).exists()
    world = make_world(config, out, inputs, open_cache(config, inputs) if there else None)
    going_on = resume and resuming.can_resume(out, world.head)
    folder = out / STEPS if going_on else None
    return foresee(world, plan_steps(world), folder, workers=workers or 1)


def open_inputs(config: AuditConfig, out: Path, *, resume: bool = False) -> Inputs:
    """Open what is configured.

    Raises:
        AuditError: if anything named cannot be opened.
    """
    _check_cache(config, out)
    spent = spent_queries(out / OCCASION) if resume else {}
    if config.features is not None:
        return _features(config, config.features, spent)
    if config.model is None:
        raise UsageError(
            "no model given; use --model FILE or 'model: {path: …}', or --features FILE if you "
            "have stored features and no model"
        )
    if config.data is None:
        raise UsageError("no data given; use --data DIR or 'data: {path: …}'")
    device = pick_device(config.device)
    for wanted in (config.model, *config.judges.values()):
        look_at(wanted)  # decoding all pictures takes longer than seeing that a model is not there
    inputs = Inputs(
        data=open_data(config.data),
        model=open_configured(config.model, device, spent.get("target", 0)),
        judges=_judges(config, device, spent),
    )
    return hasten_inputs(config, inputs)


def hasten_inputs(config: AuditConfig, inputs: Inputs) -> Inputs:
    """Return the same with features in reduced precision, if the configuration asks for it."""
    if not config.fast or not isinstance(inputs.model, LoadedModel):
        return inputs
    judges = {name: hasten(judge) for name, judge in inputs.judges.items()}
    return replace(inputs, model=hasten(inputs.model), judges=judges)


def _features(config: AuditConfig, features: FeaturesConfig, spent: Mapping[str, int]) -> Inputs:
    """Return features that came alone; a judge still looks at pictures, where there are any."""
    device = pick_device(config.device)
    for wanted in config.judges.values():
        look_at(wanted)
    store = open_features(features, device)
    return Inputs(model=store, data=store.data, judges=_judges(config, device, spent))


def _judges(
    config: AuditConfig, device: torch.device, spent: Mapping[str, int]
) -> dict[str, LoadedModel]:
    return {
        name: open_configured(judge, device, spent.get(name, 0))
        for name, judge in config.judges.items()
    }


def demo(config: AuditConfig, out: Path) -> AuditReport:
    """Audit the shipped reference extractor on synthetic people."""
    from auditor.data.synthetic import make_world

    device = pick_device(config.device)
    data = make_world(
        identities=DEMO_IDENTITIES,
        auxiliary=DEMO_AUXILIARY,
        cameras=3,
        images_per_camera=4,
        seed=DEMO_SEED,
    )
    shipped = ModelConfig(
        path=WEIGHTS,
        arch="reference",
        card={"preset": "torchreid", "height": 128, "width": 64, "l2_norm": True},
    )
    inputs = Inputs(model=open_configured(shipped, device), data=data)
    return run(config, out, hasten_inputs(config, inputs))


def _explain_copies(data: ReIDDataset) -> str:
    """Say why utility is overestimated on these people, if it does: a copy is found by anything."""
    copied = data.facts.get("copied_queries", 0)
    return f"{copied} queries are copies of gallery pictures that match them" if copied else ""


def run(
    config: AuditConfig,
    out: Path,
    inputs: Inputs,
    *,
    resume: bool = False,
    display: Display | type[Display] = Display,
    command: str = "",
    engine: Engine | None = None,
) -> AuditReport:
    """Audit what was opened, however it was.

    Args:
        config: what to do.
        out: folder for the record.
        inputs: model, people and judges.
        resume: whether to go on with the run in ``out``, if there is one.
        display: see `auditor.pipeline.plan.run_audit`.
        command: what was called, for ``run.json``; empty: the command line.
        engine: see `audit`; it opens model and people anew, as ``config`` names them.

    Raises:
        AuditError: if the sanity probe fails, or the run in ``out`` is of something else.
    """
    _check_cache(config, out)
    kept = open_cache(config, inputs)
    world = make_world(config, out, inputs, kept)
    going_on = resume and resuming.resume(out, world.head)
    if not going_on:
        resuming.clear(out)
    meters = _meters(inputs)
    save_occasion(out / OCCASION, _counts(meters), going_on=going_on, command=command)

    def keep(_: int = 0) -> None:
        save_queries(out / OCCASION, _counts(meters))

    for meter in meters.values():
        meter.keep = keep
    try:
        with determinism(world.ctx.device, wanted=config.deterministic):
            return run_audit(world, display, resume=going_on, engine=engine)
    finally:
        for name, meter in meters.items():
            log.warning("the service of %r was asked about %d pictures in all", name, meter.spent)
        if kept is not None and kept.store.reused:
            log.warning("%d features were taken from %s", kept.store.reused, kept.store.folder)


def make_world(
    config: AuditConfig, out: Path, inputs: Inputs, kept: KeptFeatures | None = None
) -> World:
    """Return all that the steps of an audit need; nothing is written to ``out``.

    Raises:
        EnvironmentUnmetError: if the folder of backbones does not contain what is needed.
    """
    if config.weights is not None:
        find_backbone(config.weights)  # or end here, rather than in the middle of an attack
    model, data, independent = inputs.model, inputs.data, inputs.judges
    data = pool_dataset(data, config.pooling)
    device = model.device
    judges = {name: judge.extractor for name, judge in independent.items()}
    if isinstance(model, LoadedModel):  # what came alone cannot judge a picture
        judges = {"target": model.extractor, **judges}
    ctx = RunContext(
        seed=config.seed,
        device=device,
        workdir=out,
        judges=judges,
        weights=config.weights,
        cache=FeatureCache(kept),
    )
    return World(
        config=config,
        target=Target(model.extractor, data, utility_bias=_explain_copies(data)),
        ctx=ctx,
        distance=model.distance,
        probe=lambda step: probe(model, inputs.data, step),
        head=AuditReport(
            title=f"{model.facts.get('file', 'model')} on {data.name}",
            config=config.to_record(),
            model={**model.facts, "judges": {n: j.facts for n, j in independent.items()}},
            data=data.facts,
            environment={
                **describe(device, deterministic=config.deterministic),
                "isolation": {"model": model.facts["isolation"]}
                | {name: judge.facts["isolation"] for name, judge in independent.items()},
            },
            real_people=data.real_people,
        ),
        metered=bool(_meters(inputs)),
    )


def _check_cache(config: AuditConfig, out: Path) -> None:
    if config.cache is None:
        return
    if config.cache.resolve().is_relative_to(out.resolve()):
        raise UsageError(
            f"--cache {config.cache} lies in the run's folder {out}, whose content is sealed; "
            "name a folder beside it"
        )
    check_folder(config.cache)


def open_cache(config: AuditConfig, inputs: Inputs) -> KeptFeatures | None:
    """Return what keeps features from run to run, if the configuration asks for it."""
    if config.cache is None:
        return None
    models = (inputs.model, *inputs.judges.values())
    loaded = [model for model in models if isinstance(model, LoadedModel)]
    return keep_features(FeatureStore(config.cache), *loaded)


def _meters(inputs: Inputs) -> dict[str, Meter]:
    """Return what counts the pictures that each service is sent."""
    models = {"target": inputs.model, **inputs.judges}
    loaded = {name: model for name, model in models.items() if isinstance(model, LoadedModel)}
    return {name: meter for name, model in loaded.items() if (meter := meter_of(model))}


def _counts(meters: Mapping[str, Meter]) -> dict[str, int]:
    """Model -> pictures that it was sent, in this and earlier parts of the run."""
    return {name: meter.spent for name, meter in meters.items()}
