"""What is sent to a black box, and what it answers: once per run, whoever learns from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.data.features.rows import StoredFeatures
from auditor.embedding import BATCH, embed_rows, features_of
from auditor.errors import BudgetSpentError, UnsupportedTargetError
from auditor.types import FeatureExtractor, Images, RunContext, Split, Target

LEAST = 100
"""Queries from which on something is learned."""
CROP = 0.9
"""A changed copy shows this share of the picture's height and width."""


@dataclass(frozen=True, eq=False)
class Windowed:
    """Another source's pictures, each seen through a window.

    Attributes:
        source: N pictures.
        windows: ``(N, 2, 3)``; see `look_through`.
    """

    source: Images
    windows: Tensor

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        return look_through(self.source.load(indices, size), self.windows[list(indices)])


@dataclass(frozen=True, eq=False)
class Queries:
    """Own pictures in the order in which they are sent.

    Attributes:
        own: the adversary's pictures.
        rows: ``(N,)`` which of them is sent.
        windows: ``(N, 2, 3)`` through which window; the first time through none.
    """

    own: Split
    rows: Tensor
    windows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> "Queries":
        """Return those from ``start`` to before ``stop``."""
        return Queries(self.own, self.rows[start:stop], self.windows[start:stop])

    def where(self, chosen: Tensor) -> "Queries":
        """Return those for which ``chosen (N,)`` is true."""
        return Queries(self.own, self.rows[chosen], self.windows[chosen])

    @property
    def images(self) -> Images:
        """The pictures."""
        return Windowed(self.own.take(self.rows).images, self.windows)


def plan_queries(own: Split, count: int, ctx: RunContext) -> Queries:
    """Plan ``count`` queries: own pictures as they are, then cropped and mirrored copies of them.

    Plans of different length begin alike.

    Raises:
        UnsupportedTargetError: if there are no own pictures.
    """
    if len(own) < 2:
        raise UnsupportedTargetError("the adversary has no auxiliary pictures to send")
    order = torch.randperm(len(own), generator=ctx.generator("attacks.extraction.order"))
    rows = order.repeat(-(-count // len(own)))[:count]
    windows = torch.eye(2, 3).expand(len(own), 2, 3)[:count]
    changed = draw_windows(count - len(windows), ctx.generator("attacks.extraction.windows"))
    return Queries(own, rows, torch.cat([windows, changed]))


def draw_windows(count: int, generator: torch.Generator) -> Tensor:
    """Draw windows ``(count, 2, 3)`` on most of a picture, half of which mirror it."""
    across, down, flip = torch.rand(count, 3, generator=generator).unbind(1)
    windows = torch.zeros(count, 2, 3)
    windows[:, 0, 0] = CROP * torch.where(flip < 0.5, -1.0, 1.0)
    windows[:, 1, 1] = CROP
    windows[:, :, 2] = (1 - CROP) * (2 * torch.stack([across, down], dim=1) - 1)
    return windows


def look_through(images: Tensor, windows: Tensor) -> Tensor:
    """Return what of images ``(B, 3, H, W)`` is seen through windows ``(B, 2, 3)``, as large.

    A window is an affine map as `torch.nn.functional.affine_grid` takes it.
    """
    grid = F.affine_grid(windows.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def ask(target: Target, queries: Queries, ctx: RunContext) -> Tensor:
    """Return the answers ``(N, D)`` to the first N queries: to all, if a service's budget lasts.

    An answer is bought once per run, by whichever attack or scenario is the first to ask.

    Raises:
        UnsupportedTargetError: if there is no model to ask, or its budget is spent.
    """
    if isinstance(target.extractor, StoredFeatures):
        raise UnsupportedTargetError("this asks the model, and the features came without it")
    answers = [torch.zeros(0, target.extractor.feature_dim)]
    for start in range(0, len(queries), BATCH):
        part = queries.part(start, start + BATCH)
        name = f"attacks.extraction.{start}.{len(part)}"
        answer = partial(_answer, target.extractor, part, start, ctx)
        try:
            answers.append(ctx.cache.publication(target.extractor, queries.own, name, answer))
        except BudgetSpentError:
            break
        ctx.progress((start + len(part)) / len(queries), "asking")
    found = torch.cat(answers)
    if len(found) < min(LEAST, len(queries)):
        raise UnsupportedTargetError(
            f"the service's budget was spent after {len(found)} answers; a student needs {LEAST}"
        )
    return found


def _answer(extractor: FeatureExtractor, part: Queries, start: int, ctx: RunContext) -> Tensor:
    """Return the answers to queries of which the first is number ``start``."""
    untouched = start + len(part) <= len(part.own)
    if untouched and ctx.cache.holds(extractor, part.own):
        return features_of(extractor, part.own, ctx)[part.rows]

    def load(rows: slice) -> Tensor:
        return part.images.load(range(rows.start, rows.stop), extractor.input_size)

    return embed_rows(extractor, len(part), load, ctx)
