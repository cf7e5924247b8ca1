"""Features in two dimensions: the same people everywhere, islands where there are some."""

import torch
from torch.nn.functional import one_hot

from auditor.evaluation.projection import ENTRIES, FEWEST, places
from auditor.types import RunContext

PEOPLE, COPIES = 12, 10
PIDS = torch.arange(1, PEOPLE + 1).repeat_interleave(COPIES)


def context(seed: int = 0) -> RunContext:
    return RunContext(seed=seed, device=torch.device("cpu"))


def features(noise: float) -> torch.Tensor:
    centres = one_hot(PIDS - 1, 24).float()
    return centres + noise * torch.randn(centres.shape, generator=torch.Generator().manual_seed(3))


def nearest_is_own(found) -> float:
    at = torch.tensor([[p.x, p.y] for p in found])
    people = torch.tensor([p.person for p in found])
    apart = torch.cdist(at, at).fill_diagonal_(torch.inf)
    return float((people[apart.argmin(1)] == people).float().mean())


def test_people_who_are_apart_form_islands_and_noise_does_not():
    apart = places(features(0.01), PIDS, 5, "cosine", context())
    mixed = places(features(5.0), PIDS, 5, "cosine", context())
    assert nearest_is_own(apart) == 1
    assert nearest_is_own(mixed) < 0.6


def test_scenarios_show_the_same_people_and_the_same_seed_the_same_places():
    first = places(features(0.1), PIDS, 5, "cosine", context())
    assert first == places(features(0.1), PIDS, 5, "cosine", context())
    other = places(features(2.0), PIDS, 5, "cosine", context())
    assert [p.person for p in first] == [p.person for p in other]
    assert [p.person for p in first] == [n for n in range(5) for _ in range(ENTRIES)]


def test_which_people_are_shown_follows_the_seed():
    marked = features(0.01)
    shown = {tuple(places(marked[PIDS <= 3], PIDS[PIDS <= 3], 2, "euclidean", context(s)))
             for s in range(3)}  # fmt: skip
    assert len(shown) > 1


def test_lengths_count_only_where_the_deployment_counts_them():
    # powers of two, so that no digit is lost
    scaled = features(0.1) * 2.0 ** (torch.arange(len(PIDS)) % 5)[:, None]
    by_cosine = places(features(0.1), PIDS, 3, "cosine", context())
    assert places(scaled, PIDS, 3, "cosine", context()) == by_cosine
    assert places(scaled, PIDS, 3, "euclidean", context()) != by_cosine


def test_distractors_and_people_seen_once_are_nobody():
    pids = PIDS.clone()
    pids[pids > 2] = 0
    pids[-1] = 99
    found = places(features(0.1), pids, 10, "cosine", context())
    assert {p.person for p in found} == {0, 1}


def test_where_there_is_nothing_to_see_there_are_no_places():
    assert places(features(0.1), PIDS, 0, "cosine", context()) == ()
    assert places(torch.ones(len(PIDS), 4), PIDS, 5, "cosine", context()) == ()
    few = torch.arange(1, 3).repeat_interleave((FEWEST - 1) // 2)
    assert places(features(0.1)[: len(few)], few, 5, "cosine", context()) == ()
