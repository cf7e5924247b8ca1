"""Large galleries: a few entries of some people are drawn, the same for every attack."""

import torch

from attacks.protocol.sampling import ENTRIES, PEOPLE, WHOLE, note_sample, sample_entries
from auditor.types import RunContext

LARGE = torch.arange(WHOLE + 1000) % 2001  # 0 is a distractor


def test_a_gallery_of_market1501s_size_is_taken_whole():
    pids = torch.arange(15_913) % 751
    asked = sample_entries(pids, RunContext())
    assert torch.equal(asked, torch.arange(len(pids)))
    assert note_sample(asked, pids) == ()


def test_of_a_larger_one_some_people_are_drawn_with_a_few_entries_each():
    pids = LARGE.clone()
    pids[pids == 7] = 8  # who has twice as many
    pids[-3:] = 5001  # and somebody has few
    asked = sample_entries(pids, RunContext(seed=1))
    people, counts = pids[asked].unique(return_counts=True)
    assert len(people) == PEOPLE
    assert (people > 0).all()
    assert torch.equal(counts, torch.stack([(pids == p).sum() for p in people]).clamp_max(ENTRIES))
    assert (asked.diff() > 0).all()
    (note,) = note_sample(asked, pids)
    assert f"{len(asked)} entries of {PEOPLE} people" in note
    assert "of 21000 entries of 2000 people" in note


def test_entries_are_drawn_like_people():
    pids = torch.arange(WHOLE + 1) // 10_001 + 1
    asked = sample_entries(pids, RunContext())
    assert pids[asked].tolist() == [1] * ENTRIES + [2] * ENTRIES
    assert asked.tolist() != [*range(ENTRIES), *range(10_001, 10_001 + ENTRIES)]


def test_the_seed_alone_draws():
    first = sample_entries(LARGE, RunContext(seed=1))
    assert torch.equal(sample_entries(LARGE, RunContext(seed=1)), first)
    assert not torch.equal(sample_entries(LARGE, RunContext(seed=2)), first)
