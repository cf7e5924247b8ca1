"""Datasets as people have them: own names, own tables, folders of folders, links, odd formats."""

import json

import pytest
from PIL import Image

from auditor.config import reading
from auditor.data import open_dataset
from auditor.data.layouts import read_rows
from auditor.errors import DataError


def draw(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 8)).save(file)
    return root


def table(rows, *columns):
    return rows.table[list(columns)].values.tolist()


class TestFolders:
    def test_a_folder_per_camera(self, tmp_path):
        rows = read_rows(draw(tmp_path, "ann/hall/1.png", "ann/door/1.png", "bo/hall/1.png"))
        assert rows.layout == "folder"
        assert table(rows, "pid", "camid") == [[1, "door"], [1, "hall"], [2, "hall"]]

    def test_splits_with_a_folder_per_person(self, tmp_path):
        files = ["Train/ann/1_c1.png", "query/bo/1_c1.png", "gallery/bo/2_c2.png"]
        rows = read_rows(draw(tmp_path, *files, "query/stray_c1.png"))
        assert rows.layout == "split_folders"
        assert table(rows, "pid", "camid", "split") == [
            [1, "1", "train"],
            [2, "2", "gallery"],
            [2, "1", "query"],
        ]
        assert "1 pictures lie outside" in " ".join(rows.notices)

    def test_test_people_are_yet_to_be_divided(self, tmp_path):
        files = [f"test/p{i}/{c}/{n}.png" for i in range(4) for c in "ab" for n in "12"]
        train = [f"train/t{i}/a/1.png" for i in range(3)]
        data = open_dataset(draw(tmp_path, *files, *train))
        assert len(data.query) == 8
        assert len(data.auxiliary) == 3
        assert data.cross_camera

    def test_nested_roots(self, tmp_path):
        draw(tmp_path, *(f"outer/inner/data/p{i}/{n}_c{n}.png" for i in range(4) for n in (1, 2)))
        assert read_rows(tmp_path).layout == "folder"
        market = draw(tmp_path / "m", "a/b/Market/bounding_box_test/0001_c1.png")
        assert read_rows(market).layout == "market1501"


class TestPattern:
    NAMES = ("P0007-cam03-t12-000045.png", "P0008-cam04-t01-000001.png")
    PATTERN = r"P(?P<pid>\d+)-cam(?P<camid>\d+)-t(?P<track>\d+)-(?P<time>\d+)"

    def test_own_names(self, tmp_path):
        root = draw(tmp_path, *self.NAMES, "other.png")
        rows = read_rows(root, pattern=self.PATTERN)
        assert table(rows, "path", "pid", "camid") == [
            [self.NAMES[0], 7, "03"],
            [self.NAMES[1], 8, "04"],
        ]
        assert rows.attributes.values.tolist() == [["12", "000045"], ["01", "000001"]]
        assert "1 pictures do not match" in " ".join(rows.notices)

    def test_splits_and_names_of_people(self, tmp_path):
        root = draw(tmp_path, "query/ann/1.png", "gallery/bo/1.png", "gallery/ann/2.png")
        rows = read_rows(root, pattern=r"(?P<split>query|gallery)/(?P<pid>[a-z]+)/")
        assert table(rows, "pid", "split") == [[1, "gallery"], [2, "gallery"], [1, "query"]]

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("(?P<camid>.)", "needs the group"),
            ("(?P<pid>.)(?P<colour>.)", "needs the group"),
            ("(", "is not valid"),
            ("(?P<pid>zzz)", "matches none of 1 pictures"),
            ("(?P<pid>P)(?P<split>0)", "the split '0'"),
        ],
    )
    def test_patterns_that_do_not_do(self, tmp_path, pattern, said):
        with pytest.raises(DataError, match=said):
            read_rows(draw(tmp_path, self.NAMES[0]), pattern=pattern)

    def test_the_layout_alone_says_nothing(self, tmp_path):
        with pytest.raises(DataError, match="give --pattern"):
            read_rows(draw(tmp_path, self.NAMES[0]), "pattern")


def csv(root, header, *lines, separator=","):
    draw(root, *(f"{name}.png" for name in "abcd"))
    text = "\n".join([header, *lines]) + "\n"
    (root / "manifest.csv").write_text(text.replace(",", separator))
    return root


class TestTables:
    def test_columns_of_other_names(self, tmp_path):
        root = csv(tmp_path, "file,who,where,age", "a.png,3,1,old", "b.png,4,2,young")
        rows = read_rows(root, columns={"path": "file", "pid": "who", "camid": "where"})
        assert table(rows, "path", "pid", "camid") == [["a.png", 3, "1"], ["b.png", 4, "2"]]
        assert list(rows.attributes) == ["age"]
        with pytest.raises(DataError, match=r"no column 'whom'; data\.columns says"):
            read_rows(root, columns={"pid": "whom"})
        with pytest.raises(DataError, match="nothing is called 'person'"):
            read_rows(root, columns={"person": "who"})

    def test_people_with_names_and_whole_numbers(self, tmp_path):
        root = csv(tmp_path, "path,pid,camid", "a.png,bo,1", "b.png,al,1", "c.png,bo,2")
        assert table(read_rows(root), "pid") == [[2], [1], [2]]
        root = csv(tmp_path, "path,pid,camid", "a.png,7.0,1", "b.png,-1.0,1")
        assert table(read_rows(root), "pid") == [[7], [-1]]
        root = csv(tmp_path, "path,pid,camid", "a.png,7,1", "b.png,bo,1")
        with pytest.raises(DataError, match=r"row 3, column 'pid': 'bo'"):
            read_rows(root)

    @pytest.mark.parametrize("separator", [";", "\t", "|"])
    def test_other_separators(self, tmp_path, separator):
        root = csv(tmp_path, "path,pid,camid", "a.png,7,1", separator=separator)
        assert table(read_rows(root), "pid", "camid") == [[7, "1"]]

    def test_backslashes(self, tmp_path):
        root = csv(draw(tmp_path, "sub/e.png"), "path,pid,camid", "sub\\e.png,7,1")
        assert table(read_rows(root), "path") == [["sub/e.png"]]

    def test_another_encoding_is_named(self, tmp_path):
        root = draw(tmp_path, "a.png")
        (root / "manifest.csv").write_bytes("path,pid,camid\na.png,é,1\n".encode("cp1252"))
        with pytest.raises(DataError, match=r"save it as CSV in UTF-8.*cp1252"):
            read_rows(root)

    def test_open_metric_learning(self, tmp_path):
        header = "label,path,split,is_query,is_gallery"
        lines = ("1,a.png,train,,", "2,b.png,validation,True,False",
                 "2,c.png,validation,False,True", "3,d.png,validation,1,1")  # fmt: skip
        rows = read_rows(csv(tmp_path, header, *lines))
        assert table(rows, "pid", "split", "camid") == [
            [1, "train", ""],
            [2, "query", ""],
            [2, "gallery", ""],
            [3, "gallery", ""],
        ]
        both = csv(tmp_path, header, lines[0], lines[3])
        assert table(read_rows(both), "pid", "split") == [[1, "train"], [3, ""]]

    def test_tracks_and_times_are_kept_and_no_attributes(self, tmp_path):
        lines = [f"{n}.png,{pid},{cam},{pid % 2},12:0{cam}" for n, pid, cam in
                 zip("abcdefgh", (1, 1, 2, 2, 3, 3, 4, 4), (1, 2) * 4, strict=True)]  # fmt: skip
        root = csv(draw(tmp_path, *(f"{n}.png" for n in "efgh")),
                   "path,pid,camid,track,time", *lines)  # fmt: skip
        data = open_dataset(root)
        assert data.facts["kept_columns"] == ["track", "time"]
        assert data.facts["attributes"] == data.facts["ignored_columns"] == []


def test_links_are_followed_if_the_user_says_so(tmp_path):
    draw(tmp_path / "elsewhere", "1_c1.png", "2_c2.png")
    root = draw(tmp_path / "data", *(f"p{i}/{n}_c{n}.png" for i in range(3) for n in (1, 2)))
    (root / "p9").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"leads out.*data\.follow_links"):
        read_rows(root)
    assert len(read_rows(root, follow_links=True).table) == 8
    csv(root, "path,pid,camid", "../elsewhere/1_c1.png,1,1")
    with pytest.raises(DataError, match="leads out"):  # written to lead out, it is no link
        read_rows(root, follow_links=True)


def test_pictures_of_formats_that_are_not_read_are_counted_and_named(tmp_path):
    root = draw(tmp_path, *(f"p{i}/{n}_c{n}.png" for i in range(4) for n in (1, 2)))
    draw(root, "p0/3_c1.tif", "p1/3_c1.TIFF", "p2/3_c1.gif", "p3/3_c1.jfif")
    rows = read_rows(root)
    assert len(rows.table) == 9  # JFIF is JPEG
    assert "3 pictures are of formats that are not read (1 .gif, 1 .tif, 1 .tiff)" in " ".join(
        rows.notices
    )


def test_a_home_folder_in_a_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "audit.yaml"
    file.write_text("data: {path: ~/people}\nmodel: {path: sub/model.pt}\n")
    config = reading.load(file, {})
    assert config.data.path == tmp_path / "people"
    assert config.model.path == tmp_path / "sub" / "model.pt"


class TestPublicSets:
    def test_veriwild(self, tmp_path):
        lists = tmp_path / "train_test_split"
        pictures = [f"images/{v:05d}/{n:06d}.jpg" for v, n in ((1, 1), (2, 2), (2, 3))]
        draw(tmp_path, *pictures)
        lists.mkdir()
        (lists / "vehicle_info.txt").write_text(
            "id/image;camera id;time\n00001/000001;7;a\n00002/000002;8;b\n00002/000003;9;c\n"
        )
        (lists / "train_list.txt").write_text("00001/000001.jpg\n")
        for size in (3000, 10000):
            (lists / f"test_{size}.txt").write_text("00002/000003\n")
            (lists / f"test_{size}_query.txt").write_text("00002/000002\n")
        rows = read_rows(tmp_path)
        assert rows.layout == "veriwild"
        assert table(rows, "path", "pid", "camid", "split") == [
            [pictures[0], 1, "7", "train"],
            [pictures[2], 2, "9", "gallery"],
            [pictures[1], 2, "8", "query"],
        ]
        assert "test_3000.txt" in " ".join(rows.notices)

    def test_vehicleid(self, tmp_path):
        draw(tmp_path, "image/0001.jpg", "image/0002.jpg")
        (tmp_path / "train_test_split").mkdir()
        (tmp_path / "train_test_split" / "train_list.txt").write_text("0001 0\n")
        (tmp_path / "train_test_split" / "test_list_800.txt").write_text("0002 5\n")
        rows = read_rows(tmp_path)
        assert rows.layout == "vehicleid"
        assert table(rows, "pid", "camid", "split") == [[1, "", "train"], [6, "", ""]]
        assert "one picture of each vehicle in the gallery" in " ".join(rows.notices)

    def test_sysu(self, tmp_path):
        draw(tmp_path, *(f"cam{c}/{pid}/1.jpg" for c in range(1, 7) for pid in ("0001", "0007")))
        (tmp_path / "exp").mkdir()
        (tmp_path / "exp" / "train_id.txt").write_text("1,3")
        (tmp_path / "exp" / "test_id.txt").write_text("7,9\n")
        rows = read_rows(tmp_path)
        assert rows.layout == "sysu_mm01"
        test = [row for row in table(rows, "pid", "camid", "split") if row[0] == 7]
        assert test == [[7, "1", "gallery"], [7, "2", "gallery"], [7, "2", "query"],
                        [7, "4", "gallery"], [7, "5", "gallery"], [7, "6", "query"]]  # fmt: skip
        assert {row[2] for row in table(rows, "pid", "camid", "split") if row[0] == 1} == {"train"}
        assert "the published protocol draws one or ten" in " ".join(rows.notices)

    def test_regdb(self, tmp_path):
        draw(tmp_path, "Visible/0/a.bmp", "Thermal/0/b.bmp", "Visible/4/c.bmp", "Thermal/4/d.bmp")
        (tmp_path / "idx").mkdir()
        for name, line in (
            ("train_visible", "Visible/0/a.bmp"),
            ("train_thermal", "Thermal/0/b.bmp"),
            ("test_visible", "Visible/4/c.bmp"),
            ("test_thermal", "Thermal/4/d.bmp"),
        ):
            (tmp_path / "idx" / f"{name}_1.txt").write_text(f"{line} 0\n")  # fmt: skip
        rows = read_rows(tmp_path)
        assert rows.layout == "regdb"
        assert table(rows, "pid", "camid", "split") == [
            [1, "visible", "train"],
            [1, "thermal", "train"],
            [5, "visible", "query"],
            [5, "thermal", "gallery"],
        ]

    def test_torchreids_cuhk03(self, tmp_path):
        draw(tmp_path, *(f"images_labeled/{n}" for n in ("1_001_1_01.png", "1_002_2_01.png")))
        entries = {"train": [["/home/x/images_labeled/1_001_1_01.png", 0, 0]], "gallery": [],
                   "query": [["C:\\x\\1_002_2_01.png", 0, 1]]}  # fmt: skip
        (tmp_path / "splits_new_labeled.json").write_text(json.dumps([entries]))
        rows = read_rows(tmp_path)
        assert rows.layout == "cuhk03"
        assert table(rows, "path", "pid", "camid", "split") == [
            ["images_labeled/1_001_1_01.png", 1, "1", "train"],
            ["images_labeled/1_002_2_01.png", 10001, "2", "query"],
        ]
        (tmp_path / "splits_new_labeled.json").write_text('{"train": 3}')
        with pytest.raises(DataError, match="not a list of splits"):
            read_rows(tmp_path)

    def test_torchreid_reads_detected_boxes_where_it_made_both(self, tmp_path):
        for variant, person in (("labeled", 3), ("detected", 4)):
            draw(tmp_path, f"images_{variant}/1_001_1_01.png")
            entries = {"train": [[f"images_{variant}/1_001_1_01.png", person, 0]], "query": [],
                       "gallery": []}  # fmt: skip
            (tmp_path / f"splits_new_{variant}.json").write_text(json.dumps([entries]))
        rows = read_rows(tmp_path)
        assert table(rows, "path", "pid") == [["images_detected/1_001_1_01.png", 5]]
        assert "splits_new_detected.json" in " ".join(rows.notices)


def shaded(root, rows):
    """A table of pictures that all differ but for those of one shade."""
    for name, shade, *_ in rows:
        Image.new("RGB", (4, 8), (shade, 0, 0)).save(root / f"{name}.png")
    lines = [f"{name}.png,{pid},{camid},{split}" for name, _, pid, camid, split in rows]
    (root / "manifest.csv").write_text("\n".join(["path,pid,camid,split", *lines]) + "\n")
    return root


OTHERS = [("x", 90, 8, 1, "auxiliary"), ("y", 91, 9, 2, "auxiliary"), ("g3", 92, 2, 1, "gallery")]


def notices_of(rows, tmp_path, **options):
    facts = open_dataset(shaded(tmp_path, [*rows, *OTHERS]), **options).facts
    return facts["copied_queries"], " ".join(facts["notices"])


def test_queries_that_are_copies_of_their_matches_are_counted(tmp_path):
    rows = [("q1", 1, 1, 1, "query"), ("q2", 2, 2, 2, "query"), ("g1", 1, 1, 2, "gallery"),
            ("g2", 5, 2, 1, "gallery")]  # fmt: skip
    copied, said = notices_of(rows, tmp_path)
    assert copied == 1
    assert "1 of 2 queries are copies, byte for byte" in said


@pytest.mark.parametrize(("other", "copied"), [((1, 1, 1), 0), ((1, 2, 2), 0), ((1, 1, 2), 1)])
def test_a_copy_counts_where_the_protocol_lets_it(tmp_path, other, copied):
    # the query's own camera is ignored, another person is no match
    rows = [("q1", 1, 1, 1, "query"), ("q2", 2, 2, 2, "query"), ("g1", *other, "gallery"),
            ("g2", 6, 1, 2, "gallery")]  # fmt: skip
    assert notices_of(rows, tmp_path)[0] == copied


def test_copies_count_without_cameras(tmp_path):
    rows = [("q1", 1, 1, "", "query"), ("q2", 2, 2, "", "query"), ("g1", 1, 1, "", "gallery")]
    assert notices_of(rows, tmp_path)[0] == 1


def test_cameras_made_up_from_the_split_are_noticed(tmp_path):
    rows = [("q1", 1, 1, 1, "query"), ("q2", 2, 2, 1, "query"), ("g1", 3, 1, 2, "gallery")]
    others = [(name, shade, pid, 2, split) for name, shade, pid, _, split in OTHERS]
    facts = open_dataset(shaded(tmp_path, [*rows, *others])).facts
    assert "as if cameras were made up from the split" in " ".join(facts["notices"])
    rows = [("q1", 1, 1, 1, "query"), ("q2", 2, 2, 2, "query"), ("g1", 3, 1, 2, "gallery")]
    assert "made up" not in notices_of(rows, tmp_path)[1]


def test_cameras_that_are_pictures_numbers_are_noticed(tmp_path):
    rows = []
    for i in (1, 2, 4, 5, 7, 8):
        rows += [(f"q{i}", 3 * i, i % 3, 10 * i, "query")]
        rows += [(f"g{i}", 3 * i + 1, i % 3, 10 * i + 1, "gallery")]
    others = [("x", 90, 8, 1, "auxiliary"), ("y", 91, 9, 2, "auxiliary")]
    facts = open_dataset(shaded(tmp_path, [*rows, *others])).facts
    assert "cameras for" in " ".join(facts["notices"])
