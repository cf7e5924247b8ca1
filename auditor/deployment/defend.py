"""`audit defend`: from a model, people and defenses to what a team deploys, and its claims."""

import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auditor import __version__, plugins
from auditor.artifacts.atomic import json_bytes, refuse_existing, table, write
from auditor.config import DataConfig, ModelConfig
from auditor.console import Display
from auditor.data.records import picture_digest
from auditor.deployment.handover import CLAIMS, GALLERY, KEY, ROWS, handover, key_folder
from auditor.embedding import stored_gallery
from auditor.errors import UsageError
from auditor.evaluation.claims import apply_defense
from auditor.evaluation.utility import measurements, search
from auditor.metrics.similarity import Distance
from auditor.models import LoadedModel
from auditor.models.export import export
from auditor.models.extractor import CardedExtractor
from auditor.pipeline.environment import pick_device
from auditor.pipeline.inputs import open_configured, open_data
from auditor.report import Measurement, PrivacyClaim
from auditor.types import Defense, Exporter, RunContext, Target

PROGRAMS = ("torchscript", "pt2", "onnx", "openvino")
"""Formats that bring their own architecture."""


@dataclass(frozen=True, kw_only=True)
class DeploymentJob:
    """What `audit defend` is asked for.

    Attributes:
        model: to be defended.
        data: the people whose gallery is defended, and on whom utility is measured.
        defenses: the first one nearest to the model.
        out: folder for everything that is given away; the key goes beside it.
        seed: decides all noise and every key; None draws one in secret.
        device: auto, cpu or cuda.
        weights: folder of pretrained backbones, or None.
        overwrite: replace an earlier result.
    """

    model: ModelConfig
    data: DataConfig
    defenses: Sequence[Defense]
    out: Path
    seed: int | None = None
    device: str = "auto"
    weights: Path | None = None
    overwrite: bool = False

    @property
    def key(self) -> Path:
        """Where what must stay secret is kept: beside ``out``, not in it."""
        return key_folder(self.out)


@dataclass(frozen=True)
class Stage:
    """One defense, and the target as it left it."""

    name: str
    defense: Defense
    before: Target
    target: Target

    @property
    def changes(self) -> tuple[str, ...]:
        """What of the target it put something else in the place of."""
        before, after = self.before, self.target
        changed = {
            "model": after.extractor is not before.extractor,
            "pictures": after.publish is not before.publish,
            "gallery": after.release is not before.release,
        }
        return tuple(name for name, is_changed in changed.items() if is_changed)


@dataclass(frozen=True)
class DeploymentResult:
    """What was written, what it promises, what it costs, and why that may read too well."""

    files: tuple[str, ...]
    claims: tuple[PrivacyClaim, ...]
    before: tuple[Measurement, ...]
    after: tuple[Measurement, ...]
    bias: str


def defend(job: DeploymentJob, display: Display) -> DeploymentResult:
    """Apply the defenses, write the result and its key; both or none.

    Raises:
        AuditError: if something cannot be opened, a defense refuses, nothing that could be
            deployed comes out, or the disk refuses.
    """
    check_out(job)
    device = pick_device(job.device)
    with handover(job.out) as (public, private):
        # a seed in a configuration would tell whoever reads it how to take the noise off again
        seed = secrets.randbits(256) if job.seed is None else job.seed
        ctx = RunContext(seed=seed, device=device, workdir=private, weights=job.weights)
        outcome = _defend(job, ctx, public, display)
        write(private / KEY, json_bytes({"seed": str(seed)}), mode=0o600)
    return outcome


def check_out(job: DeploymentJob) -> None:
    """Refuse to replace anything but an earlier result, and that only when told to."""
    if not job.out.name:
        raise UsageError(f"--out {job.out} has no name; name a new folder")
    for place, mark in ((job.out, CLAIMS), (job.key, KEY)):
        if not place.exists():
            continue
        if not (place / mark).is_file():
            raise UsageError(f"{place} exists and is not an earlier result; name another --out")
        refuse_existing(place, overwrite=job.overwrite)


def _keep_measured(
    secret: Path, claims: Sequence[PrivacyClaim], before: Sequence[Measurement]
) -> None:
    """Write what was measured on clean features, which no ε covers, beside the key."""
    measured = {
        "claims": [asdict(claim) for claim in claims],
        "utility": {"before": _plain(before)},
    }
    write(secret / CLAIMS, json_bytes(measured), mode=0o600)


def _defend(
    job: DeploymentJob, ctx: RunContext, public: Path, display: Display
) -> DeploymentResult:
    data, model = open_data(job.data), open_configured(job.model, ctx.device)
    bare, distance = Target(model.extractor, data), model.extractor.card.distance
    with display.step("trial export"):
        try_export(model, job.defenses)
    with display.step("utility before") as progress:
        before = _utility(bare, replace(ctx, progress=progress), distance)
    stages: list[Stage] = []
    for defense in job.defenses:
        name = plugins.name_of("defenses", defense)
        with display.step(f"applying {name}") as progress:
            before_it = stages[-1].target if stages else bare
            target = apply_defense(defense, before_it, replace(ctx, progress=progress))
            stages.append(Stage(name, defense, before_it, target))
    defended = stages[-1].target
    with display.step("utility after") as progress:
        after = _utility(defended, replace(ctx, progress=progress), distance)
    with display.step("writing") as progress:
        exported = _write(bare, stages, model, replace(ctx, progress=progress), public)
    files = digests(public)
    about = {
        "version": __version__,
        "model": {key: model.facts[key] for key in ("file", "sha256", "format")},
        "data": data.name,
        "defenses": [_describe(stage) for stage in stages],
        "claims": [public_claim(claim) for claim in defended.claims if claim.verdict != "VOID"],
        "utility": {"after": _plain(after), "bias": defended.utility_bias},
        "notes": (*defended.notes, *_void(defended.claims)),
        "exported": exported,
        "files": files,
    }
    write(public / CLAIMS, json_bytes(about))
    _keep_measured(ctx.workdir, defended.claims, before)
    return DeploymentResult((*files, CLAIMS), defended.claims, before, after, defended.utility_bias)


def try_export(model: LoadedModel, defenses: Sequence[Defense]) -> None:
    """Write the network as it is, and throw that away, before anything trains it for hours.

    Raises:
        ModelError: if it cannot be exported.
    """
    if any(getattr(defense, "trains_model", False) for defense in defenses):
        with TemporaryDirectory() as folder:
            export(model.extractor, _arch(model), {}, Path(folder))


def _arch(model: LoadedModel) -> str | None:
    return None if model.facts["format"] in PROGRAMS else str(model.facts["arch"])


def _utility(target: Target, ctx: RunContext, distance: Distance) -> tuple[Measurement, ...]:
    return measurements(search(target, ctx, distance), target)


def _write(
    bare: Target, stages: Sequence[Stage], model: LoadedModel, ctx: RunContext, public: Path
) -> dict[str, Any]:
    """Write whatever the defenses changed: network, stored gallery, pictures."""
    defended, exported = stages[-1].target, {}
    if defended.extractor is not bare.extractor:
        exported["model"] = _write_model(stages, model, public)
    if defended.release is not bare.release:
        exported["gallery"] = write_gallery(defended, ctx, public)
    superseded = _find_superseded(stages)
    for number, stage in enumerate(stages, start=1):
        if isinstance(stage.defense, Exporter) and stage not in superseded:
            label = f"{number}-{stage.name}"
            folder, private = public / label, ctx.workdir / label
            folder.mkdir()
            private.mkdir(mode=0o700)
            own = replace(ctx, workdir=private)
            exported[label] = dict(stage.defense.export(stage.target, own, folder))
    if not exported:
        names = ", ".join(stage.name for stage in stages)
        raise UsageError(
            f"{names} changes neither the network nor the stored gallery, and cannot write down "
            "what it protects; there is nothing to deploy"
        )
    return exported


def _find_superseded(stages: Sequence[Stage]) -> list[Stage]:
    """Stages whose pictures a later one protects further: theirs would give those away."""
    return [stage for stage in stages if "pictures" in stage.changes][:-1]


def _write_model(stages: Sequence[Stage], model: LoadedModel, public: Path) -> dict[str, Any]:
    extractor = stages[-1].target.extractor
    if not isinstance(extractor, CardedExtractor):
        raise UsageError(
            f"the defended extractor is a {type(extractor).__name__}, not a network behind a card; "
            "it cannot be written"
        )
    facts = {"defenses": [_describe(stage) for stage in stages]}
    return export(extractor, _arch(model), facts, public)


def write_gallery(defended: Target, ctx: RunContext, public: Path) -> dict[str, Any]:
    """Return the stored gallery in random order under pseudonyms; what leads back is a secret."""
    gallery, generator = defended.data.gallery, ctx.generator("deploying.rows")
    features = stored_gallery(defended, ctx)
    order = torch.randperm(len(gallery), generator=generator)
    people, column = gallery.pids.unique(return_inverse=True)
    fresh = torch.zeros_like(people)
    named = people > 0
    fresh[named] = 1 + torch.randperm(int(named.sum()), generator=generator)
    pseudonyms = fresh[column]
    content = gallery_bytes(features[order], pseudonyms[order], gallery.camids[order])
    write(public / GALLERY, content)
    rows = [
        (
            *(row, int(pseudonyms[source]), source, int(gallery.pids[source])),
            picture_digest(gallery, source).hex(),
        )
        for row, source in enumerate(order.tolist())
    ]
    content = table(("row", "pid", "source_row", "source_pid", "source_sha256"), rows)
    write(ctx.workdir / ROWS, content, mode=0o600)
    return {
        "rows": len(order),
        "feature_dim": features.shape[1],
        "pids": "fresh pseudonyms in random order; 0 is a distractor. Which rows are one person's "
        "is given away with them, and no ε covers that",
    }


def gallery_bytes(features: Tensor, pids: Tensor, camids: Tensor) -> bytes:
    """Return a stored gallery as `auditor.data.stored` reads it."""
    buffer = io.BytesIO()
    np.savez(buffer, features=features.numpy(), pids=pids.numpy(), camids=camids.numpy())
    return buffer.getvalue()


def _describe(stage: Stage) -> dict[str, Any]:
    return {
        "use": stage.name,
        **plugins.parameters(stage.defense),
        "summary": plugins.summary(stage.defense),
        "changes": stage.changes,
    }


def public_claim(claim: PrivacyClaim) -> dict[str, Any]:
    """Return a claim without what it tells of the clean data."""
    return {name: value for name, value in asdict(claim).items() if name not in claim.private}


def _void(claims: Sequence[PrivacyClaim]) -> list[str]:
    """Return what is no longer claimed, so that nobody takes a parameter for a promise."""
    return [
        f"no ε is claimed for {claim.mechanism}: {claim.reason}"
        for claim in claims
        if claim.verdict == "VOID"
    ]


def _plain(measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Figures without what they say about single people."""
    hidden = {"persons", "note", "chance"}
    return [{k: v for k, v in asdict(m).items() if k not in hidden} for m in measured]


def digests(public: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of everything written so far."""
    paths = sorted(p for p in public.rglob("*") if p.is_file() and p != public / CLAIMS)
    return {
        path.relative_to(public).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _top(files: Sequence[str]) -> list[str]:
    """Files by name and folders by how much is in them: a data set has thousands."""
    sizes = Counter(file.partition("/")[0] for file in files)
    return [
        name if name in files else f"{name}/ ({count} file{'s' if count > 1 else ''})"
        for name, count in sizes.items()
    ]


def lines(job: DeploymentJob, outcome: DeploymentResult) -> Sequence[str]:
    """Return what to print."""
    was = {m.metric: m.value for m in outcome.before}
    found = [f"wrote {job.out}: {', '.join(_top(outcome.files))}"]
    found += [
        f"{m.metric}: {was[m.metric]:.1%} -> {m.value:.1%} ({m.low:.1%} to {m.high:.1%})"
        for m in outcome.after
        if m.metric in ("rank1", "map")
    ]
    found += [f"this utility is overestimated: {outcome.bias}"] if outcome.bias else []
    found += [f"{claim.verdict}: {claim.reason}" for claim in outcome.claims]
    return [*found, f"wrote {job.key}: keep it secret, or delete it"]
