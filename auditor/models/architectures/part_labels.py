"""Which body part a pixel of a feature map belongs to, found without labels.

Zhu et al., "Identity-Guided Human Semantic Parsing for Person Re-Identification", ECCV 2020,
section 3.1: the pixels of all pictures of one person are clustered twice. By strength into
foreground and background, then the foreground by direction into parts, which are numbered from the
head down.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class PersonParts:
    """The pixels of one person's pictures.

    Attributes:
        labels: ``(V, h, w)`` int64; 0 is background, parts count from 1 at the top.
        threshold: strength that divides fore- from background.
    """

    labels: Tensor
    threshold: float


def person_parts(maps: Tensor, parts: int, generator: torch.Generator) -> PersonParts:
    """Cluster the pixels of one person.

    Args:
        maps: ``(V, C, h, w)`` feature maps of the person's pictures.
        parts: to find in the foreground; fewer are found if it has fewer pixels.
        generator: where the clusters start.
    """
    strong = strength(maps)
    threshold = _threshold(strong.flatten(), generator)
    foreground = strong > threshold
    directions = F.normalize(maps, dim=1).permute(0, 2, 3, 1)[foreground]
    labels = torch.zeros(strong.shape, dtype=torch.long)
    if len(directions):
        clusters = _cluster(directions, min(parts, len(directions)), generator)
        rows = torch.nonzero(foreground)[:, 1].float()
        labels[foreground] = 1 + _from_the_top(clusters, rows)
    return PersonParts(labels, threshold)


def strength(maps: Tensor) -> Tensor:
    """Length of each pixel's feature, as a share of the picture's longest, ``(V, h, w)``."""
    lengths: Tensor = torch.linalg.vector_norm(maps, dim=1)
    return lengths / lengths.amax((1, 2), keepdim=True).clamp(min=1e-12)


def _threshold(values: Tensor, generator: torch.Generator) -> float:
    clusters = _cluster(values[:, None], 2, generator)
    means = [values[clusters == c].mean() for c in clusters.unique()]
    return float(sum(means) / len(means))


def _cluster(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    array = points.detach().cpu().double().numpy()
    count = min(count, len(np.unique(array, axis=0)))
    found = KMeans(count, n_init=1, random_state=seed).fit_predict(array)
    return torch.from_numpy(found.astype(np.int64))


def _from_the_top(clusters: Tensor, rows: Tensor) -> Tensor:
    """Return the clusters, renumbered by their mean row."""
    names = clusters.unique()
    heights = torch.stack([rows[clusters == name].mean() for name in names])
    rank = torch.empty_like(names)
    rank[heights.argsort()] = torch.arange(len(names))
    return rank[clusters]
