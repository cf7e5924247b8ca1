"""Features that outlive a run: kept whole, or computed again."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from auditor.artifacts import atomic
from auditor.artifacts.atomic import TEMPORARY
from auditor.artifacts.feature_store import HEADER, TAG, FeatureStore, entries, prune
from auditor.cli.main import execute
from auditor.errors import EnvironmentUnmetError, UsageError

KEY, OTHER = "ab" * 32, "cd" * 32
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "cache")


def test_what_was_kept_comes_back_in_another_run(store):
    store.keep(KEY, ROWS, "net.onnx")
    again = FeatureStore(store.folder)
    assert np.array_equal(again.fetch(KEY, (3, 4)), ROWS)
    assert again.fetch(OTHER, (3, 4)) is None
    assert again.reused == 3


def test_it_can_be_read_by_its_owner_alone(store):
    store.keep(KEY, ROWS, "net.onnx")
    for path in (store.folder, *store.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        lambda whole: b"",
        lambda whole: b"\xff" * len(whole),
    ],
    ids=["cut", "flipped", "empty", "noise"],
)
def test_a_damaged_file_is_dropped(store, damage, caplog):
    store.keep(KEY, ROWS, "net.onnx")
    (path,) = store.folder.glob("??/*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    assert store.fetch(KEY, (3, 4)) is None
    assert "damaged" in caplog.text
    assert not path.exists()


def test_features_of_another_shape_are_none(store):
    store.keep(KEY, ROWS, "net.onnx")
    assert store.fetch(KEY, (3, 5)) is None


def test_a_full_disk_is_said_once_and_harms_nothing(store, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    store.keep(KEY, ROWS, "net.onnx")
    store.keep(OTHER, ROWS, "net.onnx")
    assert caplog.text.count("No space left") == 1
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == [TAG]


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=TAG):
        FeatureStore(tmp_path)
    with pytest.raises(UsageError, match="not a cache"):
        prune(tmp_path, days=0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        FeatureStore(tmp_path / "file")


def test_pruning_deletes_what_was_used_least_recently_and_nothing_else(store):
    for age, key in enumerate((KEY, OTHER)):
        store.keep(key, ROWS, "net.onnx")
        (path,) = store.folder.glob(f"??/{key}.safetensors")
        os.utime(path, (1e9 - age, 1e9 - age))
    (store.folder / "ab" / "notes.txt").write_text("mine")
    assert [entry.path.stem for entry in entries(store.folder)] == [KEY, OTHER]
    size = entries(store.folder)[0].size
    assert [entry.path.stem for entry in prune(store.folder, size=size)] == [OTHER]
    store.fetch(KEY, (3, 4))  # reading counts as using
    assert prune(store.folder, days=1) == []
    assert (store.folder / "ab" / "notes.txt").exists()


def test_an_entry_says_what_it_is(store):
    store.keep(KEY, ROWS, "net.onnx")
    (entry,) = entries(store.folder)
    assert (entry.model, entry.rows, entry.columns) == ("net.onnx", 3, 4)


def kept(store, key=KEY):
    """The file of features that were kept under a key."""
    store.keep(key, ROWS, "net.onnx")
    return store.folder / key[:2] / f"{key}.safetensors"


def replaced(path, kind):
    """The place of a file, taken by something else."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        (path.parent / "elsewhere").write_text("mine")
        path.symlink_to(path.parent / "elsewhere")
    elif kind == "nested":
        header = b"[" * 50_000
        path.write_bytes(len(header).to_bytes(8, "little") + header)
    elif kind == "terabyte":
        path.touch()
        os.truncate(path, 2**40)
    return path


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "nested", "terabyte"])
def test_what_is_no_file_of_features_is_neither_followed_nor_waited_for(store, kind):
    path = replaced(kept(store), kind)
    assert {entry.model for entry in entries(store.folder)} <= {"(damaged)"}
    assert store.fetch(KEY, (3, 4)) is None
    prune(store.folder, days=0)
    if kind == "link":
        assert (path.parent / "elsewhere").read_text() == "mine"


def test_a_pipe_is_no_tag(tmp_path):
    os.mkfifo(tmp_path / TAG)
    with pytest.raises(UsageError, match="other files"):
        FeatureStore(tmp_path)


def test_features_under_another_name_are_damaged(store):
    """A digest of the features alone would hold wherever the file lies."""
    other = kept(store, OTHER)
    kept(store).rename(other)
    assert store.fetch(OTHER, (3, 4)) is None


def test_features_that_are_not_finite_are_damaged(store):
    store.keep(KEY, np.full((3, 4), np.nan, np.float32), "net.onnx")
    assert store.fetch(KEY, (3, 4)) is None


@pytest.mark.parametrize("name", ["utime", "unlink"])
def test_a_folder_that_can_only_be_read(store, monkeypatch, name):
    path = kept(store)
    damaged = name == "unlink"
    if damaged:
        path.write_bytes(b"")

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(*((Path, name) if damaged else (os, name)), refuse)
    rows = FeatureStore(store.folder).fetch(KEY, (3, 4))
    assert rows is None if damaged else np.array_equal(rows, ROWS)
    if damaged:
        with pytest.raises(EnvironmentUnmetError, match=r"cannot delete .*: Read-only"):
            prune(store.folder, size=-1)


@pytest.mark.parametrize("place", ["", "ab", TAG])
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_to_is_refused(store, place, mode):
    path = kept(store)
    (store.folder / place).chmod(mode)
    with pytest.raises(UsageError, match=r"others can write to .* decide what the audit finds"):
        FeatureStore(store.folder)
    assert path.exists()


def test_so_is_one_of_another_user(store, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    if store.folder.stat().st_uid == 0:  # root is trusted: it can do anything anyway
        os.chown(store.folder, 12345, -1)
    with pytest.raises(UsageError, match="others can write"):
        FeatureStore(store.folder)


def test_nothing_behind_a_link_is_read_or_deleted(store, tmp_path):
    outside = tmp_path / "outside"
    path = kept(store)
    path.parent.rename(outside)
    path.parent.symlink_to(outside)
    left = outside / f".x{TEMPORARY}"
    left.touch()
    os.utime(left, (0, 0))
    with pytest.raises(UsageError, match=r"ab \(or it is a link\)"):
        FeatureStore(store.folder)
    assert entries(store.folder) == prune(store.folder, size=0) == []
    assert {p.name for p in outside.iterdir()} == {path.name, left.name}


def test_a_run_that_was_killed_at_once_leaves_a_folder_that_can_be_used(tmp_path):
    (tmp_path / f".{TAG}.x1y2{TEMPORARY}").touch()
    FeatureStore(tmp_path).keep(KEY, ROWS, "net.onnx")
    assert len(entries(tmp_path)) == 1


def test_what_a_killed_writer_left_is_pruned_after_an_hour(store):
    fresh, old = (kept(store).with_name(f".{name}{TEMPORARY}") for name in ("fresh", "old"))
    for path in (fresh, old):
        path.touch()
    os.utime(old, (0, 0))
    prune(store.folder, days=1)
    assert fresh.exists()
    assert not old.exists()


def test_two_runs_at_once_keep_the_same(store):
    other = FeatureStore(store.folder)
    for one in (store, other):
        one.keep(KEY, ROWS, "net.onnx")
    prune(store.folder, size=0)  # and a third deletes it
    assert other.fetch(KEY, (3, 4)) is None
    other.keep(KEY, ROWS, "net.onnx")
    assert np.array_equal(store.fetch(KEY, (3, 4)), ROWS)


def test_a_model_of_any_name_can_be_kept(store):
    store.keep(KEY, ROWS, "net\udcff\x1b[2J" * 50)
    (entry,) = entries(store.folder)
    assert entry.model.isprintable()
    assert len(entry.model) <= 60


def test_what_a_header_claims_is_bounded(store):
    path = kept(store)
    path.write_bytes(safetensors.numpy.save({"features": ROWS}, {"x": "y" * HEADER}))
    assert [entry.model for entry in entries(store.folder)] == ["(damaged)"]
    assert store.fetch(KEY, (3, 4)) is None


@pytest.mark.parametrize("option", ["--prune-to", "--prune-unused"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_amounts_that_are_no_numbers(store, option, value, capsys):
    path = kept(store)
    assert execute(["cache", str(store.folder), option, value]) == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err
    assert path.exists()
