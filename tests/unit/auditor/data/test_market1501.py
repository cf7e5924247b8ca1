"""The Market-1501 layout, drawn small, and a real one where the tester has it."""

import os
from pathlib import Path

import pytest

from auditor.data import open_dataset
from auditor.data.layouts.market1501 import read_market1501
from auditor.errors import DataError
from tests.unit.auditor.data.painting import paint

NAMES = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c3s3_077419_03.JPG"],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c2_000001.png"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c2s1_000301_00.jpeg",
        "0003_c1s1_000076_00.webp",
        "0003_c10s1_000076_00.bmp",
    ],
}


@pytest.fixture
def market(tmp_path):
    root = tmp_path / "market"
    for folder, names in NAMES.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            draw(root / folder / name)
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"not a picture")
    (root / "bounding_box_test" / "._0001_c1.jpg").write_bytes(b"not a picture")
    return root


def draw(file):
    paint(file)


def names(split):
    return [file.name for file in split.images.paths]


def test_names_say_person_and_camera(market):
    data = open_dataset(market)
    assert data.facts["layout"] == "market1501"
    assert data.query.pids.tolist() == [1, 3]
    assert data.gallery.pids.tolist() == [0, 1, 3, 3]
    assert data.facts["cameras"] == ["1", "2", "3", "10"]
    assert data.gallery.camids.tolist() == [0, 1, 3, 0]
    assert data.train is data.auxiliary
    assert data.train.pids.tolist() == [2, 7]
    assert (data.facts["junk"], data.facts["distractors"]) == (1, 1)
    assert data.attribute_values == {}
    assert data.facts["notices"] == []
    assert data.gallery.images.load([0, 1], (8, 4)).shape == (2, 3, 8, 4)


def test_files_come_sorted(market):
    found = names(open_dataset(market).gallery)
    assert found == sorted(found)


def test_one_folder_further_down(market):
    (market / "Market-1501-v15.09.15").mkdir()
    for name in NAMES:
        (market / name).rename(market / "Market-1501-v15.09.15" / name)
    data = open_dataset(market)
    inner = open_dataset(market / "Market-1501-v15.09.15")
    assert data.facts["manifest_sha256"] == inner.facts["manifest_sha256"]
    assert data.name == "Market-1501-v15.09.15"


def test_two_datasets_further_down(market):
    (market.parent / "duke" / "bounding_box_test").mkdir(parents=True)
    with pytest.raises(DataError, match=r"several datasets \(duke, market\); name one"):
        open_dataset(market.parent)


def test_manifest_wins(market):
    (market / "manifest.csv").write_text("path,pid\n")
    with pytest.raises(DataError, match=r"manifest\.csv: no column camid"):
        open_dataset(market)
    assert open_dataset(market, layout="market1501").facts["layout"] == "market1501"


def test_same_data_as_a_manifest_has_the_same_digest(market):
    rows = read_market1501(market)
    rows.table.sample(frac=1, random_state=0).to_csv(market / "manifest.csv", index=False)
    manifest, layout = open_dataset(market), open_dataset(market, layout="market1501")
    assert manifest.facts["layout"] == "manifest"
    assert manifest.facts["manifest_sha256"] == layout.facts["manifest_sha256"]
    assert manifest.gallery.images == layout.gallery.images


@pytest.mark.parametrize(
    "name", ["cat.jpg", "-_c1.jpg", "-2_c1.jpg", "0001_s1.jpg", "x0001_c1.jpg"]
)
def test_other_names_are_refused(market, name):
    draw(market / "query" / name)
    draw(market / "query" / "zzz.png")
    with pytest.raises(DataError, match=r"2 pictures are not called.*manifest\.csv") as caught:
        open_dataset(market)
    assert f"query/{name}" in str(caught.value)


def test_missing_folders_are_made_up_for(market):
    for name in ("query", "bounding_box_train"):
        for file in (market / name).iterdir():
            file.unlink()
        (market / name).rmdir()
    for pid in ("0002", "0004"):
        draw(market / "bounding_box_test" / f"{pid}_c1s1.jpg")
        draw(market / "bounding_box_test" / f"{pid}_c2s1.jpg")
    data = open_dataset(market)
    assert data.auxiliary.pids.unique().tolist() == [2, 4]
    assert len(data.facts["notices"]) >= 2


def test_layout_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no folder bounding_box_test"):
        open_dataset(tmp_path, layout="market1501")


def test_empty_layout(tmp_path):
    (tmp_path / "bounding_box_test").mkdir()
    with pytest.raises(DataError, match="contains no pictures"):
        open_dataset(tmp_path)


def test_links_out_of_the_layout_are_refused(market):
    draw(market.parent / "0009_c1.jpg")
    (market / "query" / "0009_c1.jpg").symlink_to(market.parent / "0009_c1.jpg")
    with pytest.raises(DataError, match="leads out"):
        open_dataset(market)


@pytest.mark.skipif(
    not os.environ.get("AUDIT_TEST_MARKET"),
    reason="AUDIT_TEST_MARKET does not name a folder with the Market-1501 layout",
)
def test_real_layout():
    data = open_dataset(Path(os.environ["AUDIT_TEST_MARKET"]), layout="market1501")
    facts = data.facts
    assert facts["broken"]["count"] == 0
    assert 2 <= len(facts["cameras"]) <= 8
    assert facts["identities"]["query"] > 100
    assert facts["identities"]["auxiliary"] > 100
    assert len(data.gallery) > len(data.query) > 1000
