"""What every rung of inversion shares: the adversary's pairs, and a trial of what it learned."""

import torch
from torch import Tensor, nn

from attacks.inversion.judging import CHUNK, alike, identified, save_strip
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.types import AttackResult, Images, RunContext, Target


def auxiliary_pairs(
    target: Target, size: tuple[int, int], ctx: RunContext
) -> tuple[Tensor, Tensor]:
    """Clean features ``(N, D)`` and uint8 pictures ``(N, 3, H, W)`` of the adversary's own people.

    Raises:
        UnsupportedTargetError: if there are none.
    """
    auxiliary = target.data.auxiliary
    if not len(auxiliary):
        raise UnsupportedTargetError("the adversary has no auxiliary pictures to learn from")
    clean = features_of(target.extractor, auxiliary, ctx).to(ctx.device)
    return clean, load_pixels(auxiliary.images, size).to(ctx.device)


def judged(
    inverter: nn.Module,
    size: tuple[int, int],
    per_person: int,
    target: Target,
    ctx: RunContext,
    distance: PerceptualDistance,
) -> AttackResult:
    """Try a trained inverter on the stored gallery: identity first, likeness second.

    Args:
        inverter: stored features ``(B, D)`` to pictures ``(B, 3, H, W)`` in [0, 1].
        size: (H, W).
        per_person: reconstructions per attacked person.
        target: what was attacked.
        ctx: with the judges; the target's own extractor judges if there are none.
        distance: the perceptual distance to report.
    """
    chosen = choose(target.data.gallery.pids, per_person, ctx)
    drawn = reconstruct(inverter, stored_gallery(target, ctx)[chosen], ctx.device)
    originals = target.data.gallery.images.load(chosen.tolist(), size)
    measurements, notes = [], []
    for name, judge in (ctx.judges or {"target": target.extractor}).items():
        found, note = identified(name, judge, target, drawn, originals, chosen, ctx)
        measurements += found
        notes.append(note)
    measurements += alike(drawn, originals, target.data.gallery.pids[chosen], distance)
    notes.append("chance is the same figure for reconstructions of somebody else's feature")
    path = ctx.workdir / "inversion.png"
    save_strip(path, originals, drawn)
    return AttackResult(tuple(measurements), {"reconstructions": path}, tuple(notes))


def load_pixels(images: Images, size: tuple[int, int]) -> Tensor:
    """All pictures as uint8 ``(N, 3, height, width)``."""
    pixels = torch.empty((len(images), 3, *size), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK):
        rows = range(start, min(start + CHUNK, len(images)))
        pixels[start : rows.stop] = (images.load(rows, size) * 255).round().byte()
    return pixels


def choose(pids: Tensor, per_person: int, ctx: RunContext) -> Tensor:
    """Up to ``per_person`` gallery positions for each person, in the order of pids."""
    order = torch.randperm(len(pids), generator=ctx.generator("attacks.inversion.choice"))
    chosen = []
    for pid in pids[pids > 0].unique():
        rows = order[pids[order] == pid]
        chosen.append(rows[:per_person])
    return torch.cat(chosen)


def reconstruct(inverter: nn.Module, features: Tensor, device: torch.device) -> Tensor:
    """Pictures ``(N, 3, H, W)`` on the CPU from stored features ``(N, D)``."""
    inverter.to(device)
    with torch.no_grad():
        parts = [inverter(part.to(device)).cpu() for part in features.split(CHUNK)]
    return torch.cat(parts)
