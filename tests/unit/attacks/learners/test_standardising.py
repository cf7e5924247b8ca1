"""One scale for all coordinates: what rarely fires drowns nothing, what is faint is still seen."""

import pytest
import torch

from attacks.identity import IdentityClassifier, IdentityPlda
from attacks.learners.mapping import Pairs, Refinement, learn_maps
from attacks.learners.standardising import LIMIT, Standardise
from attacks.linkage import LinkagePlda
from auditor.types import RunContext
from tests.unit.attacks.identity.test_rungs import Table, clouds, world
from tests.unit.attacks.learners.test_plda import crowd


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_what_moves_has_mean_zero_and_deviation_one():
    rows = torch.randn(500, 4, generator=generator()) * torch.tensor([1e-4, 1, 7, 1e3]) + 5
    found = Standardise(rows)(rows)
    assert torch.allclose(found.mean(0), torch.zeros(4), atol=1e-2)
    assert torch.allclose(found.std(0), torch.ones(4), atol=1e-2)


def test_what_never_moved_counts_for_nothing_and_what_fires_for_little():
    rows = torch.randn(1000, 3, generator=generator())
    rows[:, 0] = 2.0
    rows[:, 1] = 0.0
    rows[7, 1] = 1.0
    standardise = Standardise(rows)
    assert standardise(torch.tensor([[99.0, 1.0, 0.0]]))[0, :2].tolist() == [0.0, LIMIT]
    assert standardise.deviation[0] == 0


@pytest.mark.parametrize("rows", [torch.ones(1, 3), torch.ones(4, 3)], ids=["one", "equal"])
def test_rows_without_any_spread_stay_numbers(rows):
    assert torch.equal(Standardise(rows)(rows + 1), torch.zeros(len(rows), 3))


ATTACKS = [IdentityPlda(), IdentityClassifier(epochs=100)]


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_rarely_active_coordinates_cost_next_to_nothing(attack):
    """Sixty coordinates, each of which fires for a few entries and says nothing of anybody."""
    pids = torch.arange(1, 41).repeat_interleave(8)
    features = torch.cat([clouds(40, 8, 24, 0.8), clouds(20, 8, 24, 0.8, seed=1)])
    fires = torch.rand(len(features), 60, generator=generator(2)) < 0.004
    others = torch.arange(41, 61).repeat_interleave(8)
    plain = attack.run(world(features, pids, others), RunContext()).measurements[0].value
    sparse = torch.cat([features, 5.0 * fires], dim=1)
    found = attack.run(world(sparse, pids, others), RunContext()).measurements[0].value
    assert found > plain - 0.03, (plain, found)


@pytest.mark.parametrize("attack", [*ATTACKS, LinkagePlda()], ids=repr)
def test_a_code_of_a_ten_thousandth_of_the_amplitude_is_found(attack):
    target = crowd(people=30, auxiliary=60, axes=12, dim=12, noise=0.0)
    rows = target.extractor.rows
    loud = torch.randn(len(rows), 4, generator=generator(3))
    target = type(target)(Table(torch.cat([loud, 1e-4 * rows], dim=1)), target.data)
    assert attack.run(target, RunContext()).measurements[0].value > 0.6


def test_a_map_is_not_upset_by_what_fires_where_it_was_not_learned():
    seen = torch.randn(400, 6, generator=generator(4))
    seen[:, 0] = 0.0
    wanted = seen[:, 1:] @ torch.randn(5, 4, generator=generator(5))
    pids = torch.arange(1, 101).repeat_interleave(4)
    pairs = Pairs(seen, wanted, pids, torch.arange(400))
    maps = learn_maps(pairs, Refinement(hidden=16, epochs=2), RunContext(), "test")
    fired = seen.clone()
    fired[:, 0] = 1.0
    for one in (maps.closest, maps.clearest):
        assert torch.allclose(one(fired), one(seen))
