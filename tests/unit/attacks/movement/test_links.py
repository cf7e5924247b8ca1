"""Links as a function of how much people weigh: against people who are there as often, and less."""

import numpy as np
import pytest
import torch

from attacks.movement.links import BCubedF1, Links, PairwiseF1
from attacks.movement.scoring import score_clusters
from attacks.movement.sightings import Sightings

CLUSTERS = torch.tensor([0, 0, 1, 0, 1, 1, 2, 2, 0])
PIDS = torch.tensor([1, 1, 1, 2, 2, 3, 3, 3, 0])
CAMIDS = torch.tensor([0, 1, 2, 0, 1, 0, 1, 2, 2])


def stored(keep):
    return Sightings(torch.zeros(int(keep.sum()), 0), PIDS[keep], CAMIDS[keep])


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_whoever_weighs_nothing_might_as_well_not_be_there(gone):
    keep, weights = gone != PIDS, (torch.arange(1, 4) != gone).double().numpy()
    whole = PairwiseF1.of(CLUSTERS, stored(PIDS >= 0))
    rest = PairwiseF1.of(CLUSTERS[keep], stored(keep))
    assert whole(weights) == pytest.approx(rest(np.ones(2)))


def test_pairs_of_two_people_weigh_by_both_and_those_of_one_once():
    links = Links.of(torch.zeros(4), torch.tensor([1, 1, 2, 0]))
    # 2·2 own pairs of the first, 1 of the second, 2·2·1 of both, 2 and 1 with a distractor
    assert links.pairs(np.array([1.0, 1.0])) == 4 + 1 + 4 + 3
    assert links.pairs(np.array([3.0, 0.5])) == 3 * 4 + 0.5 * 1 + 1.5 * 4 + 3 * 2 + 0.5 * 1


def test_precision_falls_by_what_a_person_takes_from_others():
    figure = BCubedF1.of(CLUSTERS, PIDS)
    step = 1e-6
    for person in range(3):
        more = person + 1 == PIDS
        sizes = torch.zeros(3).double().index_add_(0, CLUSTERS, 1 + step * more.double())
        others = person + 1 != PIDS
        entries = (PIDS > 0) & others
        same = (CLUSTERS[:, None] == CLUSTERS) & (PIDS[:, None] == PIDS)
        before, after = (
            (same.sum(1) / size[CLUSTERS])[entries].sum()
            for size in (CLUSTERS.bincount().double(), sizes)
        )
        slope = float(before - after) / step
        assert figure.crowding[person] == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("metric", ["pairwise_f1", "bcubed_f1"])
def test_people_taken_for_one_another_in_pairs_are_half_as_much_evidence(metric):
    people, rng = 200, np.random.default_rng(0)

    def width(pairs):
        merged = np.repeat(rng.random(people // pairs) < 0.4, pairs)
        owner = np.where(merged, people + np.arange(people) // pairs, np.arange(people))
        pids = torch.arange(1, people + 1).repeat_interleave(3)
        entries = Sightings(torch.zeros(len(pids), 0), pids, torch.arange(3).repeat(people))
        found = score_clusters(torch.from_numpy(owner).repeat_interleave(3), entries)
        return {m.metric: m.high - m.low for m in found}[metric]

    assert width(2) > 1.3 * width(1)
