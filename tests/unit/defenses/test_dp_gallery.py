"""Gallery noise: scaling of its sigma, what it refuses, and what it does to features."""

import dataclasses
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import yaml
from scipy.stats import norm

from attacks.adaptive import Averaging
from auditor import plugins
from auditor.data import open_dataset
from auditor.data.records import LENGTH, records_of
from auditor.data.synthetic.world import save_world
from auditor.embedding import released_split, stored_gallery
from auditor.errors import UsageError
from auditor.releasing import release_records
from auditor.row_blocks import BLOCK
from auditor.types import RunContext
from defenses.dp_gallery import GalleryNoise
from defenses.dp_gallery.measuring import Distances, run_experiment
from defenses.dp_gallery.mechanism import Mechanism, bound_norms, diameter, spread
from defenses.dp_gallery.noise import GaussianNoise, LaplaceNoise
from tests import worlds
from tests.golden.test_gaussian_mechanism import epsilon_of

people = worlds.crowd


def claim(*pids, **params):
    return GalleryNoise(trials=200, **params).apply(people(*pids), RunContext()).claims[-1]


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

    def test_people_may_be_numbered_as_a_database_numbers_them(self):
        far = 10**12
        assert claim(far, far, far + 1) == claim(1, 1, 2)

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
        with pytest.raises(ValueError, match=next(iter(params))):
            GalleryNoise(**params)
        with pytest.raises(UsageError, match="dp_gallery"):
            plugins.build("defenses", "dp_gallery", params)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"clip": 0.0}, r"clip.*\n.*greater than 0"),
            ({"clip": math.inf}, r"clip.*\n.*finite number"),
            ({"clip": "none"}, "clip: none"),
            ({"mechanism": "laplace", "calibration": "classic"}, "calibration: classic"),
            ({"trials": 3}, "trials"),
            ({"confidence": 1.0}, "confidence"),
        ],
        ids=str,
    )
    def test_settings_that_do_not_fit(self, params, message):
        with pytest.raises(ValueError, match=message):
            GalleryNoise(**params)

    @pytest.mark.parametrize("text", ["clip: 2", "clip: unit"])
    def test_a_norm_may_be_written_plainly(self, text):
        params = yaml.safe_load(text)
        assert plugins.build("defenses", "dp_gallery", params).clip == params["clip"]

    @pytest.mark.parametrize("bound", [0, -3])
    def test_bounds_that_cannot_be(self, bound):
        with pytest.raises(ValueError, match="images_per_identity"):
            GalleryNoise(images_per_identity=bound)

    def test_another_unit(self):
        with pytest.raises(UsageError, match="unit"):
            plugins.build("defenses", "dp_gallery", {"unit": "camera"})

    def test_a_gallery_of_distractors_alone(self):
        with pytest.raises(UsageError, match="gallery"):
            claim(0, 0, 0)


class TestGrowing:
    def test_a_bound_that_was_given_holds_for_what_is_added(self):
        bounded_noise = GalleryNoise(images_per_identity=3, unit="identity")
        assert bounded_noise.grow(100, 3) is bounded_noise
        with pytest.raises(UsageError, match="is 3, but somebody would have 4"):
            bounded_noise.grow(100, 4)

    def test_a_count_is_taken_again_where_the_noise_does_not_follow_from_it(self):
        assert GalleryNoise().grow(100, 7).images_per_identity == 7
        for params in ({"unit": "identity"}, {"calibration": "pepr"}):
            with pytest.raises(UsageError, match="needs images_per_identity, and no pepr"):
                GalleryNoise(**params).grow(100, 7)

    def test_delta_is_held_against_all_rows(self):
        with pytest.raises(UsageError, match="whole row of 100"):
            GalleryNoise(delta=0.01).grow(100, 1)


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
        outer = draw(twice, features()) - inner
        assert outer.std().item() == pytest.approx(twice.claims[1].sigma, rel=0.02)
        assert abs(float((outer * inner).mean())) < 4e-3 * twice.claims[1].sigma


def audited(seed=0, pids=(1, 1, 1, 2, 2, 3), **params):
    ctx = RunContext(seed=seed)
    return GalleryNoise(**params).apply(people(*pids), ctx).claims[-1]


SETTINGS = [
    {"epsilon": 1.0, "delta": 1e-3},
    {"epsilon": 4.0, "unit": "identity"},
    {"epsilon": 2.0, "releases": 5},
    {"epsilon": 3.0, "sticky": True, "releases": 9, "trials": 1000},
    {"epsilon": 5.0, "clip": 0.5},
    {"epsilon": 5.0, "mechanism": "laplace"},
    {"epsilon": 30.0, "mechanism": "laplace", "unit": "identity", "releases": 2},
    {"epsilon": 0.5, "calibration": "classic"},
    {"epsilon": 0.1, "calibration": "pepr"},
]


class TestAudit:
    @pytest.mark.parametrize("params", SETTINGS, ids=str)
    def test_what_is_proven_never_exceeds_what_is_certified(self, params):
        for seed in range(4):
            found = audited(seed, **{"trials": 4000, **params})
            assert 0 <= found.audited.epsilon <= found.epsilon_certified
            assert found.audited.epsilon <= found.audited.ceiling
            if found.noise == "gaussian":
                assert found.audited.epsilon_gaussian <= found.epsilon_certified

    @pytest.mark.parametrize("noise", ["gaussian", "laplace"])
    def test_the_experiment_finds_most_of_a_large_epsilon(self, noise):
        found = audited(epsilon=20.0, delta=1e-5, mechanism=noise, pids=(1, 2))
        widest = found.distances[-1]
        # the two pictures at hand lie nearer than two might
        assert found.audited.epsilon > 0.25 * widest.epsilon
        if noise == "gaussian":
            assert found.audited.epsilon_gaussian == pytest.approx(widest.epsilon, rel=0.06)

    def test_a_mechanism_that_does_less_than_it_states_is_caught(self, monkeypatch):
        def too_little(noise, shape, generator):
            return generator.standard_normal(shape) * noise.sigma / 8

        monkeypatch.setattr(GaussianNoise, "draw", too_little)
        found = audited(epsilon=1.0)
        assert found.verdict == "VIOLATED"
        assert "does not do what it states" in found.reason

    def test_equal_neighbours_prove_nothing(self):
        mechanism = Mechanism(GaussianNoise(1.0, 1e-5), "unit", b"key")
        pair = torch.ones(2, 8)
        bounds = [
            run_experiment(mechanism, pair, 1, 2000, 0.95, torch.Generator().manual_seed(seed))[0]
            for seed in range(40)
        ]
        # wrong with a chance of 5% at most
        assert sum(bound.epsilon > 0 for bound in bounds) <= 5
        assert sum(bound.epsilon_gaussian > 0 for bound in bounds) <= 5


class TestVerdicts:
    @pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0])
    def test_the_papers_recipe_claims_too_much(self, epsilon):
        found = audited(epsilon=epsilon, calibration="pepr")
        assert found.verdict == "OVER-CLAIMED"
        assert found.epsilon_claimed == epsilon
        assert found.epsilon_certified > 40
        assert f"{found.epsilon_certified:.4g}" in found.reason
        assert any("spread of the stored features" in remark for remark in found.remarks)

    def test_the_papers_recipe_takes_its_noise_from_the_data(self):
        clean = F.normalize(people(1, 1, 2).data.gallery.images.load(range(3), (4, 2)).flatten(1)
                            - 0.5, dim=1)  # fmt: skip
        spread = float(clean.double().std(correction=0))
        weak, strong = (
            audited(pids=(1, 1, 2), epsilon=e, calibration="pepr").sigma for e in (1.0, 0.1)
        )
        assert weak == pytest.approx(0.75 * spread)
        assert strong == pytest.approx(0.75 * spread * 10**0.2)
        assert spread - 5 <= weak <= strong <= spread + 5

    def test_raw_rows_certify_nothing(self):
        found = audited(epsilon=0.1, calibration="pepr", clip="none")
        assert found.verdict == "NOT-DP"
        assert found.epsilon_certified is found.epsilon_identity is found.sensitivity is None
        assert found.reconstruction is None
        assert found.distances[-1].epsilon > 0

    def test_the_classic_bound_holds_below_one_and_not_far_above(self):
        assert audited(epsilon=0.5, calibration="classic").verdict == "CONSISTENT"
        beyond = audited(epsilon=20.0, calibration="classic")
        assert beyond.verdict == "OVER-CLAIMED"
        assert any("ε < 1" in remark for remark in beyond.remarks)

    @pytest.mark.parametrize("params", [{}, {"mechanism": "laplace"}, {"clip": 0.3}], ids=str)
    def test_calibrated_noise_is_consistent(self, params):
        assert audited(epsilon=2.0, **params).verdict == "CONSISTENT"


class TestLaplace:
    def test_scale_and_epsilon_follow_the_l1_diameter(self):
        found = audited(epsilon=3.0, mechanism="laplace", clip=0.5, unit="identity", releases=2)
        # 24 coordinates, three rows of one person, two releases
        reach = 2 * 0.5 * math.sqrt(24)
        assert found.sensitivity == pytest.approx(3 * reach)
        assert found.sigma == pytest.approx(math.sqrt(2) * 2 * 3 * reach / 3.0)
        assert found.epsilon_certified == pytest.approx(3.0)
        assert (found.delta, found.norm) == (0.0, "L1")

    def test_noise_has_the_claimed_spread_and_heavy_tails(self):
        defended = GalleryNoise(mechanism="laplace", epsilon=50.0).apply(people(1, 2), RunContext())
        noise = draw(defended, features(dim=24)) - F.normalize(features(dim=24), dim=1)
        assert noise.std().item() == pytest.approx(defended.claims[0].sigma, rel=0.02)
        assert float((noise / noise.std()).pow(4).mean()) == pytest.approx(6, rel=0.15)

    def test_one_row_alone_may_be_published(self):
        # δ is 0, whatever the number of rows
        assert claim(1, 2, mechanism="laplace", delta=0.6).delta == 0


class TestClipping:
    def test_long_rows_are_cut_and_short_ones_kept(self):
        rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
        cut = bound_norms(rows, 2.5)
        assert torch.allclose(cut, torch.tensor([[1.5, 2.0], [0.3, 0.4], [0.0, 0.0]]))
        assert torch.equal(bound_norms(rows, "none"), rows)

    def test_no_two_rows_lie_farther_apart_than_certified(self):
        rows = bound_norms(features(200, 8), 2.0).double()
        assert torch.pdist(rows).max() <= diameter(2.0, "L2", 8) + 1e-5
        assert torch.pdist(rows, p=1.0).max() <= diameter(2.0, "L1", 8) + 1e-5

    def test_noise_grows_with_the_norm(self):
        assert claim(1, 2, clip=6.0).sigma == pytest.approx(6 * claim(1, 2).sigma)


def sticky(seed=0):
    return GalleryNoise(sticky=True, trials=200).apply(people(1, 2), RunContext(seed=seed))


def named(rows):
    generator = torch.Generator().manual_seed(4)
    return torch.randint(256, (rows, LENGTH), generator=generator, dtype=torch.uint8)


def drawn(target, features, names, seed=0):
    return release_records(target.release, features, torch.Generator().manual_seed(seed), names)


def networks():
    return [Weighted(weight) for weight in (1, 2)]


class Weighted(worlds.Flatten):
    """Pixels times a weight."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(float(weight)))

    def forward(self, images):
        return super().forward(images) * self.weight


MECHANISMS = {
    "Gaussian": Mechanism(GaussianNoise(0.1, 1e-5), "unit", b"key"),
    "Laplace": Mechanism(LaplaceNoise(0.1), 2.5, b"key"),
}


@pytest.mark.parametrize("mechanism", MECHANISMS.values(), ids=MECHANISMS.keys())
class TestManyRows:
    """More than are worked on together."""

    def test_noise_is_the_one_that_all_rows_get_at_once(self, mechanism):
        rows = features(2 * BLOCK + 7, 3)
        nonce = torch.randint(256, (16,), generator=torch.manual_seed(5), dtype=torch.uint8)
        drawing = mechanism._make_generator(nonce.numpy().tobytes())
        noise = torch.from_numpy(mechanism.noise.draw(tuple(rows.shape), drawing)).float()
        released = mechanism(rows, torch.manual_seed(5))
        assert torch.equal(released, bound_norms(rows, mechanism.clip) + noise)

    def test_distances_are_those_of_one_table(self, mechanism):
        rows, pids = features(BLOCK + 50, 3), torch.arange(BLOCK + 50) // 2
        found = Distances.of(rows, pids, mechanism, torch.manual_seed(1))
        anchors = torch.randperm(len(rows), generator=torch.manual_seed(1))[:1000]
        bounded = bound_norms(rows, mechanism.clip).double()
        norm = 1.0 if mechanism.noise.norm == "L1" else 2.0
        table = torch.cdist(bounded[anchors], bounded, p=norm)
        alike = (pids[anchors, None] == pids) & (pids[anchors, None] > 0)
        itself = torch.arange(len(rows)) == anchors[:, None]
        assert found.same == pytest.approx(float(table[alike & ~itself].median()))
        others = table.masked_fill(alike, math.inf).amin(1)[pids[anchors] > 0]
        assert found.other == pytest.approx(float(others.median()))
        assert found.widest == pytest.approx(float(table.max()))
        at = (anchors == found.pair[0]).nonzero()
        assert float(table[at, found.pair[1]]) == pytest.approx(found.widest)

    def test_their_spread_is_that_of_all_values(self, mechanism):
        rows = features(BLOCK + 50, 3) + 1
        wanted = bound_norms(rows, mechanism.clip).double().std(correction=0)
        assert spread(rows, mechanism.clip) == pytest.approx(float(wanted), rel=1e-12)


class TestSticky:
    def test_a_record_keeps_its_noise_in_any_order_and_however_it_was_computed(self):
        defended, clean, names = sticky(), features(50), named(50)
        first = drawn(defended, clean, names)
        assert torch.equal(first, drawn(defended, clean, names, seed=5))
        order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
        assert torch.equal(drawn(defended, clean[order], names[order]), first[order])
        # another batch, another kernel: the same picture, some 2e-8 away
        nearly = clean * (1 + 1e-7 * torch.randn(clean.shape, generator=torch.manual_seed(2)))
        assert not torch.equal(nearly, clean)
        assert torch.allclose(drawn(defended, nearly, names), first, atol=1e-6)

    def test_a_gallery_is_stored_again_as_it_was(self, tmp_path):
        save_world(worlds.people(), tmp_path)
        target = replace(worlds.blind(), data=open_dataset(tmp_path))
        defended = GalleryNoise(sticky=True, trials=200).apply(target, RunContext())
        gallery, ctx = defended.data.gallery, RunContext()
        stored = stored_gallery(defended, ctx)
        order = torch.randperm(len(gallery), generator=ctx.generator("order"))
        again = released_split(defended, gallery.take(order), RunContext(), ctx.generator("new"))
        assert torch.equal(again, stored[order])

    def test_another_network_makes_other_records(self):
        split = worlds.people().gallery
        one, two = (records_of(net, split, RunContext()) for net in networks())
        assert (one != two).any(1).all()
        assert len({name.numpy().tobytes() for name in one}) == len(split)
        assert torch.equal(one, records_of(networks()[0], split, RunContext()))

    def test_what_is_nobodys_record_is_drawn_anew(self):
        clean = features(50)
        assert not torch.equal(draw(sticky(), clean), draw(sticky(), clean, seed=5))

    def test_more_noise_on_top_sticks_too(self):
        twice = GalleryNoise(sticky=True, trials=200).apply(sticky(), RunContext(seed=3))
        first, second = (drawn(twice, features(5), named(5), seed=seed) for seed in (0, 1))
        assert torch.equal(first, second)

    def test_records_and_keys_give_independent_noise(self):
        clean = features(400)
        one, two = (
            drawn(sticky(seed), clean, named(400)) - F.normalize(clean, dim=1) for seed in (0, 1)
        )
        pairs = [(one, two), (one[:-1], one[1:])]
        for a, b in pairs:
            assert abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) < 0.04

    def test_releases_cost_nothing_more(self):
        once, often = (audited(epsilon=2.0, sticky=True, releases=n, trials=200) for n in (1, 50))
        assert often.sigma == once.sigma
        assert often.epsilon_certified == once.epsilon_certified
        assert any("secret key" in remark for remark in once.remarks)
        assert audited(epsilon=2.0, releases=50, trials=200).sigma > 5 * once.sigma

    def test_averaging_gains_nothing_from_more_releases(self, tmp_path):
        ctx = worlds.context(tmp_path)
        target = worlds.leaky()
        gained = {}
        for sticky in (False, True):
            noisy = GalleryNoise(epsilon=60.0, sticky=sticky, trials=200).apply(target, ctx)
            result = Averaging(releases=16).run(noisy, ctx)
            found = {m.metric: m.value for m in result.measurements}
            gained[sticky] = found["cosine.k16"] - found["cosine.k1"]
            if sticky:
                assert any("stays" in note for note in result.notes)
                assert not any("composes" in note for note in result.notes)
        assert gained[False] > 0.1
        assert gained[True] == pytest.approx(0, abs=1e-6)


class TestMeaning:
    def test_metric_privacy_is_read_at_measured_distances(self):
        found = audited(epsilon=8.0, releases=4)
        clean = people(1, 1, 1, 2, 2, 3).data.gallery.images.load(range(6), (4, 2)).flatten(1)
        rows = F.normalize(clean - 0.5, dim=1).double()
        table = torch.cdist(rows, rows)
        same = torch.tensor([table[0, 1], table[0, 2], table[1, 2], table[3, 4]] * 2).median()
        other = torch.stack([
            table[0, 3:].min(), table[1, 3:].min(), table[2, 3:].min(),
            table[3, [0, 1, 2, 5]].min(), table[4, [0, 1, 2, 5]].min(), table[5, :5].min(),
        ]).median()  # fmt: skip
        wanted = [float(same), float(other), float(table.max())]
        assert [d.distance for d in found.distances] == pytest.approx(wanted, rel=1e-4)
        for d in found.distances:
            mu = d.distance * math.sqrt(4) / found.sigma
            assert d.epsilon == pytest.approx(epsilon_of(mu, 1e-5), rel=1e-4)
        assert found.distances[-1].epsilon < found.epsilon_certified

    def test_a_gallery_of_single_pictures_has_no_distance_within_a_person(self):
        names = [d.between for d in claim(1, 2, 3).distances]
        assert not any("one person" in name for name in names)
        assert len(names) == 2

    def test_reconstruction_is_bounded_by_the_curve_of_the_noise(self):
        found = audited(epsilon=1.0, releases=2)
        mu = 2 * math.sqrt(2) / found.sigma
        bound = found.reconstruction
        assert bound.prior == pytest.approx(1 / 3)
        assert bound.image == pytest.approx(norm.cdf(norm.ppf(1 / 3) + mu))
        assert bound.identity == pytest.approx(norm.cdf(norm.ppf(1 / 3) + mu * math.sqrt(3)))
        assert bound.prior < bound.image < bound.identity < 1
