"""`audit data check | convert | split` through the real command: output, files, exit codes."""

import json
import re

import pytest
from PIL import Image

from auditor.data import open_dataset
from auditor.data.layouts.provenance import WITHDRAWN
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.models.reference import WEIGHTS
from auditor.report import load
from tests import worlds
from tests.integration.conftest import CARD
from tests.integration.test_bad_input import one_line
from tests.unit.auditor.data.test_layouts import BOXES, CAMPUS, DUKE, VERI, msmt17, tree
from tests.unit.auditor.data.test_mat_attributes import MARKET, mat


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Ten synthetic people by two cameras, with a manifest."""
    world = make_world(identities=5, auxiliary=5, cameras=2, images_per_camera=2, size=(32, 16))
    folder = tmp_path_factory.mktemp("drawn")
    save_world(world, folder)
    return folder


@pytest.fixture
def staff(drawn, tmp_path):
    """The same people in one folder each, without any splits."""
    root = tmp_path / "staff"
    for file in sorted(drawn.rglob("*.png")):
        folder = root / file.name[:4]
        folder.mkdir(parents=True, exist_ok=True)
        # a query and a gallery picture may have the same name
        (folder / f"{file.parent.name}_{file.name}").write_bytes(file.read_bytes())
    return root


def sides(data):
    return [
        (sorted(file.name for file in split.images.paths), sorted(split.pids.tolist()))
        for split in (data.train, data.auxiliary, data.query, data.gallery)
    ]


class TestCheck:
    def test_a_good_dataset(self, audit, drawn):
        code, out, err = audit("data", "check", drawn)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0] == "layout: manifest"
        assert [line.split() for line in lines[1:5]] == [
            ["split", "images", "people", "distractors", "junk"],
            ["auxiliary", "20", "5", "0", "0"],
            ["query", "10", "5", "0", "0"],
            ["gallery", "10", "5", "0", "0"],
        ]
        assert "cameras: 2 (0: 20, 1: 20)" in lines
        assert any(line.startswith("attribute sleeves: long: ") for line in lines)
        assert any(line.startswith("identity disjointness: yes, 5 attacked") for line in lines)
        assert "near-duplicates across the border: 0" in lines
        assert "queries: 10, 0 without a valid match in the gallery" in lines
        assert "broken pictures: 0" in lines
        assert lines[-1] == "this dataset can be audited"

    def test_json(self, audit, drawn):
        code, out, _ = audit("data", "check", drawn, "--json")
        found = json.loads(out)
        assert code == 0
        assert found["faults"] == []
        assert found["splits"]["gallery"] == {
            "images": 10, "people": 5, "distractors": 0, "junk": 0
        }  # fmt: skip
        assert found["disjoint"] == {"attacked": 5, "auxiliary": 5, "both": 0, "first": []}
        assert sum(found["attributes"]["hat"].values()) == 10

    def test_junk_distractors_and_lost_queries(self, audit, tmp_path):
        root = tree(tmp_path, MARKET)
        tree(root, {"bounding_box_test": ["-1_c1s1_000401_03.jpg"], "query": ["0009_c1s1_1.jpg"]})
        code, out, _ = audit("data", "check", root, "--json")
        found = json.loads(out)
        assert code == 0
        assert found["splits"]["gallery"] == {
            "images": 3, "people": 2, "distractors": 1, "junk": 1
        }  # fmt: skip
        assert found["queries"] == {"number": 3, "without_match": 1}

    def test_attributes_are_counted_by_person(self, audit, tmp_path):
        root = tree(tmp_path / "market", MARKET)
        _, out, _ = audit("data", "check", root, "--attributes", mat(tmp_path / "a.mat"))
        assert "attribute gender: female: 3, male: 1 people" in out

    def test_tracklets_and_times_are_no_attributes(self, audit, tmp_path):
        world = make_world(
            identities=3, auxiliary=3, cameras=2, images_per_camera=2, size=(32, 16), walks=True
        )
        manifest = save_world(world, tmp_path / "walks")
        _, out, _ = audit("data", "check", manifest.parent)
        assert "tracklet: known for 24 of 24 pictures\ntime: known for 24 of 24 pictures\n" in out
        assert "attribute time" not in out
        manifest.write_text(re.sub(r"\d+\.\d+$", "noon", manifest.read_text(), flags=re.M))
        _, out, _ = audit("data", "check", manifest.parent)
        assert "time: known" not in out
        assert "notice: The column 'time' is not used" in out

    def test_somebody_on_both_sides(self, audit, tmp_path):
        root = tree(tmp_path, MARKET)
        tree(root, {"bounding_box_train": ["0001_c5s1_000001_00.jpg"]})
        code, out, err = audit("data", "check", root)
        assert code == 2
        assert "identity disjointness: NO, 1 of 2 attacked and 3 auxiliary" in out
        assert "(pid 1)" in out
        assert "near-duplicates: not compared" in out
        assert "this dataset cannot be audited" in one_line(err)
        assert f"audit data split {root} --out manifest.csv" in err

    def test_copies_across_the_border(self, audit, staff):
        audit("data", "split", staff, "--out", "manifest.csv")
        data = open_dataset(staff)
        mine, theirs = data.auxiliary.images.paths[0], data.gallery.images.paths[0]
        Image.open(theirs).resize((20, 40)).save(mine)
        code, out, _ = audit("data", "check", staff)
        assert code == 0
        assert "near-duplicates across the border: 1" in out
        assert f"{mine.parent.name}/{mine.name} is a copy of" in out

    def test_broken_pictures_are_listed(self, audit, staff):
        broken = sorted(staff.rglob("*.png"))[:2]
        broken[0].write_bytes(b"")
        broken[1].write_bytes(broken[1].read_bytes()[:200])
        code, out, err = audit("data", "check", staff)
        assert code == 2
        assert "broken pictures: 2" in out
        assert all(f"  {file.parent.name}/{file.name}: " in out for file in broken)
        assert "2 of 40 pictures are missing or broken" in one_line(err)
        code, out, _ = audit("data", "check", staff, "--max-broken", "0.1")
        assert code == 0
        assert "broken pictures: 2" in out

    def test_of_many_broken_pictures_some_are_listed(self, audit, staff, monkeypatch):
        monkeypatch.setattr("auditor.cli.data.NAMED", 1)
        for file in sorted(staff.rglob("*.png"))[:3]:
            file.write_bytes(b"")
        _, out, _ = audit("data", "check", staff)
        assert "broken pictures: 3" in out
        assert "  and 2 more; --json lists all of them" in out
        assert out.count("is not a readable picture") == 1

    def test_one_camera(self, audit, tmp_path):
        root = tree(tmp_path, {p: ["x_c1.png", "y_c1.png"] for p in "abcd"})
        code, _, err = audit("data", "check", root)
        assert (code, "one camera only" in one_line(err)) == (2, True)
        assert audit("data", "check", root, "--any-camera")[0] == 0

    @pytest.mark.parametrize(
        ("folders", "words"),
        [(None, "does not exist"), ({}, "found: nothing"), ({"train": ["a.png"]}, "like a split")],
    )
    def test_nothing_to_look_at(self, audit, tmp_path, folders, words):
        root = tmp_path / "data"
        if folders is not None:
            root.mkdir()
            tree(root, folders)
        code, out, err = audit("data", "check", root)
        assert (code, out) == (2, "")
        assert words in one_line(err)

    def test_a_layout_without_a_picture(self, audit, tmp_path):
        (tmp_path / "bounding_box_test").mkdir()
        code, _, err = audit("data", "check", tmp_path)
        assert (code, "contains no pictures" in one_line(err)) == (2, True)

    def test_an_unknown_layout(self, audit, drawn):
        code, _, err = audit("data", "check", drawn, "--layout", "cuhk3np")
        assert (code, "did you mean 'cuhk03np'?" in one_line(err)) == (2, True)


class TestConvert:
    @pytest.mark.parametrize("name", ["market", "cuhk03np", "dukemtmc", "msmt17", "veri", "cuhk01"])
    def test_the_manifest_gives_the_same_splits(self, audit, tmp_path, name):
        root = tmp_path / name
        folders = {
            "market": MARKET,
            "dukemtmc": DUKE,
            "veri": VERI,
            "cuhk03np": {},
            "cuhk01": {"campus": CAMPUS},
        }
        if name == "msmt17":
            msmt17(root / "MSMT17_V2", "mask_train_v2", "mask_test_v2")
        else:
            tree(root, folders[name])
            tree(root / "cuhk03-np" / "labeled", BOXES if name == "cuhk03np" else {})
        before = open_dataset(root)
        code, out, err = audit("data", "convert", root, "--out", "manifest.csv")
        assert (code, err) == (0, "")
        assert f"wrote {root / 'manifest.csv'}" in out
        after = open_dataset(root)
        assert after.facts["layout"] == "manifest"
        assert sides(after) == sides(before)
        assert after.facts["cameras"] == before.facts["cameras"]
        assert (WITHDRAWN in after.facts["notices"]) == (name == "dukemtmc") == (WITHDRAWN in out)

    def test_attributes_come_along(self, audit, tmp_path):
        root = tree(tmp_path / "market", MARKET)
        mat(root / "market_attribute.mat")
        before = open_dataset(root)
        audit("data", "convert", root, "--out", root / "all.csv")
        after = open_dataset(root / "all.csv")
        assert after.attribute_values == before.attribute_values
        assert after.query.attributes["age"].tolist() == before.query.attributes["age"].tolist()

    def test_nothing_is_overwritten_unasked(self, audit, drawn, tmp_path):
        root = tree(tmp_path, MARKET)
        (root / "manifest.csv").write_text("mine")
        command = ("data", "convert", root, "--layout", "market1501", "--out", "manifest.csv")
        code, _, err = audit(*command)
        assert (code, "--overwrite" in one_line(err)) == (2, True)
        assert (root / "manifest.csv").read_text() == "mine"
        assert audit(*command, "--overwrite")[0] == 0
        assert open_dataset(root).facts["layout"] == "manifest"

    @pytest.mark.parametrize(
        ("out", "words"),
        [("else/manifest.csv", "write it there or above"), ("data/x.txt", "not called .csv")],
    )
    def test_places_from_which_it_would_not_be_read(self, audit, tmp_path, out, words):
        root = tree(tmp_path / "data", MARKET)
        code, _, err = audit("data", "convert", root, "--out", tmp_path / out)
        assert (code, words in one_line(err)) == (2, True)
        assert not (tmp_path / out).exists()

    def test_names_a_table_does_not_keep(self, audit, tmp_path):
        root = tree(tmp_path, {"a ": ["x.png"], "b": [" y\n.png"]})
        code, _, err = audit("data", "convert", root, "--out", "manifest.csv")
        assert (code, "rename it" in one_line(err)) == (2, True)
        assert not (root / "manifest.csv").exists()


class TestSplit:
    def test_a_folder_per_person(self, audit, staff):
        code, out, err = audit("data", "split", staff, "--out", "manifest.csv")
        assert (code, err) == (0, "")
        assert "wrote" in out
        data = open_dataset(staff)
        attacked = set(data.query.pids.tolist()) | set(data.gallery.pids.tolist())
        assert len(attacked) == len(data.auxiliary.pids.unique()) == 5
        assert not attacked & set(data.auxiliary.pids.tolist())
        pairs = list(zip(data.query.pids.tolist(), data.query.camids.tolist(), strict=True))
        assert len(pairs) == len(set(pairs)) == 10  # one per person and camera
        code, out, _ = audit("data", "check", staff)
        assert code == 0
        assert "queries: 10, 0 without" in out

    def test_the_seed_decides(self, audit, staff):
        made = []
        for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
            audit("data", "split", staff, "--out", name, "--layout", "folder", "--seed", seed)
            made.append((staff / name).read_bytes())
        assert made[0] == made[1] != made[2]

    def test_shares_and_queries(self, audit, staff):
        options = ("--auxiliary", "0.3", "--queries", "one-per-person")
        audit("data", "split", staff, "--out", "manifest.csv", *options)
        data = open_dataset(staff)
        assert len(data.auxiliary.pids.unique()) == 3
        assert sorted(data.query.pids.tolist()) == sorted(set(data.gallery.pids.tolist()))

    def test_a_manifest_with_pids(self, audit, drawn, tmp_path):
        root = tmp_path / "copy"
        root.mkdir()
        for file in drawn.rglob("*.*"):
            (root / file.relative_to(drawn)).parent.mkdir(exist_ok=True)
            (root / file.relative_to(drawn)).write_bytes(file.read_bytes())
        code, out, _ = audit("data", "split", root / "manifest.csv", "--out", "split.csv")
        assert code == 0
        assert "notice: The earlier splits were replaced" in out
        before, after = open_dataset(root), open_dataset(root / "split.csv")
        assert after.attribute_values == before.attribute_values
        assert sides(after) != sides(before)

    def test_a_person_seen_by_one_camera_is_never_a_query(self, audit, tmp_path):
        once = {p: ["x_c1.png", "y_c1.png"] for p in "abc"}
        root = tree(tmp_path, once | {p: ["x_c1.png", "y_c2.png"] for p in "defghi"})
        _, out, _ = audit("data", "split", root, "--out", "manifest.csv", "--auxiliary", "0.25")
        assert "attacked people have no query" in out
        _, out, _ = audit("data", "check", root)
        assert ", 0 without a valid match" in out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--auxiliary", "1"), "share between 0 and 1"),
            (("--auxiliary", "nan"), "share between 0 and 1"),
            (("--queries", "all"), "one-per-camera, one-per-person"),
        ],
    )
    def test_wrong_options(self, audit, staff, arguments, words):
        code, _, err = audit("data", "split", staff, "--out", "manifest.csv", *arguments)
        assert (code, words in one_line(err)) == (2, True)
        assert not (staff / "manifest.csv").exists()

    @pytest.mark.parametrize(
        ("people", "files", "words"),
        [("abc", ["x_c1.png", "y_c2.png"], "3 people"), ("abcd", ["x.png"], "two pictures")],
    )
    def test_too_little_to_split(self, audit, tmp_path, people, files, words):
        root = tree(tmp_path, dict.fromkeys(people, files))
        code, _, err = audit("data", "split", root, "--out", "manifest.csv")
        assert (code, words in one_line(err)) == (2, True)

    def test_it_can_be_audited(self, audit, write_config, drawn_folder, tmp_path):
        """From a missing split to the way out its message names, to a finished run."""
        rows = (drawn_folder / "manifest.csv").read_text().splitlines()
        kept = [rows[0], *(row for row in rows if row.startswith(("query", "bounding_box_train")))]
        folder = tmp_path / "copy"
        for row in kept[1:]:
            path = row.split(",")[0]
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes((drawn_folder / path).read_bytes())
        (folder / "manifest.csv").write_text("\n".join(kept))
        code, _, err = audit("data", "check", folder)
        command = f"audit data split {folder}/manifest.csv --out split.csv"
        assert code == 2
        assert "the split 'gallery' is empty" in one_line(err)
        assert command in err
        assert audit(*command.split()[1:])[0] == 0
        config = write_config(
            data={"path": str(folder / "split.csv")}, defenses={}, controls=False,
            model={"path": str(WEIGHTS), "arch": "reference", "card": CARD},
            attacks={"identity": worlds.QUICK["identity"]},
        )  # fmt: skip
        code, _, err = audit("run", "--config", config, "--out", tmp_path / "out")
        assert code == 4, err  # nothing crossed, nothing certified
        assert load(tmp_path / "out" / "report.json").complete
