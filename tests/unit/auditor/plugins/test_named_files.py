"""What a plug-in's options name is known by its content."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from auditor.plugins import build, is_plain, named_files, recorded


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """Reads files, and declares nothing about them."""

    prior: str = ""
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    split: Literal["image", "camera"] = "image"
    steps: int = 3


def test_only_what_is_there_is_named(tmp_path):
    assert named_files(Stranger()) == {}
    assert named_files(Stranger(prior="auto", folder=tmp_path / "missing")) == {}
    assert named_files(Stranger(prior="\0")) == {}
    assert named_files(object()) == {}


def test_a_word_is_no_folder_that_happens_to_be_called_so(tmp_path, monkeypatch):
    (tmp_path / "image").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_files(Stranger()) == {}
    assert named_files(Stranger(prior="image")).keys() == {"prior"}


def test_a_file_counts_by_its_content_whatever_it_is_called(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("one")
    second.write_text("one")
    found = named_files(Stranger(prior=str(first)))
    assert found == named_files(Stranger(prior=str(second)))
    assert found.keys() == {"prior"}
    first.write_text("two")
    os.utime(first, ns=(0, 1))  # two writes may fall into one tick of the clock
    assert named_files(Stranger(prior=str(first))) != found


def test_a_folder_counts_by_the_files_in_it(tmp_path):
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "picture.png"
    file.write_bytes(b"1")
    before = named_files(Stranger(folder=tmp_path))
    assert before == named_files(Stranger(folder=tmp_path))
    file.write_bytes(b"12")
    changed = named_files(Stranger(folder=tmp_path))
    (tmp_path / "more.png").touch()
    assert (
        len({d["folder"] for d in (before, changed, named_files(Stranger(folder=tmp_path)))}) == 3
    )


def test_folders_that_a_folder_links_to_count_once(tmp_path):
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    elsewhere.mkdir()
    data.mkdir()
    (data / "train").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(data)
    before = named_files(Stranger(folder=data))
    (elsewhere / "picture.png").write_bytes(b"1")
    assert named_files(Stranger(folder=data)) != before


def test_each_of_several_files_counts(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("one")
    second.write_text("two")
    both, swapped = Stranger(files=(first, second)), Stranger(files=(second, first))
    assert named_files(both)["files"] != named_files(swapped)["files"]
    told = recorded(both)["files"]
    assert [text.partition(" (sha256 ")[0] for text in told] == ["first", "second"]


def test_the_label_of_a_judge_is_no_file(tmp_path, monkeypatch):
    (tmp_path / "osnet").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, named in (
        ("alignment", {"own_model": "osnet"}),
        ("prior_inversion", {"networks": ["osnet"]}),
    ):
        assert named_files(build("attacks", name, named)) == {}


def test_a_record_of_a_copied_folder_is_the_same(tmp_path):
    told = []
    for place in ("here", "there"):
        folder = tmp_path / place / "pictures"
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(b"1")
        os.utime(folder / "1.png", ns=(0, len(told)))
        told.append(recorded(Stranger(folder=folder)))
    assert told[0] == told[1]
    assert told[0]["folder"] == "pictures"


class Slotted:
    """Keeps what it is told where no field says so."""

    __slots__ = ("told",)


def test_what_slots_contain_is_not_plain():
    slotted = Slotted()
    assert is_plain(slotted)
    slotted.told = 1
    assert not is_plain(slotted)
