"""Federated averaging: who holds what, what is averaged, and what stays with a client."""

from dataclasses import replace

import pytest
import torch

from auditor.errors import UnsupportedTargetError
from auditor.training import train_reid
from auditor.types import RunContext
from defenses.federated import Federated, defense
from defenses.federated.averaging import average
from tests import worlds
from tests.unit.coloured import SIZE, coloured, target

BRIEF = {"rounds": 2, "people": 4, "views": 2}
CONTEXT = RunContext(seed=6)


def states():
    draw = torch.Generator().manual_seed(0)
    return [
        {"w": torch.randn(3, 2, generator=draw), "counted": torch.tensor(5 + i)} for i in range(3)
    ]


@pytest.fixture
def trainings(monkeypatch):
    """Every local training: its arguments and what came out of it."""
    seen = []

    def spy(extractor, split, recipe, ctx, **options):
        start = {n: w.clone() for n, w in extractor.network.state_dict().items()}
        trained = train_reid(extractor, split, recipe, ctx, **options)
        seen.append((start, split, options, trained))
        return trained

    monkeypatch.setattr(defense, "train_reid", spy)
    return seen


def test_the_mean_is_weighted_by_pictures():
    given = states()
    mean = average(given, [1, 2, 5])
    expected = (given[0]["w"] + 2 * given[1]["w"] + 5 * given[2]["w"]) / 8
    assert torch.allclose(mean["w"], expected, atol=1e-6)
    assert mean["w"].dtype == torch.float32
    assert mean["counted"] == 5


def test_a_client_by_camera_is_all_that_one_camera_saw():
    parts, left_out = Federated().split(coloured(), CONTEXT)
    assert left_out == []
    assert [part.camids.unique().tolist() for part in parts] == [[0], [1]]
    assert sum(map(len, parts)) == 32


@pytest.mark.parametrize(("count", "sizes"), [(0, [4, 4]), (3, [3, 3, 2])])
def test_a_client_by_identity_holds_all_pictures_of_its_people(count, sizes):
    parts, _ = Federated(clients="identity", count=count).split(coloured(), CONTEXT)
    people = [set(part.pids.tolist()) for part in parts]
    assert [len(names) for names in people] == sizes
    assert len(set.union(*people)) == 8
    assert [len(part) for part in parts] == [4 * size for size in sizes]


def test_clients_who_know_one_person_take_no_part():
    people = coloured(2)
    with pytest.raises(UnsupportedTargetError, match=r"makes 0 clients by identity"):
        Federated(clients="identity").split(people, CONTEXT)


def test_clients_who_know_one_person_are_counted_in_the_record():
    given, lonely = target(), coloured(9)
    lonely = replace(lonely, camids=torch.where(lonely.pids == 9, 2, lonely.camids))
    given = replace(given, data=replace(given.data, train=lonely))
    result = Federated(rounds=1, people=4, views=2).apply(given, CONTEXT)
    (note,) = result.notes
    assert note.startswith("federated: 1 of 3 clients by camera know one person only")
    assert "1 people's 4 pictures" in note
    assert Federated(rounds=1, people=4, views=2).apply(target(), CONTEXT).notes == ()


@pytest.mark.parametrize("clients", ["camera", "identity"])
def test_the_network_is_the_mean_and_heads_stay_with_their_client(clients, trainings):
    result = Federated(**BRIEF, clients=clients).apply(target(), CONTEXT)
    first, second = trainings[:2], trainings[2:]
    images = [len(split) for _, split, _, _ in first]
    after_first = average([t.extractor.network.state_dict() for *_, t in first], images)
    for start, *_ in second:
        assert all(torch.equal(start[name], after_first[name]) for name in start)
    for (*_, before), (_, _, options, after) in zip(first, second, strict=True):
        assert options["classifiers"] is before.classifiers
        assert after.classifiers is not before.classifiers
    last = average([t.extractor.network.state_dict() for *_, t in second], images)
    kept = result.extractor.network.state_dict()
    assert all(torch.equal(kept[name], last[name]) for name in last)


def test_clients_learn_over_the_rounds(trainings):
    Federated(rounds=12, epochs=2, people=4, views=2, lr=1e-2, scratch=True).apply(
        target(), CONTEXT
    )
    accuracy = [trained.history[-1]["top1"] for *_, trained in trainings]
    assert sum(accuracy[-2:]) / 2 > 0.7 > 0.4 > sum(accuracy[:2]) / 2


def test_it_repeats_under_its_seed_and_leaves_its_input_alone():
    given = target()
    kept = {n: w.clone() for n, w in given.extractor.network.state_dict().items()}
    images = torch.rand(2, 3, *SIZE)
    first, second = (Federated(**BRIEF).apply(given, CONTEXT) for _ in range(2))
    assert torch.equal(first.extractor(images), second.extractor(images))
    assert all(torch.equal(kept[n], w) for n, w in given.extractor.network.state_dict().items())
    assert first.claims == ()


def test_from_scratch_the_given_weights_do_not_matter():
    images = torch.rand(2, 3, *SIZE)
    one, other = (
        Federated(rounds=1, people=4, views=2, scratch=True).apply(target(seed=s), CONTEXT)
        for s in (1, 2)
    )
    assert torch.equal(one.extractor(images), other.extractor(images))


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"lr": 0}, {"softmax": 0}, {"count": 3}, {"people": 1}]
)
def test_senseless_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Federated(**wrong)


def test_a_finished_program_is_refused():
    with pytest.raises(UnsupportedTargetError, match="cannot be retrained"):
        Federated().apply(worlds.leaky(), CONTEXT)
