"""What a run computes once, and what is forgotten with it."""

import pytest
import torch

from auditor.feature_cache import FeatureCache

MODEL, OTHER, PEOPLE, SHOWN, TARGET = (object() for _ in range(5))


def never():
    raise AssertionError("this is known already")


def test_each_thing_is_computed_once():
    cache = FeatureCache()
    rows = torch.arange(6.0).reshape(3, 2)
    for ask in (cache.features, cache.records):
        assert torch.equal(ask(MODEL, PEOPLE, lambda: rows), rows)
        assert torch.equal(ask(MODEL, PEOPLE, never), rows)
        assert torch.equal(ask(OTHER, PEOPLE, lambda: rows + 1), rows + 1)
    assert torch.equal(cache.stored_gallery(TARGET, lambda: rows), rows)
    assert torch.equal(cache.stored_gallery(TARGET, never), rows)
    assert cache.publication(TARGET, PEOPLE, "own", lambda: SHOWN) is SHOWN
    assert cache.publication(TARGET, PEOPLE, "own", never) is SHOWN
    assert len(cache) == 6


def test_neither_who_computed_nor_who_asked_can_change_it():
    cache, rows = FeatureCache(), torch.ones(2, 2)
    cache.features(MODEL, PEOPLE, lambda: rows).zero_()
    rows.zero_()
    cache.features(MODEL, PEOPLE, never).zero_()
    with pytest.raises(TypeError, match="cannot be replaced"):
        cache.add_features(MODEL, PEOPLE, rows)
    assert torch.equal(cache.features(MODEL, PEOPLE, never), torch.ones(2, 2))


def test_a_computation_that_fails_leaves_nothing():
    cache = FeatureCache()
    with pytest.raises(AssertionError):
        cache.features(MODEL, PEOPLE, never)
    assert not cache.knows(MODEL, PEOPLE)


def test_a_part_takes_its_rows_from_the_whole_for_every_extractor():
    cache, part = FeatureCache(), object()
    cache.add_features(MODEL, PEOPLE, torch.tensor([[1.0], [2.0], [3.0]]))
    cache.add_features(OTHER, PEOPLE, torch.tensor([[4.0], [5.0], [6.0]]))
    cache.add_features(OTHER, SHOWN, torch.tensor([[7.0]]))
    cache.add_part(PEOPLE, part, torch.tensor([2, 0]))
    assert cache.features(MODEL, part, never).tolist() == [[3.0], [1.0]]
    assert cache.features(OTHER, part, never).tolist() == [[6.0], [4.0]]


def test_what_depends_on_a_thing_is_forgotten_with_it():
    cache, rows = FeatureCache(), torch.ones(1, 1)
    cache.publication(TARGET, PEOPLE, "own", lambda: SHOWN)
    cache.add_features(MODEL, SHOWN, rows)
    cache.add_features(MODEL, PEOPLE, rows)
    cache.records(MODEL, PEOPLE, lambda: rows)
    cache.stored_gallery(TARGET, lambda: rows)
    cache.forget(TARGET)
    assert not cache.knows(MODEL, SHOWN), "features of pictures that are gone"
    assert cache.knows(MODEL, PEOPLE)
    cache.forget(PEOPLE)
    assert len(cache) == 0


def test_a_branch_knows_what_its_origin_knew_and_tells_it_nothing():
    cache, rows = FeatureCache(), torch.ones(1, 1)
    cache.add_features(MODEL, PEOPLE, rows)
    branch = cache.branch()
    assert branch.knows(MODEL, PEOPLE)
    branch.add_features(OTHER, PEOPLE, rows)
    assert not cache.knows(OTHER, PEOPLE)
    branch.publication(TARGET, PEOPLE, "own", lambda: SHOWN)
    assert cache.publication(TARGET, PEOPLE, "own", never) is SHOWN
