"""What a plug-in's options name is known by its content."""

import os
from dataclasses import dataclass
from pathlib import Path

from auditor.plugins import named_files


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """Reads files, and declares nothing about them."""

    prior: str = ""
    folder: Path | None = None
    steps: int = 3


def test_only_what_is_there_is_named(tmp_path):
    assert named_files(Stranger()) == {}
    assert named_files(Stranger(prior="auto", folder=tmp_path / "missing")) == {}
    assert named_files(Stranger(prior="\0")) == {}
    assert named_files(object()) == {}


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
