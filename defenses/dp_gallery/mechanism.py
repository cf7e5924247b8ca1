"""The release itself: rows are bounded, then noise is added that a secret and a nonce decide."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.plugins.declaring import Positive
from auditor.row_blocks import join_blocks, split_rows
from defenses.dp_gallery.noise import Noise, Rows

Clip = Positive | Literal["unit", "none"]
"""Unit norm for every row; at most this L2 norm; or rows as they are."""


def bound_norms(features: Tensor, clip: Clip) -> Tensor:
    """Features ``(N, D)`` to rows whose norm is bounded, row by row and without looking at others.

    Shorter rows than ``clip`` stay as they are.
    """
    if clip == "none":
        return features
    if clip == "unit":
        return F.normalize(features, dim=1)
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True).clamp_min(1e-12)
    return features * torch.clamp_max(clip / norms, 1.0)


def diameter(clip: Clip, norm: Literal["L1", "L2"], dim: int) -> float | None:
    """Return how far two bounded rows can lie apart; None if nothing bounds it.

    A ball of L2 radius C reaches C√D in the L1 norm.

    >>> diameter("unit", "L2", 256), diameter(3.0, "L1", 4), diameter("none", "L2", 4)
    (2.0, 12.0, None)
    """
    if clip == "none":
        return None
    reach = 1.0 if clip == "unit" else float(clip)
    return 2 * reach * (math.sqrt(dim) if norm == "L1" else 1.0)


@dataclass(frozen=True)
class Mechanism:
    """A release of noisy rows, drawn from a keyed generator (Philox, keyed by BLAKE2).

    torch's generator knows 2³² seeds, few enough to try them all; so what it gives is only the
    nonce, and the secret adds the rest.

    Attributes:
        noise: on every coordinate.
        clip: how rows are bounded.
        secret: whoever knows it can take the noise off again.
    """

    noise: Noise
    clip: Clip
    secret: bytes

    any_device: ClassVar[bool] = True
    """The keyed noise is drawn on the CPU and sent to where the features are, not they to it."""

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Map features ``(N, D)`` to released rows ``(N, D)``; the input stays as it is."""
        return join_blocks(self.stream(split_rows(features), generator), len(features))

    def stream(self, blocks: Iterable[Tensor], generator: torch.Generator) -> Iterator[Tensor]:
        """See `auditor.releasing.Streaming`: the same draws, of which few are held at a time."""
        nonce = torch.randint(256, (16,), generator=generator, dtype=torch.uint8)
        drawing = self._make_generator(nonce.numpy().tobytes())
        return (self._add_noise(block, drawing) for block in blocks)

    def _add_noise(self, features: Tensor, drawing: np.random.Generator) -> Tensor:
        rows = bound_norms(features, self.clip)
        return rows + torch.from_numpy(self.noise.draw(tuple(rows.shape), drawing)).to(rows)

    def _make_generator(self, nonce: bytes) -> np.random.Generator:
        digest = hashlib.blake2b(nonce, key=self.secret, digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "big")))


@dataclass(frozen=True)
class StickyMechanism(Mechanism):
    """A mechanism whose nonce is the record, so that it has the same noise in every release.

    Where nobody knows the records, each release draws anew.
    """

    def of_records(self, features: Tensor, generator: torch.Generator, records: Tensor) -> Tensor:
        """See `auditor.releasing.ByRecord`."""
        pairs = zip(split_rows(features), split_rows(records), strict=True)
        return join_blocks((self._add_own(*pair) for pair in pairs), len(features))

    def _add_own(self, features: Tensor, records: Tensor) -> Tensor:
        rows = bound_norms(features, self.clip)
        names = [name.tobytes() for name in records.numpy()]
        drawn: list[Rows] = [
            self.noise.draw(rows.shape[1:], self._make_generator(name)) for name in names
        ]
        return rows + torch.from_numpy(np.stack(drawn)).to(rows) if drawn else rows


def secret_of(seed: int, name: str) -> bytes:
    """32 bytes that follow from a seed; as hard to guess as the seed is."""
    return hashlib.sha256(f"{seed}/{name}/secret".encode()).digest()


def spread(features: Tensor, clip: Clip) -> float:
    """Return the standard deviation of all values of features ``(N, D)`` once they are bounded."""

    def add(term: Callable[[Tensor], Tensor]) -> float:
        rows = (bound_norms(block, clip).double() for block in split_rows(features))
        return sum(float(term(block).sum()) for block in rows)

    mean = add(lambda rows: rows) / features.numel()
    return math.sqrt(add(lambda rows: (rows - mean).square()) / features.numel())
