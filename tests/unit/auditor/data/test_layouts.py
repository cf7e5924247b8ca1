"""Each published layout on a tree drawn small: people, cameras, splits, and what is refused."""

from typing import get_args

import pytest

from auditor.config import DataConfig, load
from auditor.data import open_dataset
from auditor.data.layouts import FORMS, NAMED, read_rows
from auditor.data.layouts.detect import Layout
from auditor.data.layouts.msmt17 import TEST_FIRST
from auditor.data.layouts.provenance import VEHICLES, WITHDRAWN
from auditor.errors import DataError, UsageError
from tests.unit.auditor.data.painting import paint

BOXES = {
    "bounding_box_train": ["0011_c1_1.png", "0012_c2_7.png"],
    "query": ["0001_c1_1.png", "0002_c2_8.png"],
    "bounding_box_test": ["0001_c2_6.png", "0002_c1_2.png"],
}
DUKE = {
    "bounding_box_train": ["0011_c1_f0000100.jpg", "0012_c2_f0000100.jpg"],
    "query": ["0005_c2_f0046985.jpg", "0006_c8_f0000100.jpg"],
    "bounding_box_test": ["0005_c1_f0046985.jpg", "0006_c7_f0000100.jpg"],
}
VERI = {
    "image_train": ["0001_c001_00016450_0.jpg", "0003_c012_00016455_0.jpg"],
    "image_query": ["0002_c002_00030600_0.jpg", "0005_c003_00077625_0.jpg"],
    "image_test": ["0002_c003_00030600_1.jpg", "0005_c020_00077625_0.jpg"],
}
CAMPUS = [f"{pid:04d}{image:03d}.png" for pid in (1, 2, 3, 971) for image in (1, 2, 3, 4)]
TRAIN = ["0000/0000_000_01_0303morning_0008_0.jpg 0", "0001/0001_000_02_0303noon_0017_2.jpg 1"]
QUERY = ["0000/0000_001_03_0303morning_0008_0.jpg 0", "0001/0001_001_04_0113noon_0017_2.jpg 1"]
GALLERY = ["0000/0000_002_05_0302afternoon_0008_0.jpg 0", "0001/0001_002_15_0114noon_0017_2.jpg 1"]


def draw(file):
    paint(file)


def tree(root, folders):
    for folder, names in folders.items():
        for name in names:
            draw(root / folder / name)
    return root


def msmt17(root, train="train", test="test", drawn=True, **lists):
    content = {"train": TRAIN, "query": QUERY, "gallery": GALLERY, **lists}
    for name, lines in content.items():
        folder = root / (train if name in ("train", "val") else test)
        folder.mkdir(parents=True, exist_ok=True)
        (root / f"list_{name}.txt").write_text("\n".join(lines) + "\n")
        for line in lines if drawn else ():
            draw(folder / line.split()[0])
    return root


def refused(path, *parts, **options):
    with pytest.raises(DataError) as caught:
        open_dataset(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message
    return message


def test_one_list_of_layouts():
    """The configuration must not import torch, so it has a list of its own."""
    assert get_args(DataConfig.model_fields["layout"].annotation) == get_args(Layout)
    assert {"auto", *FORMS} == set(get_args(Layout))


def test_a_mistyped_layout(tmp_path):
    refused(tmp_path, "did you mean 'market1501'?", "cuhk01", layout="market")
    (tmp_path / "audit.yaml").write_text("data: {path: x, layout: cuhk3np}")
    with pytest.raises(UsageError, match=r"data\.layout: .*did you mean 'cuhk03np'\?"):
        load(tmp_path / "audit.yaml", {})


class TestCuhk03np:
    @pytest.mark.parametrize("place", ["detected", "labeled", "cuhk03-np/detected"])
    def test_one_variant(self, tmp_path, place):
        tree(tmp_path / place, BOXES)
        data = open_dataset(tmp_path)
        assert data.facts["layout"] == "cuhk03np"
        assert data.facts["root_name"] == place.split("/")[-1]
        assert data.query.pids.tolist() == [1, 2]
        assert data.gallery.camids.tolist() == [1, 0]
        assert data.auxiliary.pids.tolist() == [11, 12]
        assert read_rows(tmp_path / place).layout == "cuhk03np"

    def test_both_variants_show_the_same_people(self, tmp_path):
        for variant in ("labeled", "detected"):
            tree(tmp_path / variant, BOXES)
        refused(tmp_path, "both variants", str(tmp_path / "labeled"), str(tmp_path / "detected"))
        assert open_dataset(tmp_path / "labeled").name == "labeled"

    def test_it_is_not_there(self, tmp_path):
        refused(tree(tmp_path, BOXES), "labeled or detected", "market1501", layout="cuhk03np")


class TestDukemtmc:
    def test_it_is_told_from_market(self, tmp_path):
        data = open_dataset(tree(tmp_path, DUKE))
        assert data.facts["layout"] == "dukemtmc"
        assert data.query.pids.tolist() == [5, 6]
        assert data.facts["cameras"] == ["1", "2", "7", "8"]
        (tmp_path / "query" / "0005_c1s1_000451_03.jpg").touch()
        assert read_rows(tmp_path).layout == "market1501"

    @pytest.mark.parametrize("layout", ["auto", "market1501", "manifest", "folder"])
    def test_the_withdrawal_is_told_whatever_the_layout(self, tmp_path, layout, caplog):
        root = tree(tmp_path, DUKE)
        if layout == "folder":
            root = tree(tmp_path / "people", dict.fromkeys("abcd", DUKE["query"]))
        if layout == "manifest":
            table = read_rows(tmp_path).table
            table.to_csv(tmp_path / "manifest.csv", index=False)
        data = open_dataset(root, layout=layout, cross_camera=layout != "folder")
        assert WITHDRAWN in data.facts["notices"]
        assert "withdrew" in caplog.text

    def test_other_people_are_not_told_so(self, tmp_path, caplog):
        assert open_dataset(tree(tmp_path, BOXES)).facts["notices"] == []
        assert not caplog.text

    def test_it_is_not_there(self, tmp_path):
        refused(tmp_path, "0005_c2_f0046985.jpg", layout="dukemtmc")


class TestCuhk01:
    @pytest.mark.parametrize("place", ["campus", "."])
    def test_two_cameras_two_pictures_each(self, tmp_path, place):
        data = open_dataset(tree(tmp_path, {place: CAMPUS}))
        assert data.facts["layout"] == "cuhk01"
        assert sorted(set(data.query.pids.tolist())) == [1, 3]
        assert sorted(set(data.auxiliary.pids.tolist())) == [2, 971]
        assert data.auxiliary.camids.tolist() == [0, 0, 1, 1] * 2
        assert [file.name for file in data.query.images.paths][:2] == ["0001001.png", "0001003.png"]
        assert data.cross_camera

    @pytest.mark.parametrize("name", ["0001005.png", "0000001.png", "00010011.png", "a001001.png"])
    def test_numbered_frames_are_something_else(self, tmp_path, name):
        tree(tmp_path, {"campus": [*CAMPUS, name]})
        assert read_rows(tmp_path).layout == "folder"
        refused(tmp_path, "1 pictures are not called", name, layout="cuhk01")


class TestMsmt17:
    @pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
    @pytest.mark.parametrize("place", [".", "MSMT17_V1"])
    def test_lists_say_it_all(self, tmp_path, folders, place):
        msmt17(tmp_path / place, *folders)
        draw(tmp_path / place / folders[0] / "0000" / "0000_009_01_0303morning_0008_0.jpg")
        data = open_dataset(tmp_path)
        assert data.facts["layout"] == "msmt17"
        assert data.auxiliary.pids.tolist() == [1, 2]
        assert data.query.pids.tolist() == [TEST_FIRST, TEST_FIRST + 1]
        assert data.gallery.pids.tolist() == [TEST_FIRST, TEST_FIRST + 1]
        assert data.facts["cameras"] == ["1", "2", "3", "4", "5", "15"]
        assert data.facts["distractors"] == 0
        assert "different people" in " ".join(data.facts["notices"])

    def test_validation_pictures_show_training_people(self, tmp_path):
        val = ["0000/0000_005_01_0303morning_0008_0.jpg 0"]
        data = open_dataset(msmt17(tmp_path, val=val))
        assert data.train.pids.tolist() == [1, 1, 2]
        assert "list_val.txt" in " ".join(data.facts["notices"])

    @pytest.mark.parametrize(
        ("line", "part"),
        [
            ("0000/0000_001_03_x.jpg", "'path person'"),
            ("0000/0000_001_03_x.jpg -1", "'path person'"),
            ("0000/0000_001_03_x.jpg 10000", "below 10000"),
            ("0000/0000.jpg 1", "'path person'"),
            ("/etc/0000_001_03_x.jpg 1", "is absolute"),
            ("../../0000_001_03_x.jpg 1", "leads out"),
            (QUERY[0], "the same picture as in"),
        ],
    )
    def test_lines_that_cannot_be_followed(self, tmp_path, line, part):
        root = msmt17(tmp_path, query=QUERY, drawn=False)
        (root / "list_query.txt").write_text("\n".join([*QUERY, "", line]))
        refused(root, "list_query.txt, line 4", part)

    def test_pictures_that_are_not_there(self, tmp_path):
        root = msmt17(tmp_path)
        (root / "test" / GALLERY[0].split()[0]).unlink()
        refused(root, "1 of 6 pictures", "there is no such file", GALLERY[0].split()[0])

    def test_a_missing_list_is_a_missing_split(self, tmp_path):
        root = msmt17(tmp_path)
        (root / "list_gallery.txt").unlink()
        refused(root, "'gallery' is empty", f"audit data split {root} --out manifest.csv")

    def test_folders_must_be_clear(self, tmp_path):
        root = msmt17(tmp_path)
        (root / "mask_test_v2").mkdir()
        refused(root, "both of the folders test and mask_test_v2")
        (root / "list_query.txt").write_bytes(b"\xff\xfe\x00")
        (root / "mask_test_v2").rmdir()
        refused(root, "list_query.txt is not text")

    def test_several_or_none(self, tmp_path):
        refused(tmp_path, "list_train.txt", layout="msmt17")
        for version in ("MSMT17_V1", "MSMT17_V2"):
            msmt17(tmp_path / version)
        refused(tmp_path, "several datasets (MSMT17_V1, MSMT17_V2)")


class TestVeri:
    @pytest.mark.parametrize("place", [".", "VeRi"])
    def test_folders(self, tmp_path, place, caplog):
        tree(tmp_path / place, VERI)
        data = open_dataset(tmp_path)
        assert data.facts["layout"] == "veri"
        assert data.query.pids.tolist() == [2, 5]
        assert data.facts["cameras"] == ["1", "2", "3", "12", "20"]
        assert data.facts["notices"] == [VEHICLES]
        assert "vehicle" in caplog.text

    def test_lists_choose(self, tmp_path):
        tree(tmp_path, {**VERI, "image_test": [*VERI["image_test"], "0009_c005_00000001_1.jpg"]})
        (tmp_path / "name_test.txt").write_text("\r\n".join(VERI["image_test"]) + "\r\n")
        data = open_dataset(tmp_path)
        assert data.gallery.pids.tolist() == [2, 5]
        assert "1 pictures of image_test are not in name_test.txt." in data.facts["notices"]

    def test_queries_that_lie_in_the_gallery(self, tmp_path):
        tree(tmp_path, {**VERI, "image_test": [*VERI["image_test"], *VERI["image_query"]]})
        told = " ".join(open_dataset(tmp_path).facts["notices"])
        assert "2 queries lie in the gallery too" in told

    @pytest.mark.parametrize(
        ("line", "part"),
        [("cat.jpg", "0002_c002_00030600_0.jpg"), ("../../0002_c002_00030600_0.jpg", "leads out")],
    )
    def test_lines_that_cannot_be_followed(self, tmp_path, line, part):
        tree(tmp_path, VERI)
        (tmp_path / "name_query.txt").write_text(line)
        refused(tmp_path, "name_query.txt, line 1", part)

    def test_listed_pictures_that_are_not_there(self, tmp_path):
        tree(tmp_path, VERI)
        (tmp_path / "name_query.txt").write_text("0002_c009_00030600_0.jpg")
        refused(tmp_path, "image_query/0002_c009_00030600_0.jpg", "there is no such file")

    def test_several_or_none(self, tmp_path):
        refused(tmp_path, "image_query and image_test", layout="veri")
        for name in ("one", "two"):
            tree(tmp_path / name, VERI)
        refused(tmp_path, "several datasets (one, two)")


def test_why_a_folder_has_none_of_the_layouts_is_said_for_each(tmp_path):
    (tmp_path / "image_query").mkdir()
    (tmp_path / "people").mkdir()
    with pytest.raises(DataError) as error:
        read_rows(tmp_path)
    first, *reasons = str(error.value).splitlines()
    assert "none of the known layouts (found: image_query, people)" in first
    assert [reason.split(" (")[0] for reason in reasons] == list(NAMED)
    said = dict(zip(NAMED, reasons, strict=True))
    assert said["veri"].endswith(": there is no image_test")
    assert said["vehicleid"].endswith(": there is no image and no train_test_split/train_list.txt")
    assert said["folder"].endswith(": no folder has pictures in it")


@pytest.mark.parametrize("name", NAMED)
def test_every_layout_says_by_what_it_is_known(tmp_path, name):
    (tmp_path / "empty").mkdir()
    assert FORMS[name].misfit(tmp_path / "empty") != "it is not laid out so"
