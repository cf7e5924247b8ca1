"""How well clusters recover people's paths: pairs, B-cubed, whole paths, purity."""

import numpy as np
import torch
from torch import Tensor

from attacks.movement.links import BCubedF1, PairwiseF1
from attacks.movement.sightings import Sightings
from auditor.metrics import measure
from auditor.report import Measurement


def score_clusters(clusters: Tensor, stored: Sightings) -> tuple[Measurement, ...]:
    """Return all figures of clusters ``(N,)`` of stored entries.

    Distractors (pid 0) are somebody else to everybody, and nobody's path.
    """
    paths = _paths if stored.times is None else _ordered_paths
    return (
        score_pairs(clusters, stored),
        score_entries(clusters, stored),
        paths(clusters, stored),
        _purity(clusters, stored.pids),
    )


def pairwise_f1(clusters: Tensor, stored: Sightings) -> float:
    """F1 of linking pairs of entries by two cameras; 0 where there is none to link."""
    return _value(PairwiseF1.of(clusters, stored))


def score_pairs(clusters: Tensor, stored: Sightings) -> Measurement:
    """Return how well pairs of entries by two cameras are linked."""
    figure = PairwiseF1.of(clusters, stored)
    return measure.weighed(
        "pairwise_f1",
        figure.ends,
        figure.people,
        value=_value(figure),
        chance=pairwise_f1(torch.zeros_like(clusters), stored),
        note="pairs of entries by two cameras; chance puts all entries into one cluster",
    )


def score_entries(clusters: Tensor, stored: Sightings) -> Measurement:
    """Return how well the entries that each entry is with are its person's, by B-cubed F1."""
    pids = stored.pids
    figure = BCubedF1.of(clusters, pids)
    blind = (torch.zeros_like(clusters), torch.arange(len(clusters)))
    return measure.weighed(
        "bcubed_f1",
        figure.ends,
        figure.people,
        value=_value(figure),
        chance=max(_value(BCubedF1.of(guess, pids)) for guess in blind),
        note="over all entries; chance is the better of one cluster and of no links at all",
    )


def _value(figure: PairwiseF1 | BCubedF1) -> float:
    return float(figure(np.ones(figure.people)))


def _alike(*columns: Tensor) -> Tensor:
    """For each entry ``(N,)`` float64 how many agree with it in all columns, itself included."""
    _, group, counts = torch.stack(columns).unique(dim=1, return_inverse=True, return_counts=True)
    alike: Tensor = counts[group].double()
    return alike


def _ordered_paths(clusters: Tensor, stored: Sightings) -> Measurement:
    """Return the share of moving people whose cameras one cluster, mostly theirs, has in order."""
    assert stored.times is not None
    known = ~stored.times.isnan()
    pids, camids, times = stored.pids[known], stored.camids[known], stored.times[known]
    clusters = clusters[known]
    mostly = _alike(clusters, pids) * 2 > _alike(clusters)
    walks, found = (_walks(group, camids, times) for group in (pids, clusters))
    homes = set(zip(pids[mostly].tolist(), clusters[mostly].tolist(), strict=True))
    followed = {pid for pid, home in homes if found[home] == walks[pid]}
    moving = sorted(pid for pid, walk in walks.items() if pid > 0 and len(set(walk)) > 1)
    hits = [float(pid in followed) for pid in moving]
    return measure.rate(
        "path_recovered",
        torch.tensor(hits),
        torch.tensor(moving, dtype=torch.long),
        chance=0.0,
        note="the entries of one cluster, more than half of which are the person's, come by the "
        "same cameras in the same order as the person did",
    )


def _walks(groups: Tensor, camids: Tensor, times: Tensor) -> dict[int, list[int]]:
    """Return group -> the cameras that its entries come by in the order of time, stays as one."""
    walks: dict[int, list[int]] = {}
    order = times.argsort(stable=True)
    for group, camera in zip(groups[order].tolist(), camids[order].tolist(), strict=True):
        walk = walks.setdefault(group, [])
        if walk[-1:] != [camera]:
            walk.append(camera)
    return walks


def _paths(clusters: Tensor, stored: Sightings) -> Measurement:
    """Return the share of moving people of whom one cluster, mostly theirs, has every camera."""
    pids, camids = stored.pids, stored.camids
    cells = torch.stack([pids, camids]).unique(dim=1)
    people, cameras = cells[0].unique(return_counts=True)
    moving = people[(people > 0) & (cameras > 1)]
    wanted = dict(zip(people.tolist(), cameras.tolist(), strict=True))
    mostly = _alike(clusters, pids) * 2 > _alike(clusters)
    found = torch.stack([clusters[mostly], pids[mostly], camids[mostly]]).unique(dim=1)
    owners, counts = found[:2].unique(dim=1, return_counts=True)
    whole = {
        pid
        for pid, count in zip(owners[1].tolist(), counts.tolist(), strict=True)
        if count == wanted[pid]
    }
    hits = torch.tensor([float(pid in whole) for pid in moving.tolist()])
    return measure.rate(
        "path_recovered",
        hits,
        moving,
        chance=0.0,
        note="one cluster contains an entry by every camera that saw the person, and more than "
        "half of it is theirs",
    )


def _purity(clusters: Tensor, pids: Tensor) -> Measurement:
    """Return the share of entries that belong to whom most of their cluster belongs to."""
    most = torch.zeros(int(clusters.max()) + 1, dtype=torch.float64)
    right = _alike(clusters, pids)
    most = most.scatter_reduce(0, clusters, right, "amax")
    people = pids > 0
    return measure.rate(
        "purity",
        (right == most[clusters])[people].double(),
        pids[people],
        note="at the chosen cut; it is 1 if nothing is linked, so it has no chance level",
    )
