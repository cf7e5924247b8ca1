"""The score API: what it shows, what the climb makes of it, and the closed form behind it."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks.protocol.asking import ways_of_asking
from attacks.score_api import ScoreClimbing, ScoreTrilateration
from attacks.score_api.api import ScoreApi
from attacks.score_api.budget import halvings
from attacks.score_api.climb import HIDDEN, Snapshot, climb, start
from attacks.score_api.decoys import Joined, with_decoys
from attacks.score_api.prior import EigenPictures, eigen_pictures
from attacks.score_api.trilateration import Prior, learn_prior
from attacks.score_api.verification import Verification, impostor_scores
from auditor.certification.certificates import certificates
from auditor.data.images import eight_bit
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split, Target, as_is
from defenses.dp_gallery import GalleryNoise
from tests import worlds

SIZE = (8, 4)
QUICK = worlds.QUICK["score_api"]


def clean(target, ctx):
    """Pictures are submitted as they are."""
    return ways_of_asking(target, ctx)[0]


class Pixels(torch.nn.Module):
    """Features ``(B, 96)`` are the pixels of an 8 × 4 picture about their middle: a black box."""

    feature_dim = 96
    input_size = SIZE
    differentiable = False

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        return self.scale * (images.flatten(1) - 0.5)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def people(pids, seed, cameras=2):
    """Pictures around one random face per person."""
    pids = torch.as_tensor(pids)
    faces = torch.stack([draw(3, *SIZE, seed=1000 + int(pid)) for pid in pids])
    pixels = (128 + 50 * faces + 10 * draw(len(pids), 3, *SIZE, seed=seed)).clamp(0, 255)
    return Split(MemoryImages(pixels.byte()), pids, torch.arange(len(pids)) % cameras)


def world(scale=1.0, release=as_is, auxiliary=tuple(range(100, 220)), gallery=(1, 1, 2, 2, 3, 3)):
    """Three attacked and a hundred and twenty auxiliary people."""
    splits = people(gallery, 1), people(gallery, 2), people(auxiliary, 3)
    query, stored, own = splits
    return Target(Pixels(scale), ReIDDataset("drawn", own, query, stored, own), release=release)


def cosines(target, ctx, pictures):
    """Of pictures ``(B, 3, 8, 4)`` with all stored entries, by the book."""
    features, stored = target.extractor(pictures), stored_gallery(target, ctx)
    return torch.stack([F.cosine_similarity(f[None], stored) for f in features])


@pytest.fixture
def ctx(tmp_path):
    return RunContext(workdir=tmp_path)


class TestApi:
    entries = torch.tensor([[0, 3], [5, 5], [2, 0]])
    pictures = torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(4))

    @pytest.mark.parametrize("noise", [False, True])
    def test_it_answers_with_the_cosine_to_the_stored_entry(self, ctx, noise):
        target = world(scale=7.0)
        if noise:
            target = GalleryNoise(epsilon=10.0, delta=1e-5).apply(target, ctx)
        wanted = cosines(target, ctx, self.pictures).gather(1, self.entries)
        assert torch.allclose(ScoreApi(target, ctx).ask(self.pictures, self.entries), wanted)

    def test_it_counts_every_score_it_was_asked_for(self, ctx):
        api = ScoreApi(world(), ctx, top_k=1)
        api.ask(self.pictures, self.entries)
        api.ask(self.pictures, self.entries)
        assert api.queries.tolist() == [4, 0, 2, 2, 0, 4]

    def test_it_rounds(self, ctx):
        target = world()
        scores = ScoreApi(target, ctx, decimals=2).ask(self.pictures, self.entries)
        wanted = cosines(target, ctx, self.pictures).gather(1, self.entries)
        assert scores.numpy() == pytest.approx(np.round(wanted.numpy(), 2), abs=1e-6)

    @pytest.mark.parametrize("top_k", [1, 3, 6, 99])
    def test_it_shows_an_entry_among_the_best_alone(self, ctx, top_k):
        target = world()
        entries = torch.arange(6).expand(3, -1)
        shown = ScoreApi(target, ctx, top_k=top_k).ask(self.pictures, entries)
        every = cosines(target, ctx, self.pictures)
        rank = every.argsort(dim=1, descending=True).argsort(dim=1)
        assert torch.equal(shown.isfinite(), rank < top_k)
        assert torch.allclose(shown[rank < top_k], every[rank < top_k])
        api = ScoreApi(target, ctx, top_k=top_k)
        again = api.answer_for_all(target.extractor(self.pictures))
        assert torch.allclose(again, shown, equal_nan=True)
        assert api.queries.tolist() == [3] * 6

    @pytest.mark.parametrize("fields", [{"decimals": 0}, {"top_k": 0}])
    @pytest.mark.parametrize("attack", [ScoreClimbing, ScoreTrilateration])
    def test_a_service_that_shows_nothing_is_refused(self, attack, fields):
        with pytest.raises(ValueError, match=next(iter(fields))):
            attack(**fields)


class TestPrior:
    def test_eigen_pictures_are_those_of_the_covariance(self, ctx):
        own = world().data.auxiliary
        prior = eigen_pictures(own, 5, SIZE, ctx)
        pixels = own.images.load(range(len(own)), SIZE).flatten(1).double().numpy()
        variances, axes = np.linalg.eigh(np.cov(pixels.T))
        lengths = prior.axes.flatten(1).square().sum(1).numpy()
        assert lengths == pytest.approx(variances[::-1][:5], rel=0.02)
        cosine = (prior.axes.flatten(1).numpy() / lengths[:, None] ** 0.5) @ axes[:, ::-1][:, :5]
        assert np.abs(np.diag(cosine)) == pytest.approx(np.ones(5), abs=0.05)

    def test_a_move_is_read_back_as_far_as_eight_bits_hold_it(self):
        axes = 0.02 * torch.linalg.qr(draw(96, 4)).Q.T.reshape(4, 3, *SIZE)
        prior = EigenPictures(torch.full((3, *SIZE), 0.5), axes)
        codes = draw(6, 4, seed=1)
        moved = prior.move(prior.mean.expand(6, -1, -1, -1), codes)
        read = (moved - prior.mean).flatten(1) @ axes.flatten(1).T / 0.02**2
        assert torch.allclose(read, codes, atol=0.3)
        assert torch.equal(moved, eight_bit(moved))

    def test_there_are_no_more_directions_than_pictures(self, ctx):
        own = world(auxiliary=(100, 101, 102)).data.auxiliary
        assert len(eigen_pictures(own, 64, SIZE, ctx).axes) == 2

    def test_two_pictures_are_too_few(self, ctx):
        with pytest.raises(UnsupportedTargetError, match="2 auxiliary pictures"):
            eigen_pictures(world(auxiliary=(100, 101)).data.auxiliary, 64, SIZE, ctx)


class TestClimb:
    entries = torch.tensor([0, 2, 4])

    def climbed(self, ctx, target, generations=40, top_k=None):
        api = ScoreApi(target, ctx, top_k=top_k)
        own = target.data.auxiliary
        prior = eigen_pictures(own, 40, SIZE, ctx)
        begin = start(api, own.images.load(range(10), SIZE), self.entries)
        trail = climb(api, begin, self.entries, prior, 8, 0.3, generations, ctx)
        return api, begin, list(trail)

    def test_it_starts_from_the_best_own_picture(self, ctx):
        target = world()
        _, begin, _ = self.climbed(ctx, target, generations=0)
        every = cosines(target, ctx, target.data.auxiliary.images.load(range(10), SIZE))
        assert torch.allclose(begin.scores, every[:, self.entries].max(0).values)
        best = every[:, self.entries].argmax(0).tolist()
        assert torch.equal(begin.pictures, target.data.auxiliary.images.load(best, SIZE))

    def test_it_climbs_and_counts_and_shows_the_picture_that_scored(self, ctx):
        target = world()
        api, begin, trail = self.climbed(ctx, target)
        last = trail[-1]
        assert (last.scores > begin.scores + 0.3).all()
        assert [snapshot.queries for snapshot in trail] == list(range(18, 331, 8))
        assert api.queries.tolist() == [330, 0, 330, 0, 330, 0]
        reached = cosines(target, ctx, last.pictures)[torch.arange(3), self.entries]
        assert torch.allclose(reached, last.scores, atol=1e-5)
        for before, after in pairwise(trail):
            assert (after.scores >= before.scores).all()

    def test_numpys_own_random_numbers_are_left_alone(self, ctx):
        before = np.random.get_state()[1].copy()
        self.climbed(ctx, world(), generations=3)
        assert np.array_equal(before, np.random.get_state()[1])

    def test_a_service_that_never_shows_a_score_is_survived(self, ctx):
        # decoys that are the starts themselves take the one place there is
        target = world()
        hidden = dataclasses.replace(target, data=with_decoys(target.data, torch.arange(10)))
        _, begin, trail = self.climbed(ctx, hidden, generations=3, top_k=1)
        assert (begin.scores == HIDDEN).all()
        assert torch.isfinite(trail[-1].pictures).all()

    def test_only_what_is_better_replaces(self):
        old = Snapshot(1, torch.tensor([0.5, 0.5]), torch.zeros(2, 3, 1, 1))
        scores = torch.tensor([[0.4, 0.6], [0.5, 0.1]])
        grey = torch.tensor([[1.0, 2], [3, 4]])[:, :, None, None, None]
        new = old.improve(3, scores, grey.expand(-1, -1, 3, 1, 1))
        assert new.scores.tolist() == pytest.approx([0.6, 0.5])
        assert new.pictures[:, 0, 0, 0].tolist() == [2, 0]


class TestDecoys:
    def test_joined_sources_answer_in_the_order_asked(self):
        first, second = (
            MemoryImages(torch.full((n, 3, 1, 1), value, dtype=torch.uint8))
            for n, value in ((2, 51), (3, 102))
        )
        joined = Joined(first, second)
        assert len(joined) == 5
        pictures = joined.load([4, 0, 2, 1], (1, 1))[:, 0, 0, 0]
        assert (pictures * 255).round().tolist() == [102, 51, 102, 51]
        assert joined.load([1], (1, 1)).shape == (1, 3, 1, 1)

    def test_decoys_are_nobody_in_the_gallery(self):
        data = world().data
        rows = torch.tensor([7, 3])
        more = with_decoys(data, rows)
        assert more.gallery.pids.tolist() == [*data.gallery.pids.tolist(), 0, 0]
        assert torch.equal(
            more.gallery.images.load([6, 7], SIZE), data.auxiliary.images.load([7, 3], SIZE)
        )


class TestVerification:
    def test_the_threshold_lets_the_stated_share_of_impostors_pass(self, ctx):
        target = world(auxiliary=tuple(range(100, 150)) * 3)
        service = Verification.of(target, torch.tensor([0, 2]), clean(target, ctx), ctx)
        known = F.normalize(features_of(target.extractor, target.data.auxiliary, ctx), dim=1)
        pids = target.data.auxiliary.pids
        impostors = (known @ known.T)[pids[:, None] != pids]
        for name, rate in (("verified_fmr1", 0.01), ("verified_fmr01", 0.001)):
            passing = float((impostors > service.thresholds[name] + 1e-6).double().mean())
            assert 0 < passing <= rate
            assert passing > rate - 0.002

    def test_pictures_are_measured_against_their_own_entry(self, ctx):
        target, entries = world(scale=3.0), torch.tensor([0, 2, 4])
        service = Verification.of(target, entries, clean(target, ctx), ctx)
        pictures = target.data.gallery.images.load([0, 2, 1], SIZE)
        every = cosines(target, ctx, pictures)
        reached, at_1, _ = service.measure(pictures)
        assert reached.value == pytest.approx(float(every[[0, 1, 2], entries].mean()), abs=1e-5)
        assert reached.chance == pytest.approx(float(every[[2, 0, 1], entries].mean()), abs=1e-5)
        assert (at_1.value, at_1.n) == (pytest.approx(2 / 3), 3)
        assert at_1.chance == 0.01

    def test_genuine_scores_come_from_other_cameras(self, ctx):
        target, entries = world(), torch.tensor([0, 3])
        genuine = cosines(target, ctx, target.data.query.images.load([1, 2], SIZE))
        wanted = float(genuine[[0, 1], entries].mean())
        service = Verification.of(target, entries, clean(target, ctx), ctx)
        assert f"{wanted:.3f} on average" in service.note()

    def test_one_auxiliary_person_sets_no_threshold(self, ctx):
        target = world(auxiliary=(100, 100, 100))
        with pytest.raises(UnsupportedTargetError, match="people or more, and the adversary has 1"):
            impostor_scores(target, clean(target, ctx), ctx)


class TestClimbing:
    def planted(self, tmp_path, **changes):
        attack = ScoreClimbing(**(QUICK | changes))
        judges = {"target": worlds.leaky().extractor}
        ctx = RunContext(workdir=tmp_path, judges=judges)
        return attack.run(attack.make_planted(worlds.leaky(), ctx), ctx)

    def test_one_generation_does_not_pass_the_planted_control(self, tmp_path):
        queries = QUICK["starts"] + QUICK["population"]
        result = self.planted(tmp_path, queries=queries)
        found = result.measurements[0]
        null = dataclasses.replace(found, value=0, low=0)
        assert not certificates("reid_rank1", [found], [null], None)[0].shown
        assert found.value < 0.2

    @pytest.mark.parametrize("service", [{}, {"decimals": 2}], ids=str)
    def test_the_whole_budget_passes_it(self, tmp_path, service):
        result = self.planted(tmp_path, **service)
        found = result.measurements[0]
        null = dataclasses.replace(found, value=0, low=0)
        assert certificates("reid_rank1", [found], [null], None)[0].shown
        recognised, passed = result.curves
        assert [point[0] for point in recognised.points] == [30, 66, 150, 294, 594]
        assert recognised.points[-1][1:] == (found.value, found.low, found.high)
        assert recognised.points[0][1] < 0.2
        figures = {m.metric: m for m in result.measurements}
        assert passed.points[-1][1] == figures["verified_fmr1"].value
        assert figures["score_reached"].value > figures["score_reached"].chance + 0.3
        assert "594 pictures were submitted for each of 8 people" in " ".join(result.notes)

    def test_a_list_of_the_best_few_is_no_less_than_nothing(self, tmp_path):
        """Where the entry is hidden at first, the climb is blind, and says for how many."""
        result = self.planted(tmp_path, top_k=1, queries=60)
        assert any("never showed a score" in note for note in result.notes)
        assert result.measurements[0].value < 0.5

    def test_one_attacked_person_leaves_no_blind_floor(self, ctx):
        with pytest.raises(UnsupportedTargetError, match="shows 1 person"):
            ScoreClimbing(**QUICK).run(world(gallery=(1, 1)), ctx)

    @pytest.mark.parametrize(
        "fields",
        [
            {"people": 1},
            {"starts": 0},
            {"starts": 5, "queries": 4},
            {"population": 3},
            {"directions": 1},
            {"image_size": (8, 8)},
        ],
        ids=str,
    )
    def test_parameters_that_mean_nothing_are_refused(self, fields):
        with pytest.raises(ValueError, match=next(iter(fields))):
            ScoreClimbing(**fields)


class TestTrilateration:
    def figures(self, ctx, target, **params):
        result = ScoreTrilateration(**params).run(target, ctx)
        return {m.metric: m for m in result.measurements}, result

    @pytest.mark.parametrize("scale", [1.0, 40.0])
    def test_as_many_scores_as_dimensions_give_the_feature_back(self, ctx, scale):
        found, result = self.figures(ctx, world(scale), queries=96)
        assert found["recovered_cosine"].value == pytest.approx(1, abs=1e-4)
        assert found["matched_rank1"].value == 1
        counts = [[point[0] for point in curve.points] for curve in result.curves]
        assert counts == [[12, 24, 48, 96]] * 2
        cosines = [point[1] for point in result.curves[1].points]
        assert cosines == sorted(cosines)

    def test_what_comes_back_is_what_was_stored(self, ctx):
        noisy = GalleryNoise(epsilon=20.0, delta=1e-5).apply(world(), ctx)
        found, _ = self.figures(ctx, noisy, queries=110)
        assert found["recovered_cosine"].value > 0.99

    def test_rounding_costs_little(self, ctx):
        exact = [
            self.figures(ctx, world(), queries=96, decimals=decimals)[0]["recovered_cosine"].value
            for decimals in (1, 2, 4)
        ]
        assert exact == sorted(exact)
        assert exact[0] > 0.3
        assert exact[1] > 0.9
        assert exact[2] > 0.999

    def test_one_score_tells_next_to_nothing(self, ctx):
        found, _ = self.figures(ctx, world(), queries=1)
        assert found["recovered_cosine"].value < found["recovered_cosine"].chance + 0.3

    def test_hidden_scores_are_left_out(self, ctx):
        target = world()
        shown, _ = self.figures(ctx, target, queries=96)
        hidden, result = self.figures(ctx, target, queries=96, top_k=3)
        assert 0 < hidden["recovered_cosine"].value < shown["recovered_cosine"].value
        assert any("showed 50.0% of the scores" in note for note in result.notes)

    @pytest.mark.parametrize("hide", [False, True])
    def test_the_answer_is_the_mean_of_the_gaussian_posterior(self, hide):
        mean, factor, features = draw(6).double(), draw(6, 6, seed=1).double(), draw(4, 6, seed=2)
        scores, noise = draw(4, 2, seed=3), 0.3
        if hide:
            scores[[0, 3], [0, 1]] = torch.nan
        found = Prior(mean, factor).posterior(features, scores, noise)
        covariance = (factor @ factor.T).numpy()
        for entry in range(2):
            rows = scores[:, entry].isfinite()
            design = F.normalize(features[rows].double(), dim=1).numpy()
            inner = design @ covariance @ design.T + noise**2 * np.eye(len(design))
            surprise = scores[rows, entry].double().numpy() - design @ mean.numpy()
            wanted = mean.numpy() + covariance @ design.T @ np.linalg.solve(inner, surprise)
            assert found[entry].numpy() == pytest.approx(wanted, abs=1e-5)

    def test_an_entry_that_is_never_shown_is_the_typical_one(self):
        prior = Prior(draw(6).double(), torch.eye(6).double())
        found = prior.posterior(draw(4, 6), torch.full((4, 1), torch.nan), 0.1)
        assert torch.allclose(found[0], prior.mean.float())

    def test_the_first_pictures_tell_more_than_random_ones(self, ctx):
        target = world(auxiliary=tuple(range(100, 110)) * 12)
        prior = learn_prior(target, ctx)
        known = F.normalize(features_of(target.extractor, target.data.auxiliary, ctx), dim=1)
        volume = [
            torch.linalg.slogdet(known[rows].double() @ known[rows].double().T)[1]
            for rows in (prior.telling(known)[:10], torch.arange(100, 110))
        ]
        assert volume[0] >= volume[1] - 1e-6

    def test_own_pictures_run_out(self, ctx):
        _, result = self.figures(ctx, world(auxiliary=tuple(range(100, 130))), queries=64)
        assert "there are 30 own pictures to submit, not 64" in result.notes

    def test_one_auxiliary_picture_is_too_few(self, ctx):
        with pytest.raises(UnsupportedTargetError, match="1 auxiliary picture to submit"):
            ScoreTrilateration().run(world(auxiliary=(100,)), ctx)

    def test_no_queries_are_no_attack(self):
        with pytest.raises(ValueError, match="queries"):
            ScoreTrilateration(queries=0)


def test_budgets_are_halved():
    assert halvings(2000) == [250, 500, 1000, 2000]
    assert halvings(1) == [1]
