"""Open-set error rates against rules spelled out here: ties, one search, people half there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.metrics.open_set import (
    Searches,
    det_curve,
    identification_rate,
    identification_rates,
    miss_rate,
    search_list,
)
from auditor.metrics.similarity import Truth

entry = st.tuples(st.integers(0, 3), st.integers(0, 1))


def by_hand(scores, query, gallery):
    """The row of the search in the whole list, and of that without the person; None for neither."""
    pid, camid = query
    theirs = [g for g, (p, _) in enumerate(gallery) if p == pid]
    counted = [g for g in theirs if gallery[g][1] != camid]
    others = [g for g in range(len(gallery)) if g not in theirs]
    absent = (max(scores[g] for g in others), 0.0, 0.0) if others else None
    if not counted:
        return None, absent
    best = max(scores[g] for g in counted + others)
    level = [g for g in counted + others if scores[g] == best]
    first = sum(g in counted for g in level) / len(level)
    share = len(counted) / len(counted + others)
    return (max(scores[g] for g in counted), first, share), absent


@given(
    gallery=st.lists(entry, min_size=1, max_size=6),
    query=st.tuples(st.integers(1, 3), st.integers(0, 1)),
    numbers=st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_a_search_is_what_the_rules_say(gallery, query, numbers):
    scores = torch.tensor([numbers[: len(gallery)]], dtype=torch.float32)
    pids, camids = torch.tensor(gallery).T
    truth = Truth(torch.tensor([query[0]]), pids, torch.tensor([query[1]]), camids)
    found = search_list(lambda block: scores[block], truth)
    rows = {
        listed: row
        for listed, *row in zip(found.listed.tolist(), *map(torch.Tensor.tolist, (
            found.score, found.first, found.share
        )), strict=True)
    }  # fmt: skip
    for listed, wanted in zip((True, False), by_hand(numbers, query, gallery), strict=True):
        assert rows.get(listed) == (None if wanted is None else pytest.approx(list(wanted)))


def searches(listed, absent, people=1):
    """Searches with the given scores, ``people`` in turn searched for."""
    scores = torch.tensor([*listed, *absent], dtype=torch.float64)
    inside = torch.arange(len(scores)) < len(listed)
    pids = torch.arange(len(scores)) % people + 1
    return Searches(pids, inside, scores, inside.double(), inside * 0.1)


def test_the_threshold_is_the_lowest_that_bears_so_many_false_alarms():
    found = searches([5.0, 3.0, 1.0, 2.0], [4.0, 2.0, 0.0, 0.0], people=4)
    rates = identification_rates(found, [0.0, 0.25, 0.5, 0.9])
    assert [value for value, *_ in rates] == [0.25, 0.5, 1.0, 1.0]
    assert identification_rate(found, 0.25, "tpir").value == 0.5
    fnir = miss_rate(found, 0.25, "fnir")
    assert (fnir.value, fnir.worse) == (0.5, "lower")
    assert sum(hits for hits, _ in fnir.persons.values()) == 2


def test_equal_scores_pass_together():
    found = searches([1.0, 1.0], [1.0, 1.0], people=2)
    assert identification_rate(found, 0.5, "tpir").value == 0.0


def test_scores_at_random_find_what_chance_says():
    generator = torch.Generator().manual_seed(0)
    truth = Truth(
        torch.arange(1, 401), torch.arange(1, 401).repeat(2), torch.zeros(400), torch.ones(800)
    )
    scores = torch.rand(400, 800, generator=generator)
    found = search_list(lambda block: scores[block], truth)
    assert found.absent == 400
    tpir = identification_rate(found, 0.1, "tpir")
    assert tpir.chance == pytest.approx(1 - 0.9 ** (1 / 400))
    assert tpir.low <= tpir.chance <= tpir.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    below = above = 0
    for _ in range(60):
        centres = rng.normal(2.5, 1, 100)[:, None] + 0.5 * rng.normal(size=(100, 4))
        others = rng.normal(0, 1, (100, 1)) + 0.5 * rng.normal(size=(100, 4))
        pids = torch.arange(100).repeat_interleave(4).repeat(2)
        scores = torch.from_numpy(np.concatenate([centres.ravel(), others.ravel()]))
        listed = torch.arange(800) < 400
        found = Searches(pids, listed, scores, listed.double(), listed * 0.1)
        ((_, low, high),) = identification_rates(found, [0.1])
        # both sides are Gaussian with deviation √1.25; the threshold leaves a tenth above it
        truth = 0.5 * (1 - torch.erf(torch.tensor(1.28155 - 2.5 / 1.25**0.5) / 2**0.5))
        below, above = below + (high < truth), above + (low > truth)
    assert max(below, above) <= 6


def test_that_nobody_raised_an_alarm_is_no_proof_that_nobody_does():
    listed = torch.arange(240) < 120
    scores = 9.0 * listed.double()
    found = Searches(torch.arange(240) % 40, listed, scores, listed.double(), listed * 0.1)
    (value, low, high), (_, likely, _) = identification_rates(found, [0.01, 0.1])
    assert (value, low, high) == (1.0, 0.0, 1.0), "one search in 120 more is beyond one in 100"
    assert likely > 0.9


def test_the_det_curve_ascends_in_false_alarms_and_falls_in_misses():
    generator = torch.Generator().manual_seed(1)
    listed = torch.arange(400) < 200
    scores = torch.randn(400, generator=generator).double() + 2 * listed
    found = Searches(torch.arange(400) % 40, listed, scores, listed.double(), listed * 0.1)
    curve = det_curve(found)
    assert curve.points[0][0] == 1 / 200
    misses = [value for _, value, *_ in curve.points]
    assert misses == sorted(misses, reverse=True)
    assert misses[-1] == 0.0
    assert all(low <= value <= high for _, value, low, high in curve.points)


def test_people_who_are_mixed_into_an_entry_are_no_false_alarm():
    columns = (torch.tensor([7]), torch.tensor([1, 2]), torch.tensor([0]), torch.tensor([1, 1]))
    truth = Truth(*columns)
    scores = torch.tensor([[5.0, 1.0]])
    assert search_list(lambda block: scores[block], truth).score.tolist() == [5.0]
    mixed = replace(truth, gallery_partners=torch.tensor([7, -1]))
    assert search_list(lambda block: scores[block], mixed).score.tolist() == [1.0]
