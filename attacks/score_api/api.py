"""The verification service as its users meet it: a picture goes in, a score comes out."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.embedding import embed_pictures, stored_gallery
from auditor.types import RunContext, Target


class ScoreApi:
    """Cosines between submitted pictures and stored entries, and how often each was asked about.

    Args:
        target: whose stored gallery answers.
        ctx: of the run.
        decimals: places the scores are rounded to; None for as many as there are.
        top_k: an entry's score is shown only while it is among so many best of the gallery; None
            shows all.
        embed: pictures to features, where the customer protects pictures before they are submitted.

    Attributes:
        queries: ``(N,)`` pictures submitted against each gallery entry.
    """

    def __init__(
        self,
        target: Target,
        ctx: RunContext,
        decimals: int | None = None,
        top_k: int | None = None,
        embed: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.embed = embed or partial(embed_pictures, target.extractor, ctx=ctx)
        self.gallery = F.normalize(stored_gallery(target, ctx), dim=1)
        self.decimals, self.top_k = decimals, top_k
        self.queries = torch.zeros(len(self.gallery), dtype=torch.long)

    def ask(self, pictures: Tensor, entries: Tensor) -> Tensor:
        """Scores ``(B, E)`` of pictures ``(B, 3, H, W)`` with the entries ``(B, E)`` by position.

        NaN where the service shows nothing. Each score counts as a query, shown or not.
        """
        return self.answer(self.embed(pictures), entries)

    def answer(self, features: Tensor, entries: Tensor) -> Tensor:
        """Return the same for pictures whose features ``(B, D)`` are already known."""
        self.queries += entries.flatten().bincount(minlength=len(self.gallery))
        scores = self._hide_scores(F.normalize(features, dim=1), entries)
        return scores if self.decimals is None else scores.round(decimals=self.decimals)

    def answer_for_all(self, features: Tensor) -> Tensor:
        """Return scores ``(B, G)`` with all entries, of pictures whose features are known."""
        self.queries += len(features)
        scores = F.normalize(features, dim=1) @ self.gallery.T
        if self.top_k is not None:
            scores = scores.masked_fill(scores < self._worst_shown(scores), torch.nan)
        return scores if self.decimals is None else scores.round(decimals=self.decimals)

    def _worst_shown(self, scores: Tensor) -> Tensor:
        """Return for each picture ``(B, 1)`` the least of its scores ``(B, G)`` that is shown."""
        assert self.top_k is not None
        return scores.topk(min(self.top_k, len(self.gallery)), dim=1).values[:, -1:]

    def _hide_scores(self, unit: Tensor, entries: Tensor) -> Tensor:
        if self.top_k is None:
            asked, place = entries.unique(return_inverse=True)
            return (unit @ self.gallery[asked].T).gather(1, place)
        scores = unit @ self.gallery.T
        shown = scores.gather(1, entries)
        return shown.masked_fill(shown < self._worst_shown(scores), torch.nan)
