"""What every rung of inversion shares: the adversary's pairs, and a trial of what it learned."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.inversion.agreement import agreement
from attacks.inversion.pooling import pool_stored
from attacks.inversion.scoring import CHUNK, Trial, alike, save_strip, score_identity
from attacks.protocol.publication import some_own_pictures
from auditor.data.features.rows import StoredFeatures, has_pictures
from auditor.data.images import load_pixels
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target


@dataclass(frozen=True, eq=False)
class OwnPairs:
    """The adversary's own pictures, and what the extractor makes of them.

    Attributes:
        seen: ``(N, D)`` features as the gallery's were before their release: of the pictures as
            they are published.
        clean: ``(N, D)`` features of the pictures as they are.
        pixels: uint8 ``(N, 3, H, W)``, what is to be drawn: the pictures as they are.
    """

    seen: Tensor
    clean: Tensor
    pixels: Tensor


def auxiliary_pairs(target: Target, size: tuple[int, int], ctx: RunContext) -> OwnPairs:
    """Return what an inverter learns from.

    Raises:
        UnsupportedTargetError: if the adversary has no pictures, or nobody judges what is drawn.
    """
    if reason := why_undrawn(target, ctx):
        raise UnsupportedTargetError(reason)
    own = some_own_pictures(target, ctx)
    clean = features_of(target.extractor, own.clean, ctx)
    pixels = load_pixels(own.clean.images, size)
    return OwnPairs(*(tensor.to(ctx.device) for tensor in (own.features, clean, pixels)))


def why_undrawn(target: Target, ctx: RunContext) -> str:
    """Why no picture can be learned to be drawn and be judged; empty if nothing is in the way."""
    shown = (target.data.auxiliary, target.originals_of_gallery)
    if not all(has_pictures(split.images) for split in shown):
        return "this needs pictures, and the features came without any"
    if not ctx.judges and isinstance(target.extractor, StoredFeatures):
        return (
            "the features came without their model, so nothing can tell whom a reconstruction "
            "shows; name another model under judges"
        )
    return ""


def judge_reconstructions(
    inverter: nn.Module,
    per_person: int,
    pool: int,
    target: Target,
    ctx: RunContext,
    distance: PerceptualDistance,
) -> AttackResult:
    """Try a trained inverter on the stored gallery.

    Args:
        inverter: stored features ``(B, D)`` to pictures ``(B, 3, H, W)`` in [0, 1].
        per_person: reconstructions per attacked person.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        target: what was attacked.
        ctx: with the judges; see `judge_pictures`.
        distance: the perceptual distance to report.
    """
    chosen = choose(target.data.gallery.pids, per_person, ctx)
    entries = pool_stored(target, chosen, pool, ctx)
    drawn = reconstruct(inverter, entries, ctx.device)
    return judge_pictures(drawn, chosen, target, ctx, distance)


def judge_pictures(
    drawn: Tensor,
    chosen: Tensor,
    target: Target,
    ctx: RunContext,
    distance: PerceptualDistance,
) -> AttackResult:
    """Judge reconstructions ``(M, 3, H, W)`` of gallery entries ``chosen (M,)``.

    Identity comes first, under each of ``ctx.judges`` (the target's own extractor if there are
    none), then attributes, then likeness. The truth is what was there before any protection of the
    pictures.
    """
    height, width = drawn.shape[-2:]
    truth = target.originals_of_gallery
    originals = truth.images.load(chosen.tolist(), (height, width))
    trial = Trial(target, chosen, drawn, originals)
    measurements, notes = [], []
    for name, judge in _distinct(ctx.judges or {"target": target.extractor}).items():
        found, note = score_identity(name, judge, trial, ctx)
        measurements += found
        notes.append(note)
    found, note = agreement(trial, ctx)
    measurements += [*found, *alike(drawn, originals, truth.pids[chosen], distance)]
    notes += [note, "chance is the same figure for reconstructions of another person's feature"]
    path = ctx.workdir / "inversion.png"
    save_strip(path, originals, drawn)
    return AttackResult(tuple(measurements), {"reconstructions": path}, tuple(filter(None, notes)))


def _distinct(judges: Mapping[str, FeatureExtractor]) -> dict[str, FeatureExtractor]:
    """Return each network once, under its first name: in a control all labels name one."""
    first = {id(judge): name for name, judge in reversed(list(judges.items()))}
    return {name: judge for name, judge in judges.items() if first[id(judge)] == name}


def choose(pids: Tensor, per_person: int, ctx: RunContext) -> Tensor:
    """Up to ``per_person`` gallery positions for each person, in the order of pids."""
    order = torch.randperm(len(pids), generator=ctx.generator("attacks.inversion.choice"))
    chosen = []
    for pid in pids[pids > 0].unique():
        rows = order[pids[order] == pid]
        chosen.append(rows[:per_person])
    return torch.cat(chosen)


def reconstruct(inverter: nn.Module, features: Tensor, device: torch.device) -> Tensor:
    """Return pictures ``(N, 3, H, W)`` on the CPU from stored features ``(N, D)``."""
    inverter.to(device)
    with torch.no_grad():
        parts = [inverter(part.to(device)).cpu() for part in features.split(CHUNK)]
    return torch.cat(parts)
