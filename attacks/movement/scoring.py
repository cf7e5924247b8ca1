"""How well clusters recover people's paths: pairs, B-cubed, whole paths, purity."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.learners.people import sum_groups
from attacks.movement.sightings import Sightings
from auditor.metrics import measure
from auditor.report import Measurement
from auditor.statistics.intervals import unseen_images

Array = NDArray[np.float64]


def score_clusters(clusters: Tensor, stored: Sightings) -> tuple[Measurement, ...]:
    """Return all figures of clusters ``(N,)`` of stored entries.

    Distractors (pid 0) are somebody else to everybody, and nobody's path.
    """
    paths = _paths if stored.times is None else _ordered_paths
    return (
        score_pairs(clusters, stored),
        _bcubed(clusters, stored.pids),
        paths(clusters, stored),
        _purity(clusters, stored.pids),
    )


def pairwise_f1(clusters: Tensor, pids: Tensor, camids: Tensor) -> float:
    """F1 of linking pairs of entries by two cameras; 0 where there is none to link."""
    return float(_f1(_pair_table(clusters, pids, camids).sum(0)))


def score_pairs(clusters: Tensor, stored: Sightings) -> Measurement:
    """Return how well pairs of entries by two cameras are linked."""
    pids, camids = stored.pids, stored.camids
    table = _pair_table(clusters, pids, camids)
    everything = _pair_table(torch.zeros_like(clusters), pids, camids)
    size = unseen_images(table[:, 2])
    unseen = np.array([[0.0, size, size]]), np.array([[size, size, size]])
    return measure.statistic(
        "pairwise_f1",
        table,
        _f1,
        unseen,
        chance=float(_f1(everything.sum(0))),
        note="pairs of entries by two cameras; chance puts all entries into one cluster",
    )


def _pair_table(clusters: Tensor, pids: Tensor, camids: Tensor) -> Array:
    """Each person's pairs ``(P, 3)`` by two cameras: rightly linked, linked, and to be linked."""
    same = [_mates(columns, camids) for columns in ((clusters, pids), (clusters,), (pids,))]
    return _by_person(torch.stack(same, dim=1), pids)


def _mates(columns: tuple[Tensor, ...], camids: Tensor) -> Tensor:
    """Return for each entry ``(N,)`` how many by other cameras agree with it in all columns."""
    return _alike(*columns) - _alike(*columns, camids)


def _alike(*columns: Tensor) -> Tensor:
    """For each entry ``(N,)`` float64 how many agree with it in all columns, itself included."""
    _, group, counts = torch.stack(columns).unique(dim=1, return_inverse=True, return_counts=True)
    alike: Tensor = counts[group].double()
    return alike


def _by_person(values: Tensor, pids: Tensor) -> Array:
    """Return sums ``(P, columns)`` over the entries of each person; distractors are left out."""
    people, person = pids[pids > 0].unique(return_inverse=True)
    table: Array = sum_groups(values[pids > 0], person, len(people)).numpy()
    return table


def _f1(sums: Array) -> Array:
    """2·hits / (linked + to be linked) of ``sums (…, 3)``."""
    total = sums[..., 1] + sums[..., 2]
    return np.asarray(np.where(total > 0, 2 * sums[..., 0] / np.maximum(total, 1e-12), 0.0))


def _bcubed(clusters: Tensor, pids: Tensor) -> Measurement:
    table = _bcubed_table(clusters, pids)
    blind = (torch.zeros_like(clusters), torch.arange(len(clusters)))
    chance = max(float(_harmonic(_bcubed_table(guess, pids).sum(0))) for guess in blind)
    size = unseen_images(table[:, 2])
    unseen = np.array([[0.0, 0.0, size]]), np.array([[size, size, size]])
    return measure.statistic(
        "bcubed_f1",
        table,
        _harmonic,
        unseen,
        chance=chance,
        note="over all entries; chance is the better of one cluster and of no links at all",
    )


def _bcubed_table(clusters: Tensor, pids: Tensor) -> Array:
    """Each person's sums ``(P, 3)`` of precision, recall and entries (Bagga and Baldwin, 1998)."""
    right, linked, wanted = _alike(clusters, pids), _alike(clusters), _alike(pids)
    ones = torch.ones_like(right)
    return _by_person(torch.stack([right / linked, right / wanted, ones], dim=1), pids)


def _harmonic(sums: Array) -> Array:
    """Return the harmonic mean of precision and recall of ``sums (…, 3)``."""
    total = sums[..., 0] + sums[..., 1]
    product = 2 * sums[..., 0] * sums[..., 1]
    return np.asarray(product / np.maximum(total * sums[..., 2], 1e-12))


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
