"""Search by description: anonymity sets, ceilings and posteriors against rules spelled out here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from attacks.description import Description, DescriptionGaussian, scoring
from attacks.description.scoring import (
    Described,
    count_fitting,
    describe_people,
    measure_sets,
    score_descriptions,
)
from attacks.description.search import Words, compute_posteriors, encode_values
from auditor.errors import UnsupportedTargetError
from auditor.types import RunContext
from defenses.dp_gallery import GalleryNoise
from tests import worlds

RUNGS = (Description, DescriptionGaussian)


def figures(rung, target):
    return {m.metric: m for m in rung(min_people=3).run(target, RunContext()).measurements}


def test_an_anonymity_set_counts_people_by_their_best_entry():
    pids = torch.tensor([1, 1, 2, 3, 0, 0])
    described = Described(torch.tensor([1, 2, 3]), torch.zeros(3, 1), {"hat": (0, 1)})
    scores = torch.tensor(
        [
            [0.1, 0.9, 0.5, 0.9, 0.0, 0.0],  # 1 and 3 are equal
            [0.1, 0.9, 0.5, 0.9, 0.7, 0.7],  # everybody else fits better, two distractors as well
            [0.0, 0.0, 0.0, 0.1, 0.0, 0.0],
        ],
        dtype=torch.float64,
    )
    assert count_fitting(scores.__getitem__, described, pids).tolist() == [2, 5, 1]


def test_an_end_that_few_people_leave_open_is_as_far_as_it_can_be():
    median, _ = measure_sets(torch.tensor([3, 4]), torch.ones(1), 70, "")
    assert (median.low, median.value, median.high) == (1, 3, 70)
    many, _ = measure_sets(torch.arange(1, 41), torch.ones(1), 70, "")
    assert 10 < many.low < many.value == 20 < many.high < 30


def test_anonymity_sets_of_many_are_counted_block_by_block(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    pids = torch.randint(0, 30, (200,), generator=generator)
    people = pids[pids > 0].unique()
    described = Described(people, torch.zeros(len(people), 1), {"hat": (0, 1)})
    scores = torch.randint(4, (len(people), 200), generator=generator).double()
    whole = count_fitting(scores.__getitem__, described, pids)
    seen = []

    def score(block):
        seen.append(len(scores[block]))
        return scores[block]

    monkeypatch.setattr(scoring, "BLOCK", 16)
    assert torch.equal(count_fitting(score, described, pids), whole)
    assert max(seen) == 16


def test_people_are_described_by_their_commonest_annotation():
    gallery = worlds.people().gallery.take(torch.arange(6))
    labels = {"hat": torch.tensor([0, 1, 1, -1, -1, -1]), "bag": torch.tensor([2, 2, 2, 0, 2, 0])}
    pids = torch.tensor([1, 1, 1, 2, 2, 2])
    split = replace(gallery, pids=pids, attributes=labels)
    found = describe_people(split, {"hat": [0, 1], "bag": [0, 2]})
    assert found.labels.tolist() == [[1, 1], [-1, 0]]
    with pytest.raises(UnsupportedTargetError, match="annotated people in the gallery: 1"):
        describe_people(split, {"hat": [0, 1]})


def test_words_weigh_as_the_gaussian_densities_do():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (40000, 2), generator=generator)
    directions = torch.tensor([[2.0, 0.0, 0.5], [0.0, -1.5, 0.5]])
    noise = torch.randn(40000, 3, generator=generator)
    rows = labels.float() @ directions + noise
    words = Words.of(rows, labels, (2, 2), per_person=1.0)
    asked = rows[:5]
    ratio = words.fit(torch.tensor([[1, 0]]), asked)(slice(None))[0].numpy()
    mean = rows.mean(0).numpy()
    given = multivariate_normal((torch.tensor([1.0, 0.0]) @ directions).numpy(), np.eye(3))
    anyway = multivariate_normal(mean, torch.cov(rows.T).numpy())
    wanted = given.logpdf(asked.numpy()) - anyway.logpdf(asked.numpy())
    assert ratio - ratio[0] == pytest.approx(wanted - wanted[0], abs=0.1)


def test_what_is_not_said_expects_nothing():
    rows, labels = torch.randn(50, 4), torch.randint(3, (50, 2))
    words = Words.of(rows, labels, (3, 3), per_person=1.0)
    said, unsaid = words.fit(torch.tensor([[1, -1], [-1, -1]]), rows)(slice(None))
    alone = words.fit(torch.tensor([[-1, -1]]), rows)(slice(None))[0]
    assert torch.equal(unsaid, alone)
    assert not torch.equal(said, unsaid)
    assert encode_values(torch.tensor([[1, -1]]), (3, 2)).tolist() == [[0, 1, 0, 0, 0]]


def test_a_posterior_is_a_probability_that_knows_the_shares():
    labels = torch.tensor([0] * 9 + [1] + [-1])
    even = compute_posteriors(torch.zeros(1, 2), labels).exp()
    assert even.tolist() == [[pytest.approx(10 / 12), pytest.approx(2 / 12)]]
    three = compute_posteriors(torch.tensor([[5.0, -5.0, -5.0]]), torch.tensor([0, 1, 2])).exp()
    assert float(three.sum()) == pytest.approx(1)
    assert float(three[0, 0]) > 0.98


def test_equal_scores_single_nobody_out():
    data = worlds.people()
    described = describe_people(data.gallery, {"hat": [0, 1]})
    nothing = torch.zeros(len(described.pids), len(data.gallery), dtype=torch.float64)
    result = score_descriptions(nothing.__getitem__, described, data, "")
    found = {m.metric: m for m in result.measurements}
    assert found["anonymity_q05"].value == 24
    assert found["described_rank1"].value == pytest.approx(found["described_rank1"].chance)
    assert found["described_map"].value == pytest.approx(found["described_map"].chance, rel=0.05)


def test_small_groups_are_not_told():
    found = figures(Description, worlds.leaky())
    assert not [name for name in found if name.startswith("anonymity") and "@" in name]


@pytest.mark.parametrize("rung", RUNGS)
def test_noise_makes_anonymity_sets_larger(rung):
    noisy = GalleryNoise(epsilon=20.0, trials=200).apply(worlds.leaky(), RunContext())
    clear, blurred = (
        figures(rung, target)["anonymity_median"] for target in (worlds.leaky(), noisy)
    )
    assert (clear.value, clear.unit, clear.worse) == (1, "people", "lower")
    assert blurred.value > 2


@pytest.mark.parametrize("rung", RUNGS)
def test_without_annotation_nobody_can_be_described(rung):
    data = worlds.leaky().data
    bare = replace(data, gallery=replace(data.gallery, attributes={}))
    with pytest.raises(UnsupportedTargetError, match="no attribute is annotated"):
        rung().run(replace(worlds.leaky(), data=bare), RunContext())
