"""Pictures are decoded once per size while there is room, and never when they have changed."""

import os

import pytest
import torch

from auditor.data import kept_pictures
from auditor.data.decoding import batch_pictures, read_pictures
from auditor.data.kept_pictures import KeptPictures
from auditor.resizing import InputSize, Resizing
from tests.unit.auditor.data.test_decoding import person, save

SIZE = (16, 8)
BYTES = 3 * 16 * 8


@pytest.fixture
def files(tmp_path):
    return [save(tmp_path, f"{n}.png", person(n, 32, 16)) for n in range(6)]


def plain(paths, size):
    return batch_pictures(read_pictures(paths, size), size)


@pytest.fixture
def decoded(monkeypatch):
    names = []

    def reading(paths, size):
        names.extend(path.stem for path in paths)
        return read_pictures(paths, size)

    monkeypatch.setattr(kept_pictures, "read_pictures", reading)
    return names


def test_what_was_decoded_is_not_decoded_again(files, decoded):
    kept = KeptPictures(100 * BYTES)
    first = kept.load(files[:4], SIZE)
    again = kept.load([files[5], files[3], files[0], files[4], files[3]], SIZE)
    assert decoded == ["0", "1", "2", "3", "5", "4"]
    assert torch.equal(first, plain(files[:4], SIZE))
    assert torch.equal(again, plain([files[n] for n in (5, 3, 0, 4, 3)], SIZE))
    again.zero_()
    assert torch.equal(kept.load(files[:4], SIZE), first)


def test_a_size_and_how_it_is_reached_are_told_apart(files, decoded):
    kept = KeptPictures(100 * BYTES)
    for size in (SIZE, (8, 16), InputSize(*SIZE, Resizing(interpolation="bicubic"))):
        assert torch.equal(kept.load(files[:1], size), plain(files[:1], size))
    assert len(decoded) == 3


def test_the_bound_holds_and_the_longest_unused_give_way(files, decoded):
    kept = KeptPictures(3 * BYTES)
    kept.load(files[:3], SIZE)
    kept.load(files[:1], SIZE)
    kept.load(files[3:5], SIZE)
    assert kept.size == 3 * BYTES
    del decoded[:]
    kept.load([files[0], files[3], files[4]], SIZE)
    assert decoded == []
    kept.load(files[1:2], SIZE)
    assert decoded == ["1"]
    kept.load(files, (32, 16))  # each larger than the bound
    assert kept.size == 3 * BYTES


def test_a_changed_file_is_decoded_anew(files, decoded):
    kept = KeptPictures(100 * BYTES)
    kept.load(files[:1], SIZE)
    person(9, 32, 16).save(files[0])
    os.utime(files[0], ns=(1, 1))
    assert torch.equal(kept.load(files[:1], SIZE), plain(files[:1], SIZE))
    assert decoded == ["0", "0"]
