"""Blur, pixelation, removal and exchange of pictures against independent references."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import convolve1d

from attacks.identity import IdentityRetrieval
from auditor.data.images import FileImages, JoinedImages, file_of
from auditor.data.joining import join_splits
from auditor.errors import DataError
from auditor.evaluation.utility import search
from auditor.types import MemoryImages, RunContext, Selection, Split, Target
from defenses.image_deid import Blur, Downscale, Pixelation, RandomImage, RemoveBody, RemoveHead
from defenses.image_deid.changing import Changed
from defenses.image_deid.random_image import exchange
from defenses.publish.keypoints import COCO, Keypoints, shoulder_line
from defenses.publish.publish import KEYED, Chain, protect
from tests import worlds


def pictures(count=3, size=(32, 16), seed=0):
    pixels = torch.randint(0, 256, (count, 3, *size), generator=generator(seed))
    return MemoryImages(pixels.byte())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def split_of(images, pids):
    return Split(images, torch.tensor(pids), torch.zeros(len(pids), dtype=torch.long))


def shown(defense, images):
    """What the defense makes of pictures, through the target it returns."""
    pids = [1] * len(images)
    gallery = split_of(images, pids)
    data = worlds.people()
    data = type(data)(
        "x",
        data.train,
        split_of(pictures(1), [1]),
        gallery,
        data.auxiliary,
        {name: data.attribute_values[name] for name in data.attribute_values},
    )
    target = defense.apply(Target(worlds.leaky().extractor, data), RunContext())
    return target.data.gallery.images.load(range(len(images)), defense.image_size)


class TestFilters:
    @pytest.mark.parametrize("kernel", [(11, 5), (21, 11)])
    def test_blur_is_the_separable_convolution(self, kernel):
        images = pictures(2, (48, 32))
        blurred = shown(Blur(kernel=kernel, image_size=(48, 32)), images)
        wanted = images.load([0, 1], (48, 32)).double().numpy()
        for axis, length in zip((2, 3), kernel, strict=True):
            sigma = 0.3 * ((length - 1) * 0.5 - 1) + 0.8
            x = np.arange(length) - length // 2
            weights = np.exp(-0.5 * (x / sigma) ** 2)
            wanted = convolve1d(wanted, weights / weights.sum(), axis=axis, mode="mirror")
        assert np.abs(blurred.numpy() - wanted).max() < 0.51 / 255 + 1e-6

    def test_pixels_are_the_means_of_their_blocks(self):
        images = pictures(2, (12, 10))
        blocks = shown(Pixelation(block=4, image_size=(12, 10)), images)
        clean = images.load([0, 1], (12, 10))
        for top in range(0, 12, 4):
            for left in range(0, 10, 4):
                block = blocks[:, :, top : top + 4, left : left + 4]
                wanted = clean[:, :, top : top + 4, left : left + 4].mean((2, 3), keepdim=True)
                assert torch.allclose(block, wanted.expand_as(block), atol=0.51 / 255)

    def test_downscaling_publishes_fewer_pixels_and_changes_nothing_else(self):
        images = pictures(2, (64, 32))
        small = shown(Downscale(image_size=(16, 8)), images)
        assert torch.allclose(small, images.load([0, 1], (16, 8)), atol=0.51 / 255)

    def test_behind_another_protection_it_puts_that_one_at_its_own_size(self):
        target = Blur(kernel=(21, 11)).apply(worlds.leaky(), RunContext())
        both = Downscale(image_size=(64, 32)).apply(target, RunContext())
        blurred, small = (t.data.gallery.images for t in (target, both))
        rows = range(4)
        assert torch.allclose(
            small.load(rows, (64, 32)), blurred.load(rows, (64, 32)), atol=0.51 / 255
        )
        again = both.publish(both.protection.originals, generator()).images
        assert torch.equal(again.load(rows, (128, 64)), small.load(rows, (128, 64)))

    def test_a_larger_picture_shows_no_more_than_was_published(self):
        published = Changed(Pixelation(block=8)._change, (32, 16))(
            split_of(pictures(1), [1]), generator()
        )
        small, large = (published.images.load([0], size) for size in ((32, 16), (256, 128)))
        grown = torch.nn.functional.interpolate(small, (256, 128), mode="bilinear", antialias=True)
        assert torch.allclose(grown, large, atol=1e-6)

    @pytest.mark.parametrize(
        ("defense", "fields", "named"),
        [
            (Blur, {"kernel": (4, 5)}, "kernel"),
            (Blur, {"image_size": (0, 5)}, "image_size"),
            (Pixelation, {"block": 0}, "block"),
            (Downscale, {"image_size": (0, 8)}, "image_size"),
            (RemoveHead, {"head": 1.5}, "head"),
        ],
    )
    def test_fields_that_make_no_sense_are_refused(self, defense, fields, named):
        with pytest.raises(ValueError, match=named):
            defense(**fields)


class TestRegions:
    def test_head_and_body_are_what_lies_on_either_side_of_the_line(self):
        images = pictures(2, (40, 20))
        clean = images.load([0, 1], (40, 20))
        head = shown(RemoveHead(head=0.25, image_size=(40, 20)), images)
        body = shown(RemoveBody(head=0.25, image_size=(40, 20)), images)
        assert (head[:, :, :10] == 0).all()
        assert torch.equal(head[:, :, 10:], clean[:, :, 10:])
        assert torch.allclose(head + body, clean)

    def test_keypoints_move_the_line_where_a_picture_has_some(self, tmp_path):
        points = [[0.5, 0.1, 0.0]] * 5 + [[0.4, 0.5, 0.9], [0.6, 0.7, 0.9]] + [[0, 0, 0]] * 10
        file = tmp_path / "keypoints.json"
        file.write_text(json.dumps({"people/a.png": points}))
        for name in ("a.png", "b.png"):
            (tmp_path / "people").mkdir(exist_ok=True)
            Image.new("RGB", (20, 40), "white").save(tmp_path / "people" / name)
        images = FileImages([tmp_path / "people" / name for name in ("a.png", "b.png")])
        cut = shown(RemoveHead(head=0.25, keypoints=str(file), image_size=(40, 20)), images)
        rows = (cut[:, 0, :, 0] == 0).sum(1)
        assert rows.tolist() == [24, 10]


class TestKeypoints:
    points = torch.rand(17, 3, generator=generator())

    def test_csv_and_json_say_the_same(self, tmp_path):
        (tmp_path / "k.json").write_text(json.dumps({"x/a.jpg": self.points.tolist()}))
        names = [f"{name}_{part}" for name in COCO for part in ("x", "y", "score")]
        values = [repr(value) for value in self.points.flatten().tolist()]
        lines = [",".join(["path", *names]), ",".join(["x/a.jpg", *values])]
        (tmp_path / "k.csv").write_text("\n".join(lines))
        one, other = (Keypoints.read(tmp_path / f"k.{kind}").table for kind in ("json", "csv"))
        assert torch.allclose(one["x/a.jpg"], other["x/a.jpg"])
        assert torch.allclose(one["x/a.jpg"], self.points)

    def test_pictures_are_found_through_whatever_lies_over_their_files(self, tmp_path):
        files = FileImages([tmp_path / "x" / name for name in ("a.jpg", "b.jpg")])
        chosen = JoinedImages(Selection(files, [1, 0]), pictures(1))
        over = Changed(Blur()._change, (8, 4))(split_of(chosen, [1, 1, 1]), generator()).images
        assert [file_of(over, i) for i in range(3)] == [files.paths[1], files.paths[0], None]
        known = Keypoints(tmp_path, {"x/a.jpg": self.points})
        found = known.of(over, [0, 1, 2])
        assert torch.equal(found[1], self.points)
        assert (found[[0, 2]] == 0).all()

    def test_shoulders_that_were_not_found_do_not_count(self):
        points = torch.zeros(3, 17, 3)
        points[0, 5] = torch.tensor([0.3, 0.2, 0.8])
        points[1, 5:7] = torch.tensor([[0.3, 0.2, 0.8], [0.5, 0.4, 0.8]])
        lines = shoulder_line(points)
        assert lines[:2].tolist() == pytest.approx([0.2, 0.3])
        assert lines[2].isnan()

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("k.json", "[1, 2]", "contains no keypoints"),
            ("k.json", '{"a": [[1, 2, 3]]}', "17 × 3"),
            ("k.json", json.dumps({"a": [[64, 128, 1]] * 17}), "fractions"),
            ("k.csv", "path,nose_x\na,0.5", "contains no keypoints"),
        ],
    )
    def test_other_files_are_refused_with_the_reason(self, tmp_path, name, text, reason):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=reason):
            Keypoints.read(tmp_path / name)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match="cannot read the keypoints"):
            Keypoints.read(tmp_path / "none.json")


class TestRandomImage:
    def test_everybody_is_shown_in_somebody_elses_place(self):
        pids = [4, 4, 7, 7, 7, 9, 0]
        pixels = torch.tensor(pids).byte()[:, None, None, None].expand(-1, 3, 2, 2)
        for seed in range(10):
            split = exchange(split_of(MemoryImages(pixels), pids), generator(seed))
            faces = (split.images.load(range(7), (2, 2))[:, 0, 0, 0] * 255).round().long()
            assert torch.equal(faces[:6], split.partners[:6])
            assert (faces[:6] != split.pids[:6]).all()
            assert faces[6] == 0
            assert len(set(faces[:6].tolist())) == 3


class TestPublishing:
    def test_utility_is_searched_with_protected_queries_and_leakage_with_clean_ones(self):
        ctx = RunContext()
        exchange = RandomImage().apply(worlds.leaky(), ctx)
        assert exchange.utility_bias == KEYED
        assert search(exchange, ctx, "cosine").hit(1).mean() > 0.9
        found = {m.metric: m.value for m in IdentityRetrieval().run(exchange, ctx).measurements}
        assert found["own_rank1"] < 0.2
        assert found["partner_rank1"] > 0.8

    def test_what_was_already_protected_is_protected_again(self):
        ctx = RunContext()
        once = Blur(image_size=(32, 16)).apply(worlds.leaky(), ctx)
        twice = Pixelation(block=16, image_size=(32, 16)).apply(once, ctx)
        assert twice.protection.originals is worlds.leaky().data.gallery
        assert isinstance(twice.publish, Chain)
        own = twice.publish(worlds.leaky().data.gallery, generator()).images.load([3], (32, 16))
        assert torch.equal(own, twice.data.gallery.images.load([3], (32, 16)))

    def test_joined_splits_keep_rows_and_shared_columns(self):
        first = Split(
            pictures(2),
            torch.tensor([1, 2]),
            torch.tensor([0, 1]),
            {"a": torch.tensor([0, 1]), "b": torch.tensor([0, 0])},
        )
        second = Split(
            pictures(1, seed=1),
            torch.tensor([3]),
            torch.tensor([2]),
            {"a": torch.tensor([2])},
            torch.tensor([1]),
        )
        both = join_splits(first, second)
        assert both.pids.tolist() == [1, 2, 3]
        assert both.camids.tolist() == [0, 1, 2]
        assert {name: column.tolist() for name, column in both.attributes.items()} == {
            "a": [0, 1, 2]
        }
        assert both.partners.tolist() == [-1, -1, 1]
        assert torch.equal(
            both.images.load([2, 0], (32, 16)),
            torch.cat([second.images.load([0], (32, 16)), first.images.load([0], (32, 16))]),
        )

    def test_a_clean_target_stays_as_it_is(self):
        target = worlds.leaky()
        kept = dict(vars(target))
        protect(target, exchange, RunContext(), "test")
        assert vars(target) == kept
