"""The canonical layout: what each rule does to the rows, and what each bad manifest is told."""

import contextlib
import csv
import io
import json
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from auditor.data import open_dataset
from auditor.data.decoding import FORMATS, decode
from auditor.errors import DataError
from tests.unit.auditor.data.painting import paint

HEADER = "path,pid,camid,split"
GOOD = (
    "a1,7,1,auxiliary",
    "a2,8,2,auxiliary",
    "q1,1,1,query",
    "q2,2,2,query",
    "g1,1,2,gallery",
    "g2,2,1,gallery",
)


def make_picture(file, shade=0, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 8), (shade, 0, 0)).save(file, **options)


def make_manifest(root, rows, header=HEADER):
    """A manifest of ``rows``, whose first cell is a name without suffix, and all its pictures."""
    lines = [header]
    for row in rows:
        stem, _, rest = row.partition(",")
        paint(root / f"{stem}.png")
        lines.append(f"{stem}.png,{rest}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def names(split):
    """The stems of a split's pictures."""
    return [file.stem for file in split.images.paths]


def refused(root, *parts, **options):
    """The message that opening ``root`` ends with; it names all of ``parts``."""
    with pytest.raises(DataError) as caught:
        open_dataset(root, **options)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    return message


def notices(data):
    return " ".join(data.facts["notices"])


class TestReading:
    def test_columns_become_splits(self, tmp_path):
        data = open_dataset(make_manifest(tmp_path / "people", GOOD))
        assert data.name == data.facts["root_name"] == "people"
        assert names(data.query) == ["q1", "q2"]
        assert names(data.gallery) == ["g1", "g2"]
        assert names(data.auxiliary) == ["a1", "a2"]
        assert data.query.pids.tolist() == [1, 2]
        assert data.query.camids.tolist() == [0, 1]
        assert data.query.pids.dtype == data.query.camids.dtype == torch.int64
        assert data.query.images.load([0, 1], (6, 3)).shape == (2, 3, 6, 3)
        assert data.real_people
        assert data.cross_camera
        assert data.facts["notices"] == []

    def test_file_itself_can_be_named(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        (tmp_path / "manifest.csv").rename(tmp_path / "mine.CSV")
        assert open_dataset(tmp_path / "mine.CSV", name="ours").name == "ours"
        assert len(open_dataset(tmp_path / "mine.CSV", layout="manifest").query) == 2

    def test_facts_are_plain_data_without_the_users_paths(self, tmp_path):
        data = open_dataset(make_manifest(tmp_path / "people", GOOD))
        facts = json.loads(json.dumps(data.facts))
        assert facts == data.facts
        assert str(tmp_path) not in json.dumps(facts)
        assert facts["layout"] == "manifest"
        assert facts["images"] == {"query": 2, "gallery": 2, "auxiliary": 2, "train": 2}
        assert facts["identities"] == {"query": 2, "gallery": 2, "auxiliary": 2, "train": 2}
        assert facts["cameras"] == ["1", "2"]
        assert facts["broken"] == {"count": 0, "share": 0.0, "files": []}

    def test_order_of_rows_makes_no_difference(self, tmp_path):
        one = open_dataset(make_manifest(tmp_path, GOOD))
        other = open_dataset(make_manifest(tmp_path, GOOD[::-1]))
        assert other.facts == one.facts
        assert names(other.gallery) == names(one.gallery)

    def test_digest_depends_on_the_rows(self, tmp_path):
        one = open_dataset(make_manifest(tmp_path, GOOD)).facts["manifest_sha256"]
        rows = [*GOOD[:-1], "g2,2,3,gallery"]
        assert open_dataset(make_manifest(tmp_path, rows)).facts["manifest_sha256"] != one

    def test_another_picture_under_the_same_name_is_other_data(self, tmp_path):
        root = make_manifest(tmp_path, GOOD)
        one = open_dataset(root).facts
        assert len(one["pictures_sha256"]) == 64
        make_picture(root / "g1.png", shade=200)
        other = open_dataset(root).facts
        assert other["manifest_sha256"] == one["manifest_sha256"]
        assert other["pictures_sha256"] != one["pictures_sha256"]
        paint(root / "g1.png")
        assert open_dataset(root).facts == one

    def test_spreadsheet_habits_are_taken(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        text = (tmp_path / "manifest.csv").read_text().replace("q1.png,1,", "q1.png , 0001 ,")
        text = text.replace(HEADER, "Path,PID,CamID,Split").replace("\n", "\r\n") + ",,,\r\n\r\n"
        (tmp_path / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert open_dataset(tmp_path).query.pids.tolist() == [1, 2]

    def test_cameras_are_numbered_in_order(self, tmp_path):
        rows = ["a,7,10,train", "b,8,9,train", "c,1,09,query", "d,1,10,gallery", "e,2,,gallery"]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert data.facts["cameras"] == ["9", "10"]
        assert data.query.camids.tolist() == [0]
        assert data.gallery.camids.tolist() == [1, -1]
        assert "1 pictures have no camera" in notices(data)

    def test_cameras_may_have_names(self, tmp_path):
        rows = ["a,7,yard,train", "b,8,,train", "c,1,yard,query", "d,1,2,gallery", "e,2,2,gallery"]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert data.facts["cameras"] == ["2", "yard"]
        assert data.query.camids.tolist() == [1]


class TestAttributes:
    def open(self, tmp_path, column, header="hat"):
        rows = [f"{row},{value}" for row, value in zip(GOOD, column, strict=True)]
        return open_dataset(make_manifest(tmp_path, rows, f"{HEADER},{header}"))

    def test_values_are_coded_in_order(self, tmp_path):
        data = self.open(tmp_path, ["yes", "no", "no", "", "yes", ""])
        assert data.attribute_values == {"hat": ("no", "yes")}
        assert data.auxiliary.attributes["hat"].tolist() == [1, 0]
        assert data.query.attributes["hat"].tolist() == [0, -1]
        assert data.facts["attributes"] == ["hat"]

    def test_numbers_are_ordered_by_value(self, tmp_path):
        data = self.open(tmp_path, ["10", "9", "-1.5", "", "10", "9"])
        assert data.attribute_values == {"hat": ("-1.5", "9", "10")}

    def test_how_programs_write_that_nothing_is_known_is_no_value(self, tmp_path):
        data = self.open(tmp_path, ["NA", "None", "nan", "none", "felt", "<NA>"])
        assert data.attribute_values == {"hat": ("felt", "none")}

    @pytest.mark.parametrize(
        ("column", "header"),
        [(["x"] * 6, "hat"), ([""] * 6, "hat"), (["x", "y"] * 3, "a/b"), (["x", "y"] * 3, "a.b")],
    )
    def test_useless_columns_are_ignored_aloud(self, tmp_path, column, header):
        data = self.open(tmp_path, column, header)
        assert data.attribute_values == {}
        assert data.facts["ignored_columns"] == [header]
        assert f"{header!r} is not taken for an attribute" in notices(data)

    @pytest.mark.parametrize(("values", "taken"), [(32, True), (33, False)])
    def test_thirty_two_values_are_the_most(self, tmp_path, values, taken):
        rows = [f"x{n},{1 + n % 4},{n % 3},,{n % values}" for n in range(40)]
        data = open_dataset(make_manifest(tmp_path, rows, f"{HEADER},seat"))
        assert ("seat" in data.attribute_values) is taken
        assert data.facts["ignored_columns"] == ([] if taken else ["seat"])


class TestPeople:
    def test_junk_goes_and_distractors_stay_in_the_gallery(self, tmp_path):
        rows = [*GOOD, "j,-1,1,gallery", "d1,0,1,gallery", "d2,0,1,train"]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert names(data.gallery) == ["d1", "g1", "g2"]
        assert data.facts["junk"] == 1
        assert data.facts["distractors"] == 1
        assert data.facts["identities"]["gallery"] == 2
        assert "1 distractors outside the gallery were dropped" in notices(data)

    def test_nobody_is_no_query(self, tmp_path):
        rows = [*GOOD, "d1,0,1,gallery", "d3,0,1,query"]
        with pytest.raises(DataError, match="number people from 1"):
            open_dataset(make_manifest(tmp_path, rows))

    def test_train_rows_serve_as_auxiliary(self, tmp_path):
        rows = [row.replace("auxiliary", "train") for row in GOOD]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert data.train is data.auxiliary
        assert names(data.train) == ["a1", "a2"]

    def test_auxiliary_rows_win_over_train_rows(self, tmp_path):
        rows = [*GOOD, "t1,1,1,train", "t2,9,1,train"]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert names(data.train) == ["t1", "t2"]
        assert names(data.auxiliary) == ["a1", "a2"]
        assert "1 of the people in train are also attacked" in notices(data)

    def test_every_second_person_is_set_aside(self, tmp_path):
        rows = [f"{kind}{pid},{pid},{camera},{split}"
                for pid in (1, 2, 3, 4, 5)
                for kind, camera, split in (("q", 1, "query"), ("g", 2, "gallery"))]  # fmt: skip
        data = open_dataset(make_manifest(tmp_path, rows))
        assert names(data.auxiliary) == ["g2", "g4", "q2", "q4"]
        assert names(data.query) == ["q1", "q3", "q5"]
        assert names(data.gallery) == ["g1", "g3", "g5"]
        assert "every second person (2 of 5) became auxiliary" in notices(data)

    @pytest.mark.parametrize("header", [HEADER, "path,pid,camid"])
    def test_unlabelled_rows_are_split_by_rule(self, tmp_path, header):
        end = "," if header == HEADER else ""
        rows = [f"p{pid}c{cam}n{n},{pid},{cam}{end}"
                for pid in (0, 1, 2, 3, 4) for cam in (1, 2) for n in (1, 2)]  # fmt: skip
        data = open_dataset(make_manifest(tmp_path, rows, header))
        assert names(data.query) == ["p1c1n1", "p1c2n1", "p3c1n1", "p3c2n1"]
        assert names(data.gallery)[:4] == ["p0c1n1", "p0c1n2", "p0c2n1", "p0c2n2"]
        assert names(data.gallery)[4:] == ["p1c1n2", "p1c2n2", "p3c1n2", "p3c2n2"]
        assert set(data.auxiliary.pids.tolist()) == {2, 4}
        assert "became a query" in notices(data)

    def test_nobody_leaves_the_gallery_for_good(self, tmp_path):
        rows = [*GOOD[:2], "x1,1,1,gallery", "x2,1,2,gallery", "x3,1,3,gallery", "y1,2,1,gallery"]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert names(data.query) == ["x1", "x2"]
        assert names(data.gallery) == ["x3", "y1"]

    def test_unknown_cameras_end_the_cross_camera_protocol(self, tmp_path):
        rows = [f"p{pid}n{n},{pid},unknown," for pid in (1, 2, 3, 4) for n in (1, 2)]
        data = open_dataset(make_manifest(tmp_path, rows))
        assert not data.cross_camera
        assert names(data.query) == ["p1n1", "p3n1"]
        assert data.query.camids.tolist() == [-1, -1]
        assert data.facts["cameras"] == []
        assert "cross-camera protocol is impossible" in notices(data)

    def test_queries_without_match_are_counted(self, tmp_path):
        data = open_dataset(make_manifest(tmp_path, [*GOOD, "q3,1,2,query", "q4,3,1,query"]))
        assert "2 of 4 queries have no valid match" in notices(data)

    def test_same_camera_matches_count_where_the_rule_is_off(self, tmp_path):
        rows = [*GOOD, "q3,1,2,query"]
        data = open_dataset(make_manifest(tmp_path, rows), cross_camera=False)
        assert data.facts["notices"] == []
        assert not data.cross_camera


class TestNothingToAudit:
    """Each message names the split and the way out."""

    @pytest.mark.parametrize(
        ("rows", "parts"),
        [
            (GOOD[:2], ["'gallery' is empty", "label rows 'gallery'"]),
            (GOOD[:4], ["'gallery' is empty"]),
            ([*GOOD[:2], "g1,1,1,gallery", "g2,2,1,gallery"], ["'query' is empty", "two or more"]),
            ([*GOOD[:3], "g1,1,2,gallery"], ["one identity", "two or more people"]),
            (GOOD[1:], ["'auxiliary' has one identity only"]),
            (["x,1,1,", "y,1,2,"], ["one identity", "four or more"]),
            ([*GOOD, "a3,1,1,auxiliary"], ["1 identities are both", "pid 1", "one side"]),
            (["j,-1,1,gallery"], ["'gallery' is empty"]),
            (["d,0,1,gallery"], ["'query' is empty"]),
        ],
    )  # fmt: skip
    def test_empty_splits(self, tmp_path, rows, parts):
        refused(make_manifest(tmp_path, rows), "manifest.csv", *parts)

    def test_one_camera_leaves_no_match(self, tmp_path):
        rows = [f"p{pid}n{n},{pid},1," for pid in (1, 2, 3, 4) for n in (1, 2)]
        refused(make_manifest(tmp_path, rows), "one camera only", "data.cross_camera: false")
        data = open_dataset(tmp_path, cross_camera=False)
        assert names(data.query) == ["p1n1", "p3n1"]

    def test_no_query_with_a_valid_match(self, tmp_path):
        rows = [*GOOD[:4], "g1,1,1,gallery", "g2,2,2,gallery"]
        refused(make_manifest(tmp_path, rows), "no query has a valid match", "cross_camera: false")
        assert len(open_dataset(tmp_path, cross_camera=False).query) == 2


class TestBadCells:
    """Each message names the file, the row, the column, the value and the way out."""

    @pytest.mark.parametrize("pid", ["", "abc", "-2", "1.5", "1_0", "9" * 30, "٣"])
    def test_pid_is_a_number(self, tmp_path, pid):
        rows = [*GOOD, f"x,{pid},1,query", f"y,{pid},1,query"]
        parts = ["manifest.csv", "row 8", "'pid'", repr(pid), "1 more rows", "0 for a distractor"]
        refused(make_manifest(tmp_path, rows), *parts)

    @pytest.mark.parametrize("split", ["", "Query", "test"])
    def test_split_is_one_of_four(self, tmp_path, split):
        rows = [*GOOD, f"x,1,1,{split}"]
        refused(make_manifest(tmp_path, rows), "row 8", "'split'", repr(split), "auxiliary, query")

    def test_each_bad_column_gets_a_line(self, tmp_path):
        message = refused(make_manifest(tmp_path, [*GOOD, "x,one,1,two"]), "'pid'", "'split'")
        assert len(message.splitlines()) == 2

    @pytest.mark.parametrize(
        ("header", "part"),
        [
            ("path,pid,split", "no column camid"),
            ("path:pid:camid:split", "no column path, pid, camid"),
            ("path,pid,camid,split,", "column 5 has no name"),
            ("path,pid,camid,PID", "2 columns are called 'pid'"),
            ("-", "found: -"),
        ],
    )
    def test_header(self, tmp_path, header, part):
        (tmp_path / "manifest.csv").write_text(f"{header}\na.png\n")
        refused(tmp_path, "manifest.csv", part)

    @pytest.mark.parametrize(
        "content",
        [b"", b"\n\n", b"\xff\xfe\x00", b"path,pid,camid\na,1,1,2,3\n", b'path,pid,camid\n"a,1,1'],
    )
    def test_no_table(self, tmp_path, content):
        (tmp_path / "manifest.csv").write_bytes(content)
        refused(tmp_path, "manifest.csv", "not a comma-separated table")

    def test_no_rows(self, tmp_path):
        refused(make_manifest(tmp_path, []), "no rows below the header")

    def test_rows_keep_their_numbers_below_blank_lines(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        text = (tmp_path / "manifest.csv").read_text().replace("q1.png,1", "\n\nq1.png,one")
        (tmp_path / "manifest.csv").write_text(text)
        refused(tmp_path, "row 6", "'one'")


class TestPaths:
    def refused_path(self, root, path, *parts):
        make_manifest(root, GOOD)
        with (root / "manifest.csv").open("a") as stream:
            stream.write(f"{path},1,2,gallery\n")
        refused(root, "row 8", "'path'", *parts)

    @pytest.mark.parametrize("path", ["../x.png", "sub/../../x.png", "..", "."])
    def test_paths_stay_below_the_folder(self, tmp_path, path):
        make_picture(tmp_path / "x.png")
        self.refused_path(tmp_path / "people", path, repr(path), "leads out")

    def test_neighbour_with_the_same_beginning_is_outside(self, tmp_path):
        make_picture(tmp_path / "people2" / "x.png")
        self.refused_path(tmp_path / "people", "../people2/x.png", "leads out")

    def test_absolute_paths_count_below_the_folder_only(self, tmp_path):
        make_picture(tmp_path / "people" / "g3.png")
        rows = [*GOOD[1:], "g3,1,2,gallery"]
        root = make_manifest(tmp_path / "people", rows)
        text = (root / "manifest.csv").read_text().replace("g3.png", str(root / "g3.png"))
        (root / "manifest.csv").write_text(text + f"{root / 'a1.png'},7,1,auxiliary\n")
        make_picture(root / "a1.png")
        assert names(open_dataset(root).auxiliary) == ["a1", "a2"]
        make_picture(tmp_path / "x.png")
        self.refused_path(root, tmp_path / "x.png", "is absolute")

    def test_links_out_of_the_folder_are_refused(self, tmp_path):
        make_picture(tmp_path / "x.png")
        (tmp_path / "people").mkdir()
        (tmp_path / "people" / "link.png").symlink_to(tmp_path / "x.png")
        self.refused_path(tmp_path / "people", "link.png", "leads out", "copy the picture")

    def test_linked_folders_out_of_the_folder_are_refused(self, tmp_path):
        make_picture(tmp_path / "other" / "x.png")
        (tmp_path / "people").mkdir()
        (tmp_path / "people" / "sub").symlink_to(tmp_path / "other")
        self.refused_path(tmp_path / "people", "sub/x.png", "leads out")

    @pytest.mark.parametrize("path", ["g1.png", "./g1.png", "sub/../g1.png"])
    def test_pictures_are_named_once(self, tmp_path, path):
        (tmp_path / "sub").mkdir()
        self.refused_path(tmp_path, path, "the same picture", "row 6")

    def test_link_to_another_row_is_the_same_picture(self, tmp_path):
        (tmp_path / "again.png").symlink_to(tmp_path / "g1.png")
        self.refused_path(tmp_path, "again.png", "the same picture")

    def test_path_is_not_empty(self, tmp_path):
        self.refused_path(tmp_path, "", "''")

    def test_dataset_may_be_reached_by_a_link(self, tmp_path):
        make_manifest(tmp_path / "people", GOOD)
        (tmp_path / "link").symlink_to(tmp_path / "people")
        assert open_dataset(tmp_path / "link").name == "people"


class TestBrokenPictures:
    def damage(self, root, name, content):
        (root / f"{name}.png").write_bytes(content)

    def test_broken_pictures_are_dropped_and_listed(self, tmp_path):
        rows = [*GOOD, *(f"x{n},1,2,gallery" for n in range(4))]
        make_manifest(tmp_path, rows)
        whole = (tmp_path / "x0.png").read_bytes()
        self.damage(tmp_path, "x0", b"")
        self.damage(tmp_path, "x1", whole[:-30])
        self.damage(tmp_path, "x2", b"GIF89a" + whole)
        (tmp_path / "x3.png").unlink()
        data = open_dataset(tmp_path, max_broken=0.4)
        assert names(data.gallery) == ["g1", "g2"]
        files = [f"x{n}.png" for n in range(4)]
        assert data.facts["broken"] == {"count": 4, "share": 0.4, "files": files}

    def test_too_many_are_refused(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        (tmp_path / "q1.png").unlink()
        refused(tmp_path, "1 of 6", "'q1.png'", "no such file", "data.max_broken", max_broken=0.1)
        refused(tmp_path, "data.max_broken")
        refused(tmp_path, "data.max_broken", max_broken=float("nan"))

    def test_all_broken_leaves_nothing(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        for name in ("a1", "a2", "q1", "q2", "g1", "g2"):
            self.damage(tmp_path, name, b"no picture")
        refused(tmp_path, "is empty", max_broken=1.0)

    def test_twenty_are_named(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        with (tmp_path / "manifest.csv").open("a") as stream:
            stream.writelines(f"lost{n:02}.png,1,2,gallery\n" for n in range(25))
        broken = open_dataset(tmp_path, max_broken=0.9).facts["broken"]
        assert broken["count"] == 25
        assert len(broken["files"]) == 20

    def test_bombs_and_pipes_are_broken(self, tmp_path):
        make_manifest(tmp_path, GOOD)
        Image.new("1", (5000, 4000)).save(tmp_path / "bomb.png")
        Image.new("1", (20000, 10000)).save(tmp_path / "large.png")
        os.mkfifo(tmp_path / "pipe.png")
        with (tmp_path / "manifest.csv").open("a") as stream:
            for name in ("bomb", "large", "pipe", "n" * 300):
                stream.write(f"{name}.png,1,2,gallery\n")
        assert open_dataset(tmp_path, max_broken=0.9).facts["broken"]["count"] == 4

    def test_junk_need_not_be_readable(self, tmp_path):
        make_manifest(tmp_path, [*GOOD, "j,-1,1,gallery"])
        (tmp_path / "j.png").unlink()
        assert open_dataset(tmp_path).facts["broken"]["count"] == 0


CELLS = st.one_of(
    st.sampled_from(["", "0", "1", "2", "-1", "3.png", "1.png", "..", "train", "query", "gallery"]),
    st.text(max_size=6),
)
HEADERS = st.one_of(
    st.just(["path", "pid", "camid", "split", "hat"]),
    st.lists(st.sampled_from(["path", "pid", "camid", "split", "hat", ""]), max_size=6),
)


@settings(max_examples=150, deadline=None)
@given(header=HEADERS, rows=st.lists(st.lists(CELLS, max_size=6), max_size=12))
@example(header=["path", "pid", "camid"], rows=[["\0", "1", "1"]])
@example(header=["path", "pid", "camid"], rows=[["a" * 5000, "1", "1"]])
def test_random_manifests_end_in_data_errors_only(header, rows):
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    check_random(text.getvalue().encode("utf-8", "surrogatepass"))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=80))
def test_random_bytes_end_in_data_errors_only(content):
    check_random(content)


ROWS = st.lists(
    st.tuples(st.integers(-1, 6), st.integers(-1, 3), st.sampled_from(["gallery", "query"])),
    min_size=1,
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, labelled=st.booleans(), cross_camera=st.booleans())
def test_every_dataset_that_opens_keeps_its_promises(rows, labelled, cross_camera):
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            f"n{n:02},{pid},{camera},{split if labelled else ''}"
            for n, (pid, camera, split) in enumerate(rows)
        ]
        make_manifest(Path(folder), lines)
        try:
            data = open_dataset(Path(folder), cross_camera=cross_camera)
        except DataError:
            return
        attacked = set(data.query.pids.tolist()) | set(data.gallery.pids.tolist()) - {0}
        assert len(attacked) >= 2
        assert not attacked & set(data.auxiliary.pids.tolist())
        assert 0 not in data.query.pids.tolist() + data.auxiliary.pids.tolist()
        kept = len(data.query) + len(data.gallery) + len(data.auxiliary)
        strays = sum(labelled and pid == 0 and split == "query" for pid, _, split in rows)
        assert kept + data.facts["junk"] + strays == len(rows)


def check_random(content):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in "123":
            make_picture(root / f"{name}.png")
        (root / "manifest.csv").write_bytes(content)
        with contextlib.suppress(DataError):
            open_dataset(root, max_broken=1.0)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(FORMATS),
    flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 2000),
)
def test_damaged_pictures_end_in_data_errors_only(kind, flips, cut):
    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((16, 32)).save(stream, kind)
    content = bytearray(stream.getvalue()[: 1 + cut])
    for position, value in flips:
        content[position % len(content)] = value
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(DataError):
            decode(Path(file.name))
