"""Shares of a crowd: estimators on confusions that are known, galleries, errors and intervals."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from attacks.distribution import Distribution, DistributionBbse
from attacks.distribution.scoring import Property, draw_galleries, leave_groups_out, score_shares
from attacks.distribution.shares import (
    compute_likelihoods,
    count_shares,
    invert_confusion,
    learn_trust,
    maximise_expectation,
    shrink_shares,
)
from auditor.errors import UnsupportedTargetError
from auditor.types import RunContext
from tests import worlds

CONFUSION = torch.tensor([[0.8, 0.3], [0.2, 0.7]], dtype=torch.float64)
"""In columns: how often each value is taken for either."""


def taken(share, count=20_000):
    """Values of which ``share`` are the second, and what each is taken for, one-hot."""
    generator = torch.Generator().manual_seed(0)
    values = (torch.rand(count, generator=generator) < share).long()
    seen = torch.multinomial(CONFUSION.T[values], 1, generator=generator)[:, 0]
    return values, seen


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_both_estimators_undo_a_known_confusion(share):
    _, seen = taken(share)
    weights = torch.ones(1, len(seen), dtype=torch.float64)
    likelihoods = CONFUSION[seen]
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
    by_rounds = maximise_expectation(likelihoods, prior, weights)
    hot = torch.nn.functional.one_hot(seen, 2).double()
    inverted = invert_confusion(hot, CONFUSION, weights)
    assert by_rounds[0].tolist() == pytest.approx([1 - share, share], abs=0.03)
    assert inverted[0].tolist() == pytest.approx([1 - share, share], abs=0.03)


def test_what_tells_nothing_leaves_the_prior():
    prior = torch.tensor([0.7, 0.3], dtype=torch.float64)
    weights = torch.rand(3, 50, dtype=torch.float64)
    flat = torch.full((50, 2), 0.5, dtype=torch.float64)
    assert torch.allclose(maximise_expectation(flat, prior, weights), prior.expand(3, -1))


def test_entries_without_weight_take_no_part():
    _, seen = taken(0.9, 1000)
    _, other = taken(0.1, 1000)
    weights = torch.cat([torch.ones(1000), torch.zeros(1000)])[None].double()
    prior = torch.full((2,), 0.5, dtype=torch.float64)
    both = maximise_expectation(CONFUSION[torch.cat([seen, other])], prior, weights)
    one = maximise_expectation(CONFUSION[seen], prior, weights[:, :1000])
    assert torch.allclose(both, one)


def test_trust_is_what_serves_own_people_best():
    pids = torch.arange(2000) // 10
    values = taken(0.5, 200)[0].repeat_interleave(10)
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)

    def wrong(weights):
        return prior + torch.tensor([0.3, -0.3]) * (torch.arange(len(weights))[:, None] % 2 - 0.5)

    telling = Property(
        "", lambda w: Property("", wrong, prior, values).true_shares(w), prior, values
    )
    assert learn_trust(telling, pids, 20, RunContext()) == pytest.approx(1)
    assert learn_trust(Property("", wrong, prior, values), pids, 20, RunContext()) < 0.5
    shrunk = shrink_shares(lambda w: torch.tensor([[1.0, 0.0]]), prior, 0.5, torch.ones(1, 1))
    assert shrunk.tolist() == [[0.75, 0.25]]


def test_drawn_galleries_have_all_sorts_of_shares_and_as_many_people():
    pids = torch.arange(40).repeat_interleave(3)
    label = (pids % 4 == 0).long()
    label[pids == 7] = -1
    each = Property("hat", lambda w: w, torch.tensor([0.75, 0.25]), label)
    people, person = pids.unique(return_inverse=True)
    counts = draw_galleries(each, people, person, 200, torch.Generator().manual_seed(0))
    assert counts.sum(1).unique().tolist() == [38.0], "pid 0 is nobody, and of 7 nothing is known"
    assert counts[:, [0, 7]].sum() == 0
    shares = each.true_shares(counts[:, person])[:, 1]
    assert shares.min() < 0.1
    assert shares.max() > 0.9
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.06)


def test_a_perfect_estimate_explains_everything_and_a_guess_nothing():
    pids = torch.arange(1, 41).repeat_interleave(3)
    label = (pids % 3 == 0).long()
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
    perfect = Property("hat", lambda w: perfect.true_shares(w), prior, label)
    blind = Property("hat", lambda w: prior.expand(len(w), -1), prior, label)
    found = {}
    for name, each in (("perfect", perfect), ("blind", blind)):
        result = score_shares([each], pids, 10, torch.Generator().manual_seed(0))
        found[name] = {m.metric: m for m in result.measurements}
    explained = found["perfect"]["shares_explained"]
    assert (explained.value, explained.high) == (1.0, 1.0)
    assert 0.85 < explained.low < 1
    nothing = found["blind"]["shares_explained"]
    assert (nothing.value, nothing.low, nothing.chance) == (0.0, 0.0, 0.0)
    error = found["blind"]["hat.share_error"]
    assert error.value == error.chance == pytest.approx(0.5 - 13 / 40)
    assert error.worse == "lower"
    assert "true 0.675, 0.325" in error.note


def test_each_group_is_left_out_once():
    kept = leave_groups_out(torch.arange(25))
    assert kept.shape == (11, 25)
    assert (kept[1:] == 0).sum(0).tolist() == [1] * 25


def test_likelihoods_of_two_values_are_halved_log_odds():
    odds = torch.tensor([[-0.5, 0.5]]).log_softmax(1)
    assert compute_likelihoods(odds)[0].tolist() == pytest.approx([1 / (1 + 2.7182818), 0.7310586])
    assert count_shares(torch.tensor([0, 1, 1, -1]), 2).tolist() == [1 / 3, 2 / 3]
    assert partial(shrink_shares)(lambda w: w, torch.zeros(2), 1.0, torch.ones(1, 2)).tolist() == [
        [1.0, 1.0]
    ]


@pytest.mark.parametrize("rung", [Distribution, DistributionBbse])
def test_without_annotation_there_is_nothing_to_estimate(rung):
    data = worlds.leaky().data
    bare = replace(data, gallery=replace(data.gallery, attributes={}))
    with pytest.raises(UnsupportedTargetError, match="no attribute is annotated"):
        rung().run(replace(worlds.leaky(), data=bare), RunContext())
