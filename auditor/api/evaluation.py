"""One attack on one target, with its certificate."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from auditor import config as configuration
from auditor.api.auditing import label_of
from auditor.artifacts import personal
from auditor.certification.certificates import about
from auditor.config import BARE, REQUIRED_EFFICIENCY, AuditConfig
from auditor.console import Display, Quiet
from auditor.models.extractor import CardedExtractor
from auditor.pipeline.steps import World, certify, run_attack
from auditor.report import AuditReport, Finding
from auditor.types import Attack, FeatureExtractor, RunContext, Target


def evaluate(
    attack: Attack,
    target: Target,
    *,
    judges: Mapping[str, FeatureExtractor] | None = None,
    required_efficiency: float = REQUIRED_EFFICIENCY,
    seed: int = 0,
    device: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Finding:
    """Run an attack on a target and on its controls.

    ``attack.run(target, ctx)`` attacks and no more. Here the same attack is also tried where a
    leak was planted and where there is none, behind the target's own release and protection of
    pictures, so that the finding says which of its figures are certified.

    Args:
        attack: what attacks; anything with ``run(target, ctx)``.
        target: what is attacked, such as ``Target(open_model(…).extractor, data)``, or what a
            defense made of it.
        judges: label -> a network that judges reconstructions, beside the target's own.
        required_efficiency: the share of a planted leak that a certificate asks for.
        seed: of everything random.
        device: where to run; None: where the target's extractor is.
        out: folder for the pictures that the attack leaves. None: they are not kept.
        progress: whether the steps are shown.

    Returns:
        The finding. An attack that crashed or does not apply is one too; its ``status`` and
        ``reason`` say so. ``finding.power(metric)`` is the certificate of a figure.

    Raises:
        UsageError: if ``attack`` is none, or cannot be copied, or a value is out of range.
    """
    label = label_of(attack)
    given = {"attacks": {label: attack}, "required_efficiency": required_efficiency, "seed": seed}
    config = configuration.resolve(given, "auditor.evaluate", judges or {})
    with TemporaryDirectory(prefix="audit-") as temporary:
        folder = Path(temporary if out is None else out)
        folder.mkdir(parents=True, exist_ok=True)
        ctx = RunContext(
            seed=seed,
            device=_device(target.extractor) if device is None else torch.device(device),
            workdir=folder,
            judges={"target": target.extractor, **(judges or {})},
            weights=config.weights,
        )
        world = _world(config, target, ctx)
        finding = _evaluate(world, label, (Display if progress else Quiet)(2))
    kept = finding if out is not None else replace(finding, exhibits={})
    return personal.rename_people(kept, personal.under(world.pseudonyms))


def _evaluate(world: World, label: str, display: Display) -> Finding:
    try:
        with display.step(f"controls/{label}") as progress:
            controls = certify(world, BARE, label, progress)
        with display.step(label) as progress:
            finding = run_attack(world, BARE, label, progress)
    finally:
        personal.lock(world.ctx.workdir)
    return replace(finding, powers=about(controls.powers, finding.measurements))


def _world(config: AuditConfig, target: Target, ctx: RunContext) -> World:
    """Return what the pipeline's steps work in, as far as attacks and controls need it."""
    extractor = target.extractor
    distance = extractor.card.distance if isinstance(extractor, CardedExtractor) else "cosine"
    head = AuditReport(title=target.data.name, config={})
    return World(
        config=config, target=target, ctx=ctx, distance=distance, probe=lambda _: (), head=head
    )


def _device(extractor: FeatureExtractor) -> torch.device:
    """Return where an extractor is; a processor for what has no parameters."""
    if isinstance(extractor, nn.Module):
        for tensor in (*extractor.parameters(), *extractor.buffers()):
            return tensor.device
    return torch.device("cpu")
