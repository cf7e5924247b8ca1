"""The parts of PIS against independent references, and what a shift does to synthetic people."""

import csv
import json
import stat
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torchvision.models.detection import keypointrcnn_resnet50_fpn
from typer.testing import CliRunner

from attacks.identity import IdentityRetrieval
from auditor.cli.main import app
from auditor.data import open_dataset
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.errors import DataError, EnvironmentUnmetError, UnsupportedTargetError
from auditor.evaluation.utility import search
from auditor.metrics.perceptual import PerceptualDistance
from auditor.types import MemoryImages, RunContext, Target
from defenses.image_deid import Blur
from defenses.pis import AppearanceInterpolation, IdentityShift
from defenses.pis.learning import Recipe
from defenses.pis.losses import Critic, adversarial_loss, perceptual_loss, ramp, unit_kl
from defenses.pis.mixing import check_weights, draw_key, laplace, mix
from defenses.pis.network import ConditionalVae, double, resolutions, sample
from defenses.pis.pose import Estimator, Silhouette, Skeletons, complete, pose_from
from defenses.publish.keypoints import Keypoints
from defenses.publish.publish import KEYED
from tests import worlds


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tiny(**params):
    return IdentityShift(**{**worlds.TINY_SHIFT, **params})


class TestNetwork:
    @pytest.mark.parametrize(
        ("size", "patch", "scales", "coarsest"),
        [((32, 16), 1, 2, (4, 2)), ((64, 32), 2, 3, (4, 2)), ((64, 64), 4, 1, (4, 4))],
    )
    def test_shapes_and_the_number_of_latents(self, size, patch, scales, coarsest):
        vae = ConditionalVae(
            pose=3, image_size=size, width=4, blocks=2, patch=patch, latent=5, scales=scales
        )
        images, pose = torch.rand(2, 3, *size), torch.rand(2, 3, *size)
        means = vae.posterior(images, pose)
        assert [tuple(mean.shape) for mean in means] == [
            (2, 5, coarsest[0] << scale, coarsest[1] << scale) for scale in range(scales)
        ]
        assert sum(mean[0].numel() for mean in means) == vae.latent_numbers
        drawn, expected = vae.draw(sample(means), pose)
        assert drawn.shape == images.shape
        assert [mean.shape for mean in expected] == [mean.shape for mean in means]

    def test_both_the_pose_and_the_latents_show(self):
        vae = ConditionalVae(
            pose=3, image_size=(32, 16), width=4, blocks=1, patch=2, latent=4, scales=2
        )
        pose = torch.rand(1, 3, 32, 16, requires_grad=True)
        means = [m.detach().requires_grad_() for m in vae.posterior(torch.rand(1, 3, 32, 16), pose)]
        drawn, _ = vae.draw(means, pose)
        for leaf in torch.autograd.grad(drawn.square().sum(), [pose, *means]):
            assert leaf.abs().sum() > 0

    def test_pooled_latents_are_one_vector_each(self):
        vae = ConditionalVae(
            pose=1, image_size=(32, 16), width=4, blocks=1, patch=2, latent=5, scales=2, pooled=True
        )
        images, grey = torch.rand(2, 3, 32, 16), torch.rand(2, 1, 32, 16)
        means = vae.posterior(images, grey)
        drawn, expected = vae.draw(sample(means), grey)
        assert {mean.shape for mean in (*means, *expected)} == {(2, 5, 1, 1)}
        assert vae.latent_numbers == 10
        assert drawn.shape == images.shape

    def test_sub_pixel_up_sampling_lays_channels_side_by_side(self):
        up = double(2, 3)
        x = torch.rand(1, 2, 5, 4)
        inner = up[0](x).detach()
        outer = up(x).detach()
        assert outer.shape == (1, 3, 10, 8)
        for channel in range(3):
            for dy in (0, 1):
                for dx in (0, 1):
                    wanted = inner[0, 4 * channel + 2 * dy + dx]
                    assert torch.equal(outer[0, channel, dy::2, dx::2], wanted)

    @pytest.mark.parametrize(
        ("size", "patch"), [((48, 24), 1), ((64, 30), 2), ((2, 2), 1), ((64, 32), 3)]
    )
    def test_sizes_that_cannot_be_halved_are_refused(self, size, patch):
        with pytest.raises(ValueError, match="image_size"):
            resolutions(size, patch)


class TestLosses:
    def test_kl_is_that_of_torch(self):
        draw = generator()
        means = [torch.randn(3, 4, 2, 1, generator=draw), torch.randn(3, 4, 4, 2, generator=draw)]
        others = [torch.randn(m.shape, generator=draw) for m in means]
        total = sum(
            kl_divergence(Independent(Normal(a, 1.0), 3), Independent(Normal(b, 1.0), 3))
            for a, b in zip(means, others, strict=True)
        )
        assert torch.allclose(unit_kl(means, others), total / 40, atol=1e-6)
        assert (unit_kl(means, means) == 0).all()

    def test_the_ramp_rises_once_and_without_steps(self):
        heights = [ramp(step / 1000, 0.5, 0.75) for step in range(1200)]
        assert heights[0] == heights[500] == 1e-6
        assert heights[750] == heights[-1] == 1
        assert all(0 <= b - a < 0.005 for a, b in pairwise(heights))
        assert ramp(0.5, 0.5, 0.5) in (1e-6, 1.0)

    def test_perceptual_loss_is_zero_for_the_same_picture_and_grows_with_the_gap(self):
        alike = PerceptualDistance(None)
        images = torch.rand(2, 3, 32, 16, generator=generator())
        gaps = [
            float(perceptual_loss(alike, images * (1 - t) + 0.5 * t, images)) for t in (0, 0.3, 0.6)
        ]
        assert gaps[0] == 0
        assert 0 < gaps[1] < gaps[2]

    def test_each_player_of_the_regulariser_leaves_the_other_alone(self):
        critic = Critic(4)
        mixture = torch.rand(4, 3, 16, 8, generator=generator(), requires_grad=True)
        shares, images = torch.rand(4) / 2, torch.rand(4, 3, 16, 8)
        adversarial_loss(critic, mixture, shares, images, images).backward()
        fooling = torch.autograd.grad(critic(mixture).square().mean() / 2, mixture)[0]
        assert torch.allclose(mixture.grad, fooling, atol=1e-7)
        guessing = (critic(mixture.detach()) - shares).square().mean()
        guessing = guessing + critic(images).square().mean()
        wanted = torch.autograd.grad(guessing, list(critic.parameters()))
        for weight, gradient in zip(critic.parameters(), wanted, strict=True):
            assert torch.allclose(weight.grad, gradient, atol=1e-6)


class TestMixing:
    pids = torch.tensor([4, 4, 0, 7, 7, 7, 9, 0, 12])

    @pytest.mark.parametrize("partners", [1, 2])
    def test_everybody_has_the_same_partners_in_all_pictures_and_is_not_one(self, partners):
        for seed in range(20):
            key = draw_key(self.pids, None, partners, generator(seed))
            assert torch.equal(self.pids[key.rows], key.partners)
            for pid in (4, 7, 9, 12):
                own = self.pids == pid
                assert len(key.rows[own].unique(dim=0)) == 1
                chosen = key.partners[own][0].tolist()
                assert pid not in chosen
                assert len(set(chosen)) == partners
            times = torch.stack([key.partners[self.pids == p][0] for p in (4, 7, 9, 12)])
            assert (times.flatten().bincount()[torch.tensor([4, 7, 9, 12])] == partners).all()

    def test_distractors_are_mixed_too(self):
        key = draw_key(self.pids, None, 1, generator())
        assert (key.partners[self.pids == 0] > 0).all()

    def test_partners_from_elsewhere_come_from_there(self):
        pool = torch.tensor([31, 31, 32, 0])
        key = draw_key(self.pids, pool, 2, generator())
        assert torch.equal(pool[key.rows], key.partners)
        assert set(key.partners.flatten().tolist()) == {31, 32}
        assert all(len(set(row)) == 2 for row in key.partners.tolist())

    def test_another_seed_is_another_key(self):
        keys = {
            tuple(draw_key(self.pids, None, 1, generator(s)).rows.flatten().tolist())
            for s in range(10)
        }
        assert len(keys) > 3

    @pytest.mark.parametrize("pool", [None, torch.tensor([0, 0])])
    def test_too_few_people_are_named(self, pool):
        with pytest.raises(DataError, match="partners"):
            draw_key(torch.tensor([5, 5, 0]), pool, 1, generator())

    @pytest.mark.parametrize(
        ("weights", "bound", "reason"),
        [
            ((1.0,), 2.0, "partner"),
            ((0.6, 0.5), 0.9, "sum to 1"),
            ((1.2, -0.2), 2.0, "negative"),
            ((0.5, 0.5), 0.5, "below bound"),
        ],
    )
    def test_weights_that_do_not_hide_are_refused(self, weights, bound, reason):
        with pytest.raises(ValueError, match=reason):
            check_weights(weights, bound)
        with pytest.raises(ValueError, match=reason):
            tiny(weights=weights, bound=bound)

    def test_means_are_weighted_scale_by_scale(self):
        people = [[torch.full((1, 1, 1, 1), p + s) for s in (0.0, 10.0)] for p in (1.0, 2.0, 4.0)]
        found = [float(mean) for mean in mix(people, (0.5, 0.25, 0.25))]
        assert found == pytest.approx([2.0, 12.0])

    def test_laplace_noise_has_the_mean_size_it_is_given(self):
        noise = laplace(0.7, (200_000,), generator())
        assert float(noise.abs().mean()) == pytest.approx(0.7, rel=0.02)
        assert float(noise.std()) == pytest.approx(0.7 * 2**0.5, rel=0.02)
        assert abs(float(noise.mean())) < 0.02


class TestPose:
    def test_spots_lie_where_the_keypoints_are(self):
        points = torch.zeros(1, 17, 3)
        points[0, 3] = torch.tensor([0.25, 0.75, 0.9])
        maps = Skeletons(Keypoints("none", {})).maps(torch.rand(1, 3, 32, 16), points)
        assert maps.shape == (1, 17, 32, 16)
        y, x = divmod(int(maps[0, 3].argmax()), 16)
        assert (y, x) in ((23, 3), (24, 4), (23, 4), (24, 3))
        assert maps[0, [i for i in range(17) if i != 3]].abs().sum() == 0

    def test_a_silhouette_is_where_the_picture_differs_from_its_border(self):
        images = torch.full((1, 3, 64, 32), 0.4)
        images[:, :, 16:56, 12:20] = 0.9
        maps = Silhouette().maps(images, torch.zeros(1, 0, 3))
        assert maps.shape == (1, 3, 64, 32)
        assert maps[0, 0, 20:50, 14:18].min() > 3 * maps[0, 0, :6].max()
        assert torch.allclose(maps[0, 1] + maps[0, 2], maps[0, 0], atol=1e-5)
        assert complete(torch.zeros(2, 0, 3)).all()

    def test_the_silhouette_says_nothing_of_colours(self):
        images = torch.full((2, 3, 64, 32), 0.5)
        images[0, 0, 16:56, 12:20] = 0.9
        images[1, 2, 16:56, 12:20] = 0.1
        first, second = Silhouette().maps(images, torch.zeros(2, 0, 3))
        assert torch.allclose(first, second, atol=1e-4)

    def test_grey_is_the_picture_without_its_colours(self):
        pose = pose_from("grey", None, RunContext())
        images = torch.rand(2, 3, 8, 4, generator=generator())
        wanted = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
        assert torch.allclose(pose.maps(images, torch.zeros(2, 0, 3)), wanted, atol=1e-3)
        assert pose.channels == 1

    def test_half_the_keypoints_make_a_pose(self):
        points = torch.zeros(2, 17, 3)
        points[0, :9, 2] = points[1, :8, 2] = 1
        assert complete(points).tolist() == [True, False]

    def test_an_estimator_that_is_not_there_is_missed(self, tmp_path):
        with pytest.raises(EnvironmentUnmetError, match="keypointrcnn"):
            pose_from("estimator", None, RunContext(weights=tmp_path))
        (tmp_path / "keypointrcnn_resnet50_fpn_coco.pth").write_bytes(b"nothing")
        with pytest.raises(EnvironmentUnmetError, match="not a keypoint R-CNN"):
            pose_from("auto", None, RunContext(weights=tmp_path))
        assert "silhouette" in pose_from("auto", None, RunContext()).origin

    def test_the_surest_person_is_taken_and_scaled_to_the_picture(self):
        points = torch.tensor([[64.0, 128.0, 1.0]]).repeat(17, 1)
        scores = torch.ones(17)
        scores[2] = -1.0

        class Finder(torch.nn.Module):
            def forward(self, crops):
                sure = [0.9, 0.2][: len(crops)]
                return [
                    {
                        "scores": torch.tensor([s]),
                        "keypoints": points[None],
                        "keypoints_scores": scores[None],
                    }
                    for s in sure
                ]

        found = Estimator("x", Finder(), torch.device("cpu"))
        images = MemoryImages(torch.zeros(2, 3, 8, 4).byte())
        first, second = found.of(images, [0, 1])
        assert first[0].tolist() == [0.5, 0.5, 1.0]
        assert (first[2] == 0).all()
        assert (second == 0).all()

    @pytest.mark.slow
    def test_torchvisions_network_loads_and_runs(self, tmp_path):
        network = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        file = tmp_path / "keypointrcnn_resnet50_fpn_random.pth"
        torch.save(network.state_dict(), file)
        pose = pose_from("auto", None, RunContext(weights=tmp_path))
        assert file.name in pose.origin
        images = MemoryImages(torch.randint(0, 256, (2, 3, 64, 32)).byte())
        assert pose.points(images, [0, 1]).shape == (2, 17, 3)


class Colours(torch.nn.Module):
    """Gives the mean colours of a picture's cells: what people wear, and nothing learnt."""

    feature_dim = 3 * 6 * 3
    input_size = (32, 16)

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, (6, 3)).flatten(1) - 0.5


@cache
def outfits():
    """Forty synthetic people under one camera, who are told apart by their colours."""
    data = make_world(identities=40, auxiliary=40, cameras=1, images_per_camera=4, seed=11)
    return Target(Colours(), replace(data, cross_camera=False))


@cache
def shifted():
    """Their world under a shift, with what utility and a clean picture find there."""
    ctx = RunContext()
    defense = tiny(width=8, epochs=14, joint_epochs=2, batch_size=16, kl=0.1)
    target = defense.apply(outfits(), ctx)
    found = {m.metric: m for m in IdentityRetrieval().run(target, ctx).measurements}
    return target, search(target, ctx, "cosine"), found


class TestShift:
    def test_a_clean_picture_no_longer_finds_the_person(self):
        bare = IdentityRetrieval().run(outfits(), RunContext()).measurements[0]
        _, _, found = shifted()
        assert found["own_rank1"].high < bare.value
        assert found["own_rank1"].value < bare.value / 2

    def test_shifted_people_stay_linkable_to_themselves(self):
        _, linked, found = shifted()
        assert float(linked.hit(1).mean()) > 1.5 * found["own_rank1"].value
        assert float(linked.hit(1).mean()) > 4 * found["own_rank1"].chance

    def test_the_mechanism_gives_other_pictures_under_another_key(self):
        target, _, _ = shifted()
        own = outfits().data.auxiliary.take(torch.arange(12))
        first, again, other = (target.publish(own, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(first.images.pixels, again.images.pixels)
        assert not torch.equal(first.images.pixels, other.images.pixels)
        assert (first.partners > 0).all()
        assert (first.partners != own.pids).all()

    def test_laplace_noise_names_nobody(self):
        defense = tiny(noise="laplace", epochs=0, joint_epochs=0)
        target = defense.apply(worlds.leaky(), RunContext())
        assert (target.data.gallery.partners == -1).all()
        assert any("silhouette" in note for note in target.notes)
        assert not target.utility_bias

    def test_what_the_key_knows_is_told(self):
        target, _, _ = shifted()
        assert target.utility_bias == KEYED

    def test_partners_of_another_data_set_are_nobody_here(self, tmp_path):
        world = make_world(identities=3, auxiliary=2, cameras=2, images_per_camera=2, seed=5)
        save_world(world, tmp_path / "other")
        defense = tiny(partners=str(tmp_path / "other"), epochs=0, joint_epochs=0)
        target = defense.apply(worlds.leaky(), RunContext())
        assert (target.data.gallery.partners == -1).all()
        named = tiny(partners="train", epochs=0, joint_epochs=0)
        partners = named.apply(worlds.leaky(), RunContext()).data.gallery.partners
        assert torch.isin(partners, worlds.people().train.pids).all()

    def test_branches_are_trained_where_they_are_asked_for(self):
        outcomes = {}
        for name, params in {
            "plain": {"cycle": False, "similarity": False},
            "cycle": {"similarity": False},
            "similarity": {"cycle": False},
            "adversarial": {"cycle": False, "similarity": False, "adversarial": True},
        }.items():
            defense = tiny(epochs=0, joint_epochs=1, batch_size=256, **params)
            network = defense.mechanism(worlds.people(), RunContext()).network
            outcomes[name] = torch.cat([w.flatten() for w in network.parameters()])
        for name in ("cycle", "similarity", "adversarial"):
            assert not torch.equal(outcomes["plain"], outcomes[name]), name

    def test_vunet_is_the_shift_without_its_two_branches(self):
        vunet = AppearanceInterpolation()
        assert not vunet.cycle
        assert not vunet.similarity
        assert replace(vunet, cycle=True, similarity=True)._recipe() == IdentityShift()._recipe()
        assert isinstance(vunet._recipe(), Recipe)

    def test_there_must_be_somebody_to_learn_from(self):
        data = worlds.people()
        none = replace(data, train=data.train.take(torch.arange(0)))
        with pytest.raises(UnsupportedTargetError, match="train people"):
            tiny().apply(Target(worlds.leaky().extractor, none), RunContext())

    @pytest.mark.parametrize(
        "fields",
        [
            {"width": 0},
            {"scales": 9},
            {"epochs": -1},
            {"lr": 0.0},
            {"ramp": (0.8, 0.2)},
            {"pose": "keypoints"},
            {"image_size": (50, 20)},
        ],
    )
    def test_fields_that_make_no_sense_are_refused(self, fields):
        with pytest.raises(ValueError, match=next(iter(fields)).partition("_")[0]):
            tiny(**fields)


TINY = [f"--set={k}={list(v) if isinstance(v, tuple) else v}" for k, v in worlds.TINY_SHIFT.items()]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people") / "data"
    world = make_world(identities=4, auxiliary=6, cameras=2, images_per_camera=2, seed=3)
    save_world(world, folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["shift", *map(str, arguments), *TINY], catch_exceptions=True)


class TestCommand:
    def test_a_data_set_comes_out_and_its_key_lies_apart(self, drawn, tmp_path):
        out = tmp_path / "shifted"
        result = run("--data", drawn, "--out", out)
        assert result.exit_code == 0, result.exception
        before, after = open_dataset(drawn), open_dataset(out)
        for name in ("train", "query", "gallery"):
            one, other = getattr(before, name), getattr(after, name)
            assert len(one) == len(other)
            assert one.camids.bincount().tolist() == other.camids.bincount().tolist()
            assert not set(other.pids.tolist()) & set(one.pids.tolist())
        secret = tmp_path / "shifted.key"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o700
        for file in secret.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert {file.name for file in secret.iterdir()} == {
            *("identities.csv", "key.json", "generator.safetensors")
        }
        assert sorted(path.name for path in tmp_path.iterdir()) == ["shifted", "shifted.key"]
        self.nothing_leads_back(out, secret)

    def nothing_leads_back(self, out, secret):
        with (secret / "identities.csv").open() as file:
            rows = list(csv.DictReader(file))
        with (out / "manifest.csv").open() as file:
            public = {row["path"]: row for row in csv.DictReader(file)}
        assert {row["path"] for row in rows} == public.keys()
        people = {}
        for row in rows:
            assert public[row["path"]]["pid"] == row["pid"]
            assert row["weights"] == "0.5 0.5"
            assert row["pose_ok"] == "true"
            assert len(row["partner_sha256"]) == 64
            assert row["partner_pids"] != row["source_pid"]
            people.setdefault(row["source_pid"], set()).add((row["pid"], row["partner_sha256"]))
        assert all(len(found) == 1 for found in people.values())
        seed = str(json.loads((secret / "key.json").read_text())["seed"])
        given = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
        for leading in (seed, *(row["source_sha256"] for row in rows)):
            assert leading.encode() not in given

    def test_an_earlier_data_set_or_key_is_not_replaced_unasked(self, drawn, tmp_path):
        for place in ("shifted", "shifted.key"):
            (tmp_path / place).mkdir()
            (tmp_path / place / "mine").write_text("kept")
            result = run("--data", drawn, "--out", tmp_path / "shifted")
            assert result.exit_code != 0
            assert "--overwrite" in str(result.exception)
            assert (tmp_path / place / "mine").exists()
        result = run("--data", drawn, "--out", tmp_path / "shifted", "--overwrite")
        assert result.exit_code == 0, result.exception
        assert not (tmp_path / "shifted" / "mine").exists()
        assert (tmp_path / "shifted" / "manifest.csv").exists()

    def test_nothing_is_left_behind_where_it_fails(self, tmp_path, drawn, monkeypatch):
        def refuse(*args, **kwargs):
            raise EnvironmentUnmetError("no space")

        monkeypatch.setattr("defenses.pis.defense.export_shifted", refuse)
        result = run("--data", drawn, "--out", tmp_path / "shifted")
        assert "no space" in str(result.exception)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--preset", "huge"], "no preset named 'huge'"),
            (["--set", "epoch=3"], "did you mean 'epochs'"),
            (["--set", "weights=[0.9, 0.1]"], "below bound"),
            (["--data", "nowhere"], "nowhere does not exist"),
        ],
    )
    def test_what_cannot_be_followed_is_named(self, tmp_path, drawn, arguments, reason):
        result = run("--data", drawn, "--out", tmp_path / "shifted", *arguments)
        assert result.exit_code != 0
        assert reason in str(result.exception)

    def test_a_shift_after_a_blur_is_exported_too(self, drawn, tmp_path):
        ctx = worlds.context(tmp_path / "secret")
        target = Target(worlds.leaky().extractor, open_dataset(drawn))
        blurred = Blur(image_size=(32, 16)).apply(target, ctx)
        defense = tiny(epochs=0, joint_epochs=0)
        (tmp_path / "out").mkdir()
        facts = defense.export(defense.apply(blurred, ctx), ctx, tmp_path / "out")
        assert facts["images"] == {"train": 24, "gallery": 8, "query": 8}
        assert len(open_dataset(tmp_path / "out").gallery) == 8
        assert defense.weights == (0.5, 0.5)
