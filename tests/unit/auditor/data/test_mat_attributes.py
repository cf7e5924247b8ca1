"""Attributes from .mat files nested as the published ones are."""

import numpy as np
import pytest
from scipy.io import savemat

from auditor.config import load
from auditor.data import open_dataset
from auditor.data.layouts.attributes import MAX_BYTES, read_attributes
from auditor.errors import DataError
from tests.unit.auditor.data.test_layouts import DUKE, refused, tree

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c3s3_077419_03.jpg"],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c2s1_000001_00.jpg"],
    "bounding_box_test": [
        "0000_c1s1_000151_01.jpg",
        "0001_c2s1_000301_00.jpg",
        "0003_c1s1_000076_00.jpg",
    ],
}
TEST = {"age": [2, 4], "gender": [1, 2], "up": [1, 2], "upred": [2, 1]}
TRAIN = {"upred": [1, 2], "age": [1, 3], "gender": [2, 2], "up": [2, 0]}


def part(people, fields):
    names = np.empty((1, len(people)), dtype=object)
    names[0] = people
    numbers = {name: np.array([values], dtype=np.uint8) for name, values in fields.items()}
    return {**numbers, "image_index": names}


def mat(file, name="market_attribute", test=TEST, train=TRAIN, people=(("0001", "0003"),) * 0):
    (tested, trained) = people or (["0001", "0003"], ["0002", "0007"])
    savemat(file, {name: {"test": part(tested, test), "train": part(trained, train)}})
    return file


@pytest.fixture
def market(tmp_path):
    return tree(tmp_path / "market", MARKET)


def named(split, data, name):
    values = data.attribute_values[name]
    return [values[code] if code >= 0 else "" for code in split.attributes[name].tolist()]


@pytest.mark.parametrize("place", [".", "attribute"])
def test_a_file_beside_the_pictures_is_found(market, place):
    (market / place).mkdir(exist_ok=True)
    mat(market / place / "market_attribute.mat")
    data = open_dataset(market)
    assert named(data.query, data, "age") == ["teenager", "old"]
    assert named(data.query, data, "gender") == ["male", "female"]
    assert named(data.query, data, "upred") == ["yes", "no"]
    assert named(data.auxiliary, data, "age") == ["young", "adult"]
    assert named(data.auxiliary, data, "up") == ["short", ""]
    assert named(data.gallery, data, "age") == ["", "teenager", "old"]
    assert data.facts["notices"] == []


def test_a_file_that_is_named(market, tmp_path):
    file = mat(tmp_path / "labels.mat")
    assert set(open_dataset(market, attributes=file).attribute_values) == set(TEST)
    rows = "path,pid,camid,split\nbounding_box_test/0001_c2s1_000301_00.jpg,1,2,gallery\n"
    rows += "query/0001_c1s1_001051_00.jpg,1,1,query\nquery/0003_c2s1_000001_00.jpg,3,2,query\n"
    rows += "bounding_box_train/0002_c1s1_000451_03.jpg,2,1,train\n"
    rows += "bounding_box_train/0007_c3s3_077419_03.jpg,7,1,train\n"
    (market / "manifest.csv").write_text(rows)
    data = open_dataset(market, attributes=file)
    assert named(data.query, data, "gender") == ["male", "female"]
    (market / "manifest.csv").write_text(rows.replace("split\n", "split,age\n"))
    refused(market, "has a column 'age' already", attributes=file)


def test_duke_is_read_likewise(tmp_path):
    root = tree(tmp_path, DUKE)
    fields = {"top": [1, 2], "shoes": [1, 2], "boots": [1, 2]}
    people = (["0005", "0006"], ["0011", "7140"])
    mat(root / "duke_attribute.mat", "duke_attribute", fields, fields, people)
    data = open_dataset(root)
    assert named(data.query, data, "top") == ["short", "long"]
    assert named(data.query, data, "shoes") == ["dark", "light"]
    assert named(data.auxiliary, data, "boots") == ["no", ""]
    assert "1 of 4 people have no attributes in duke_attribute.mat." in data.facts["notices"]


def test_of_another_dataset(market, tmp_path):
    refused(market, "no structure market_attribute",
            attributes=mat(tmp_path / "d.mat", "duke_attribute"))  # fmt: skip
    people = (["0801", "0803"], ["0802", "0807"])
    refused(market, "describes none of the people",
            attributes=mat(tmp_path / "m.mat", people=people))  # fmt: skip
    staff = tree(tmp_path / "staff", {p: ["x_c1.jpg", "y_c2.jpg"] for p in "abcd"})
    refused(staff, "layout folder does not have", attributes=mat(tmp_path / "a.mat"))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"name": "other"}, ["no structure market_attribute"]),
        ({"test": {"age": [5, 1]}}, ["part 'test'", "age is 5", "from 1 to 4"]),
        ({"test": {"hat": [3, 1]}}, ["hat is 3", "from 1 to 2"]),
        ({"test": {"hat": [1, 2, 1]}}, ["hat is not one number for each of the 2 people"]),
        ({"people": (["x1", "0003"], ["0002", "0007"])}, ["image_index names 'x1'"]),
        ({"people": (["0001", "0003"], ["0001", "0007"])}, ["person 1 is described twice"]),
    ],
)
def test_wrong_content(market, tmp_path, changes, parts):
    file = mat(tmp_path / "labels.mat", **changes)
    refused(market, "labels.mat", *parts, attributes=file)


def test_missing_keys(tmp_path):
    file = tmp_path / "labels.mat"
    savemat(file, {"market_attribute": {"test": part(["0001"], {"age": [1]})}})
    with pytest.raises(DataError, match=r"labels\.mat: no part train; give market_attribute\.mat"):
        read_attributes(file)
    half = {"age": np.array([[1]], dtype=np.uint8)}
    savemat(file, {"market_attribute": {"test": half, "train": half}})
    with pytest.raises(DataError, match="image_index names nobody"):
        read_attributes(file)


def test_one_person_each(tmp_path):
    people = (["0001"], ["0002"])
    file = mat(tmp_path / "x.mat", test={"age": [1]}, train={"age": [4]}, people=people)
    table = read_attributes(file)
    assert table["age"].to_dict() == {("train", 2): "old", ("test", 1): "young"}


def test_people_who_seem_to_be_renumbered(market, tmp_path):
    people = (["0002", "0003"], ["0001", "0007"])
    data = open_dataset(market, attributes=mat(tmp_path / "x.mat", people=people))
    assert "2 people are among the training people here and" in " ".join(data.facts["notices"])


HDF5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\x00\x02IM"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (HDF5 + bytes(400), "-v7"),
        (b"", "not readable"),
        (b"not a mat file at all " * 40, "not readable"),
        (bytes(MAX_BYTES + 1), "more than attributes take"),
    ],
)
def test_files_of_another_kind(market, tmp_path, content, part):
    (tmp_path / "labels.mat").write_bytes(content)
    refused(market, "labels.mat", part, attributes=tmp_path / "labels.mat")


def test_a_cut_off_file(market, tmp_path):
    file = mat(tmp_path / "labels.mat")
    file.write_bytes(file.read_bytes()[:-40])
    refused(market, "not readable", attributes=file)


def test_a_file_that_crashes_the_reader(market, tmp_path):
    """Texts of an unknown kind end scipy 1.17 with a segmentation fault, but not the audit."""
    file = mat(tmp_path / "labels.mat")
    text = b"\x10\x00\x04\x000001"
    assert file.read_bytes().count(text) == 1
    file.write_bytes(file.read_bytes().replace(text, b"\xd0" + text[1:]))
    refused(market, "labels.mat: it is not readable", attributes=file)


def test_no_such_file(market, tmp_path):
    refused(market, "nowhere.mat cannot be read", attributes=tmp_path / "nowhere.mat")


def test_the_configuration_names_it_relative_to_itself(tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text("data: {path: market, attributes: labels.mat}\nattacks: {identity: {}}\n")
    config = load(file, {})
    assert config.data.attributes == tmp_path / "labels.mat"
    assert config.to_record()["data"]["attributes"] == "labels.mat"
