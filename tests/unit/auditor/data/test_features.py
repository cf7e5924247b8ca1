"""Features that came alone: three formats read alike, each fault said in a line, rows as stored."""

import io
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from PIL import Image

from auditor.config import FeaturesConfig
from auditor.data.features import FeatureRows, StoredFeatures, open_features
from auditor.data.features.files import read_features
from auditor.data.features.rows import has_pictures
from auditor.data.joining import join_splits
from auditor.data.records import records_of
from auditor.deployment.defend import gallery_bytes
from auditor.embedding import features_of
from auditor.errors import DataError, UnsupportedTargetError
from auditor.types import MemoryImages, RunContext, Split
from tests.rows import stored_people


def write_parquet(path, columns):
    vectors = columns["features"]
    kept = {name: list(column) for name, column in columns.items() if name != "features"}
    table = pa.table({"features": pa.array(list(vectors), pa.list_(pa.float32())), **kept})
    pq.write_table(table, path)


def write_npz(path, columns):
    np.savez(path, **{name: np.asarray(column) for name, column in columns.items()})


def write_safetensors(path, columns):
    kept = {n: torch.from_numpy(c) for n, c in columns.items() if c.dtype.kind in "fi"}
    safetensors.torch.save_file(kept, path)


WRITERS = {
    "parquet": write_parquet,
    "npz": write_npz,
    "safetensors": write_safetensors,
}


@pytest.fixture(params=sorted(WRITERS))
def write(request, tmp_path):
    """Write columns in each format under a name that says nothing about it."""

    def written(columns, name="rows.bin"):
        path = tmp_path / name
        with path.open("wb") as opened:
            WRITERS[request.param](opened if request.param == "npz" else path, columns)
        return path

    written.form = request.param
    return written


@pytest.fixture
def npz(tmp_path):
    def written(columns, name="rows.npz"):
        write_npz(tmp_path / name, columns)
        return tmp_path / name

    return written


def opened(gallery, **settings):
    return open_features(FeaturesConfig(gallery=gallery, **settings)).data


def test_each_format_gives_the_same_rows_and_labels(write):
    columns = stored_people()
    table = read_features(write(columns), {})
    assert table.form == write.form
    assert np.array_equal(table.features.numpy(), columns["features"])
    assert table.texts["pid"] == [str(pid) for pid in columns["pid"]]
    assert table.texts["camid"] == [str(camid) for camid in columns["camid"]]


def test_splits_follow_the_rules_of_pictures(write):
    columns = stored_people(people=8)
    data = opened(write(columns))
    assert data.auxiliary.pids.unique().tolist() == [2, 4, 6, 8]
    assert data.gallery.pids.unique().tolist() == data.query.pids.unique().tolist() == [1, 3, 5, 7]
    assert len(data.query) == 8  # the first of each person and camera
    assert data.train is data.auxiliary
    assert any("every second person" in notice for notice in data.facts["notices"])


def test_features_of_a_split_are_the_rows_of_its_people(npz):
    columns = stored_people(people=8)
    store = open_features(FeaturesConfig(gallery=npz(columns)))
    ctx = RunContext()
    for split in (store.data.query, store.data.gallery, store.data.auxiliary):
        rows = features_of(store.extractor, split, ctx)
        for pid, camid, row in zip(split.pids, split.camids, rows, strict=True):
            mine = (columns["pid"] == int(pid)) & (columns["camid"] == int(camid))
            assert row.tolist() in columns["features"][mine].tolist()


def test_own_files_for_queries_and_for_the_adversary(npz):
    gallery = npz(stored_people(people=6))
    others = {"query": stored_people(people=6, seed=1), "auxiliary": stored_people(5, first=100)}
    files = {name: npz(columns, f"{name}.npz") for name, columns in others.items()}
    store = open_features(FeaturesConfig(gallery=gallery, **files))
    data, ctx = store.data, RunContext()
    assert len(data.gallery) == len(data.query) == 24
    for name, split in (("query", data.query), ("auxiliary", data.auxiliary)):
        assert split.pids.tolist() == others[name]["pid"].tolist()
        assert features_of(store.extractor, split, ctx).tolist() == (
            others[name]["features"].tolist()
        )


def test_what_defend_writes_is_read_back(tmp_path):
    columns = stored_people(people=6)
    tensors = [torch.from_numpy(columns[name]) for name in ("features", "pid", "camid")]
    path = tmp_path / "gallery.npz"
    path.write_bytes(gallery_bytes(*tensors))
    table = read_features(path, {})
    assert np.array_equal(table.features.numpy(), columns["features"])
    assert sorted(table.texts) == ["camid", "pid"]


def test_an_attribute_is_whatever_else_there_is(npz):
    columns = stored_people(people=9)
    sex = np.where(columns["pid"] % 4 < 2, "f", "m").astype("U3")
    sex[0] = "nan"
    data = opened(npz({**columns, "sex": sex, "note": np.arange(len(sex))}))
    assert data.attribute_values["sex"] == ("f", "m")
    known = torch.cat([data.query.attributes["sex"], data.gallery.attributes["sex"]])
    assert sorted(known.unique().tolist()) == [-1, 0, 1]
    assert list(data.attribute_values) == ["sex"]
    assert data.facts["ignored_columns"] == ["note"]


def test_columns_by_their_own_names(npz):
    columns = stored_people()
    theirs = {"vec": columns["features"], "who": columns["pid"], "cam": columns["camid"]}
    named = {"features": "vec", "pid": "who", "camid": "cam"}
    data = opened(npz(theirs), columns=named)
    assert data.facts["cameras"] == ["0", "1"]


def test_people_with_names_and_no_camera(npz):
    columns = stored_people()
    names = np.array([f"person {pid}" for pid in columns["pid"]])
    data = opened(npz({"features": columns["features"], "pid": names}))
    assert data.gallery.pids.min() >= 1
    assert not data.cross_camera
    assert "People are numbered from 1 in the sorted order of their names." in data.facts["notices"]


def test_nothing_an_attack_does_reaches_the_file(tmp_path, write):
    path = write(stored_people())
    before = path.read_bytes()
    store = open_features(FeaturesConfig(gallery=path))
    features_of(store.extractor, store.data.gallery, RunContext()).zero_()
    assert features_of(store.extractor, store.data.gallery, RunContext()).abs().min() > 0
    assert path.read_bytes() == before


def test_rows_stored_without_compression_are_mapped(npz):
    columns = stored_people()
    path = npz(columns)
    table = read_features(path, {})
    # through the same pages as the file: what is written there afterwards is seen
    content = path.read_bytes()
    place = content.index(columns["features"].tobytes())
    with path.open("r+b") as opened:
        opened.seek(place)
        opened.write(np.float32(7).tobytes())
    assert float(table.features[0, 0]) == 7


def test_neighbouring_rows_are_copied_lazily_and_others_at_once(npz):
    columns = stored_people()
    table = read_features(npz(columns), {})
    rows = FeatureRows(table.features, mapped=table.mapped)
    for places in ([0, 1, 2], [2, 0, 1], [1], []):
        taken = rows.take(torch.tensor(places, dtype=torch.long))
        assert np.array_equal(taken.numpy(), columns["features"][places])
        taken.zero_()
    assert np.array_equal(table.features.numpy(), columns["features"])


def test_compressed_rows_are_read(tmp_path):
    columns = stored_people()
    np.savez_compressed(tmp_path / "rows.npz", **columns)
    table = read_features(tmp_path / "rows.npz", {})
    assert np.array_equal(table.features.numpy(), columns["features"])


@pytest.mark.parametrize("kind", ["float16", "float64", ">f4"])
def test_other_real_numbers_become_float32(npz, kind):
    columns = stored_people()
    store = open_features(
        FeaturesConfig(gallery=npz({**columns, "features": columns["features"].astype(kind)}))
    )
    rows = features_of(store.extractor, store.data.auxiliary, RunContext())
    assert rows.dtype == torch.float32


FAULTS = {
    "no column 'pid'": lambda c: c.pop("pid"),
    "no column 'features'": lambda c: c.pop("features"),
    "2 of 32 rows contain NaN, infinity": lambda c: c["features"].__setitem__([1, 5], np.inf),
    "'camid' has shape (31,)": lambda c: c.update(camid=c["camid"][1:]),
    "features are int64 of shape": lambda c: c.update(features=c["features"].astype(int)),
    "of shape (32,)": lambda c: c.update(features=c["features"][:, 0]),
    "rows have no pid": lambda c: c.update(pid=["", *map(str, c["pid"][1:])]),
    "no split is called 'test'": lambda c: c.update(split=["test"] * 32),
    "may both be the pid": lambda c: c.update(pids=c["pid"]),
    "contains Python objects": lambda c: c.update(x=np.array([{}] * 32, dtype=object)),
    "only one identity is attacked": lambda c: c.update(pid=np.ones(32, int)),
}


@pytest.mark.parametrize("said", FAULTS)
def test_a_fault_is_said_in_one_line(npz, said):
    columns = dict(stored_people())
    FAULTS[said](columns)
    with pytest.raises(DataError) as refused:
        opened(npz(columns))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_of_two_models_are_refused(npz):
    gallery = npz(stored_people())
    query = npz(stored_people(dim=16), "query.npz")
    with pytest.raises(DataError, match=r"query\.npz: its features have 16 numbers.*have 24"):
        opened(gallery, query=query)


def test_somebody_both_attacked_and_the_adversarys_own_is_refused(npz):
    auxiliary = npz(stored_people(), "auxiliary.npz")
    with pytest.raises(DataError, match="8 identities are both attacked"):
        opened(npz(stored_people()), auxiliary=auxiliary)


def test_vectors_of_several_lengths_are_refused(tmp_path):
    table = pa.table({"features": [[1.0, 2.0], [1.0]], "pid": [1, 2]})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="have 1 to 2 numbers"):
        opened(tmp_path / "rows.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1" + bytes(40), b"PK\x03\x04" + bytes(40)])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(DataError, match="rows"):
        opened(tmp_path / "rows")


def test_a_damaged_member_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        short = io.BytesIO()
        np.save(short, stored_people()["features"])
        archive.writestr("features.npy", short.getvalue()[:200])
    with pytest.raises(DataError, match="cannot be read"):
        opened(tmp_path / "rows.npz")


@pytest.mark.parametrize(
    "header",
    [
        *("(" * 5000, "1", "{1: 2}", "{'descr': [[]], 'fortran_order': False, 'shape': (4,)}"),
        *("__import__('os').abort()", "\x00", "{'descr': 'f4', 'fortran_order': 0, 'shape': ()}"),
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 16)}",
    ],
)
def test_an_array_whose_header_is_none_is_refused(tmp_path, header):
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(6000)
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("features.npy", content)
    with pytest.raises(DataError, match="cannot be read"):
        opened(tmp_path / "rows.npz")


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_larger_than_its_file_is_refused(tmp_path, packed):
    head = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (10**10, 10**4)}
    np.lib.format.write_array_header_1_0(head, claim)
    with zipfile.ZipFile(tmp_path / "rows.npz", "w", packed) as archive:
        archive.writestr("features.npy", head.getvalue() + bytes(4000))
    with pytest.raises(DataError, match="cannot be read"):
        opened(tmp_path / "rows.npz")


def test_a_table_of_pandas(tmp_path):
    columns = stored_people()
    frame = pd.DataFrame({"pid": columns["pid"], "camera": [f"c{c}" for c in columns["camid"]]})
    frame["embedding"] = list(columns["features"])
    frame["hat"] = [None if pid == 1 else bool(pid % 3) for pid in columns["pid"]]
    frame.to_parquet(tmp_path / "rows.parquet")
    data = opened(tmp_path / "rows.parquet")
    assert data.attribute_values["hat"] == ("False", "True")
    assert data.facts["cameras"] == ["c0", "c1"]


class TestPictures:
    @pytest.fixture
    def gallery(self, tmp_path, npz):
        columns = stored_people()
        (tmp_path / "crops").mkdir()
        names = [f"{row}.png" for row in range(len(columns["pid"]))]
        for row, name in enumerate(names):
            Image.new("RGB", (8, 16), (row, 0, 0)).save(tmp_path / "crops" / name)
        return npz({**columns, "path": names})

    def test_are_those_of_the_rows(self, gallery, tmp_path):
        data = opened(gallery, pictures=tmp_path / "crops")
        assert has_pictures(data.gallery.images)
        seen = (data.gallery.images.load([0, 1], (16, 8))[:, 0, 0, 0] * 255).round()
        assert len(seen.unique()) == 2

    def test_that_are_not_there_are_named(self, gallery, tmp_path):
        with pytest.raises(DataError, match=r"no picture .*0\.png; .*features\.pictures"):
            opened(gallery)

    def test_of_some_rows_only_are_refused(self, npz):
        columns = stored_people()
        paths = ["a.png"] + [""] * (len(columns["pid"]) - 1)
        with pytest.raises(DataError, match="31 of 32 rows name no picture"):
            opened(npz({**columns, "path": paths}))


class TestStoredFeatures:
    def test_answer_nothing_about_pictures(self):
        with pytest.raises(UnsupportedTargetError, match="the features came without it"):
            StoredFeatures(4)(torch.rand(2, 3, 8, 4))

    def test_are_none_of_changed_pictures(self):
        with pytest.raises(UnsupportedTargetError, match="changes pictures"):
            StoredFeatures(4).rows(MemoryImages(torch.zeros(2, 3, 8, 4, dtype=torch.uint8)))

    def test_have_no_pictures_to_load(self):
        rows = FeatureRows(torch.rand(3, 4))
        assert not has_pictures(rows)
        with pytest.raises(UnsupportedTargetError, match="came without any"):
            rows.load([0], (8, 4))

    def test_of_joined_and_picked_splits(self):
        first, second = torch.rand(3, 4), torch.rand(2, 4)
        splits = [
            Split(FeatureRows(rows), torch.arange(1, len(rows) + 1), torch.zeros(len(rows)).long())
            for rows in (first, second)
        ]
        both = join_splits(*splits).take(torch.tensor([4, 0, 3, 2]))
        expected = torch.stack([second[1], first[0], second[0], first[2]])
        assert torch.equal(StoredFeatures(4).rows(both.images), expected)

    def test_name_records_by_their_rows(self):
        rows = torch.rand(3, 4)
        rows[2] = rows[0]
        split = Split(FeatureRows(rows), torch.tensor([1, 2, 3]), torch.zeros(3).long())
        names = records_of(StoredFeatures(4), split, RunContext())
        assert torch.equal(names[0], names[2])
        assert not torch.equal(names[0], names[1])
