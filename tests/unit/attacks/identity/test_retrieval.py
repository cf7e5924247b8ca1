"""Retrieval of either of two mixed people against rules spelled out here, ties included."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.adaptive.mixing import Mixing
from attacks.identity import IdentityRetrieval
from attacks.protocol.matching import Blind
from auditor.errors import UnsupportedTargetError
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.types import ReIDDataset, RunContext, Split, Target
from tests import worlds


def rows(distances, order, query, gallery):
    """For one query: whether each entry is a match, in ranked order; its own camera is left out."""
    pid, camid = query
    ranked = sorted(order, key=lambda g: distances[g])
    kept = [g for g in ranked if not (gallery[g][0] == pid and gallery[g][1] == camid)]
    return [pid in (gallery[g][0], gallery[g][2]) for g in kept]


def expected(distances, query, gallery, orders):
    """Mean rank-1 and AP over all orders of equal entries, or None without a match."""
    hits, precisions = [], []
    for order in orders:
        found = np.array(rows(distances, order, query, gallery))
        if not found.any():
            return None
        places = np.flatnonzero(found) + 1
        hits.append(found[0])
        precisions.append(np.mean([(i + 1) / place for i, place in enumerate(places)]))
    return np.mean(hits), np.mean(precisions)


def columns(entries):
    return torch.tensor(entries, dtype=torch.long).reshape(len(entries), -1).T


entry = st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(-1, 3))


@given(
    gallery=st.lists(entry, min_size=1, max_size=5),
    places=st.lists(st.integers(0, 2), min_size=5, max_size=5),
    query=st.tuples(st.integers(1, 3), st.integers(0, 1)),
)
@settings(max_examples=80, deadline=None)
def test_either_person_counts_and_ties_get_their_mean(gallery, places, query):
    gallery = [(pid, cam, -1 if partner == 0 else partner) for pid, cam, partner in gallery]
    places = places[: len(gallery)]
    wanted = expected(places, query, gallery, list(permutations(range(len(gallery)))))
    if wanted is None:
        return
    pids, camids, partners = columns(gallery)
    asked = columns([query])
    found = evaluate(
        torch.zeros(1, 1),
        torch.tensor(places).float()[:, None],
        Truth(asked[0], pids, asked[1], camids, gallery_partners=partners),
        distance="euclidean",
    )
    assert (found.cmc(1), found.mean_ap) == pytest.approx(wanted)


@given(
    gallery=st.lists(entry, min_size=1, max_size=5),
    query=st.tuples(st.integers(1, 3), st.integers(0, 1)),
)
@settings(max_examples=40, deadline=None)
def test_chance_is_the_mean_over_every_order(gallery, query):
    gallery = [(pid, cam, -1 if partner == 0 else partner) for pid, cam, partner in gallery]
    wanted = expected([0] * 5, query, gallery, list(permutations(range(len(gallery)))))
    if wanted is None:
        return
    blind = Blind.of(labelled([query], gallery), columns(gallery)[2])
    assert (blind.rank1.item(), blind.precision.item()) == pytest.approx(wanted)


def test_without_partners_nothing_changes():
    pids, camids = torch.randint(0, 5, (40,)), torch.randint(0, 3, (40,))
    features = torch.randn(40, 6)
    labels = pids.clamp_min(1), pids, camids, camids
    plain = evaluate(features, features.roll(1, 0), Truth(*labels))
    nobody = evaluate(
        features, features.roll(1, 0), Truth(*labels, gallery_partners=-torch.ones(40))
    )
    assert torch.equal(plain.average_precision, nobody.average_precision)


class Numbered:
    """Pictures that show nothing but their number."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def load(self, indices, size):
        shown = torch.tensor([float(self.numbers[i]) for i in indices])
        return shown[:, None, None, None].expand(-1, 3, *size)


class Table(torch.nn.Module):
    """Features that are looked up by number."""

    input_size = (1, 1)

    def __init__(self, features):
        super().__init__()
        self.features, self.feature_dim = features, features.shape[1]

    def forward(self, images):
        return self.features[images[:, 0, 0, 0].long()]


def labelled(query, gallery):
    """A dataset of queries (pid, camid) and gallery entries (pid, camid, partner)."""
    pids, camids, partners = columns(gallery)
    asked = Split(Numbered(range(len(query))), *columns(query))
    images = Numbered(range(len(query), len(query) + len(gallery)))
    stored = Split(images, pids, camids, {}, partners)
    none = asked.take(torch.arange(0))
    return ReIDDataset("table", none, asked, stored, none)


def attacked(features, query, gallery):
    result = IdentityRetrieval().run(
        Target(Table(torch.tensor(features).float()), labelled(query, gallery)), RunContext()
    )
    return {m.metric: m for m in result.measurements}, result.notes


def test_own_and_partner_are_told_apart():
    # the first query's best entry is its own, the second one's best shows it as the partner
    features = [[1, 0, 0], [0, 1, 0], [1, 0.1, 0], [0.1, 1, 0], [0, 0.3, 1], [0.3, 0, 1]]
    gallery = [(1, 1, 2), (3, 1, 2), (2, 1, 1), (9, 1, -1)]
    found, _ = attacked(features, [(1, 0), (2, 0)], gallery)
    values = {name: m.persons for name, m in found.items() if name.endswith("rank1")}
    assert values["retrieved_rank1"] == {"1": (1, 1), "2": (1, 1)}
    assert values["own_rank1"] == {"1": (1, 1), "2": (0, 1)}
    assert values["partner_rank1"] == {"1": (0, 1), "2": (1, 1)}
    assert found["retrieved_rank1"].chance == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert found["own_rank1"].chance == pytest.approx(1 / 4)
    assert found["partner_rank1"].chance == pytest.approx((1 / 4 + 2 / 4) / 2)


def test_a_tie_between_own_and_partner_is_shared():
    found, _ = attacked(torch.ones(4, 2).tolist(), [(1, 0)], [(1, 1, 2), (2, 1, 1), (3, 1, -1)])
    assert found["retrieved_rank1"].value == pytest.approx(2 / 3)
    assert found["own_rank1"].value == found["partner_rank1"].value == pytest.approx(1 / 3)


def test_the_own_camera_is_left_out_for_the_person_and_not_for_the_partner():
    features = [[1, 0], [1, 0], [0.5, 1], [0, 1]]
    found, _ = attacked(features, [(1, 0)], [(1, 0, 3), (2, 0, 1), (3, 0, -1)])
    assert found["retrieved_rank1"].value == 1
    assert found["retrieved_rank1"].chance == pytest.approx(1 / 2)
    assert "own_rank1" not in found


def test_nobody_in_common_is_said():
    with pytest.raises(UnsupportedTargetError, match="own camera"):
        attacked([[1.0], [1.0]], [(1, 0)], [(1, 0, -1)])


def test_on_a_bare_target_it_is_plain_retrieval():
    target = worlds.leaky()
    result = IdentityRetrieval().run(target, RunContext())
    assert [m.metric for m in result.measurements] == ["retrieved_rank1", "retrieved_map"]
    assert "plain re-identification" in result.notes[0]


def test_mixing_leaves_either_of_two_to_be_found():
    leak, mixing = worlds.leaky(), Mixing(own=0.5)
    gallery = mixing(leak.data.gallery, torch.Generator().manual_seed(1))
    target = replace(leak, data=replace(leak.data, gallery=gallery))
    found = {m.metric: m for m in IdentityRetrieval().run(target, RunContext()).measurements}
    assert found["retrieved_rank1"].value > 0.9
    assert 0.2 < found["own_rank1"].value < 0.8
    whole = found["own_rank1"].value + found["partner_rank1"].value
    assert whole == pytest.approx(found["retrieved_rank1"].value)
