"""Features that outlive a run: kept whole, or computed again."""

import errno
import os
import stat

import numpy as np
import pytest

from auditor.artifacts import atomic
from auditor.artifacts.feature_store import TAG, FeatureStore, entries, prune
from auditor.errors import UsageError

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
