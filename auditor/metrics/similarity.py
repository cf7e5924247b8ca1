"""How alike queries and gallery entries are, block by block, and who is right for whom."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from auditor.errors import ModelError
from auditor.types import Split

Distance = Literal["cosine", "euclidean"]

Scores = Callable[[slice], Tensor]
"""A block of queries to a fresh ``(B, G)`` tensor of similarities, the nearest entry highest."""

ALIGN = 64
"""Products are made for so many gallery rows, or a multiple: odd counts halve their speed."""
CHUNK = 2048
"""Gallery rows multiplied at once: with a block of queries, their scores stay in the cache."""
TINY = 1e-12
"""Shortest length a row is divided by, as in `torch.nn.functional.normalize`."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Queries and gallery entries that belong together: ``row (P,)`` of a block, ``entry (P,)``."""

    row: Tensor
    entry: Tensor

    def __getitem__(self, chosen: Tensor) -> "Pairs":
        return Pairs(self.row[chosen], self.entry[chosen])

    def mask(self, shape: torch.Size) -> Tensor:
        """Return the same as booleans ``(B, G)``."""
        mask = torch.zeros(shape, dtype=torch.bool, device=self.row.device)
        mask[self.row, self.entry] = True
        return mask


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
        """Return who is who among the pictures of two splits; ``partners`` are the gallery's."""
        columns = query.pids, gallery.pids, query.camids, gallery.camids
        return cls(*columns, cross_camera=cross_camera, gallery_partners=partners)

    def relevant(self, block: slice) -> tuple[Pairs, Pairs]:
        """Return the matches of a block of queries, by row, and the entries ignored for them.

        O(B log G + P) for P pairs: nobody is compared with the whole gallery.
        """
        people, entries, own = self._by_person
        pids = self.query_pids[block].contiguous()
        first = torch.searchsorted(people, pids)
        count = torch.searchsorted(people, pids, right=True) - first
        row = torch.arange(len(pids), device=pids.device).repeat_interleave(count)
        place = torch.arange(len(row), device=pids.device) - (count.cumsum(0) - count)[row]
        chosen = first[row] + place
        found = Pairs(row, entries[chosen])
        dropped = torch.zeros_like(row, dtype=torch.bool)
        if self.cross_camera:
            camids = self.query_camids[block][row]
            here = (camids == self.gallery_camids[found.entry]) & (camids >= 0)
            dropped = here & own[chosen]
        ignored = found[dropped]
        if self.query_sources is not None:
            sources = self.query_sources[block]
            dropped |= sources[row] == found.entry
            has = (sources >= 0).nonzero().flatten()
            ignored = Pairs(
                torch.cat([ignored.row, has]), torch.cat([ignored.entry, sources[has].long()])
            )
        return found[~dropped], ignored

    @cached_property
    def _by_person(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sorted pids, their gallery entries, and whether each is the entry's own pid."""
        people = self.gallery_pids
        entries = (people > 0).nonzero().flatten()
        pids, own = people[entries], torch.ones_like(entries, dtype=torch.bool)
        if self.gallery_partners is not None:
            others = self.gallery_partners.to(people)
            mixed = ((others > 0) & (others != people)).nonzero().flatten()
            pids, entries = torch.cat([pids, others[mixed]]), torch.cat([entries, mixed])
            own = torch.cat([own, torch.zeros_like(mixed, dtype=torch.bool)])
        pids, order = pids.sort(stable=True)
        return pids, entries[order], own[order]

    def to(self, device: torch.device) -> "Truth":
        """Return the same columns on another device."""
        columns: dict[str, Any] = {
            k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **columns)


@dataclass(frozen=True, eq=False)
class Similarities:
    """Features made ready to be compared; called with a block of queries, they are `Scores`.

    The features stay where and as they are: a gallery may be a memory-mapped file.

    Attributes:
        query: ``(Q, D)`` as given.
        gallery: ``(G, D)`` as given.
        scale: ``(G,)`` float32, what an entry's product is multiplied by; None: nothing.
        bias: ``(G,)`` float32, what an entry gains whoever asks; None: nothing.
        distance: what the deployment ranks by.
    """

    query: Tensor
    gallery: Tensor
    scale: Tensor | None
    bias: Tensor | None
    distance: Distance

    @classmethod
    def of(cls, query: Tensor, gallery: Tensor, distance: Distance) -> "Similarities":
        """Of ``(Q, D)`` and ``(G, D)``.

        Raises:
            ModelError: for non-finite features, which would rank like chance and look private.
        """
        _squares("query", query)
        squares = _squares("gallery", gallery)
        if distance == "cosine":
            return cls(query, gallery, 1 / squares.sqrt().clamp_min(TINY), None, distance)
        # −‖q − g‖² up to a constant per query
        return cls(query, gallery, None, -squares, distance)

    def __call__(self, block: slice) -> Tensor:
        """Return scores ``(B, G)`` that rank like ``distance``."""
        query = self._asking(self.query[block])
        width = self._width
        scores = query.new_empty(len(query), -(-len(self.gallery) // width) * width)
        for start in range(0, len(self.gallery), width):
            part = slice(start, start + width)
            into = scores[:, part]
            torch.mm(query, self._rows(part).T, out=into)
            if self.scale is not None:
                into[:, : len(self.scale[part])].mul_(self.scale[part])
            if self.bias is not None:
                into[:, : len(self.bias[part])].add_(self.bias[part])
        return scores[:, : len(self.gallery)]

    @property
    def _width(self) -> int:
        """Gallery rows per product: the same for all, or equal rows could differ by rounding."""
        count = max(1, len(self.gallery))
        products = -(-count // CHUNK)
        return -(-count // (products * ALIGN)) * ALIGN

    def _rows(self, part: slice) -> Tensor:
        """Return ``(width, D)`` gallery rows in single precision, the last ones zeros."""
        rows = self.gallery[part].float()
        missing = self._width - len(rows)
        return torch.nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows

    def of_pairs(self, rows: Tensor, entries: Tensor) -> Tensor:
        """Return scores ``(P,)`` of single pairs of query and gallery entry."""
        asked, stored = self._asking(self.query[rows]), self.gallery[entries].float()
        scores: Tensor = torch.linalg.vecdot(asked, stored)
        if self.scale is not None:
            scores *= self.scale[entries]
        return scores if self.bias is None else scores + self.bias[entries]

    def _asking(self, query: Tensor) -> Tensor:
        """Scale queries ``(B, D)`` so that their product with gallery rows gives scores."""
        query = query.float()
        return (
            torch.nn.functional.normalize(query, dim=1) if self.distance == "cosine" else 2 * query
        )

    def similarity(self, rows: Tensor, scores: Tensor) -> Tensor:
        """``scores (R, …)`` of the queries ``rows (R,)`` as cosines, or minus the distance."""
        if self.distance == "cosine":
            return scores
        square = self.query[rows.to(self.query.device)].float().square().sum(1).to(scores.device)
        square = square.reshape(-1, *[1] * (scores.dim() - 1)) - scores
        return -square.clamp_min(0).sqrt()


def _squares(name: str, features: Tensor) -> Tensor:
    """``(N,)`` float32 squared lengths of rows, which are read once and never copied as a whole.

    Raises:
        ModelError: for features that are not finite.
    """
    parts = []
    for rows in features.split(CHUNK):
        squares = rows.float().square().sum(1)
        # a square may also overflow, so what looks wrong is looked at again
        if not torch.isfinite(squares).all() and not torch.isfinite(rows).all():
            raise ModelError(f"the {name} features contain NaN or infinity; they cannot be ranked")
        parts.append(squares)
    return torch.cat(parts)
