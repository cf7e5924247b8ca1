"""One folder per person, and how a layout is recognised."""

import json

import pytest

from auditor.data import open_dataset
from auditor.errors import DataError
from tests.unit.auditor.data.painting import paint


def draw(*files):
    for file in files:
        paint(file)


def people(root, names, files=("x_c1.png", "y_c1.png", "x_c2.png", "y_c2.png")):
    draw(*(root / name / file for name in names for file in files))
    return root


def names(split):
    return [file.name for file in split.images.paths]


class TestFolders:
    def test_persons_are_numbered_by_name(self, tmp_path):
        data = open_dataset(people(tmp_path / "staff", ["dan", "ann", "Çem", "0001"]))
        assert data.facts["layout"] == "folder"
        assert "ann" not in json.dumps(data.facts)  # folders may be named after their people
        assert {file.parent.name for file in data.query.images.paths} == {"0001", "dan"}
        assert data.name == "staff"
        assert set(data.query.pids.tolist()) == {1, 3}
        assert set(data.auxiliary.pids.tolist()) == {2, 4}
        assert json.loads(json.dumps(data.facts)) == data.facts

    def test_cameras_are_read_from_names(self, tmp_path):
        data = open_dataset(people(tmp_path, "abcd"))
        assert data.cross_camera
        assert data.facts["cameras"] == ["1", "2"]
        assert names(data.query) == ["x_c1.png", "x_c2.png"] * 2
        assert len(data.facts["notices"]) == 3

    def test_one_name_without_camera_makes_all_unknown(self, tmp_path):
        root = people(tmp_path, "abcd")
        draw(root / "b" / "cat_calm.png")
        data = open_dataset(root)
        assert not data.cross_camera
        assert data.facts["cameras"] == []
        assert data.gallery.camids.unique().tolist() == [-1]
        assert len(data.query) == 2
        assert "cross-camera protocol is impossible" in " ".join(data.facts["notices"])

    def test_one_camera_only(self, tmp_path):
        root = people(tmp_path, "abcd", ("x_c1.png", "y_c1.png"))
        with pytest.raises(DataError, match=r"one camera only.*data\.cross_camera: false"):
            open_dataset(root)
        assert not open_dataset(root, cross_camera=False).cross_camera

    def test_leftovers_are_told(self, tmp_path):
        root = people(tmp_path, "abcd")
        draw(root / "group.jpg", root / "e" / "one" / "more" / "x_c1.png")
        (root / ".hidden").mkdir()
        told = " ".join(open_dataset(root).facts["notices"])
        assert "1 pictures lie outside" in told
        assert "1 folders have no pictures" in told

    def test_links_out_of_the_folder_are_refused(self, tmp_path):
        root = people(tmp_path / "staff", "abcd")
        draw(tmp_path / "else" / "x_c1.png")
        (root / "e").symlink_to(tmp_path / "else")
        with pytest.raises(DataError, match=r"'e/x_c1\.png' leads out"):
            open_dataset(root)

    @pytest.mark.parametrize(
        ("names", "part"), [("a", "one identity"), ("abc", "one identity only")]
    )
    def test_too_few_people(self, tmp_path, names, part):
        with pytest.raises(DataError, match=part):
            open_dataset(people(tmp_path, names))

    def test_one_picture_each(self, tmp_path):
        with pytest.raises(DataError, match="'query' is empty; give people two or more pictures"):
            open_dataset(people(tmp_path, "abcd", ["x.png"]))

    def test_broken_pictures_count(self, tmp_path):
        root = people(tmp_path, "abcd")
        (root / "a" / "z_c1.png").write_bytes(b"")
        with pytest.raises(DataError, match=r"1 of 17 .*'a/z_c1.png'"):
            open_dataset(root)
        assert open_dataset(root, max_broken=0.1).facts["broken"]["files"] == ["a/z_c1.png"]


class TestRecognition:
    def test_missing_path(self, tmp_path):
        for path in (tmp_path / "nowhere", tmp_path / ("n" * 300), tmp_path / "a" / "b"):
            with pytest.raises(DataError):
                open_dataset(path)

    def test_pictures_without_any_names(self, tmp_path):
        draw(tmp_path / "1.jpg", tmp_path / "2.jpg")
        with pytest.raises(
            DataError, match=r"2 pictures directly .*1\.jpg.* who is on them"
        ) as caught:
            open_dataset(tmp_path)
        for layout in ("manifest", "market1501", "folder"):
            assert f"\n{layout} (" in str(caught.value)

    def test_nothing_known(self, tmp_path):
        with pytest.raises(DataError, match="found: nothing"):
            open_dataset(tmp_path)
        for number in range(7):
            (tmp_path / f"{number}.txt").touch()
        with pytest.raises(DataError, match=r"found: 0\.txt, .*4\.txt and 2 more"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize("name", ["train", "Query", "image_test", "val"])
    def test_splits_are_not_people(self, tmp_path, name):
        people(tmp_path, ["valerie", "testa", "trainor", name])
        with pytest.raises(DataError, match=f"'{name}' is called like a split"):
            open_dataset(tmp_path)
        assert open_dataset(tmp_path, layout="folder").facts["layout"] == "folder"

    def test_other_files(self, tmp_path):
        (tmp_path / "data.zip").touch()
        with pytest.raises(DataError, match="a file, but no CSV"):
            open_dataset(tmp_path / "data.zip")
        with pytest.raises(DataError, match="needs a folder"):
            open_dataset(tmp_path / "data.zip", layout="folder")

    def test_forced_layouts(self, tmp_path):
        with pytest.raises(DataError, match="no folders with pictures"):
            open_dataset(tmp_path, layout="folder")
        with pytest.raises(DataError, match=r"manifest\.csv"):
            open_dataset(tmp_path, layout="manifest")
        with pytest.raises(DataError, match=r"choose auto, manifest, market1501, .*folder"):
            open_dataset(tmp_path, layout="coco")  # type: ignore[arg-type]
