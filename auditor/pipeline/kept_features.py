"""Whose features outlive a run, and under which name.

A name has everything in it that the features depend on: the model's file, how it is fed, where and
with what it computes, and every picture. What cannot be named is computed in each run: a network
without a file, code of the user's own and a service, either of which may change behind its name,
and pictures that a protection changed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from auditor.artifacts.feature_store import FeatureStore
from auditor.data.images import FileImages, JoinedImages
from auditor.data.records import network_digest
from auditor.models.loaders import LoadedModel
from auditor.pipeline.environment import describe
from auditor.types import FeatureExtractor, Images, MemoryImages, Selection, Split

UNTOUCHED = (FileImages, MemoryImages)
"""Sources of pictures that are what their files or bytes are, and nothing else."""
NOT_THE_MODEL = ("file", "isolation", "training")
"""Facts about a model that its features do not depend on."""


@dataclass(frozen=True)
class KeptFeatures:
    """Features from the store where it has them; see `auditor.feature_cache.Outlasting`.

    Attributes:
        store: the files.
        models: the extractors that have a name -> (file name, what its features depend on).
    """

    store: FeatureStore
    models: Mapping[FeatureExtractor, tuple[str, str]]

    def features(
        self, extractor: FeatureExtractor, split: Split, compute: Callable[[], Tensor]
    ) -> Tensor:
        """Those of ``split``, computed and kept if they are not there."""
        key = self._key(extractor, split)
        if not key:
            return compute()
        model, _ = self.models[extractor]
        rows = self.store.fetch(key, (len(split), extractor.feature_dim))
        if rows is not None:
            return torch.from_numpy(rows)
        computed = compute()
        self.store.keep(key, computed.contiguous().numpy(), model)
        return computed

    def holds(self, extractor: FeatureExtractor, split: Split) -> bool:
        """Whether those of ``split`` are there."""
        key = self._key(extractor, split)
        return bool(key) and self.store.holds(key)

    def _key(self, extractor: FeatureExtractor, split: Split) -> str:
        """Return the name of the features; an empty one where they have none."""
        if extractor not in self.models or not _untouched(split.images):
            return ""
        _, depends = self.models[extractor]
        try:
            return _key(extractor, depends, split)
        except OSError:  # a picture is gone, which whoever computes says by name
            return ""


def keep_features(store: FeatureStore, *models: LoadedModel) -> KeptFeatures:
    """Keep the features of those ``models`` whose files determine them."""
    named: dict[FeatureExtractor, tuple[str, str]] = {
        model.extractor: (model.facts["file"], _depends(model.facts, model.device))
        for model in models
        if "sha256" in model.facts and ":" not in model.facts.get("arch", "")
    }
    return KeptFeatures(store, named)


def _depends(facts: Mapping[str, Any], device: torch.device) -> str:
    kept = {name: fact for name, fact in facts.items() if name not in NOT_THE_MODEL}
    return json.dumps([describe(device), kept], sort_keys=True, default=str)


def _key(extractor: FeatureExtractor, depends: str, split: Split) -> str:
    # the weights as they are: an extractor may have been trained since it was opened
    digest = hashlib.sha256(depends.encode() + network_digest(extractor))
    for content in _contents(split.images, range(len(split))):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _untouched(images: Images) -> bool:
    if isinstance(images, Selection):
        return _untouched(images.source)
    if isinstance(images, JoinedImages):
        return _untouched(images.first) and _untouched(images.second)
    return type(images) in UNTOUCHED


def _contents(images: Images, rows: Sequence[int]) -> Iterator[bytes]:
    """Yield each picture's content: its file, or its pixels."""
    if isinstance(images, Selection):
        yield from _contents(images.source, [images.rows[row] for row in rows])
    elif isinstance(images, JoinedImages):
        border = len(images.first)
        for row in rows:
            later = row >= border
            yield from _contents(images.second if later else images.first, [row - border * later])
    elif isinstance(images, FileImages):
        for row in rows:
            yield images.paths[row].read_bytes()
    elif isinstance(images, MemoryImages):
        for row in rows:
            picture = images.pixels[row]
            yield repr(tuple(picture.shape)).encode() + picture.contiguous().numpy().tobytes()
