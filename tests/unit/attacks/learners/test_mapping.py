"""Maps between features against scikit-learn, closed forms and worlds whose answer is known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge

from attacks.learners import mapping
from attacks.learners.mapping import Pairs, Refinement, learn_maps
from auditor.errors import ModelError, UnsupportedTargetError
from auditor.types import RunContext, as_is

PLAIN = Refinement(epochs=0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(change=None, rows=600, dim=16, release=as_is, seed=1):
    """Clean features of people seen from three views, and what ``change`` makes of them."""
    draw = generator(seed)
    pids = torch.arange(1, rows // 3 + 1).repeat_interleave(3)
    centres = torch.randn(rows // 3 + 1, dim, generator=draw)
    clean = centres[pids] + 0.3 * torch.randn(rows, dim, generator=draw)
    seen = clean if change is None else change(clean)
    return Pairs(seen, clean, pids, torch.arange(3).repeat(rows // 3), release)


def noisy(sigma):
    def release(features, generator):
        return features + sigma * torch.randn(features.shape, generator=generator)

    return release


def learned(pairs, refinement=PLAIN, seed=0):
    return learn_maps(pairs, refinement, RunContext(seed=seed), "test")


def rotation(dim=16):
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator(9))).Q


@pytest.mark.parametrize("penalty", mapping.PENALTIES)
def test_the_ridge_is_scikit_learns(penalty):
    given = pairs(lambda clean: clean @ rotation() + 0.5 * clean.flip(1), dim=16)
    moments = mapping._Moments.of(given, generator())
    found = moments.ridge(penalty)(given.seen)
    rows = ((given.seen - given.seen.mean(0)) / given.seen.std(0)).double().numpy()
    reference = Ridge(alpha=penalty * len(rows)).fit(rows, given.wanted.double().numpy())
    assert found.numpy() == pytest.approx(reference.predict(rows), abs=1e-4)


def test_the_scale_is_the_least_squares_factor():
    given = pairs(lambda clean: 3 * clean + 7)
    found = mapping._Moments.of(given, generator()).scale()(given.seen)
    assert torch.allclose(found, given.wanted, atol=1e-4)


def test_a_random_release_is_drawn_several_times_and_shrinks_the_map():
    sigma = 2.0
    given = pairs(rows=6000, release=noisy(sigma))
    moments = mapping._Moments.of(given, generator())
    assert moments.rows == mapping.DRAWS * 6000
    # variance 1.09 of the clean feature in 1.09 + 4 of the stored one
    slope = moments.ridge(1e-6).weight.diagonal() / moments.standardise.deviation
    assert slope.mean().item() == pytest.approx(1.09 / (1.09 + sigma**2), abs=0.02)
    assert mapping._Moments.of(pairs(), generator()).rows == 600


def test_a_rotation_is_undone_by_the_ridge():
    given = pairs(lambda clean: clean @ rotation())
    maps = learned(given)
    assert (maps.closest.rung, maps.clearest.rung) == ("ridge", "ridge")
    assert F.cosine_similarity(maps.closest(given.seen), given.wanted).min() > 0.999
    assert maps.mean_ap > 0.9


def test_features_that_were_left_alone_come_back_as_they_are():
    given = pairs()
    for one in (learned(given).closest, learned(given).clearest):
        assert torch.allclose(one(given.seen), given.wanted, atol=1e-3)


def test_the_network_learns_what_is_not_linear():
    given = pairs(lambda clean: torch.cat([clean.relu(), (-clean).relu().sqrt()], 1), rows=1500)
    straight = learned(given).closest
    bent = learned(given, Refinement(hidden=128, epochs=30)).closest
    assert (straight.rung, bent.rung) == ("ridge", "network")
    cosines = [F.cosine_similarity(m(given.seen), given.wanted).mean() for m in (straight, bent)]
    assert 1 - cosines[1] < 0.8 * (1 - cosines[0])


def test_spaces_of_different_width_have_no_scaled_rung():
    given = pairs(lambda clean: clean @ rotation()[:, :12])
    maps = learned(given)
    assert maps.clearest(given.seen).shape == given.wanted.shape
    assert maps.clearest.rung == "ridge"


def test_nothing_to_learn_finds_nobody():
    blank = pairs(lambda clean: torch.randn(clean.shape, generator=generator(5)))
    maps = learned(blank)
    # forty held-out people of three pictures each
    assert maps.mean_ap < 0.1
    constant = learned(pairs(torch.zeros_like))
    assert torch.isfinite(constant.closest(torch.zeros(3, 16))).all()


def test_people_seen_once_choose_too():
    given = pairs(rows=30)
    alone = Pairs(given.seen, given.wanted, torch.arange(1, 31), torch.zeros(30).long())
    assert learned(alone).mean_ap == pytest.approx(1.0)


def test_it_repeats_and_leaves_the_world_alone():
    given, before = pairs(release=noisy(0.5)), torch.random.get_rng_state()
    first = learned(given, Refinement(hidden=16, epochs=2)).closest(given.seen)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, learned(given, Refinement(hidden=16, epochs=2)).closest(given.seen))


@pytest.mark.parametrize("people", [[0, 0, 0], [4, 4, 0]])
def test_one_person_teaches_nothing(people):
    pids = torch.tensor(people)
    with pytest.raises(UnsupportedTargetError, match="two or more auxiliary people"):
        learned(Pairs(torch.eye(3), torch.eye(3), pids, torch.arange(3)))


def test_a_release_that_breaks_is_refused():
    with pytest.raises(ModelError, match="NaN"):
        learned(pairs(release=lambda features, generator: features / 0))


def test_held_out_rows_are_thinned_when_there_are_many(monkeypatch):
    whole = learned(pairs()).mean_ap
    monkeypatch.setattr(mapping, "TRIAL", 50)
    assert learned(pairs()).mean_ap == pytest.approx(whole, abs=0.2)
    assert np.isfinite(whole)
