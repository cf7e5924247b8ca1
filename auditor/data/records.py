"""What a record is: one picture, or the pictures of one tracklet, seen through one network.

The feature of a picture differs in its last bits from batch to batch and machine to machine, so a
feature is no name for a record. A picture's file is; where features came without a model, nothing
is computed twice, and the stored row is its own name. The network belongs to it, because the same
noise on the features of two networks would cancel out in their difference.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from auditor.data.features.rows import StoredFeatures
from auditor.data.images import as_bytes, file_of
from auditor.data.tracklets import look_behind, pictures_of
from auditor.types import FeatureExtractor, RunContext, Split

LENGTH = 32
"""Bytes of a name."""


def records_of(extractor: FeatureExtractor, split: Split, ctx: RunContext) -> Tensor:
    """Return a name ``(N, LENGTH)`` uint8 for each row; made once per run."""

    def name() -> Tensor:
        network = network_digest(extractor)
        names = [hashlib.sha256(network + digest).digest() for digest in _digests(extractor, split)]
        return torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8).view(-1, LENGTH)

    return ctx.cache.records(extractor, split, name)


def _digests(extractor: FeatureExtractor, split: Split) -> Iterator[bytes]:
    """One for each row: of its picture, or of what is stored where there is nothing else."""
    if isinstance(extractor, StoredFeatures):
        for row in extractor.rows(split.images):
            yield hashlib.sha256(row.numpy().tobytes()).digest()
        return
    behind = look_behind(split.images)
    if behind is None:
        yield from (picture_digest(split, place) for place in range(len(split)))
        return
    pictures, start = pictures_of(split), 0
    for group in behind.groups:
        rows = range(start, start := start + len(group))
        yield hashlib.sha256(b"".join(picture_digest(pictures, row) for row in rows)).digest()


def picture_digest(split: Split, row: int) -> bytes:
    """Return the SHA-256 of the picture's file, or of its pixels at 128 × 64 where it has none."""
    path = file_of(split.images, row)
    if path is not None:
        return hashlib.sha256(path.read_bytes()).digest()
    pixels = as_bytes(split.images.load([row], (128, 64)))
    return hashlib.sha256(pixels.numpy().tobytes()).digest()


def network_digest(extractor: FeatureExtractor) -> bytes:
    """Return the SHA-256 of the weights, and of the kind of the extractor, where it shows any."""
    digest = hashlib.sha256(type(extractor).__qualname__.encode())
    digest.update(f"{extractor.feature_dim} {extractor.input_size}".encode())
    weights = extractor.state_dict() if isinstance(extractor, nn.Module) else {}
    for name, value in sorted(weights.items()):
        if isinstance(value, Tensor):
            digest.update(name.encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()
