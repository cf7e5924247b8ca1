"""Whose gradients are attacked, and how much of their pictures came back."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.adaptive.restoring import learn_restoring
from attacks.inversion.reconstruction import choose
from attacks.inversion.scoring import CHUNK, alike, save_strip
from attacks.protocol.matching import worse_of_each
from auditor.embedding import embed_pictures
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.metrics.perceptual import PerceptualDistance, psnr
from auditor.report import Measurement
from auditor.types import AttackResult, RunContext, Target, as_is

BLIND = 500
"""Auxiliary pictures whose mean is the guess of an adversary without a gradient."""


@dataclass(frozen=True, eq=False)
class Victims:
    """Pictures of B people, one each, as clients train on them.

    Attributes:
        pids: ``(B,)``.
        published: ``(B, 3, H, W)`` what the clients train on, protected where the deployment
            protects pictures.
        originals: ``(B, 3, H, W)`` what success is judged by; the same where nothing is protected.
        features: ``(B, D)`` of the originals, by the audited extractor.
        protected: whether published and originals differ.
    """

    pids: Tensor
    published: Tensor
    originals: Tensor
    features: Tensor
    protected: bool

    @property
    def labels(self) -> Tensor:
        """The class ``(B,)`` of each person in the clients' identity softmax of B people."""
        return torch.arange(len(self.pids))


@dataclass(frozen=True, eq=False)
class Found:
    """Reconstructed pictures ``(B, 3, H, W)`` in [0, 1] and the labels ``(B,)`` believed in."""

    pictures: Tensor
    labels: Tensor


def choose_victims(
    target: Target, count: int, size: tuple[int, int], ctx: RunContext, name: str
) -> Victims:
    """Return one gallery picture each of up to ``count`` people, both drawn at random.

    Raises:
        UnsupportedTargetError: if the gallery contains fewer than two people.
    """
    gallery = target.data.gallery
    one_each = choose(gallery.pids, 1, ctx) if (gallery.pids > 0).any() else torch.empty(0)
    if len(one_each) < 2:
        raise UnsupportedTargetError(
            "an identity softmax needs two people, and the gallery contains "
            f"{len(one_each)}; give gallery pictures of two people or more"
        )
    drawn = torch.randperm(len(one_each), generator=ctx.generator(f"attacks.{name}.choice"))
    rows = one_each[drawn[:count]].sort().values
    published = gallery.images.load(rows.tolist(), size)
    sources = None if target.protection is None else target.protection.originals
    originals = published if sources is None else sources.images.load(rows.tolist(), size)
    features = embed_pictures(target.extractor, originals, ctx)
    return Victims(gallery.pids[rows], published, originals, features, sources is not None)


def recover_in_batches(
    recover: Callable[[Tensor, Tensor, torch.Generator], Found],
    victims: Victims,
    batch_size: int,
    ctx: RunContext,
    name: str,
) -> Found:
    """Recover pictures ``(b, 3, H, W)`` with labels ``(b,)``, so many at a time."""
    generator, parts = ctx.generator(f"attacks.{name}"), []
    pairs = zip(victims.published.split(batch_size), victims.labels.split(batch_size), strict=True)
    for images, labels in pairs:
        parts.append(recover(images.to(ctx.device), labels.to(ctx.device), generator))
        ctx.progress(sum(len(p.labels) for p in parts) / len(victims.labels), "gradient inversion")
    pictures = torch.cat([part.pictures.clamp(0, 1).cpu() for part in parts])
    return Found(pictures, torch.cat([part.labels.cpu() for part in parts]))


def score_recovery(
    found: Found, victims: Victims, threshold_db: float, target: Target, ctx: RunContext, name: str
) -> AttackResult:
    """Return how often, and how closely, the pictures came back."""
    drawn, pids = found.pictures, victims.pids
    size = (drawn.shape[2], drawn.shape[3])
    blind = _blind_guess(target, size).expand_as(drawn)
    tries = {"as recovered": drawn}
    if victims.protected and len(target.data.auxiliary):
        tries["undone"] = learn_restoring(target, size, ctx)(drawn)
    likeness = {
        kind: _likeness(pictures, victims, blind, threshold_db, target, ctx)
        for kind, pictures in tries.items()
    }
    label = measure.rate(
        "label_recovered",
        (found.labels == victims.labels).double(),
        pids,
        chance=1 / len(victims.labels),
    )
    *close, same_feature = worse_of_each(likeness)
    measurements = [*close, label, same_feature]
    if victims.protected:
        published = victims.published
        measurements += [
            _measure_recovered("recovered_published", drawn, published, blind, pids, threshold_db),
            measure.mean("psnr_published", psnr(drawn, published), pids, unit="dB"),
        ]
    path = ctx.workdir / f"{name}.png"
    save_strip(path, victims.originals, tries[max(tries, key=lambda kind: likeness[kind][0].value)])
    notes = _notes(victims, threshold_db, target)
    return AttackResult(tuple(measurements), {"reconstructions": path}, notes)


def _likeness(
    drawn: Tensor,
    victims: Victims,
    blind: Tensor,
    threshold_db: float,
    target: Target,
    ctx: RunContext,
) -> list[Measurement]:
    """Return how close pictures ``(B, 3, H, W)`` come to the originals."""
    distance = PerceptualDistance(ctx.weights).to(ctx.device)
    truth, pids = victims.originals, victims.pids
    return [
        _measure_recovered("recovered", drawn, truth, blind, pids, threshold_db),
        *alike(drawn, truth, pids, distance),
        _measure_error(drawn, truth, pids),
        _same_feature(embed_pictures(target.extractor, drawn, ctx), victims.features, pids),
    ]


def _blind_guess(target: Target, size: tuple[int, int]) -> Tensor:
    """Return the mean auxiliary picture ``(1, 3, H, W)``; grey where the adversary has none."""
    images = target.data.auxiliary.images
    if not len(images):
        return torch.full((1, 3, *size), 0.5)
    rows = range(0, len(images), -(-len(images) // BLIND))
    parts = [images.load(part, size).sum(0) for part in _chunks(rows)]
    return torch.stack(parts).sum(0, keepdim=True) / len(rows)


def _chunks(rows: range) -> list[range]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _measure_recovered(
    metric: str, drawn: Tensor, truth: Tensor, blind: Tensor, pids: Tensor, threshold_db: float
) -> Measurement:
    """Return the share of pictures above the threshold; chance is the share of the blind guess."""
    return measure.rate(
        metric,
        (psnr(drawn, truth) > threshold_db).double(),
        pids,
        chance=float((psnr(blind, truth) > threshold_db).double().mean()),
        note=f"share of pictures that come back above {threshold_db:g} dB PSNR",
    )


def _measure_error(drawn: Tensor, truth: Tensor, pids: Tensor) -> Measurement:
    """Measure the squared error of pixels in [0, 1]; chance is another person's reconstruction."""

    def error(images: Tensor) -> Tensor:
        return (images - truth).square().mean((1, 2, 3))

    other = drawn.roll(len(drawn) // 2, 0)
    return measure.mean(
        "mse",
        error(drawn),
        pids,
        chance=float(error(other).mean()),
        worse="lower",
        unit="distance",
    )


def _same_feature(seen: Tensor, wanted: Tensor, pids: Tensor) -> Measurement:
    """Cosine of the audited extractor's features; chance is another person's reconstruction."""
    other = seen.roll(len(seen) // 2, 0)
    return measure.mean(
        "feature_cosine",
        F.cosine_similarity(seen, wanted),
        pids,
        chance=float(F.cosine_similarity(other, wanted).mean()),
        unit="ratio",
    )


def _notes(victims: Victims, threshold_db: float, target: Target) -> tuple[str, ...]:
    """Return how to read the figures."""
    notes = [
        f"{len(victims.pids)} people, one gallery picture each; recovered means above "
        f"{threshold_db:g} dB PSNR, and its chance is the mean auxiliary picture's share; every "
        "other chance is the figure of another person's reconstruction"
    ]
    if victims.protected:
        notes.append(
            "clients train on the protected pictures; recovered and likeness are judged by the "
            "originals, as recovered or with the protection undone as far as own pictures teach "
            "how, the figures named published by what the clients trained on"
        )
    if target.release is not as_is:
        notes.append(
            "gradients are shared while training, so a release of gallery features does not touch "
            "them"
        )
    return tuple(notes)
