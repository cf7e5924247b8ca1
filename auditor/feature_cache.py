"""What is computed once in a run: features, stored galleries, names of records, publications.

The one place that says what such a thing depends on. Whoever needs one hands over how to compute
it and never sees a key, so that where features are kept (here: in memory, by identity of extractor
and split) can change without anybody else.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor

from auditor.lazy_copies import keep_rows

Published = TypeVar("Published")
Key = tuple[object, ...]
Copies = Callable[[], Tensor]


class Outlasting(Protocol):
    """Keeps features longer than a run."""

    def features(self, extractor: Any, split: Any, compute: Callable[[], Tensor]) -> Tensor:
        """Features ``(N, D)`` from an earlier run, or as ``compute`` gives them."""

    def holds(self, extractor: Any, split: Any) -> bool:
        """Whether an earlier run has kept them."""


class FeatureCache:
    """Gives everybody a copy (see `auditor.lazy_copies`): nobody changes another's figures.

    What is in it stays as it is. It can be forgotten, and is then computed anew.
    """

    def __init__(self, outlasting: Outlasting | None = None) -> None:
        """Start with nothing, and with what ``outlasting`` kept of earlier runs."""
        self._outlasting = outlasting
        self._features: dict[Key, Copies] = {}
        self._records: dict[Key, Copies] = {}
        self._stored: dict[Key, Copies] = {}
        self._publications: dict[Key, object] = {}

    def features(self, extractor: object, split: object, compute: Callable[[], Tensor]) -> Tensor:
        """Clean features ``(N, D)`` that ``extractor`` gives for the pictures of ``split``."""
        outlasting = self._outlasting
        if outlasting is None:
            return _once(self._features, (extractor, split), compute)
        return _once(
            self._features,
            (extractor, split),
            lambda: outlasting.features(extractor, split, compute),
        )

    def records(self, extractor: object, split: object, compute: Callable[[], Tensor]) -> Tensor:
        """Return the name ``(N, 32)`` of each row of ``split`` seen through ``extractor``."""
        return _once(self._records, (extractor, split), compute)

    def stored_gallery(self, target: object, compute: Callable[[], Tensor]) -> Tensor:
        """Return the gallery ``(N, D)`` of ``target`` after its one release."""
        return _once(self._stored, (target,), compute)

    def publication(
        self, target: object, split: object, name: str, publish: Callable[[], Published]
    ) -> Published:
        """Return ``split`` as ``target`` publishes it under the key called ``name``."""
        key = (target, split, name)
        if key not in self._publications:
            self._publications[key] = publish()
        return cast(Published, self._publications[key])

    def knows(self, extractor: object, split: object) -> bool:
        """Return whether the features of ``split`` need not be computed."""
        return (extractor, split) in self._features

    def holds(self, extractor: object, split: object) -> bool:
        """Return whether this run or an earlier one has the features of ``split``."""
        outlasting = self._outlasting
        return self.knows(extractor, split) or (
            outlasting is not None and outlasting.holds(extractor, split)
        )

    def add_features(self, extractor: object, split: object, rows: Tensor) -> None:
        """Take over features ``(N, D)`` that were computed elsewhere.

        Raises:
            TypeError: if they are known already.
        """
        if self.knows(extractor, split):
            raise TypeError("what was computed once in a run cannot be replaced")
        self._features[extractor, split] = keep_rows(rows)

    def add_part(self, whole: object, part: object, rows: Tensor) -> None:
        """Give ``part``, the ``rows (M,)`` of a split, whatever features the ``whole`` one has."""
        known = [(model, of) for (model, split), of in self._features.items() if split is whole]
        for model, features in known:
            self.add_features(model, part, features()[rows])

    def forget(self, *gone: object) -> None:
        """Drop what depends on any of ``gone``, and on the pictures published for them."""
        unwanted = set(gone)
        for key in [key for key in self._publications if unwanted.intersection(key)]:
            unwanted.add(self._publications.pop(key))
        for kept in (self._features, self._records, self._stored):
            for key in [key for key in kept if unwanted.intersection(key)]:
                del kept[key]

    def branch(self) -> "FeatureCache":
        """Return a cache that knows what this one knows, and keeps to itself what it computes.

        Publications, which are made of the same pictures whoever asks, both have in common.
        """
        own = FeatureCache(self._outlasting)
        # what is kept never changes, so it need not be copied
        own._features.update(self._features)
        own._records.update(self._records)
        own._stored.update(self._stored)
        own._publications = self._publications
        return own

    def __repr__(self) -> str:
        """Return ``FeatureCache(3 kept)``."""
        return f"FeatureCache({len(self)} kept)"

    def __len__(self) -> int:
        """Return how many things are kept."""
        tensors = len(self._features) + len(self._records) + len(self._stored)
        return tensors + len(self._publications)


def _once(kept: dict[Key, Copies], key: Key, compute: Callable[[], Tensor]) -> Tensor:
    if key not in kept:
        kept[key] = keep_rows(compute())
    return kept[key]()
