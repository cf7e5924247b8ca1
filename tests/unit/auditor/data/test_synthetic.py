"""Synthetic people are the same bits every time, look like their labels, and never mix."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from auditor.data.images import FileImages
from auditor.data.synthetic import ATTRIBUTES, make_world
from auditor.data.synthetic.world import UPPER_COLOURS, save_world
from auditor.errors import DataError
from auditor.types import Split


@pytest.fixture(scope="module")
def world():
    return make_world(identities=10, auxiliary=60, cameras=3, images_per_camera=3, seed=5)


def _pixels(split: Split) -> torch.Tensor:
    return split.images.load(range(len(split)), (128, 64))


def test_same_arguments_give_the_same_bits():
    first, second = (make_world(identities=4, auxiliary=3, seed=9) for _ in range(2))
    for name in ("query", "gallery", "auxiliary"):
        assert torch.equal(_pixels(getattr(first, name)), _pixels(getattr(second, name)))


def test_a_larger_world_repeats_a_smaller_one():
    small = make_world(identities=3, auxiliary=2, cameras=2, images_per_camera=2, seed=1)
    large = make_world(identities=6, auxiliary=2, cameras=2, images_per_camera=2, seed=1)
    assert torch.equal(_pixels(small.query), _pixels(large.query)[: len(small.query)])
    former = (large.query.pids >= 4) & (large.query.pids <= 5)
    first_shot = torch.arange(len(small.auxiliary)) % 2 == 0
    assert torch.equal(_pixels(small.auxiliary)[first_shot], _pixels(large.query)[former])


def test_seeds_draw_different_people():
    first, second = (make_world(identities=4, auxiliary=0, seed=seed) for seed in (1, 2))
    assert not torch.equal(_pixels(first.query), _pixels(second.query))


def test_splits_are_complete_and_disjoint(world):
    assert len(world.query) == 10 * 3
    assert len(world.gallery) == 10 * 3 * 2
    assert len(world.auxiliary) == 60 * 3 * 3
    assert set(world.query.pids.tolist()) == set(world.gallery.pids.tolist()) == set(range(1, 11))
    assert set(world.auxiliary.pids.tolist()) == set(range(11, 71))
    assert set(world.query.camids.tolist()) == {0, 1, 2}
    assert not world.real_people


def test_everyone_keeps_their_attributes(world):
    for pid in world.auxiliary.pids.unique():
        mine = world.auxiliary.pids == pid
        for name, values in ATTRIBUTES.items():
            codes = world.auxiliary.attributes[name][mine]
            assert codes.dtype == torch.int64
            assert (codes == codes[0]).all()
            assert 0 <= codes[0] < len(values)


def test_every_attribute_value_is_worn(world):
    for name, values in ATTRIBUTES.items():
        assert len(world.auxiliary.attributes[name].unique()) == len(values)


def test_upper_body_shows_its_colour(world):
    """Chest pixels, averaged over somebody's pictures, vary as the named colours do."""
    chest = _pixels(world.auxiliary)[:, :, 36:56, 26:38].mean((2, 3))
    named = torch.tensor(list(UPPER_COLOURS.values()), dtype=torch.float32)
    wanted = named[world.auxiliary.attributes["upper_colour"]]
    for channel in range(3):
        pair = torch.stack([chest[:, channel], wanted[:, channel]])
        assert torch.corrcoef(pair)[0, 1] > 0.6


def test_garments_can_be_read_off(world):
    """A linear read-out of thumbnails tells trousers from bare legs on people it never saw."""
    thumbnails = F.adaptive_avg_pool2d(_pixels(world.auxiliary), (16, 8)).flatten(1)
    trousers = (world.auxiliary.attributes["lower"] == 0).float() * 2 - 1
    fit = world.auxiliary.pids % 3 > 0
    inputs = torch.cat([thumbnails - thumbnails[fit].mean(0), torch.ones(len(fit), 1)], 1)
    gram = inputs[fit].T @ inputs[fit] + 3 * torch.eye(inputs.shape[1])
    weights = torch.linalg.solve(gram, inputs[fit].T @ trousers[fit])
    right = (inputs[~fit] @ weights).sign() == trousers[~fit]
    assert right.float().mean() > 0.7


def test_pictures_of_one_person_differ(world):
    mine = _pixels(world.gallery)[world.gallery.pids == 1]
    assert len(mine.flatten(1).unique(dim=0)) == len(mine)


def test_other_sizes_are_drawn():
    world = make_world(identities=1, auxiliary=0, cameras=1, images_per_camera=2, size=(256, 128))
    assert world.query.images.load([0], (256, 128)).shape == (1, 3, 256, 128)


@pytest.mark.parametrize(
    "wrong",
    [{"identities": 0}, {"auxiliary": -1}, {"cameras": 0}, {"images_per_camera": 1}, {"seed": -1}],
)
def test_worlds_that_cannot_be_drawn_are_refused(wrong):
    with pytest.raises(DataError, match=f"{next(iter(wrong))} is"):
        make_world(**({"identities": 1, "auxiliary": 0} | wrong))


def test_saved_world_comes_back(tmp_path):
    world = make_world(identities=2, auxiliary=2, cameras=2, images_per_camera=2, seed=3)
    manifest = save_world(world, tmp_path / "drawn")
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "pid", "camid", "split", *ATTRIBUTES]
    for name in ("train", "query", "gallery"):
        split, mine = getattr(world, name), [row for row in rows if row["split"] == name]
        files = FileImages([manifest.parent / row["path"] for row in mine])
        assert torch.equal(files.load(range(len(files)), (128, 64)), _pixels(split))
        assert [int(row["pid"]) for row in mine] == split.pids.tolist()
        assert [int(row["camid"]) for row in mine] == split.camids.tolist()
        for attribute, values in ATTRIBUTES.items():
            codes = [values.index(row[attribute]) for row in mine]
            assert codes == split.attributes[attribute].tolist()
    assert rows[0]["path"].startswith("bounding_box_train/0003_c1_s1_000000")


def test_saved_world_is_not_overwritten(tmp_path):
    world = make_world(identities=1, auxiliary=1, cameras=1, images_per_camera=2)
    save_world(world, tmp_path)
    with pytest.raises(DataError, match="exists already"):
        save_world(world, tmp_path)


def test_only_pictures_in_memory_are_saved(tmp_path):
    world = make_world(identities=1, auxiliary=1, cameras=1, images_per_camera=2)
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((128, 64, 3), np.uint8)).save(path)
    files = replace(world.query, images=FileImages([path]))
    with pytest.raises(DataError, match="only a synthetic world"):
        save_world(replace(world, query=files), tmp_path / "out")
