"""Copies of attacked pictures among the adversary's: found when planted, never between people."""

import csv
import io
import json
import shutil
from dataclasses import replace

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from auditor.data import open_dataset
from auditor.data.alignment import correlate
from auditor.data.duplicates import CORRELATED, POSSIBLE, find_copies, fingerprint
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.errors import DataError
from reports.content.caveats import caveats
from tests.records import example_record


@pytest.fixture(scope="module")
def world():
    return make_world(identities=8, auxiliary=8, cameras=2, images_per_camera=2, seed=3)


@pytest.fixture(scope="module")
def saved(world, tmp_path_factory):
    return save_world(world, tmp_path_factory.mktemp("saved")).parent


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "people")


def listed(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write(folder, rows):
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def plant(folder, edit=lambda picture: picture, count=1):
    """Save edited copies of the first gallery pictures as pictures of the adversary's people."""
    rows = listed(folder)
    gallery = [row for row in rows if row["split"] == "gallery"][:count]
    owner = next(row["pid"] for row in rows if row["split"] == "train")
    planted = []
    for number, row in enumerate(gallery):
        path = f"copy{number}.png"
        edit(Image.open(folder / row["path"]).convert("RGB")).save(folder / path)
        planted.append({**row, "path": path, "pid": owner, "split": "train"})
    write(folder, [*rows, *planted])
    return [(copy["path"], row["path"]) for copy, row in zip(planted, gallery, strict=True)]


def pairs(data):
    return [(pair["known"], pair["attacked"]) for pair in data.facts["near_duplicates"]["pairs"]]


def encoded(quality):
    def edit(picture):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return edit


def scaled(factor):
    return lambda picture: picture.resize([round(side * factor) for side in picture.size])


def cropped(left, top, right, bottom):
    def edit(picture):
        width, height = picture.size
        return picture.crop(
            (left * width, top * height, width - right * width, height * (1 - bottom))
        )

    return edit


EDITS = {
    "itself": lambda picture: picture,
    "jpeg 75": encoded(75),
    "jpeg 30": encoded(30),
    "half the size": scaled(0.5),
    "twice the size": scaled(2),
    "cropped": cropped(0.02, 0.02, 0.02, 0.02),
    "without its top": cropped(0, 0.04, 0, 0),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.7),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "paler": lambda picture: ImageEnhance.Contrast(picture).enhance(0.6),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "several": lambda picture: encoded(60)(
        ImageEnhance.Brightness(cropped(0.02, 0.01, 0.01, 0.02)(picture)).enhance(1.2)
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_planted_copies_are_found(folder, edit):
    planted = plant(folder, EDITS[edit], count=6)
    data = open_dataset(folder)
    assert data.facts["near_duplicates"]["count"] == 6
    assert pairs(data) == planted


def test_different_people_are_no_copies(folder):
    assert open_dataset(folder).facts["near_duplicates"] == {
        "count": 0,
        "dropped": False,
        "threshold": "72 of 256 bits",
        "pairs": [],
    }


def test_only_the_first_pairs_are_listed(folder, monkeypatch):
    monkeypatch.setattr("auditor.data.duplicates.LISTED", 3)
    plant(folder, count=8)
    facts = open_dataset(folder).facts
    assert facts["near_duplicates"]["count"] == 8
    assert len(facts["near_duplicates"]["pairs"]) == 3
    assert facts["near_duplicates"]["pairs"][0]["bits"] == 0
    assert json.loads(json.dumps(facts)) == facts


def test_warn_says_so_and_keeps_everything(folder, caplog):
    plant(folder, count=2)
    data = open_dataset(folder, near_duplicates="warn")
    assert "2 auxiliary or train pictures are near-duplicates" in caplog.text
    assert "'copy0.png'" in caplog.text
    assert len(data.auxiliary) == 32 + 2


def test_error_refuses_with_the_way_out(folder):
    plant(folder)
    with pytest.raises(DataError, match=r"1 auxiliary .*copy0\.png.*data\.near_duplicates"):
        open_dataset(folder, near_duplicates="error")


def test_an_unknown_mode_is_named(folder):
    with pytest.raises(DataError, match="'ignore' is not known; choose error, warn, drop"):
        open_dataset(folder, near_duplicates="ignore")


def test_error_lets_clean_data_pass(folder):
    assert len(open_dataset(folder, near_duplicates="error").auxiliary) == 32


def test_drop_leaves_out_the_adversarys_copy_alone(folder):
    plant(folder, count=2)
    before = open_dataset(folder)
    data = open_dataset(folder, near_duplicates="drop")
    assert len(data.auxiliary) == len(before.auxiliary) - 2
    assert data.train is data.auxiliary
    assert len(data.gallery) == len(before.gallery)
    assert data.facts["near_duplicates"]["dropped"] is True
    assert data.facts["images"]["auxiliary"] == 32
    assert "2 auxiliary or train pictures were dropped" in " ".join(data.facts["notices"])


def test_dropping_may_leave_too_few_people(folder):
    plant(folder)
    rows = listed(folder)
    attacked = [row for row in rows if row["split"] != "train"]
    copy, other = rows[-1], next(row for row in rows if row["split"] == "train")
    write(folder, [*attacked, other, {**copy, "pid": "9999"}])
    with pytest.raises(DataError, match="'auxiliary' has one identity only"):
        open_dataset(folder, near_duplicates="drop")


def test_dropping_may_leave_nobody_to_train_on(folder):
    plant(folder)
    *rows, copy = listed(folder)
    others = [{**row, "split": row["split"].replace("train", "auxiliary")} for row in rows]
    write(folder, [*others, copy])
    with pytest.raises(DataError, match="every picture in train is a copy"):
        open_dataset(folder, near_duplicates="drop")


@pytest.mark.parametrize(("same", "count"), [(True, 0), (False, 1)])
def test_train_pictures_count_under_another_identity_only(folder, same, count):
    ((_, original),) = plant(folder)
    *rows, copy = listed(folder)
    pid = next(row["pid"] for row in rows if (row["path"] == original) is same)
    own = next(row for row in rows if row["split"] == "train")
    others = [{**row, "split": row["split"].replace("train", "auxiliary")} for row in rows]
    others[rows.index(own)] = own
    write(folder, [*others, {**copy, "pid": pid}])
    data = open_dataset(folder, near_duplicates="drop")
    assert data.facts["near_duplicates"]["count"] == count
    assert len(data.train) == 2 - count
    assert len(data.auxiliary) == 31


def test_pictures_that_show_nothing_are_no_copies(folder):
    plant(folder, lambda picture: Image.new("RGB", picture.size, (90, 0, 0)), count=2)
    assert open_dataset(folder).facts["near_duplicates"]["count"] == 0
    assert fingerprint(Image.new("RGB", (64, 128), (9, 9, 9))) is None


# -- the comparison -----------------------------------------------------------------------------


def test_nearest_pictures_as_brute_force_has_them(world, tmp_path):
    pictures = [
        Image.fromarray(pixels.permute(1, 2, 0).numpy())
        for split in (world.auxiliary, world.gallery)
        for pixels in split.images.pixels[:15]
    ]
    pictures[5] = encoded(20)(pictures[20])
    prints = {row: fingerprint(picture) for row, picture in enumerate(pictures)}
    pids = pd.DataFrame({"pid": range(30)})
    files = [tmp_path / f"{row}.png" for row in range(30)]
    for file, picture in zip(files, pictures, strict=True):
        picture.save(file)
    (copy,) = find_copies(pids[:15], pids[15:], prints, files)
    hashes = [imagehash.phash(picture, hash_size=16) for picture in pictures]
    distances = {(a, b): hashes[a] - hashes[b] for a in range(15) for b in range(15, 30)}
    near = [pair for pair, bits in distances.items() if bits <= POSSIBLE]
    assert near == [(5, 20)]
    assert (copy.known, copy.attacked, copy.bits) == (5, 20, distances[5, 20])


def test_nobody_to_compare_with(world):
    empty = pd.DataFrame({"pid": np.array([], dtype=np.int64)})
    assert find_copies(empty, empty, {}, []) == []


def test_alignment_knows_a_crop_from_another_person(folder):
    rows = [row for row in listed(folder) if row["split"] == "gallery"]
    first, other = (folder / row["path"] for row in (rows[0], rows[-1]))
    copy = folder / "crop.png"
    cropped(0.03, 0.05, 0, 0.02)(Image.open(first)).save(copy)
    assert correlate(first, copy) == correlate(copy, first) >= CORRELATED
    assert correlate(first, other) < CORRELATED
    assert correlate(first, first) == pytest.approx(1.0)


# -- the report ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"count": 3, "dropped": False}, "3 auxiliary or train pictures are near-duplicates"),
        ({"count": 3, "dropped": True}, "3 auxiliary or train pictures were left out"),
    ],
)
def test_the_report_says_so(found, said):
    record = replace(example_record(), data={"near_duplicates": found})
    assert any(said in sentence for sentence in caveats(record))


@pytest.mark.parametrize("data", [{}, {"near_duplicates": {"count": 0, "dropped": False}}])
def test_without_copies_there_is_nothing_to_say(data):
    record = replace(example_record(), data=data)
    assert not any("train pictures" in sentence for sentence in caveats(record))
