"""Gallery noise: scaling of its sigma, what it refuses, and what it does to features."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from auditor import plugins
from auditor.data.images import MemoryImages
from auditor.errors import UsageError
from auditor.types import ReIDDataset, RunContext, Split, Target
from defenses.dp_gallery import GalleryNoise


def people(*pids):
    def split(*pids):
        images = MemoryImages(torch.zeros(len(pids), 3, 2, 1, dtype=torch.uint8))
        column = torch.tensor(pids, dtype=torch.long)
        return Split(images, column, torch.full_like(column, -1))

    return Target(None, ReIDDataset("drawn", split(), split(), split(*pids), split()))


def claim(*pids, **params):
    return GalleryNoise(**params).apply(people(*pids), RunContext()).claims[-1]


def draw(target, features, seed=0):
    return target.release(features, torch.Generator().manual_seed(seed))


def features(rows=2000, dim=32):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(9)) * 5


class TestClaims:
    def test_an_identity_costs_the_root_of_its_images(self):
        image, identity = (claim(1, 1, 1, 1, 2, unit=unit) for unit in ("image", "identity"))
        assert image.sensitivity == 2
        assert identity.sensitivity == pytest.approx(2 * math.sqrt(4))
        assert identity.sigma == pytest.approx(image.sigma * math.sqrt(4))
        assert identity.images_per_identity == image.images_per_identity == 4

    def test_distractors_are_no_person(self):
        assert claim(0, 0, 0, 1, 1, 2, unit="identity").images_per_identity == 2

    def test_releases_cost_the_root_of_their_number(self):
        once, often = (claim(1, 2, releases=count) for count in (1, 9))
        assert often.sigma == pytest.approx(3 * once.sigma)
        assert often.epsilon_certified == pytest.approx(once.epsilon_certified)

    def test_per_image_noise_certifies_less_for_a_person(self):
        found = claim(1, 1, 1, 2, epsilon=1.0)
        assert found.epsilon_certified == pytest.approx(1.0, rel=1e-4)
        assert found.epsilon_identity > 1.5
        alone = claim(1, 2, epsilon=1.0)
        assert alone.epsilon_identity == pytest.approx(alone.epsilon_certified)

    def test_a_bound_on_images_is_used_instead_of_the_count(self):
        found = claim(1, 1, 2, unit="identity", images_per_identity=9)
        assert found.sensitivity == pytest.approx(6)
        assert not any("counted" in remark for remark in found.remarks)
        counted = claim(1, 1, 2, unit="identity")
        assert any("counted" in remark for remark in counted.remarks)

    def test_a_large_epsilon_is_said_to_mean_nothing(self):
        assert any("no meaningful" in remark for remark in claim(1, 2, epsilon=300).remarks)
        assert not any("no meaningful" in remark for remark in claim(1, 2, epsilon=3).remarks)

    def test_neighbours_and_unit_are_stated(self):
        found = claim(1, 2, unit="identity")
        assert (found.unit, found.neighbours) == ("identity", "one identity replaced")


class TestRefusals:
    @pytest.mark.parametrize("delta", [0.25, 0.3, 0.9])
    def test_a_delta_of_a_row_or_more(self, delta):
        with pytest.raises(UsageError, match=r"whole row of 4 .* below 2\.5e-01"):
            claim(1, 1, 2, 3, delta=delta)

    def test_a_delta_just_below_a_row(self):
        assert claim(1, 1, 2, 3, delta=0.2499).delta == 0.2499

    def test_a_bound_that_somebody_exceeds(self):
        with pytest.raises(UsageError, match="is 1, but somebody has 3"):
            claim(1, 1, 1, 2, images_per_identity=1)

    @pytest.mark.parametrize(
        "params",
        [
            {"epsilon": 0},
            {"epsilon": -1.0},
            {"epsilon": math.nan},
            {"epsilon": math.inf},
            {"delta": 0.0},
            {"delta": 1.0},
            {"delta": math.nan},
            {"releases": 0},
        ],
        ids=str,
    )
    def test_parameters_that_promise_nothing(self, params):
        with pytest.raises(ValueError, match="epsilon must be positive"):
            GalleryNoise(**params)
        with pytest.raises(UsageError, match="dp_gallery"):
            plugins.build("defenses", "dp_gallery", params)

    @pytest.mark.parametrize("bound", [0, -3])
    def test_bounds_that_cannot_be(self, bound):
        with pytest.raises(ValueError, match="at least 1, or left out"):
            GalleryNoise(images_per_identity=bound)

    def test_another_unit(self):
        with pytest.raises(UsageError, match="unit"):
            plugins.build("defenses", "dp_gallery", {"unit": "camera"})

    def test_a_gallery_of_distractors_alone(self):
        with pytest.raises(UsageError, match="gallery"):
            claim(0, 0, 0)


class TestRelease:
    def test_the_given_target_stays_as_it_is(self):
        target = people(1, 1, 2)
        before = dataclasses.asdict(target.data)["name"], target.release, target.claims
        defended = GalleryNoise().apply(target, RunContext())
        assert (target.data.name, target.release, target.claims) == before
        assert defended.data is target.data
        assert defended.extractor is target.extractor
        clean = features(3)
        kept = clean.clone()
        draw(defended, clean)
        assert torch.equal(clean, kept)

    def test_only_the_generator_decides(self):
        defended = GalleryNoise().apply(people(1, 2), RunContext())
        assert torch.equal(draw(defended, features()), draw(defended, features()))
        assert not torch.equal(draw(defended, features()), draw(defended, features(), seed=1))
        state = torch.random.get_rng_state()
        draw(defended, features())
        assert torch.equal(state, torch.random.get_rng_state())

    def test_two_draws_of_one_generator_differ(self):
        defended, generator = GalleryNoise().apply(people(1, 2), RunContext()), torch.Generator()
        one, two = (defended.release(features(), generator) for _ in range(2))
        assert not torch.equal(one, two)

    @pytest.mark.parametrize("params", [{}, {"epsilon": 8.0, "unit": "identity"}])
    def test_noise_on_unit_rows_has_the_claimed_spread(self, params):
        defended = GalleryNoise(**params).apply(people(1, 1, 2), RunContext())
        noise = draw(defended, features()) - F.normalize(features(), dim=1)
        sigma, count = defended.claims[0].sigma, noise.numel()
        # the spread of a sample deviation is σ / sqrt(2n)
        assert noise.std().item() == pytest.approx(sigma, abs=5 * sigma / math.sqrt(2 * count))
        assert noise.mean().item() == pytest.approx(0, abs=5 * sigma / math.sqrt(count))
        # rows are independent: neighbouring rows do not correlate
        assert abs(torch.corrcoef(noise[:2])[0, 1]) < 5 / math.sqrt(noise.shape[1])

    def test_the_length_of_a_feature_does_not_matter(self):
        defended = GalleryNoise().apply(people(1, 2), RunContext())
        scaled = draw(defended, features() * 40)
        assert torch.allclose(draw(defended, features()), scaled, atol=1e-5)

    def test_two_defenses_keep_both_claims(self):
        target = people(1, 1, 2)
        once = GalleryNoise(epsilon=100.0).apply(target, RunContext())
        twice = GalleryNoise(epsilon=50.0).apply(once, RunContext())
        assert [found.epsilon_claimed for found in twice.claims] == [100, 50]
        # the second works on what the first releases, from one generator
        generator = torch.Generator().manual_seed(0)
        inner = F.normalize(once.release(features(), generator), dim=1)
        outer = torch.randn(inner.shape, generator=generator) * twice.claims[1].sigma
        assert torch.equal(draw(twice, features()), inner + outer)
