"""The two-covariance model of released features, and the two rungs that stand on it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from attacks.identity import IdentityLda, IdentityPlda
from attacks.learners.plda import Own, Plda, Suspects, study, study_draws
from attacks.linkage import Linkage, LinkagePlda
from auditor.errors import UnsupportedTargetError
from auditor.types import ReIDDataset, RunContext, Target
from tests import worlds
from tests.unit.attacks.identity.test_rungs import Table, split


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def crowd(people=40, auxiliary=150, *, axes=4, dim=48, spread=0.1, noise=0.6):
    """Features in which people differ along few of many axes, under noise along all of them.

    Everybody has four pictures, one from each camera.
    """
    count = people + auxiliary
    centres = torch.zeros(count, dim)
    centres[:, :axes] = torch.randn(count, axes, generator=generator(1))
    rows = centres.repeat_interleave(4, 0)
    rows = rows + spread * torch.randn(rows.shape, generator=generator(2))
    pids = torch.arange(1, count + 1).repeat_interleave(4)
    gallery, other = split(0, pids[: 4 * people]), split(4 * people, pids[4 * people :])
    gallery = replace(gallery, camids=torch.arange(4).repeat(people))
    data = ReIDDataset("table", other, gallery, gallery, other)
    return Target(
        Table(rows),
        data,
        release=lambda f, g: f + noise * torch.randn(f.shape, generator=g),
    )


def modelled(target, keys=1):
    return study(Own.of(target, RunContext(), "test", keys), nn.Identity(), generator(9))


def test_the_draws_of_a_release_give_back_its_noise():
    mixing = torch.randn(6, 6, generator=generator(3)).double()
    clean = torch.randn(20_000, 6, generator=generator(4)).double()

    def draw(generator):
        return 3 * clean + torch.randn(clean.shape, generator=generator).double() @ mixing + 1e5

    rows, lacking = study_draws(draw, generator(5))
    left = rows - (3 * clean + 1e5)
    assert float(left.mean(0).abs().max()) < 0.05
    # what is left in the mean and what it lacks make up the noise of one release
    whole = left.T @ left / len(left) + lacking
    assert torch.allclose(whole, mixing.T @ mixing, atol=0.03 * float((mixing**2).sum()))


def test_a_fixed_release_lacks_nothing():
    rows, lacking = study_draws(lambda g: torch.ones(3, 6).double(), generator())
    assert torch.equal(rows, torch.ones(3, 6).double())
    assert not lacking.any()


def test_the_model_of_auxiliary_people_includes_what_the_release_adds():
    target = crowd(auxiliary=400, axes=2, dim=5, spread=0.2, noise=0.5)
    model = modelled(target)
    assert model.people == 400
    wanted = torch.diag(torch.tensor([1.0, 1, 0, 0, 0])).double()
    assert torch.allclose(model.between, wanted, atol=0.2)
    assert torch.allclose(model.within, (0.2**2 + 0.5**2) * torch.eye(5).double(), atol=0.03)


def test_entries_are_judged_by_what_the_known_ones_lead_to_expect():
    """Independent reference: the predictive density of a Gaussian model, written out."""
    target = crowd(auxiliary=60, axes=3, dim=4, noise=0.4)
    model = modelled(target)
    plda = Plda.of([model])
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    known = torch.randn(6, 4, generator=generator(6)).double()
    asked = torch.randn(5, 4, generator=generator(7)).double()
    found = Suspects.of(plda, known, labels).log_likelihood(asked)
    between, within = model.ridge().between, model.ridge().within
    columns = []
    for person in range(3):
        mine = known[labels == person]
        gain = between @ torch.linalg.inv(between + within / len(mine))
        expected = model.mean + gain @ (mine.mean(0) - model.mean)
        spread = between - gain @ between + within
        spread = (spread + spread.T) / 2
        columns.append(MultivariateNormal(expected, spread).log_prob(asked))
    wanted = torch.stack(columns, 1)
    assert torch.allclose(found - found[:, :1], wanted - wanted[:, :1], atol=1e-6)


def test_the_weighed_product_is_the_shared_part_of_the_likelihood_ratio():
    model = modelled(crowd(auxiliary=60, axes=3, dim=4))
    a, b = torch.randn(2, 4, generator=generator(8)).double()
    between, within = model.ridge().between, model.ridge().within
    joint = torch.cat(
        [torch.cat([between + within, between], 1), torch.cat([between, between + within], 1)]
    )
    precision = torch.linalg.inv(joint)[:4, 4:]
    wanted = -(a - model.mean) @ (precision + precision.T) / 2 @ (b - model.mean)
    weighed = Plda.of([model]).weigh(torch.stack([a, b]))
    assert float(weighed[0] @ weighed[1]) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("seed", range(2))
def test_who_knows_how_people_differ_names_more(seed):
    target, ctx = crowd(), RunContext(seed=seed)
    plain, informed = (attack.run(target, ctx) for attack in (IdentityLda(), IdentityPlda()))
    assert informed.measurements[0].value > plain.measurements[0].value + 0.1


@pytest.mark.parametrize("seed", range(2))
def test_who_knows_how_people_differ_links_more(seed):
    target, ctx = crowd(noise=0.4), RunContext(seed=seed)
    plain, informed = (attack.run(target, ctx) for attack in (Linkage(), LinkagePlda()))
    for blind, seeing in zip(plain.measurements, informed.measurements, strict=True):
        assert seeing.value > blind.value + 0.1, seeing.metric


@pytest.mark.parametrize("attack", [IdentityPlda(), LinkagePlda()], ids=repr)
def test_under_noise_alone_there_is_nothing(attack):
    found = attack.run(crowd(noise=300.0), RunContext()).measurements[0]
    assert found.low <= found.chance


def test_another_key_for_the_second_release_is_learned_from_as_well():
    """The pictures that are learned from are published under two own keys."""

    def publish(pictures, generator):
        keys.append(generator.initial_seed())
        return pictures

    keys: list[int] = []
    modelled(worlds.told(crowd(), publish), keys=2)
    assert len(set(keys)) == 2


def test_without_auxiliary_people_the_known_ones_teach_and_links_are_not_learned():
    target = crowd(auxiliary=1, noise=0.2)
    assert IdentityPlda().run(target, RunContext()).measurements[0].value > 0.5
    with pytest.raises(UnsupportedTargetError, match="two or more auxiliary"):
        LinkagePlda().run(target, RunContext())
