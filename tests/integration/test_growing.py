"""`audit defend --add`: new rows under the old key, old ones to the bit, claims that cover both."""

import csv
import json
import shutil

import numpy as np
import pytest

from auditor.data import open_dataset


@pytest.fixture
def parts(drawn_folder, tmp_path):
    """The data set, and one that lacks part of its gallery."""
    fewer = tmp_path / "fewer"
    shutil.copytree(drawn_folder, fewer)
    manifest = fewer / "manifest.csv"
    with manifest.open(newline="") as file:
        head, *rows = csv.reader(file)
    split, pid = head.index("split"), head.index("pid")
    gallery = [row for row in rows if row[split] == "gallery"]
    # all of one person, and one picture of everybody else
    of = {row[pid]: [other for other in gallery if other[pid] == row[pid]] for row in gallery}
    gone = [row for rows in of.values() for row in rows[2:]] + of[gallery[-1][pid]][:2]
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([head, *(row for row in rows if row not in gone)])
    return drawn_folder, fewer, len(gone)


@pytest.fixture
def defend(audit, write_config, tmp_path):
    def run(data, *arguments):
        config = write_config(defenses={})
        out = tmp_path / "out"
        code, stdout, stderr = audit(
            *("defend", "--config", config, "--data", data, "--out", out, *arguments)
        )
        return code, stdout, stderr, out

    return run


def rows_of(out):
    with (out.with_name("out.key") / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def claim_of(folder):
    return json.loads((folder / "claims.json").read_text())


def test_new_rows_join_and_old_ones_stay_to_the_bit(defend, parts):
    whole, fewer, count = parts
    assert defend(fewer, "--with", "dp_gallery:epsilon=60,trials=200")[0] == 0
    out = defend(fewer, "--add")[3]  # there is nothing to add
    before, rows = dict(np.load(out / "gallery.npz")), rows_of(out)
    code, stdout, stderr, _ = defend(whole, "--add")
    assert code == 0, stderr
    assert f"added {count} rows" in stdout
    after = dict(np.load(out / "gallery.npz"))
    assert len(after["features"]) == len(before["features"]) + count
    for name in before:
        assert np.array_equal(after[name][: len(before[name])], before[name])
    assert rows_of(out)[: len(rows)] == rows
    # one pseudonym per person, old or new
    pairs = {(row["pid"], row["source_pid"]) for row in rows_of(out)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    # no noise is used twice
    gallery = open_dataset(whole).gallery
    assert len(gallery) == len(after["features"])
    noise = after["features"] - after["features"].mean(0)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert np.abs(noise[len(rows) :] @ noise[: len(rows)].T).max() < 0.9
    about, measured = claim_of(out), claim_of(out.with_name("out.key"))
    (public,), (private,) = about["claims"], measured["claims"]
    assert about["additions"] == [{"rows": count}]
    assert about["exported"]["gallery"]["rows"] == len(after["features"])
    assert public["epsilon_certified"] == pytest.approx(60, rel=1e-6)
    assert "images_per_identity" not in public
    most = max(np.bincount(after["pids"])[1:])
    assert private["images_per_identity"] == most
    code, _, stderr, _ = defend(whole, "--add")
    assert code == 2
    assert "is stored already" in stderr


def test_what_the_claim_does_not_cover_is_not_added(defend, parts):
    whole, fewer, _ = parts
    code, _, stderr, out = defend(fewer, "--with", "dp_gallery:trials=200,images_per_identity=2")
    assert code == 0, stderr
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code, _, stderr, _ = defend(whole, "--add")
    assert code == 2
    assert "somebody would have 3 gallery images" in stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --with"),
        (("--add", "--with", "dp_gallery"), "give either --with"),
        (("--add", "--seed", 3), "leave out --seed"),
        (("--add",), "are not what audit defend left"),
    ],
)
def test_what_is_asked_for_must_be_clear(defend, parts, arguments, message):
    code, _, stderr, _ = defend(parts[0], *arguments)
    assert code == 2
    assert message in stderr


def test_only_a_gallery_under_noise_grows(defend, parts):
    whole, fewer, _ = parts
    assert defend(fewer, "--with", "blur:image_size=[32,16]+dp_gallery:trials=200")[0] == 0
    code, _, stderr, _ = defend(whole, "--add")
    assert code == 2
    assert "noise on the gallery alone" in stderr
