"""How alike queries and gallery entries are, block by block, and who is right for whom."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from auditor.errors import ModelError
from auditor.types import Split

Distance = Literal["cosine", "euclidean"]

Scores = Callable[[slice], Tensor]
"""A block of queries to a fresh ``(B, G)`` tensor of similarities, the nearest entry highest."""

ALIGN = 64
"""Gallery rows are padded to this multiple: odd row counts halve the speed of the product."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Which gallery entries are right for a query, and which are not ranked for it at all.

    Attributes:
        query_pids: ``(Q,)``; likewise the other columns of queries.
        gallery_pids: ``(G,)``; 0 marks distractors, which match nobody.
        query_camids: ``(Q,)``; −1 where not known.
        gallery_camids: ``(G,)``.
        cross_camera: ignore gallery entries of the query's person seen by the query's camera.
        query_sources: ``(Q,)`` gallery position each query was made from, or −1; never a match.
        gallery_partners: ``(G,)`` whoever a protection mixed into each entry, −1 nobody; the entry
            matches that person too. Its camera is the one that saw ``gallery_pids``, so partners
            match across all cameras.
    """

    query_pids: Tensor
    gallery_pids: Tensor
    query_camids: Tensor
    gallery_camids: Tensor
    cross_camera: bool = True
    query_sources: Tensor | None = None
    gallery_partners: Tensor | None = None

    @classmethod
    def of(
        cls,
        query: Split,
        gallery: Split,
        *,
        cross_camera: bool = True,
        partners: Tensor | None = None,
    ) -> "Truth":
        """Who is who among the pictures of two splits; ``partners`` are the gallery's."""
        columns = query.pids, gallery.pids, query.camids, gallery.camids
        return cls(*columns, cross_camera=cross_camera, gallery_partners=partners)

    def relevant(self, block: slice) -> tuple[Tensor, Tensor]:
        """The ``matches`` and the ``ignored`` entries ``(B, G)`` of a block of queries."""
        pids = self.query_pids[block][:, None]
        same = (pids == self.gallery_pids) & (self.gallery_pids > 0)
        ignored = torch.zeros_like(same)
        if self.cross_camera:
            camids = self.query_camids[block][:, None]
            ignored = same & (camids == self.gallery_camids) & (camids >= 0)
        if self.query_sources is not None:
            source = self.query_sources[block]
            has = (source >= 0).nonzero().flatten()
            ignored[has, source[has]] = True
        if self.gallery_partners is not None:
            same |= (pids == self.gallery_partners) & (self.gallery_partners > 0)
        return same & ~ignored, ignored

    def to(self, device: torch.device) -> "Truth":
        """The same columns on another device."""
        columns: dict[str, Any] = {
            k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **columns)


@dataclass(frozen=True, eq=False)
class Similarities:
    """Features made ready to be compared; called with a block of queries, they are `Scores`.

    Attributes:
        query: ``(Q, D)`` float32.
        gallery: ``(G', D)`` float32, padded with zeros to a multiple of `ALIGN`.
        bias: ``(1, G')``, what a gallery entry loses whoever asks.
        count: G.
        distance: what the deployment ranks by.
    """

    query: Tensor
    gallery: Tensor
    bias: Tensor
    count: int
    distance: Distance

    @classmethod
    def of(cls, query: Tensor, gallery: Tensor, distance: Distance) -> "Similarities":
        """Of ``(Q, D)`` and ``(G, D)``.

        Raises:
            ModelError: for non-finite features, which would rank like chance and look private.
        """
        for name, features in (("query", query), ("gallery", gallery)):
            if not torch.isfinite(features).all():
                raise ModelError(
                    f"the {name} features contain NaN or infinity; they cannot be ranked"
                )
        query, gallery = query.float(), gallery.float()
        count, padding = len(gallery), -len(gallery) % ALIGN
        bias = torch.zeros(count + padding, device=gallery.device)
        if distance == "cosine":
            query = torch.nn.functional.normalize(query, dim=1)
            gallery = torch.nn.functional.normalize(gallery, dim=1)
        else:
            # −‖q − g‖² up to a constant per query
            bias[:count] = -gallery.square().sum(1)
            query = 2 * query
        padded = torch.nn.functional.pad(gallery, (0, 0, 0, padding))
        return cls(query, padded, bias[None], count, distance)

    def __call__(self, block: slice) -> Tensor:
        """Scores ``(B, G)`` that rank like ``distance``."""
        return torch.addmm(self.bias, self.query[block], self.gallery.T)[:, : self.count]

    def similarity(self, rows: Tensor, scores: Tensor) -> Tensor:
        """``scores (R, …)`` of the queries ``rows (R,)`` as cosines, or minus the distance."""
        if self.distance == "cosine":
            return scores
        square = self.query[rows.to(self.query.device)].square().sum(1).to(scores.device) / 4
        square = square.reshape(-1, *[1] * (scores.dim() - 1)) - scores
        return -square.clamp_min(0).sqrt()
