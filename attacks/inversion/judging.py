"""How far a reconstruction gives a person away: by identity first, by likeness second."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from auditor.embedding import embed, features_of
from auditor.metrics import measure
from auditor.metrics.perceptual import PerceptualDistance, psnr, ssim
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.report import Measurement
from auditor.types import FeatureExtractor, RunContext, Target

CHUNK = 64
EXHIBITED = 12


def identified(
    name: str,
    judge: FeatureExtractor,
    target: Target,
    drawn: Tensor,
    originals: Tensor,
    chosen: Tensor,
    ctx: RunContext,
) -> tuple[list[Measurement], str]:
    """Type-II re-identification of the reconstructions, as ``judge`` sees them.

    Returns rank-1 and mAP with the feature-blind floor as chance, and a sentence with the ceiling.
    """
    pids, camids = target.data.gallery.pids[chosen], target.data.gallery.camids[chosen]
    # the floor: each reconstruction passed off as the next person's
    other = len(chosen) // 2
    wrong = pids.roll(other), camids.roll(other), chosen.roll(other)
    seen = _judge_features(judge, drawn, ctx)
    real = _search(judge, target, seen, pids, camids, chosen, ctx)
    floor = _search(judge, target, seen, *wrong, ctx)
    ceiling = _search(
        judge, target, _judge_features(judge, originals, ctx), pids, camids, chosen, ctx
    )
    suffix = "" if name == "target" else f".{name}"
    valid = pids[real.query_index]
    rank1 = measure.rate(f"reid_rank1{suffix}", real.hit(1), valid, chance=floor.cmc(1))
    mean_ap = measure.mean(f"reid_map{suffix}", real.average_precision, valid, chance=floor.mean_ap)
    who = "the audited extractor" if name == "target" else f"the independent judge {name}"
    note = (
        f"judged by {who}: the real pictures at this size reach rank-1 {ceiling.cmc(1):.3f} "
        f"and mAP {ceiling.mean_ap:.3f}"
    )
    return [rank1, mean_ap], note


def _judge_features(judge: FeatureExtractor, images: Tensor, ctx: RunContext) -> Tensor:
    size = judge.input_size
    resized = F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)
    return torch.cat([embed(judge, part.to(ctx.device)).cpu() for part in resized.split(CHUNK)])


def _search(
    judge: FeatureExtractor,
    target: Target,
    queries: Tensor,
    pids: Tensor,
    camids: Tensor,
    sources: Tensor,
    ctx: RunContext,
) -> Retrieval:
    """Look the queries up among all real pictures of the attacked people, sources set aside."""
    data = target.data
    places = (data.gallery, data.query)
    return evaluate(
        queries,
        torch.cat([features_of(judge, split, ctx) for split in places]),
        pids,
        torch.cat([split.pids for split in places]),
        camids,
        torch.cat([split.camids for split in places]),
        cross_camera=data.cross_camera,
        query_sources=sources,
    )


def alike(
    drawn: Tensor, originals: Tensor, pids: Tensor, distance: PerceptualDistance
) -> list[Measurement]:
    """PSNR, SSIM and LPIPS; the chance level is another person's reconstruction."""
    other = drawn.roll(len(drawn) // 2, 0)
    device = next(distance.parameters()).device

    def perceived(images: Tensor, truths: Tensor) -> Tensor:
        pairs = zip(images.split(CHUNK), truths.split(CHUNK), strict=True)
        with torch.no_grad():
            return torch.cat([distance(a.to(device), b.to(device)).cpu() for a, b in pairs])

    rows = (
        ("psnr", psnr, "dB", "higher", ""),
        ("ssim", ssim, "ratio", "higher", ""),
        (distance.name, perceived, "distance", "lower", distance.note),
    )
    return [
        measure.mean(
            name,
            metric(drawn, originals),
            pids,
            chance=float(metric(other, originals).mean()),
            unit=unit,
            worse=worse,
            note=note,
        )
        for name, metric, unit, worse, note in rows
    ]


def save_strip(path: Path, originals: Tensor, drawn: Tensor) -> None:
    """Two rows of pictures: originals above, reconstructions below, spread over the people."""
    step = max(1, len(originals) // EXHIBITED)
    rows = [torch.cat(list(images[::step][:EXHIBITED]), dim=2) for images in (originals, drawn)]
    grid = torch.cat(rows, dim=1).mul(255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(grid).save(path)
