"""Averaging against closed forms, brute force and plain retrieval."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from attacks.adaptive import Averaging
from attacks.adaptive.averaging import Pool, averages, budgets, study_release
from attacks.learners.gaussian import Matcher, Scale, fit_matcher, fit_wiener, learn_scale
from auditor.embedding import features_of, stored_gallery
from auditor.errors import ModelError, UnsupportedTargetError
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.report import PrivacyClaim
from auditor.types import ReIDDataset, RunContext, Split, Target, as_is
from defenses.dp_gallery import GalleryNoise
from tests import worlds
from tests.records import private_training


@dataclasses.dataclass(frozen=True)
class Numbered:
    """Pictures that show nothing but their row in a table of features."""

    rows: range

    def __len__(self):
        return len(self.rows)

    def load(self, indices, size):
        rows = torch.tensor([self.rows[index] for index in indices], dtype=torch.float32)
        return rows[:, None, None, None].expand(-1, 3, *size)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """An extractor that looks features up."""

    features: torch.Tensor
    input_size = (1, 1)

    @property
    def feature_dim(self):
        return self.features.shape[1]

    def __call__(self, images):
        return self.features[images[:, 0, 0, 0].long()]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def world(features, query=(), gallery=(), *, release=as_is, cross_camera=True, known=0, pictures=1):
    """Rows of ``features``: queries, gallery entries, each (pid, camid), and known people's."""
    start, splits = 0, []
    for labels in (query, gallery, [(10**6 + i // pictures, 0) for i in range(known)]):
        columns = torch.tensor(list(labels), dtype=torch.long).reshape(-1, 2).T
        splits.append(Split(Numbered(range(start, start + len(labels))), *columns))
        start += len(labels)
    asked, stored, other = splits
    data = ReIDDataset("table", other, asked, stored, other, cross_camera=cross_camera)
    return Target(Table(features), data, release)


def noisy(sigma):
    def release(features, generator):
        return features + sigma * torch.randn(features.shape, generator=generator)

    return release


def values(result):
    return {m.metric: m.value for m in result.measurements}


def crowd(people=40, cameras=3, dim=32, release=as_is, known=200, spread=0.3, nuisance=1.0, seed=3):
    """People as Gaussian clouds around their own centres, seen once by each camera.

    The second half of the coordinates has ``nuisance`` times the spread. The known people have two
    pictures each.
    """
    draw = generator(seed)
    labels = [(pid, camera) for pid in range(1, people + 1) for camera in range(cameras)]
    centres = torch.randn(people + known, dim, generator=draw)
    rows = [pid - 1 for pid, _ in labels] * 2 + [people + i // 2 for i in range(2 * known)]
    steps = torch.full((dim,), spread)
    steps[dim // 2 :] *= nuisance
    features = centres[rows] + steps * torch.randn(len(rows), dim, generator=draw)
    return world(features, labels, labels, release=release, known=2 * known, pictures=2)


class TestAverages:
    @pytest.mark.parametrize("sigma", [0.1, 0.5])
    @pytest.mark.parametrize(("count", "known"), [(1, 0.17), (21, 0.63), (100, 0.87)])
    def test_the_cosine_of_a_mean_of_releases(self, sigma, count, known):
        dim = 128
        features = F.normalize(torch.randn(300, dim, generator=generator()), dim=1)
        target = world(features, gallery=[(1, 0)] * 300, release=noisy(sigma))
        *_, (last, mean) = averages(target, RunContext(), count)
        found = F.cosine_similarity(mean, features).mean().item()
        assert last == count
        assert found == pytest.approx(1 / math.sqrt(1 + sigma**2 * dim / count), abs=0.02)
        if sigma == 0.5:
            assert found == pytest.approx(known, abs=0.02)

    def test_the_first_release_is_the_stored_gallery_and_each_one_is_new(self):
        target = crowd(release=noisy(1.0))
        ctx = RunContext(seed=5)
        means = {count: mean.clone() for count, mean in averages(target, ctx, 4)}
        clean = features_of(target.extractor, target.data.gallery, ctx)
        assert torch.equal(means[1], stored_gallery(target, ctx))
        draws = [ctx.generator("release")]
        draws += [ctx.generator(f"attacks.averaging.{i}") for i in (1, 2, 3)]
        drawn = torch.stack([target.release(clean, draw) for draw in draws])
        assert torch.allclose(means[4], drawn.mean(0), atol=1e-6)

    def test_identical_releases_average_to_themselves_to_the_last_bit(self):
        target = crowd()
        for count, mean in averages(target, RunContext(), 21):
            assert torch.equal(mean, target.extractor(pictures(target))), count

    def test_the_stored_gallery_is_left_alone(self):
        target, ctx = crowd(release=lambda f, g: f.double()), RunContext()
        list(averages(target, ctx, 3))
        assert torch.equal(stored_gallery(target, ctx).float(), target.extractor(pictures(target)))

    def test_the_budget_grows_by_four_and_ends_with_what_there_is(self):
        assert budgets(1) == [1]
        assert budgets(5) == [1, 4, 5]
        assert budgets(64) == [1, 4, 16, 64]


def pictures(target):
    gallery = target.data.gallery
    return gallery.images.load(range(len(gallery)), (1, 1))


class TestWiener:
    def setup_method(self):
        draw = generator(1)
        self.root = torch.randn(12, 12, generator=draw) * torch.logspace(-1.5, 0.5, 12)
        self.mean = torch.randn(12, generator=draw)
        self.known, self.held_out = self.rows(20_000, draw), self.rows(2000, draw)
        self.draw = draw

    def rows(self, count, draw):
        return self.mean + torch.randn(count, 12, generator=draw) @ self.root.T

    @pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
    @pytest.mark.parametrize("count", [1, 16])
    def test_it_is_the_closed_form_posterior(self, sigma, count):
        spread = sigma / math.sqrt(count)
        noise = spread * torch.randn(self.held_out.shape, generator=self.draw)
        wiener = fit_wiener(self.known, sigma**2)
        found = wiener(self.held_out + noise, count)
        signal = (self.root @ self.root.T).double()
        gain = torch.linalg.solve(signal + spread**2 * torch.eye(12), signal).T.float()
        expected = self.mean + (self.held_out + noise - self.mean) @ gain.T
        assert (found - expected).square().mean().sqrt() < 0.02 * self.held_out.std()
        # and its error is the one that theory leaves: tr(Σ − Σ(Σ + s²I)⁻¹Σ)
        left = torch.trace(signal - gain.double() @ signal).item()
        error = (found - self.held_out).square().sum(1).mean().item()
        assert error == pytest.approx(left, rel=0.1)
        assert error <= noise.square().sum(1).mean().item()

    def test_without_noise_nothing_changes(self):
        found = fit_wiener(self.known, 0.0)(self.held_out, 1)
        assert torch.allclose(found, self.held_out, atol=1e-4)

    @pytest.mark.parametrize("scaled", [False, True])
    @pytest.mark.parametrize("sigma", [0.02, 0.1, 0.4])
    def test_on_people_held_out_it_is_no_worse_than_averaging(self, sigma, scaled):
        """Also where there are fewer pictures than coordinates, and rows lose their length."""
        draw = generator(2)
        root = torch.randn(64, 64, generator=draw) * torch.logspace(0, -1.5, 64)
        lengths = 1 + torch.rand(200, 1, generator=draw)
        features = (torch.randn(200, 64, generator=draw) @ root.T + 1) * lengths

        def release(rows, generator):
            rows = F.normalize(rows, dim=1) if scaled else rows / 10
            return noisy(sigma)(rows, generator)

        gallery = [(pid, 0) for pid in range(1, 151)]
        target, ctx = world(features, gallery=gallery, release=release, known=50), RunContext()
        clean = F.normalize(features[:150], dim=1) if scaled else features[:150] / 10
        scale, noise, _ = study_release(target, ctx)
        assert noise == pytest.approx(sigma**2, rel=0.1)
        wiener = fit_wiener(scale(features[150:]), noise)
        for count, mean in averages(target, ctx, 16):
            raw, denoised = ((e - clean).square().mean() for e in (mean, wiener(mean, count)))
            assert denoised <= raw

    @pytest.mark.parametrize("scale", [Scale(False, 3.0), Scale(True, 0.5)], ids=str)
    def test_the_scale_of_a_release_is_found(self, scale):
        features = torch.rand(500, 8, generator=generator()) * torch.arange(1, 501)[:, None]
        rows = scale(features)
        found = learn_scale(features, rows + 0.1 * torch.randn(rows.shape, generator=generator(1)))
        assert found.unit == scale.unit
        assert found.factor == pytest.approx(scale.factor, rel=0.05)


def log_density(rows, mean, covariance):
    normal = torch.distributions.MultivariateNormal(mean, covariance)
    return normal.log_prob(rows)


def log_ratio(clean, entry, count, mean, between, within, noise):
    """Of one clean row and the mean of ``count`` entries: one person against two."""
    one, many = between + within, between + (within + noise * torch.eye(len(mean))) / count
    together = torch.cat([torch.cat([one, between], 1), torch.cat([between, many], 1)])
    both = log_density(torch.cat([clean, entry]), torch.cat([mean, mean]), together)
    return both - log_density(clean, mean, one) - log_density(entry, mean, many)


class TestMatcher:
    def test_it_ranks_by_the_likelihood_ratio(self):
        draw = generator(6)
        rotation = torch.linalg.qr(torch.randn(5, 5, generator=draw).double()).Q
        between, within = (
            rotation @ torch.diag(torch.rand(5, generator=draw).double() + 0.1) @ rotation.T
            for _ in range(2)
        )
        mean = torch.randn(5, generator=draw).double()
        clean, entries = torch.randn(7, 5, generator=draw), torch.randn(11, 5, generator=draw)
        counts = torch.randint(1, 6, (11,), generator=draw)
        asked, stored = Matcher.of(mean, between, within, 0.3).vectors(clean, entries, counts)
        found = asked @ stored.T
        for row in range(7):
            expected = torch.stack(
                [
                    log_ratio(clean[row], entries[i], counts[i], mean, between, within, 0.3)
                    for i in range(11)
                ]
            )
            apart = found[row] - expected
            assert torch.allclose(apart, apart.mean().expand(11), atol=1e-4)
        lengths = stored.norm(dim=1)
        assert torch.allclose(lengths, lengths.mean().expand(11))

    def test_its_covariances_are_those_of_the_people_it_learned_from(self):
        draw = generator(7)
        spread, step = torch.tensor([3.0, 1.0, 0.3]), torch.tensor([0.2, 1.0, 0.5])
        pids = torch.arange(2000).repeat_interleave(4)
        centres = 5 + spread * torch.randn(2000, 3, generator=draw)
        rows = centres[pids] + step * torch.randn(8000, 3, generator=draw)
        found = fit_matcher(rows, pids, 0.5)
        # along each axis: variance of centres in units of one entry's spread
        expected = spread**2 / (step**2 + 0.5)
        assert torch.allclose(found.between.float(), expected.sort().values, rtol=0.1)
        assert torch.allclose(found.mean, torch.tensor(5.0).double(), atol=0.25)

    def test_one_picture_of_each_person_still_matches(self):
        rows = torch.randn(50, 6, generator=generator(8))
        matcher = fit_matcher(rows, torch.arange(50), 0.1)
        noisy_rows = noisy(0.1)(rows, generator(9))
        asked, stored = matcher.vectors(rows, noisy_rows, torch.ones(50))
        assert torch.equal((asked @ stored.T).argmax(1), torch.arange(50))


class TestPool:
    def test_means_over_the_other_cameras_are_those_of_a_loop(self):
        draw = generator(4)
        pids = torch.randint(0, 9, (60,), generator=draw)  # 0 is a distractor
        camids = torch.randint(-1, 3, (60,), generator=draw)
        camids[pids == 3] = 1  # seen by one camera alone
        features = torch.randn(60, 5, generator=draw)
        labels = list(zip(pids.tolist(), camids.tolist(), strict=True))
        pool = Pool.of(features, world(features, gallery=labels).data.gallery)
        for camera in (-1, 0, 1, 2):
            people, means, counts, matchable = pool.without(camera)
            assert (people < 0).sum() == (pids == 0).sum()
            assert set(people[people > 0].tolist()) == set(pids[pids > 0].tolist())
            for row, pid in enumerate(people.tolist()):
                own = pids == pid if pid > 0 else torch.arange(60) == -1 - pid
                other = own & ((camids != camera) | (camids < 0))
                kept = other if other.any() else own
                assert torch.allclose(means[row], features[kept].mean(0), atol=1e-6)
                assert counts[row] == kept.sum()
                assert matchable[row] == (bool(other.any()) and pid > 0)

    @pytest.mark.parametrize("cross_camera", [True, False])
    def test_rank_one_is_that_of_a_loop(self, cross_camera):
        target = crowd(people=12, spread=1.5)
        target = dataclasses.replace(
            target, data=dataclasses.replace(target.data, cross_camera=cross_camera)
        )
        clean, stored, known = target.extractor.features, target.data.gallery, target.data.auxiliary
        matcher = fit_matcher(clean[72:], known.pids, 0.0)
        hits = []
        for row, (pid, camera) in enumerate(zip(stored.pids, stored.camids, strict=True)):
            shown = (stored.camids != camera) if cross_camera else torch.ones(36, dtype=torch.bool)
            own = [shown & (stored.pids == p) for p in range(1, 13)]
            means = torch.stack([clean[36:72][rows].mean(0) for rows in own])
            counts = torch.stack([rows.sum() for rows in own])
            asked, pooled = matcher.vectors(clean[row : row + 1], means, counts)
            hits.append(int((asked @ pooled.T).argmax()) + 1 == pid)
        found = Averaging(releases=1).run(target, RunContext()).measurements[0]
        assert found.metric == "matched_rank1"
        assert found.value == pytest.approx(sum(hits) / 36)
        assert 0.2 < found.value < 1
        assert found.chance == pytest.approx(1 / 12)


class TestAttack:
    @pytest.mark.parametrize("pool_person", [True, False])
    def test_without_noise_single_entries_are_plain_retrieval(self, pool_person):
        target = crowd(spread=1.5)
        result = Averaging(releases=16, pool_person=pool_person).run(target, RunContext())
        data, features = target.data, target.extractor.features
        plain = evaluate(
            features[:120],
            features[120:240],
            Truth(data.query.pids, data.gallery.pids, data.query.camids, data.gallery.camids),
        ).cmc(1)
        found = values(result)
        assert 0 < plain < 1
        assert [found[f"matched_rank1.k{k}"] for k in (1, 4, 16)] == [plain] * 3
        assert [found[f"cosine.k{k}"] for k in (1, 4, 16)] == pytest.approx([1] * 3)
        assert found["denoised_rank1"] == plain
        assert "plain retrieval" in result.notes[0]
        assert any("ranked as one" in note for note in result.notes) == pool_person

    def test_more_releases_name_more_people(self):
        ctx = RunContext()
        target = GalleryNoise(epsilon=10.0).apply(worlds.leaky(), ctx)
        found = values(result := Averaging(releases=64).run(target, ctx))
        ranks = [found[f"matched_rank1.k{k}"] for k in (1, 4, 16, 64)]
        cosines = [found[f"cosine.k{k}"] for k in (1, 4, 16, 64)]
        assert ranks == sorted(ranks)
        assert cosines == sorted(cosines)
        assert ranks[0] < 0.3
        assert ranks[-1] > 0.9
        assert found["matched_rank1"] >= ranks[-1]
        assert result.measurements[0].low > result.measurements[0].chance + 0.3
        assert f"from {ranks[0]:.3f} to {ranks[-1]:.3f}" in result.notes[0]

    def test_one_release_is_matched_after_denoising(self):
        """People differ along half the axes only, and the rest of an entry is noise."""
        target, ctx = crowd(people=60, spread=0.1, release=noisy(1.5)), RunContext()
        features, data = target.extractor.features.clone(), target.data
        features[:, 16:] *= 0.05
        target = dataclasses.replace(target, extractor=Table(features))
        found = values(Averaging(releases=1).run(target, ctx))
        rows = features[360:].double()
        covariance = torch.cov(rows.T, correction=0)
        noise = study_release(target, ctx)[1]
        steps = stored_gallery(target, ctx).double() - rows.mean(0)
        gain = torch.linalg.solve(covariance + noise * torch.eye(32), covariance)
        entries = rows.mean(0) + steps @ gain
        cosines = F.normalize(features[:180].double(), dim=1) @ F.normalize(entries, dim=1).T
        query, gallery = data.query, data.gallery
        same = query.pids[:, None] == gallery.pids
        seen = same & (query.camids[:, None] == gallery.camids)
        best = cosines.masked_fill(seen, -2).argmax(1)
        wanted = float((gallery.pids[best] == query.pids).double().mean())
        assert found["denoised_rank1"] == pytest.approx(wanted, abs=0.03)
        assert found["denoised_rank1"] != found["matched_rank1.k1"]

    @pytest.mark.parametrize("seed", [0, 1])
    def test_what_it_learned_and_pooled_adds_to_what_averaging_gives(self, seed):
        """Half the coordinates tell pictures apart rather than people; cosine takes all alike."""
        target = crowd(people=150, spread=0.8, nuisance=4.0, seed=seed, release=noisy(3.0))
        ctx = RunContext(seed=seed)
        single, pooled = (
            values(Averaging(releases=4, pool_person=pool).run(target, ctx))
            for pool in (False, True)
        )
        assert single["matched_rank1.k4"] == pooled["matched_rank1.k4"]
        assert single["matched_rank1"] > single["matched_rank1.k4"] + 0.05
        assert pooled["matched_rank1"] > single["matched_rank1"] + 0.05

    def test_a_blind_guess_finds_as_many_as_chance_says(self):
        """Entries that know nothing: the hits agree with the chance that was written down."""
        labels = [(1 + i % 10, i % 3) for i in range(60)] + [(0, 0)] * 20
        hits, chances = [], []
        for seed in range(20):
            features = torch.randn(60 + 80 + 2, 8, generator=generator(seed))
            found = Averaging(releases=1).run(
                world(features, labels[:60], labels, known=2), RunContext()
            )
            hits.append([m.value for m in found.measurements[:2]])
            chances.append([m.chance for m in found.measurements[:2]])
        assert torch.tensor(chances).std(0).max() < 1e-9
        assert torch.tensor(chances).mean(0).tolist() == pytest.approx([1 / 30, 4 / 78], rel=1e-3)
        assert torch.tensor(hits).mean(0).tolist() == pytest.approx(chances[0], abs=0.025)

    def test_it_repeats_under_its_seed_and_not_under_another(self):
        target = crowd(release=noisy(3.0))
        one, same, other = (
            values(Averaging(releases=4).run(target, RunContext(seed=seed))) for seed in (1, 1, 2)
        )
        assert one == same
        assert one != other

    def test_it_says_what_a_claim_for_one_release_composes_to(self):
        claim = PrivacyClaim(
            mechanism="Gaussian",
            unit="image",
            neighbours="one image replaced",
            delta=1e-5,
            sigma=1.0,
            sensitivity=1.0,
            epsilon_claimed=4.38,
            epsilon_certified=4.38,
            epsilon_identity=4.38,
            releases=1,
            images_per_identity=1,
        )
        covered = dataclasses.replace(claim, releases=4)
        claims = (claim, covered, private_training())
        target = dataclasses.replace(crowd(release=noisy(1.0)), claims=claims)
        composed = [
            note
            for note in Averaging(releases=4).run(target, RunContext()).notes
            if "composes" in note
        ]
        # Φ(1 − ε/2) − exp(ε) Φ(−1 − ε/2) = 1e-5 for ε = 9.997 (Balle and Wang, μ = 2)
        assert len(composed) == 1
        assert "one release (ε = 4.38 per image)" in composed[0]
        assert composed[0].endswith("over 4 it composes to ε = 10")

    def test_a_release_that_gives_no_numbers_is_refused(self):
        target = crowd(release=lambda features, generator: features * math.nan)
        with pytest.raises(ModelError, match="NaN"):
            Averaging().run(target, RunContext())

    def test_without_auxiliary_pictures_it_does_not_apply(self):
        with pytest.raises(UnsupportedTargetError, match="two or more auxiliary"):
            Averaging().run(crowd(known=1), RunContext())

    def test_no_releases_are_no_attack(self):
        with pytest.raises(ValueError, match=r"releases\n.*greater than 0"):
            Averaging(releases=0)
