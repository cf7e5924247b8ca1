"""The only way to a model: `embed` without gradients, `pullback` for white-box attacks.

Features are computed once per (extractor, split) and kept in ``ctx.cache``; the stored gallery is
released once per target, so that every attack, and utility, meet the same noise draw.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import torch
from torch import Tensor

from auditor.data.features.rows import StoredFeatures
from auditor.data.images import are_files
from auditor.data.loading_ahead import LoadingAhead, worth_it
from auditor.data.records import records_of
from auditor.data.tracklets import look_behind, pictures_of, pool_rows
from auditor.errors import ModelError, UnsupportedTargetError
from auditor.plugins.containment import contain
from auditor.releasing import (
    as_is,
    by_record,
    release_blocks,
    release_records,
    stored_rows,
    written_rows,
)
from auditor.resizing import resize_pixels
from auditor.row_blocks import split_rows
from auditor.types import FeatureExtractor, RunContext, Split, Target

BATCH = 64

log = logging.getLogger(__name__)


def embed(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return features ``(B, D)`` float32 of images ``(B, 3, H, W)``, without a graph.

    Raises:
        ModelError: if the features have another shape or are not finite.
    """
    with torch.no_grad(), contain("the model"):
        features = extractor(images).float()
    if features.shape != (len(images), extractor.feature_dim):
        raise ModelError(
            f"the extractor gave features of shape {tuple(features.shape)} for {len(images)} "
            f"images; expected ({len(images)}, {extractor.feature_dim})"
        )
    if not torch.isfinite(features).all():
        bad = int((~torch.isfinite(features)).any(1).sum())
        raise ModelError(
            f"the extractor gave NaN or infinity for {bad} of {len(images)} images; "
            "check the export, the precision and the preprocessing card"
        )
    return features


def pullback(
    extractor: FeatureExtractor, images: Tensor
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return features and the map from a cotangent on them to a gradient on the images.

    Args:
        extractor: a differentiable extractor.
        images: ``(B, 3, H, W)``.

    Returns:
        Features ``(B, D)`` without a graph, and a function ``(B, D) -> (B, 3, H, W)``, the
        vector-Jacobian product, which may be called once.

    Raises:
        UnsupportedTargetError: if the extractor is a black box.
    """
    if not differentiable(extractor):
        raise UnsupportedTargetError("the extractor is a black box: it has no gradients")
    leaf = images.detach().requires_grad_(True)
    with torch.enable_grad(), contain("the model"):
        features = extractor(leaf)

    def pull(cotangent: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(features, leaf, cotangent)
        return gradient

    return features.detach(), pull


class _Through(torch.autograd.Function):
    """An extractor as one node of a larger graph, reached by its pullback alone."""

    @staticmethod
    def forward(ctx, images: Tensor, extractor: FeatureExtractor) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
        features, ctx.pull = pullback(extractor, images)
        return features

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return ctx.pull(cotangent), None


def embed_with_gradient(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return features ``(B, D)`` through which a loss reaches ``images``.

    See `pullback` for errors.
    """
    features: Tensor = _Through.apply(images, extractor)
    return features


def differentiable(extractor: FeatureExtractor) -> bool:
    """Return whether the extractor offers gradients; an extractor that does not say, does."""
    return bool(getattr(extractor, "differentiable", True))


def embed_pictures(extractor: FeatureExtractor, images: Tensor, ctx: RunContext) -> Tensor:
    """Return features ``(M, D)`` on the CPU of pictures ``(M, 3, H, W)`` of any size."""
    resized = resize_pixels(images, extractor.input_size).clamp(0, 1)
    return embed_rows(extractor, len(images), lambda rows: resized[rows], ctx)


def features_of(extractor: FeatureExtractor, split: Split, ctx: RunContext) -> Tensor:
    """Clean features ``(N, D)`` float32 of a split on the CPU, computed once per run.

    Raises:
        UnsupportedTargetError: if features came without a model, and none of these pictures.
    """
    if isinstance(extractor, StoredFeatures):
        return extractor.rows(split.images)
    return ctx.cache.features(extractor, split, lambda: _embed_split(extractor, split, ctx))


def _embed_split(extractor: FeatureExtractor, split: Split, ctx: RunContext) -> Tensor:
    behind = look_behind(split.images)
    if behind is not None:
        # nobody else asks for the features of the single pictures in this run
        own = replace(ctx, cache=ctx.cache.branch())
        rows = features_of(extractor, pictures_of(split), own)
        return pool_rows(rows, behind.groups, behind.pooling)

    def load(rows: slice) -> Tensor:
        return split.images.load(range(rows.start, rows.stop), extractor.input_size)

    def tell(fraction: float) -> None:
        ctx.progress(fraction, "embedding")

    if not (are_files(split.images) and worth_it(ctx.device)):
        return embed_rows(extractor, len(split), load, ctx, tell=tell)
    with closing(LoadingAhead(load, len(split), pinned=True)) as ahead:
        return embed_rows(extractor, len(split), ahead, ctx, tell=tell)


def embed_rows(
    extractor: FeatureExtractor,
    count: int,
    load: Callable[[slice], Tensor],
    ctx: RunContext,
    *,
    size: int = BATCH,
    tell: Callable[[float], None] | None = None,
) -> Tensor:
    """Return features ``(count, D)`` on the CPU, in smaller batches once the device is full.

    Args:
        extractor: of the features.
        count: of pictures.
        load: rows to their pictures ``(B, 3, H, W)``.
        ctx: says where to compute.
        size: of a batch, at most.
        tell: told which share is done, after each batch.
    """
    features = torch.empty(count, extractor.feature_dim)
    start = 0
    while start < count:
        rows = slice(start, min(start + size, count))
        try:
            features[rows] = embed(extractor, load(rows).to(ctx.device, non_blocking=True)).cpu()
        except (ModelError, torch.OutOfMemoryError) as error:
            if size == 1 or not _out_of_memory(error):
                raise
            size //= 2
            log.warning("%s is out of memory; features are computed %d at a time", ctx.device, size)
            if ctx.device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        start = rows.stop
        if tell is not None:
            tell(start / count)
    return features


def _out_of_memory(error: BaseException | None) -> bool:
    """Return whether the error, or what it came from, is that of a device without free memory."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__
    return error is not None


def released_split(
    target: Target,
    split: Split,
    ctx: RunContext,
    generator: torch.Generator,
    extractor: FeatureExtractor | None = None,
) -> Tensor:
    """Return one more release ``(N, D)`` of a split whose rows a deployment stores as its records.

    A release that goes by record hands out the same noise for the same record. Features that are
    nobody's record, such as an adversary's own, go through ``target.release`` itself.

    Args:
        target: whose release it is.
        split: what is stored.
        ctx: for features and names of records.
        generator: randomness of this release.
        extractor: of the features; the target's own by default.
    """
    extractor = extractor or target.extractor
    clean = features_of(extractor, split, ctx)
    if not by_record(target.release):
        return target.release(clean, generator)
    return release_records(target.release, clean, generator, records_of(extractor, split, ctx))


def released_blocks(
    target: Target, split: Split, ctx: RunContext, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield `released_split` in blocks of rows, which are drawn as they are asked for if it can."""
    if by_record(target.release):
        return split_rows(released_split(target, split, ctx, generator))
    return release_blocks(target.release, features_of(target.extractor, split, ctx), generator)


def stored_gallery(target: Target, ctx: RunContext) -> Tensor:
    """Return the stored gallery features ``(N, D)``: one release, the same for everyone."""
    if target.release is as_is:
        return features_of(target.extractor, target.data.gallery, ctx)
    with contain("the release"):
        return ctx.cache.stored_gallery(target, lambda: _store(target, ctx))


def _store(target: Target, ctx: RunContext) -> Tensor:
    """Return the rows that a deployment wrote, where it did, or else one release."""
    gallery, written = target.data.gallery, written_rows(target.release)
    if written is None:
        return released_split(target, gallery, ctx, ctx.generator("release"))
    return stored_rows(written, features_of(target.extractor, gallery, ctx))
