"""The faint leak is as faint as it should be, and its best adversary is known."""

from dataclasses import replace

import pytest
import torch

from auditor.certification.planting import (
    AIM,
    DIM,
    Code,
    FaintLeak,
    PaintedCodes,
    Size,
    _first_rows,
    faint_code,
    plant,
)
from defenses.dp_gallery import GalleryNoise
from defenses.image_deid import Blur
from tests import worlds

SIZES = [(32, 16), (64, 32), (128, 64), (256, 128)]
CTX = worlds.plain_context()


@pytest.fixture(scope="module")
def bare():
    return worlds.trainable()


@pytest.fixture(scope="module")
def planted(bare):
    return plant(bare, bare.data, Size(), CTX)


@pytest.mark.parametrize("size", SIZES)
def test_the_leak_reads_what_was_painted(size):
    codes = torch.randn(20, DIM, generator=CTX.generator("codes"))
    images = PaintedCodes(codes).load(range(20), size)
    leak = FaintLeak(3.0)
    read = leak(torch.nn.functional.interpolate(images, leak.input_size, mode="area"))
    assert torch.allclose(read, 3 * codes / DIM**0.5, atol=1e-4)
    assert images.min() >= 0
    assert images.max() <= 1


def test_codes_have_the_variance_they_are_said_to(planted):
    truth = planted.truth(CTX)
    steps = truth.codes - truth.centres
    assert float(steps.var()) == pytest.approx(planted.code.step, rel=0.02)
    plain = Code({}, 0.3, 0.7)
    centres = plain.centres(torch.arange(1, 1001), {})
    assert float(centres.var()) == pytest.approx(0.3, rel=0.03)


def test_labels_cameras_and_people_are_those_of_the_data_and_the_splits_stay_apart(planted, bare):
    for name in ("query", "gallery", "auxiliary"):
        ours, theirs = getattr(planted.target.data, name), getattr(bare.data, name)
        rows = [int((theirs.pids == pid).sum()) for pid in ours.pids.unique()]
        assert len(ours) == sum(min(9, count) for count in rows)
    assert planted.target.data.attribute_values == bare.data.attribute_values
    assert planted.people == 24


def test_a_smaller_plant_has_fewer_people_and_pictures(bare, planted):
    size = Size(attacked=10, auxiliary=20, pictures=2)
    small = planted.smaller(size, CTX).target.data
    assert len(small.gallery.pids.unique()) == len(small.query.pids.unique()) == 10
    assert len(small.auxiliary.pids.unique()) == 20
    assert int(small.auxiliary.pids.bincount().max()) == 2
    again = plant(bare, bare.data, Size(), CTX)
    assert again.smaller(size, CTX).truth(CTX) is again.truth(CTX)
    assert torch.equal(again.truth(CTX).rows, planted.truth(CTX).rows)
    alone = plant(bare, bare.data, size, CTX).target.data
    assert torch.equal(alone.gallery.pids, small.gallery.pids)


@pytest.mark.parametrize("known", [1.0, 3.0])
def test_the_best_adversary_names_about_as_many_as_was_aimed_at(bare, known):
    code = faint_code(bare.data, bare.data.gallery, known)
    pids = bare.data.gallery.pids.unique()
    generator = torch.Generator().manual_seed(5)
    attributes = {
        name: torch.stack([column[bare.data.gallery.pids == pid][0] for pid in pids])
        for name, column in bare.data.gallery.attributes.items()
    }
    centres, hits = code.centres(pids, attributes), []
    middle, spread = centres.mean(0), float(centres.var(0).mean())
    gain = spread / (spread + code.step / known)
    for _ in range(40):
        means = middle + gain * (centres + code.steps(len(pids), generator) / known**0.5 - middle)
        asked = centres + code.steps(len(pids), generator)
        hits.append(torch.cdist(asked, means).argmin(1) == torch.arange(len(pids)))
    assert float(torch.cat(hits).float().mean()) == pytest.approx(AIM, abs=0.08)


class TestTruth:
    def test_moments_are_those_of_the_code(self, planted):
        truth, leak = planted.truth(CTX), planted.target.extractor
        unit = leak.scale**2 / DIM
        within = float(truth.within.diagonal().mean())
        assert within == pytest.approx(unit * planted.code.step, rel=0.02)
        assert float(truth.between.diagonal().mean()) == pytest.approx(
            unit * float(truth.centres.var(0).mean()), rel=0.05
        )

    @pytest.mark.parametrize("epsilon", [None, 300.0])
    def test_they_leave_nothing_to_chance_but_what_a_mechanism_adds(self, bare, epsilon):
        scenario = GalleryNoise(epsilon=epsilon).apply(bare, CTX) if epsilon else bare
        truth = plant(scenario, bare.data, Size(), CTX).truth(CTX)
        people = torch.linalg.eigvalsh(truth.passed.T @ truth.spread @ truth.passed)
        entries = torch.linalg.eigvalsh(truth.between)
        # sampled like the rest, the smallest of these would be a tenth of what it is
        assert torch.allclose(entries, people, rtol=0.3, atol=0)
        assert torch.allclose(entries.sum(), people.sum(), rtol=0.15)

    def test_attributes_are_as_frequent_as_among_the_adversary_s_people(self, bare, planted):
        labels = planted.truth(CTX).labels
        _, first = _first_rows(bare.data.auxiliary.pids)
        for name, column in bare.data.auxiliary.attributes.items():
            shares = [
                (found == found.max()).double().mean() for found in (labels[name], column[first])
            ]
            assert shares[0] == pytest.approx(float(shares[1]), abs=0.03)

    def test_without_a_mechanism_the_expected_code_is_the_code(self, planted):
        truth = planted.truth(CTX)
        assert float((truth.code_of(truth.rows) - truth.codes).square().mean()) < 1e-4
        # a person's centre is not as sure
        error = (truth.centre_of(truth.rows) - truth.centres).square().mean()
        between = float(truth.centres.var(0).mean())
        step = planted.code.step
        # attributes make some directions surer than others, which can only help
        isotropic = between * step / (between + step)
        assert 0.8 * isotropic < float(error) < isotropic

    def test_naming_is_the_likelihood_of_the_model(self, planted):
        truth = planted.truth(CTX)
        known, asked = truth.rows[[0, 1, 3, 4]], truth.rows[[2, 5]]
        scores = truth.naming(known, torch.tensor([0, 0, 1, 1]), asked)
        total = truth.between + truth.within
        joint = torch.cat(
            [
                torch.cat([truth.between + truth.within / 2, truth.between], 1),
                torch.cat([truth.between, total], 1),
            ]
        )
        mean = (known[:2].mean(0) - truth.mean, asked[0] - truth.mean)
        normal = torch.distributions.MultivariateNormal
        both = normal(torch.zeros(2 * DIM, dtype=torch.float64), joint).log_prob(torch.cat(mean))
        alone = normal(torch.zeros(DIM, dtype=torch.float64), truth.between + truth.within / 2)
        assert float(scores[0, 0]) == pytest.approx(float(both - alone.log_prob(mean[0])))

    def test_what_two_pictures_tell_is_the_likelihood_of_the_model(self, planted):
        truth = planted.truth(CTX)
        total = truth.between + truth.within
        joint = torch.cat(
            [torch.cat([total, truth.between], 1), torch.cat([truth.between, total], 1)]
        )
        told = -torch.linalg.inv(joint)[:DIM, DIM:]
        rows = truth.rows[:50] - truth.mean
        vectors = truth.linking(truth.rows[:50])
        assert torch.allclose(vectors @ vectors.T, (rows @ told @ rows.T).float(), atol=1e-3)
        # a clean code tells as much as the row that is stored of it
        asked, entries = truth.finding(truth.codes[:50], truth.rows[:50])
        assert torch.allclose(asked @ entries.T, vectors @ vectors.T, atol=0.02)

    def test_noise_leaves_less(self, bare, planted):
        noisy = plant(GalleryNoise(epsilon=300).apply(bare, CTX), bare.data, Size(), CTX).truth(CTX)
        error = float((noisy.code_of(noisy.rows) - noisy.codes).square().mean())
        assert 0.2 < error < 1


def test_the_plant_goes_through_the_scenarios_mechanisms(bare):
    blurred = Blur(kernel=(43, 21)).apply(bare, CTX)
    target = plant(blurred, bare.data, Size(), CTX).target
    clean, shown = (
        split.images.load([0], (64, 32))
        for split in (target.originals_of_gallery, target.data.gallery)
    )
    assert not torch.allclose(clean, shown, atol=0.05)
    assert target.publish is blurred.publish
    noisy = replace(bare, release=lambda features, generator: features * 0)
    assert plant(noisy, bare.data, Size(), CTX).target.release is noisy.release
